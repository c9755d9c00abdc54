/**
 * What `npm run test:arm` sees at length, in short: the agent of the arm64 package, its Node and
 * its native modules, under qemu-user. No arm64 system is made for it: Debian's cross packages have
 * the three libraries that a Node needs. Nothing here is a statement on ARM hardware.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stage } from '../deploy/package/stage.ts';
import { targets } from '../deploy/package/target.ts';
import { type Ended, endOf } from './arm/debian.ts';
import { crossLibraries, environmentWith } from './arm/emulation.ts';
import { toldIn } from './arm/suite.ts';
import { AgentUnderTest, accepts, eventually } from './support/agent.ts';
import { publish } from './support/cli.ts';
import { readLines } from './support/files.ts';

const withinMs = 60_000;
const files = ['core.test.ts', 'core-segment.test.ts', 'core-vectors.test.ts'];
const folder = mkdtempSync(join(tmpdir(), 'tidegate-arm-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const target = targets.find(({ debian }) => debian === 'arm64');
assert.ok(target);
const { tree } = await stage(target, folder, null, () => {});
const home = join(tree, 'usr/lib/tidegate');

function startNode(...args: string[]) {
  const [emulator, ...before] = crossLibraries;
  return spawn(emulator, [...before, join(home, 'bin/node'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environmentWith(join(home, 'node_modules')),
    timeout: withinMs,
    killSignal: 'SIGKILL',
  });
}

function tidegate(...args: string[]): Promise<Ended> {
  return endOf(startNode(join(home, 'agent/main.js'), ...args));
}

test('the arm64 agent confirms QoS 1 messages in a file, and stops with 0', async () => {
  const directory = join(folder, 'out');
  await using prepared = await AgentUnderTest.prepare({
    routes: [{ name: 'all', from: '#', to: { upstream: 'files' } }],
    upstreams: { files: { file: { directory } } },
  });
  const { configPath: config, mqttPort } = prepared;
  const checked = await tidegate('check', config);
  assert.equal(checked.code, 0, checked.out + checked.err);
  const agent = startNode(join(home, 'agent/main.js'), 'run', '--config', config);
  const ended = endOf(agent);
  await eventually('it listens', withinMs, () => accepts(mqttPort));
  const sent = ['1', '2', '3', '4', '5'];
  const events = sent.map((payload) => ['plant/1', payload] as const);
  // Resolves when each has its PUBACK.
  await publish(mqttPort, 'host', events);
  await eventually('all are confirmed', withinMs, () => readLines(directory).length >= sent.length);
  const values = readLines(directory).map(({ value }) => String(value));
  assert.deepEqual(values, sent);
  agent.kill('SIGTERM');
  const { code, out, err } = await ended;
  assert.equal(code, 0, out + err);
  const verified = await tidegate('buffer', 'verify', '--config', config);
  assert.equal(verified.code, 0, verified.out + verified.err);
});

for (const file of files) {
  test(`${file} passes on arm64`, async (t) => {
    const inside = join(import.meta.dirname, 'arm', 'inside.ts');
    const { code, out, err } = await endOf(startNode(inside, join(import.meta.dirname, file)));
    const tests = toldIn(out);
    const wrong = tests.filter(({ error, skip }) => error !== null || skip !== null);
    assert.deepEqual(wrong, [], err);
    assert.ok(code === 0 && tests.length > 0, out + err);
    t.diagnostic(`${tests.length} tests`);
  });
}
