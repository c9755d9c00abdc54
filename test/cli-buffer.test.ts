/**
 * Looking into a buffer and at its agent: verify finds what is damaged and nothing else, export
 * gives every frame as it came, status says how the agent is.
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPlain } from '../agent/buffer/database.ts';
import { roughDuration, roughSize } from '../agent/cli/figures.ts';
import { visible } from '../agent/cli/table.ts';
import { AgentUnderTest } from './support/agent.ts';
import { type Ended, publish, tidegate } from './support/cli.ts';
import { freePorts } from './support/ports.ts';

type Run = (...args: string[]) => Promise<Ended>;

const bytes = Buffer.from([0xff, 0, 1]);
const events = [
  ['a/1', 'one'],
  ['b/2', 'two'],
  ['a/3', bytes],
] as const;

/** Nothing is delivered: what is published stays in the log. */
async function agentWithBacklog(): Promise<{ agent: AgentUnderTest; run: Run }> {
  const [closed = 1] = await freePorts(1);
  const kafka = { brokers: [`127.0.0.1:${closed}`] };
  const agent = await AgentUnderTest.start({
    routes: [
      { name: 'as', from: 'a/#', to: { upstream: 'far', topic: 'a' } },
      { name: 'rest', from: '#', to: { upstream: 'far', topic: 'b' } },
    ],
    upstreams: { far: { kafka } },
  });
  for (const event of events) await publish(agent.mqttPort, 'device-1', [event]);
  const run: Run = (...args) => tidegate(agent.directory, ...args, '--config', 'tidegate.yaml');
  return { agent, run };
}

interface ExportedLine {
  readonly segment: number;
  readonly frame: number;
  readonly route: string;
  readonly topicName: string;
  readonly device: string;
  readonly payload?: string;
  readonly payloadBase64?: string;
}

function linesOf(text: string): ExportedLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ExportedLine);
}

test('status, export and verify of a running agent, and of a file that was damaged', async (t) => {
  const { agent, run } = await agentWithBacklog();
  await using _ = agent;
  await t.test('status: a table for people, JSON for programs', () => statusSays(agent, run));
  await t.test('export: every frame as it came', () => exportsAll(agent, run));
  await t.test('verify: whole, while the agent runs', () => verifiesWhole(run));
  assert.equal(await agent.stop(), 0);
  await t.test('status of an agent that is stopped is exit 69', async () => {
    const { code, err } = await run('status', '--json');
    assert.equal(code, 69);
    assert.equal((JSON.parse(err) as { error: { code: string } }).error.code, 'notRunning');
  });
  await t.test('one damaged segment is named, and costs its own frames only', () =>
    namesDamage(agent, run),
  );
  await t.test('a damaged page, a lane that does not add up: exit 65 as well', () =>
    findsTheRest(agent, run),
  );
});

async function statusSays(agent: AgentUnderTest, run: Run): Promise<void> {
  const { code, out, err } = await run('status');
  assert.equal(code, 0, err);
  assert.match(out, /^tidegate +\d+\.\d+\.\d+, gateway test-gw\nstate +ready, up \d/);
  assert.match(out, /\nconnections +0\nbuffer +[\d.]+ KiB of 1\.0 GiB, 3 segments\n/);
  assert.match(out, /\nLANE +STATE [^\n]*BACKLOG[^\n]*\nfar\/at-least-once +\S+ [^\n]* 3 /);
  const json = await run('status', '--json');
  const told = JSON.parse(json.out) as { gateway: string; buffer: { lanes: object[] } };
  assert.deepEqual([told.gateway, told.buffer.lanes.length], ['test-gw', 1]);
  const url = `127.0.0.1:${agent.httpPort}`;
  assert.equal((await tidegate(agent.directory, 'status', '--http', url)).code, 0);
}

async function exportsAll(agent: AgentUnderTest, run: Run): Promise<void> {
  const all = await run('buffer', 'export');
  assert.equal(all.code, 0, all.err);
  const lines = linesOf(all.out);
  assert.deepEqual(
    lines.map((line) => [line.route, line.topicName, line.payload ?? line.payloadBase64]),
    [
      ['as', 'a/1', 'one'],
      ['rest', 'b/2', 'two'],
      ['as', 'a/3', bytes.toString('base64')],
    ],
  );
  assert.ok(lines.every((line) => line.device === 'device-1' && line.frame === 0));
  const second = String(lines[1]?.segment);
  const one = linesOf((await run('buffer', 'export', '--from', second, '--to', second)).out);
  assert.deepEqual(one, [lines[1]]);
  assert.equal(linesOf((await run('buffer', 'export', '--route', 'as')).out).length, 2);
  const file = await run('buffer', 'export', '--lane-backlog', 'far/at-least-once', '--out', 'x');
  assert.deepEqual([file.code, file.out], [0, 'exported: 3 frames\n'], file.err);
  assert.equal(readFileSync(join(agent.directory, 'x'), 'utf8'), all.out);
  assert.equal((await run('buffer', 'export', '--out', 'x')).code, 73, 'nothing is overwritten');
  assert.equal((await run('buffer', 'export', '--lane-backlog', 'no')).code, 64);
}

async function verifiesWhole(run: Run): Promise<void> {
  const { code, out, err } = await run('buffer', 'verify');
  assert.equal(code, 0, out + err);
  assert.match(out, /segments +3, 3 frames\nlanes +1\ndead letters +0\nverdict +whole\n$/);
  const { out: json } = await run('buffer', 'verify', '--json');
  const { segments, problems } = JSON.parse(json) as { segments: number; problems: object[] };
  assert.deepEqual([segments, problems], [3, []]);
}

async function namesDamage(agent: AgentUnderTest, run: Run): Promise<void> {
  const db = openPlain(join(agent.directory, 'tidegate.db'), { readonly: false });
  const [, second] = db
    .prepare<[], { sequence: number; body: Buffer }>('SELECT sequence, body FROM segment')
    .all();
  assert.ok(second);
  second.body[second.body.length - 1] = 0xee;
  const update = db.prepare('UPDATE segment SET body = ? WHERE sequence = ?');
  update.run(second.body, second.sequence);
  const letter = `INSERT INTO dead_letter VALUES (7, 'far/at-least-once', 'r', '', 1, 0, 0, 0, 2,`;
  db.exec(`${letter} x'0102')`);
  db.close();
  const { code, out } = await run('buffer', 'verify');
  assert.equal(code, 65);
  assert.match(out, new RegExp(`segment ${second.sequence} +segmentChecksum: its frames cannot`));
  assert.match(out, /dead letter 7 +its frame is damaged\n$/);
  const exported = await run('buffer', 'export');
  assert.equal(exported.code, 65);
  assert.equal(exported.err, `segment ${second.sequence} is damaged\n`);
  assert.equal(linesOf(exported.out).length, 2);
}

async function findsTheRest(agent: AgentUnderTest, run: Run): Promise<void> {
  const path = join(agent.directory, 'tidegate.db');
  const db = openPlain(path, { readonly: false });
  db.exec('UPDATE cursor SET confirmed = confirmed + 5');
  db.exec('UPDATE segment SET first_frame = first_frame + 5 WHERE sequence = 0');
  db.exec("UPDATE segment SET routes = '[[99,1]]' WHERE sequence = 2");
  db.close();
  const { code, out } = await run('buffer', 'verify', '--json');
  assert.equal(code, 65);
  const { problems } = JSON.parse(out) as { problems: { where: string; what: string }[] };
  const places = problems.map(({ where }) => where);
  const expected = ['lane far/at-least-once', 'segment 0', 'segment 1', 'segment 2'];
  assert.deepEqual(places, [...expected, 'dead letter 7']);
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(statSync(path).size, 0xa5), 0, 4_096, 0);
  closeSync(file);
  const ruined = await run('buffer', 'verify');
  assert.equal(ruined.code, 65, ruined.err);
  assert.match(ruined.out, /\ndatabase +file is not a database\n$/);
  assert.ok(existsSync(path), 'it is not touched');
}

test('figures for people', () => {
  assert.deepEqual([0, 1_023, 1_536, 5 * 1024 ** 3].map(roughSize), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '5.0 GiB',
  ]);
  assert.deepEqual([900, 61_000, 3_600_000, 90_000_000].map(roughDuration), [
    '0s',
    '1m 1s',
    '1h 0m',
    '1d 1h',
  ]);
  assert.equal(visible('a\x1b[31mred\x07\u009b2J'), 'ared�');
});
