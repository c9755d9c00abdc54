/**
 * Telemetry: an event is a log line and a counter, floods are counted and not written, /metrics is
 * the Prometheus text format (read by a parser of its own, support/exposition.ts), and the HTTP
 * port takes only what an operator sends.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpConnectionsMax, logLineEveryMs } from '../agent/bounds.ts';
import type { BufferGauges } from '../agent/buffer/protocol.ts';
import { catalogue, type EventName, type Fields, type Level } from '../agent/events.ts';
import { Counter } from '../agent/telemetry/counters.ts';
import { Exposition } from '../agent/telemetry/exposition.ts';
import { type HttpPort, openHttp } from '../agent/telemetry/http.ts';
import { RatedLines } from '../agent/telemetry/rated.ts';
import { createTelemetry, type Telemetry } from '../agent/telemetry/telemetry.ts';
import { parseExposition } from './support/exposition.ts';

interface Line {
  level: string;
  event: EventName;
  msg: string;
  suppressed?: number;
  [field: string]: unknown;
}

const open: { telemetry: Telemetry[]; ports: HttpPort[] } = { telemetry: [], ports: [] };
afterEach(async () => {
  for (const port of open.ports.splice(0)) await port.close();
  for (const telemetry of open.telemetry.splice(0)) telemetry.close();
});

function start(level: Level = 'info'): { telemetry: Telemetry; lines: Line[] } {
  const lines: Line[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Line) };
  const telemetry = createTelemetry({ level, pretty: false, destination });
  open.telemetry.push(telemetry);
  return { telemetry, lines };
}

const value = async (telemetry: Telemetry, name: string, labels = {}): Promise<number> => {
  const family = parseExposition(await telemetry.metrics()).get(name);
  const wanted = Object.entries(labels);
  const found = family?.samples.filter((sample) =>
    wanted.every(([label, text]) => sample.labels[label] === text),
  );
  assert.equal(found?.length, 1, `${name} ${JSON.stringify(labels)}`);
  return found[0]?.value ?? Number.NaN;
};

test('an event is one log line at its level and one step of its counter', async () => {
  const { telemetry, lines } = start();
  telemetry.report('laneRetrying', { lane: 'cloud/at-least-once', error: 'ECONNREFUSED' });
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.level, 'warn');
  assert.equal(lines[0]?.event, 'laneRetrying');
  assert.equal(lines[0]?.msg, catalogue.laneRetrying.text);
  assert.equal(lines[0]?.error, 'ECONNREFUSED');
  assert.equal(await value(telemetry, 'tidegate_events_total', { event: 'laneRetrying' }), 1);
  assert.equal(await value(telemetry, 'tidegate_events_total', { event: 'agentHalted' }), 0);
});

test('below the level nothing is written, and everything is counted', async () => {
  const { telemetry, lines } = start('error');
  telemetry.report('commit', {});
  telemetry.report('laneRetrying', {});
  telemetry.report('recordBuried', {});
  assert.deepEqual(
    lines.map((line) => line.event),
    ['recordBuried'],
  );
  assert.equal(await value(telemetry, 'tidegate_events_total', { event: 'commit' }), 1);
});

test('a flood of one kind is one line a second that says how many it stands for', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const lines: [EventName, Fields, number][] = [];
    const rated = new RatedLines((...line) => lines.push(line));
    for (let n = 1; n <= 1_000; n++) rated.take('frameRefused', { reason: 'a', n });
    rated.take('frameRefused', { reason: 'b' });
    assert.deepEqual(lines, [
      ['frameRefused', { reason: 'a', n: 1 }, 0],
      ['frameRefused', { reason: 'b' }, 0],
    ]);
    mock.timers.tick(logLineEveryMs);
    assert.deepEqual(lines.slice(2), [['frameRefused', { reason: 'a', n: 1_000 }, 998]]);
    rated.take('frameRefused', { reason: 'a', n: 1_001 });
    assert.equal(lines.length, 3);
    mock.timers.tick(logLineEveryMs);
    assert.deepEqual(lines[3], ['frameRefused', { reason: 'a', n: 1_001 }, 0]);
    mock.timers.tick(2 * logLineEveryMs);
    rated.take('frameRefused', { reason: 'a', n: 1_002 });
    assert.equal(lines.length, 5);
  } finally {
    mock.timers.reset();
  }
});

test('an error that was suppressed is written at the latest when the agent closes', () => {
  const { telemetry, lines } = start();
  for (let n = 1; n <= 5; n++) telemetry.report('bufferEvicted', { n });
  telemetry.close();
  assert.deepEqual(
    lines.map(({ n, suppressed }) => [n, suppressed]),
    [
      [1, undefined],
      [5, 3],
    ],
  );
});

test('kinds of lines are bounded, whatever reasons come', () => {
  const lines: Fields[] = [];
  const rated = new RatedLines((_, fields) => lines.push(fields));
  for (let n = 0; n < 5_000; n++) rated.take('connectionRefused', { reason: `r${n}` });
  assert.ok(lines.length < 600, `${lines.length} lines`);
  rated.flush();
});

const zeros = { buried: 0, evicted: 0, expired: 0, damaged: 0, skipped: 0, sentOnce: 0 };
const gauges: BufferGauges = {
  usedBytes: 10,
  limitBytes: 100,
  fileBytes: 20,
  walBytes: 5,
  deadLetters: 1,
  deadLetterBytes: 7,
  segments: 3,
  holding: null,
  lanes: [
    {
      lane: 'cloud/at-least-once',
      upstream: 'cloud',
      delivery: 'at-least-once',
      configured: true,
      appendedFrames: 10,
      outcomes: { ...zeros, confirmed: 6, buried: 1 },
      backlogFrames: 3,
      backlogBytes: 400,
      backlogAgeMs: 1_500,
      position: { segment: 1, frame: 0 },
    },
  ],
};

test('a scrape shows the path, the lanes and the process, from a fresh snapshot', async () => {
  const { telemetry } = start();
  let refreshed = 0;
  telemetry.refresh = async () => void refreshed++;
  telemetry.gaugesSource = () => (refreshed > 0 ? gauges : null);
  telemetry.frames('admit', 5);
  telemetry.frames('admit', 2);
  telemetry.frameReason('drop', 'limit', 3);
  telemetry.connections(4);
  telemetry.connections(-1);
  telemetry.commit(0.003, 1_000, 7);
  telemetry.commit(9, 500);
  const text = await telemetry.metrics();
  const families = parseExposition(text);
  const get = (name: string, labels: Record<string, string> = {}) =>
    families
      .get(name)
      ?.samples.filter((each) => Object.entries(labels).every(([k, v]) => each.labels[k] === v))
      .map((each) => each.value);
  assert.deepEqual(get('tidegate_frames_total', { verdict: 'admit', protocol: 'mqtt' }), [7]);
  assert.deepEqual(get('tidegate_frames_total', { verdict: 'bury' }), [0]);
  assert.deepEqual(get('tidegate_frame_reasons_total', { reason: 'limit' }), [3]);
  assert.deepEqual(get('tidegate_connections'), [3]);
  assert.deepEqual(get('tidegate_commits_total'), [2]);
  assert.deepEqual(get('tidegate_commit_bytes_total'), [1_500]);
  const commits = families.get('tidegate_commit_seconds');
  assert.equal(commits?.type, 'histogram');
  const bucket = (le: string) => commits?.samples.find((each) => each.labels.le === le)?.value;
  assert.deepEqual([bucket('0.002'), bucket('0.005'), bucket('5'), bucket('+Inf')], [0, 1, 1, 2]);
  const lane = { lane: 'cloud/at-least-once', upstream: 'cloud' };
  const [appended] = get('tidegate_lane_appended_frames_total', lane) ?? [];
  const outcomes = get('tidegate_lane_outcome_frames_total', lane) ?? [];
  const [backlog = 0] = get('tidegate_lane_backlog_frames', lane) ?? [];
  assert.equal(outcomes.length, 7);
  assert.equal(appended, outcomes.reduce((sum, each) => sum + each, 0) + backlog);
  assert.deepEqual(get('tidegate_lane_backlog_age_seconds', lane), [1.5]);
  assert.deepEqual(get('tidegate_buffer_wal_bytes'), [5]);
  assert.deepEqual(get('tidegate_dead_letters'), [1]);
  assert.equal(get('tidegate_event_loop_delay_seconds')?.length, 3);
  assert.ok((get('tidegate_process_resident_memory_bytes')?.[0] ?? 0) > 1e6);
  assert.equal(get('tidegate_process_cpu_seconds_total')?.length, 2);
});

test('lane states are shown, and retries counted across a restart of their thread', async () => {
  const { telemetry } = start();
  const state = { lane: 'cloud/at-least-once', since: 1_000, lastError: 'x' };
  telemetry.setLaneStates([{ ...state, state: 'connecting', retries: 0 }]);
  telemetry.setLaneStates([{ ...state, state: 'backing-off', retries: 3 }]);
  telemetry.setLaneStates([{ ...state, state: 'backing-off', retries: 2 }]);
  const lane = { lane: 'cloud/at-least-once', upstream: 'cloud' };
  assert.equal(await value(telemetry, 'tidegate_egress_retries_total', lane), 5);
  assert.equal(await value(telemetry, 'tidegate_lane_state', { ...lane, state: 'backing-off' }), 1);
});

test('labels and help texts are escaped, and numbers written as the format wants them', () => {
  const exposition = new Exposition();
  const counter = new Counter('a', 'b');
  counter.add(1, 'x"y\\z\nw', '{,}=');
  exposition.counter('c_total', 'one\\two\nthree', counter.samples());
  exposition.gauge('g', 'gauge', Number.POSITIVE_INFINITY);
  exposition.gauge('left_out', 'no samples', []);
  const text = exposition.text();
  assert.ok(text.includes('# HELP c_total one\\\\two\\nthree\n'));
  const families = parseExposition(text);
  assert.deepEqual(families.get('c_total')?.samples[0]?.labels, { a: 'x"y\\z\nw', b: '{,}=' });
  assert.equal(families.get('g')?.samples[0]?.value, Number.POSITIVE_INFINITY);
  assert.ok(!families.has('left_out'));
});

test('a buffer that does not answer does not stall the scrape', async () => {
  const { telemetry } = start();
  telemetry.refresh = () => new Promise(() => {});
  telemetry.gaugesSource = () => gauges;
  assert.ok(parseExposition(await telemetry.metrics()).has('tidegate_buffer_used_bytes'));
});

async function serve(): Promise<{ telemetry: Telemetry; port: number; commands: string[] }> {
  const { telemetry } = start();
  const commands: string[] = [];
  const http = await openHttp(
    { host: '127.0.0.1', port: 0 },
    {
      telemetry,
      gateway: 'gw',
      version: '1.2.3',
      dead: () => null,
      bridge: () => null,
      command(action, upstream) {
        commands.push(`${action} ${upstream}`);
        return upstream === 'cloud' ? 'done' : 'unknown';
      },
    },
  );
  open.ports.push(http);
  return { telemetry, port: http.port, commands };
}

interface Reply {
  status: number;
  type: string;
  body: string;
}

function ask(port: number, method: string, path: string, headers = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, method, path, headers, host: '127.0.0.1', agent: false });
    asked.once('error', reject);
    asked.once('response', async (response) => {
      let body = '';
      for await (const chunk of response) body += String(chunk);
      const type = response.headers['content-type'] ?? '';
      resolve({ status: response.statusCode ?? 0, type, body });
    });
    asked.end();
  });
}

test('/readyz is 503 until the agent is ready, /healthz is not, and both say why', async () => {
  const { telemetry, port } = await serve();
  telemetry.degraded = 'config';
  telemetry.setLaneStates([
    { lane: 'cloud/at-least-once', state: 'backing-off', since: 0, retries: 2, lastError: 'no' },
  ]);
  assert.equal((await ask(port, 'GET', '/healthz')).status, 200);
  assert.equal((await ask(port, 'GET', '/readyz')).status, 503);
  telemetry.ready = true;
  const ready = await ask(port, 'GET', '/readyz?x=1');
  assert.equal(ready.status, 200);
  const body = JSON.parse(ready.body) as Record<string, unknown>;
  assert.equal(body.degraded, 'config');
  assert.deepEqual(body.upstreams, {
    'cloud/at-least-once': {
      state: 'backing-off',
      since: '1970-01-01T00:00:00.000Z',
      retries: 2,
      lastError: 'no',
    },
  });
  const status = JSON.parse((await ask(port, 'GET', '/status')).body) as Record<string, unknown>;
  assert.deepEqual([status.gateway, status.version, status.buffer], ['gw', '1.2.3', null]);
});

test('/metrics over HTTP is text in version 0.0.4', async () => {
  const { port } = await serve();
  const { status, type, body } = await ask(port, 'GET', '/metrics');
  assert.deepEqual([status, type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
  assert.ok(parseExposition(body).has('tidegate_ready'));
});

test('pause and resume reach the agent, and name an upstream that is not there', async () => {
  const { port, commands } = await serve();
  assert.equal((await ask(port, 'POST', '/upstreams/cloud/pause')).status, 200);
  assert.equal((await ask(port, 'POST', '/upstreams/cl%6Fud/resume')).status, 200);
  assert.equal((await ask(port, 'POST', '/upstreams/other/resume')).status, 404);
  assert.equal((await ask(port, 'POST', '/upstreams/%ff/resume')).status, 404);
  assert.deepEqual(commands, ['pause cloud', 'resume cloud', 'resume other']);
});

test('a web page can command nothing: foreign Host and any Origin are refused', async () => {
  const { port, commands } = await serve();
  const path = '/upstreams/cloud/pause';
  for (const headers of [
    { host: 'evil.example' },
    { host: `evil.example:${port}` },
    { host: '127.0.0.1.evil.example' },
    { origin: 'http://evil.example' },
    { origin: 'null' },
  ]) {
    assert.equal((await ask(port, 'POST', path, headers)).status, 403, JSON.stringify(headers));
  }
  assert.deepEqual(commands, []);
  for (const host of ['localhost:1', '[::1]:8080', '127.0.0.1']) {
    assert.equal((await ask(port, 'POST', path, { host })).status, 200, host);
  }
});

test('other paths and methods are refused by their number', async () => {
  const { port, commands } = await serve();
  assert.equal((await ask(port, 'GET', '/')).status, 404);
  assert.equal((await ask(port, 'GET', '/constructor')).status, 404);
  assert.equal((await ask(port, 'GET', '/upstreams/cloud/pause')).status, 405);
  assert.equal((await ask(port, 'DELETE', '/metrics')).status, 405);
  assert.equal((await ask(port, 'POST', '/upstreams/cloud/stop')).status, 404);
  assert.deepEqual(commands, []);
});

test('clients beyond the bound are turned away, and those before it are served', async () => {
  const { port } = await serve();
  const idle = Array.from({ length: httpConnectionsMax - 1 }, () => connect(port, '127.0.0.1'));
  await Promise.all(idle.map((socket) => new Promise((done) => socket.once('connect', done))));
  assert.equal((await ask(port, 'GET', '/healthz')).status, 200);
  await sleep(20);
  const last = connect(port, '127.0.0.1');
  await new Promise((done) => last.once('connect', done));
  await assert.rejects(ask(port, 'GET', '/healthz'));
  for (const socket of [...idle, last]) socket.destroy();
});
