/**
 * The arm64 .deb as its users meet it, in the arm64 Debian: installed by dpkg, checked, run on the
 * config that it ships, stopped, its buffer verified, and the demo to its proof.
 *
 * The client that publishes is this machine's, and so are the eyes: they read the upstream's file
 * in that root. Of the shipped config two ports are changed, for here they may be taken.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { accepts, eventually } from '../support/agent.ts';
import { publish } from '../support/cli.ts';
import { readLines } from '../support/files.ts';
import { freePorts } from '../support/ports.ts';
import { type ArmDebian, type Ended, endOf } from './debian.ts';
import type { Sheet } from './sheet.ts';

const shipped = '/etc/tidegate/tidegate.yaml';
const changed = '/etc/tidegate/other-ports.yaml';
const state = '/var/lib/tidegate';
const version = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;
const messages = 25;
const commandWithinMs = 120_000;
const demoWithinMs = 900_000;
/** Multiplied by no patience: this Node is not emulated. */
const agentWithinMs = 60_000;

/** @param how far: only installed, as the suite needs it, or its whole life */
export async function lookAtPackage(
  debian: ArmDebian,
  deb: string,
  how: 'installed' | 'whole',
  sheet: Sheet,
): Promise<void> {
  const run = async (...command: string[]): Promise<Ended> => {
    const ended = await debian.run(commandWithinMs, ...command);
    assert.equal(ended.code, 0, `${command.join(' ')}: ${ended.out}${ended.err}`);
    return ended;
  };
  await sheet.look('dpkg installs the package, and its user is there', async () => {
    const name = basename(deb);
    copyFileSync(deb, join(debian.root, 'tmp', name));
    await run('dpkg', '-i', `/tmp/${name}`);
    return (await run('id', 'tidegate')).out.trim();
  });
  if (how === 'installed') return;
  await sheet.look('tidegate --version says its version', async () => {
    const { out } = await run('tidegate', '--version');
    assert.equal(out.trim(), version);
    return out.trim();
  });
  await sheet.look('tidegate check finds the shipped config valid', async () => {
    return (await run('tidegate', 'check', shipped)).out.trim();
  });
  await sheet.look('an agent confirms QoS 1 messages, each in its upstream’s file', async () => {
    return await runAgent(debian);
  });
  await sheet.look('tidegate buffer verify finds its buffer whole', async () => {
    return (await run('tidegate', 'buffer', 'verify', '--config', changed)).out.trim();
  });
  await sheet.look('tidegate demo proves that what was acknowledged arrived', async () => {
    const demo = ['tidegate', 'demo', '--seconds', '10', '--json'];
    const { code, out, err } = await debian.run(demoWithinMs, ...demo);
    assert.equal(code, 0, `${out}${err}`);
    const { holds, kills, acknowledged, acknowledgedWhileCut, lost } = JSON.parse(out);
    assert.equal(holds, true, out);
    assert.ok(kills === 2 && acknowledgedWhileCut > 0, out);
    return `acknowledged ${acknowledged}, lost ${lost}, ${kills} kills`;
  });
}

async function runAgent(debian: ArmDebian): Promise<string> {
  const [mqtt = 0, http = 0] = await freePorts(2);
  const text = readFileSync(join(debian.root, shipped), 'utf8');
  const ported = text.replace('127.0.0.1:1883', `127.0.0.1:${mqtt}`).replace(':8080', `:${http}`);
  assert.notEqual(ported, text, 'the shipped config has the ports that this changes');
  writeFileSync(join(debian.root, changed), ported);
  await debian.run(commandWithinMs, 'install', '-d', state);
  const agent = debian.start('tidegate', 'run', '--config', changed);
  const ended = endOf(agent);
  try {
    await eventually('the agent listens', agentWithinMs, () => accepts(mqtt));
    const sent = Array.from({ length: messages }, (_, n) => [`plant/${n}`, `event ${n}`] as const);
    // Each resolves with its PUBACK.
    await publish(mqtt, 'host', sent);
    const wanted = sent.map(([topicName, payload]) => `${topicName} ${payload}`);
    const arrived = () =>
      readLines(join(debian.root, state, 'out')).map(
        ({ value, headers }) => `${headers.ce_subject} ${value}`,
      );
    await eventually('all are in the file', agentWithinMs, () => arrived().length >= messages);
    assert.deepEqual(arrived(), wanted);
  } finally {
    agent.kill('SIGTERM');
    const late = setTimeout(() => agent.kill('SIGKILL'), agentWithinMs);
    await ended;
    clearTimeout(late);
  }
  const { code, out, err } = await ended;
  assert.equal(code, 0, `SIGTERM ended it with ${code}: ${out}${err}`);
  return `${messages} acknowledged and in the file in their order; SIGTERM: exit 0`;
}
