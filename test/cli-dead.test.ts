/**
 * Dead letters as an operator works with them: listed, shown, replayed and discarded, through the
 * running agent and on the file of one that is stopped. What was replayed arrives, once.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { type Ended, publish, tidegate } from './support/cli.ts';

const waitMs = 10_000;
const long = (index: number): string => `payload ${index} is longer than the route allows`;

function setup(directory: string) {
  const out = { upstream: 'out', topic: 'events' };
  const routes = [
    { name: 'short', from: 'short/#', maxBytes: '8B', to: out },
    { name: 'mended', from: '#', to: { ...out, topic: 'mended' } },
  ];
  return { routes, upstreams: { out: { file: { directory: join(directory, 'out') } } } };
}

interface Line {
  readonly topic: string;
  readonly value: string;
}

function arrived(agent: AgentUnderTest): Line[] {
  const directory = join(agent.directory, 'out');
  return readdirSync(directory)
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

async function deadOf(agent: AgentUnderTest): Promise<{ id: number; reason: string }[]> {
  const args = ['dead', 'list', '--buffer', 'tidegate.db', '--json'];
  const { out } = await tidegate(agent.directory, ...args);
  return JSON.parse(out) as { id: number; reason: string }[];
}

async function burySome(agent: AgentUnderTest, count: number): Promise<void> {
  const before = (await deadOf(agent)).length;
  const events = Array.from({ length: count }, (_, index) => ['short/a', long(index)] as const);
  await publish(agent.mqttPort, 'device-1', events);
  await eventually('buried', waitMs, async () => (await deadOf(agent)).length === before + count);
}

/** Of the one lane. */
async function value(agent: AgentUnderTest, name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${agent.httpPort}/metrics`)).text();
  return Number(new RegExp(`^tidegate_lane_${name}[^}]*\\} (\\d+)$`, 'm').exec(metrics)?.[1]);
}

test('dead letters of a running agent, and of one that is stopped', async (t) => {
  const agent = await AgentUnderTest.prepare(setup('.'));
  await using _ = agent;
  const run = (...args: string[]) =>
    tidegate(agent.directory, ...args, '--config', 'tidegate.yaml');
  await agent.start();
  await burySome(agent, 6);

  await t.test('show says why, and what; --payload gives the bytes', async () => {
    const { code, out, err } = await run('dead', 'show', '1');
    assert.equal(code, 0, err);
    assert.match(out, /reason +payloadTooLarge\n[\s\S]*topicName +short\/a\n[\s\S]*payload 0 is/);
    const { out: json } = await run('dead', 'show', '1', '--json');
    const shown = JSON.parse(json) as { route: { name: string }; frame: Record<string, unknown> };
    assert.equal(shown.route.name, 'short');
    assert.deepEqual([shown.frame.device, shown.frame.payload], ['device-1', long(0)]);
    assert.equal((await run('dead', 'show', '2', '--payload')).out, long(1));
    assert.equal((await run('dead', 'show', '99')).code, 64);
  });

  await t.test('replay through the agent: it arrives once, and the letter is gone', async () => {
    const { code, out, err } = await run('dead', 'replay', '1', '2');
    assert.deepEqual([code, out], [0, 'replayed: 2\n'], err);
    await eventually('arrived', waitMs, () => arrived(agent).length === 2);
    assert.deepEqual(
      arrived(agent).map(({ topic, value }) => [topic, value]),
      [
        ['events', long(0)],
        ['events', long(1)],
      ],
    );
    assert.equal((await deadOf(agent)).length, 4);
    assert.equal((await run('dead', 'replay', '1')).code, 65, 'it is gone');
  });

  await t.test('by the present route of a name; one that is none is refused', async () => {
    const wrong = await run('dead', 'replay', '--all', '--route', 'nobody', '--json');
    assert.equal(wrong.code, 65, wrong.err);
    assert.equal((JSON.parse(wrong.out) as { refused: object[] }).refused.length, 4);
    assert.equal((await run('dead', 'replay', '3', '--route', 'mended')).code, 0);
    await eventually('arrived', waitMs, () => arrived(agent).length === 3);
    assert.equal(arrived(agent).at(-1)?.topic, 'mended');
  });

  await t.test('discard takes what is meant; nothing said is nothing meant', async () => {
    assert.equal((await run('dead', 'discard')).code, 64);
    assert.equal((await run('dead', 'replay', '--all', '4')).code, 64);
    assert.equal((await run('dead', 'discard', '4')).out, 'discarded: 1\n');
    const none = await run('dead', 'discard', '--all', '--reason', 'topicInvalid', '--json');
    assert.deepEqual(JSON.parse(none.out), { discarded: 0 });
    assert.equal((await deadOf(agent)).length, 2);
  });

  await t.test('an agent on another buffer file is not asked for these letters', () =>
    refusesStrangers(agent),
  );
  await t.test('on the file of a stopped agent: the next start sends it', () =>
    onTheFile(agent, run),
  );
});

async function refusesStrangers(agent: AgentUnderTest): Promise<void> {
  const url = `http://127.0.0.1:${agent.httpPort}/dead/discard?all=`;
  const other = await fetch(`${url}&epoch=0123456789abcdef`, { method: 'POST' });
  assert.equal(other.status, 409);
  const page = { method: 'POST', headers: { origin: 'http://evil.example' } };
  assert.equal((await fetch(url, page)).status, 403);
  assert.equal((await fetch(url.replace('?all=', ''), { method: 'POST' })).status, 400);
  assert.equal((await deadOf(agent)).length, 2);
}

async function onTheFile(
  agent: AgentUnderTest,
  run: (...args: string[]) => Promise<Ended>,
): Promise<void> {
  assert.equal(await agent.stop(), 0);
  const { code, out, err } = await run('dead', 'replay', '5');
  assert.deepEqual([code, out], [0, 'replayed: 1\n'], err);
  assert.equal((await run('dead', 'discard', '--all')).out, 'discarded: 1\n');
  const stat = await tidegate(agent.directory, 'buffer', 'stat', '--buffer', 'tidegate.db');
  assert.match(stat.out, /dead letters +0/);
  await agent.start();
  await eventually('arrived', waitMs, () => arrived(agent).length === 4);
  assert.equal(arrived(agent).at(-1)?.value, long(4));
  await eventually('confirmed', waitMs, async () => (await value(agent, 'backlog_frames')) === 0);
  assert.equal(await value(agent, 'appended_frames_total'), 6 + 4);
  assert.equal(await value(agent, 'outcome_frames_total\\{[^}]*confirmed'), 4);
  assert.equal(await value(agent, 'outcome_frames_total\\{[^}]*buried'), 6);
}
