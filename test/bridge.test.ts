/**
 * The bridge of a real agent, over real sockets: what REST Proxy's clients send is on disk when it
 * is answered, arrives with its key, partition and headers; what is wrong is refused by its code.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { bridgeBodyBytes } from '../agent/bounds.ts';
import { eventually } from './support/agent.ts';
import { arriveWithinMs, BridgeRig, type Sent, token, v2Json } from './support/bridge-rig.ts';
import { publish } from './support/cli.ts';
import { total } from './support/metrics.ts';

const binary = 'application/vnd.kafka.binary.v2+json';

let rig: BridgeRig;
before(async () => {
  rig = await BridgeRig.start();
});
after(() => rig.agent[Symbol.asyncDispose]());

test('records of version 2 arrive with their keys, and with the digits they have', async () => {
  const first = '{"key":"k1","value":{"n":12345678901234567890}}';
  const body = `{"records":[${first},{"value":"two"},{"key":7,"value":[1.50]}]}`;
  const answer = await rig.post({ path: '/topics/plant%2F1%2Ftelemetry', body });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'application/vnd.kafka.v2+json');
  const { offsets, ...schemas } = (await answer.json()) as { offsets: { offset: number }[] };
  assert.deepEqual(schemas, { key_schema_id: null, value_schema_id: null });
  assert.equal(offsets.length, 3);
  assert.deepEqual(offsets[0], {
    partition: -1,
    offset: offsets[0]?.offset,
    error_code: null,
    error: null,
  });
  const found = await rig.arrived('out', '{"n":12345678901234567890}');
  assert.equal(found.key, '"k1"');
  const second = await rig.arrived('out', '"two"');
  assert.equal(second.key, 'erp', 'without a key of its own it has the route’s');
  assert.equal((await rig.arrived('out', '[1.50]')).key, '7');
  const { headers } = found;
  assert.match(headers.ce_source ?? '', /^\/\/[^/]+\/http\/erp$/);
  assert.equal(headers.ce_subject, 'plant/1/telemetry');
});

test('binary records are the bytes that were sent; the path may name their partition', async () => {
  const value = Buffer.from([0, 1, 2, 254, 255]);
  const body = { records: [{ key: 'a2V5', value: value.toString('base64') }] };
  const path = '/topics/plant%2F2%2Fraw/partitions/3';
  const answer = await rig.post({ path, type: binary, body });
  assert.deepEqual(
    ((await answer.json()) as { offsets: { partition: number }[] }).offsets[0]?.partition,
    3,
  );
  await eventually('the bytes arrive', arriveWithinMs, () =>
    rig.lines('out').some((line) => line.key === 'key' && line.value.equals(value)),
  );
});

test('a topic that no route takes goes to the upstream that rest names', async () => {
  const answer = await rig.post({
    path: '/topics/orders',
    body: { records: [{ value: 'an order' }] },
  });
  assert.equal(answer.status, 200);
  const line = await rig.arrived('rest', '"an order"');
  assert.deepEqual([line.topic, line.key], ['orders', null]);
});

test('what devices publish is never taken by the route of REST topics', async () => {
  await publish(rig.agent.mqttPort, 'd1', [['orders', 'of a device']]);
  await rig.post({ path: '/topics/orders', body: { records: [{ value: 'a later one' }] } });
  await rig.arrived('rest', '"a later one"');
  assert.ok(rig.lines('rest').every(({ value }) => value.toString() !== 'of a device'));
});

test('version 3 answers each record by itself, in order', async () => {
  const header = { name: 'site', value: Buffer.from('häll').toString('base64') };
  const records = [
    {
      key: { type: 'STRING', data: 'k' },
      value: { type: 'JSON', data: { v3: 1 } },
      headers: [header],
    },
    { value: { type: 'BINARY', data: 'not base64!' } },
    {
      partition_id: 1,
      timestamp: '2026-01-02T03:04:05Z',
      value: { type: 'STRING', data: 'v3 two' },
    },
  ];
  const path = '/v3/clusters/any/topics/plant%2F3%2Fv3/records';
  const body = records.map((record) => JSON.stringify(record)).join('\n');
  const answer = await rig.post({ path, type: 'application/json', body });
  assert.equal(answer.status, 200);
  const told = (await answer.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    told.map(({ error_code }) => error_code),
    [200, 422, 200],
  );
  const { offset, ...first } = told[0];
  assert.ok(Number.isInteger(offset));
  assert.deepEqual(first, {
    ...{ error_code: 200, cluster_id: 'any', topic_name: 'plant/3/v3', partition_id: -1 },
    ...{ key: { type: 'STRING', size: 1 }, value: { type: 'JSON', size: 8 } },
  });
  assert.equal(told[2].timestamp, '2026-01-02T03:04:05.000Z');
  const line = await rig.arrived('out', '{"v3":1}');
  assert.deepEqual([line.key, line.headers.site], ['k', 'häll']);
  await rig.arrived('out', 'v3 two');
});

test('bodies may be packed with gzip, deflate and zstd', async () => {
  const packers = { gzip: gzipSync, deflate: deflateSync, zstd: zstdCompressSync };
  for (const [encoding, pack] of Object.entries(packers)) {
    const body = pack(Buffer.from(JSON.stringify({ records: [{ value: `by ${encoding}` }] })));
    const headers = { 'content-encoding': encoding };
    const answer = await rig.post({ path: '/topics/plant%2F4%2Fpacked', body, headers });
    assert.equal(answer.status, 200, encoding);
    await rig.arrived('out', `"by ${encoding}"`);
  }
});

const good = { records: [{ value: 1 }] };
const path = '/topics/plant%2F5%2Fbad';
const deep = '['.repeat(100_000) + ']'.repeat(100_000);
const zeros = Buffer.alloc(bridgeBodyBytes);
const refusals: readonly (readonly [string, Sent, number, number])[] = [
  ['no JSON', { path, body: '{"records":' }, 400, 400],
  ['no UTF-8', { path, body: Buffer.from([0x22, 0xff, 0x22]) }, 400, 400],
  ['no records', { path, body: {} }, 422, 422],
  ['an empty list', { path, body: { records: [] } }, 422, 422],
  ['a record without a value', { path, body: { records: [{ key: 1 }] } }, 422, 422],
  ['a partition below 0', { path, body: { records: [{ value: 1, partition: -1 }] } }, 422, 422],
  ['no base64', { path, type: binary, body: { records: [{ value: 'a b' }] } }, 422, 422],
  ['another type', { path, type: 'text/plain', body: good }, 415, 415],
  ['a schema', { path, type: 'application/vnd.kafka.avro.v2+json', body: good }, 422, 42203],
  ['another encoding', { path, body: good, headers: { 'content-encoding': 'br' } }, 415, 415],
  [
    'a body that is no gzip',
    { path, body: 'x', headers: { 'content-encoding': 'gzip' } },
    400,
    400,
  ],
  [
    'a body that unpacks to too much',
    { path, body: gzipSync(zeros), headers: { 'content-encoding': 'gzip' } },
    413,
    413,
  ],
  ['too long a body', { path, body: Buffer.alloc(bridgeBodyBytes + 1, 0x20) }, 413, 413],
  ['too large a record', { path, body: { records: [{ value: 'x'.repeat(300_000) }] } }, 413, 413],
  ['a Topic Name with a wildcard', { path: '/topics/plant%2F%2B', body: good }, 422, 422],
  ['a Topic Name that begins with $', { path: '/topics/%24SYS', body: good }, 404, 40401],
  ['a partition that is none', { path: `${path}/partitions/9999999999`, body: good }, 422, 422],
  ['JSON too deep to write', { path, body: `{"records":[{"value":${deep}}]}` }, 422, 422],
  ['an answer that waits', { path: `${path}?wait=confirmed`, body: good }, 501, 501],
  [
    'a topic that is too long',
    { path: `/topics/plant%2F${'x'.repeat(600)}`, body: good },
    422,
    422,
  ],
  ['a web page', { path, body: good, headers: { origin: 'http://example.org' } }, 403, 403],
  ['another token', { path, body: good, headers: { authorization: 'Bearer nobody' } }, 401, 401],
  ['a path of nothing', { path: '/v3/clusters/x', body: good }, 404, 404],
];

test('types are read without their case; without a format records are base64', async () => {
  const one = {
    path: '/topics/plant%2F9',
    type: 'Application/VND.kafka.JSON.v2+json; charset=utf-8',
  };
  assert.equal((await rig.post({ ...one, body: good })).status, 200);
  for (const type of ['application/vnd.kafka.v2+json', 'application/json']) {
    const body = { records: [{ value: Buffer.from(type).toString('base64') }] };
    assert.equal((await rig.post({ ...one, type, body })).status, 200, type);
    await rig.arrived('out', type);
  }
});

test('a request of version 3 of which nothing is stored says so in its status', async () => {
  const v3 = { path: '/v3/clusters/c/topics/plant%2F3/records', type: 'application/json' };
  const bad = JSON.stringify({ value: { type: 'BINARY', data: '!' } });
  const answer = await rig.post({ ...v3, body: bad + bad });
  assert.equal(answer.status, 422);
  assert.equal(((await answer.json()) as { error_code: number }).error_code, 422);
  const cluster = { ...v3, path: `/v3/clusters/${'c'.repeat(65)}/topics/plant%2F3/records` };
  assert.equal((await rig.post({ ...cluster, body: bad })).status, 422);
});

test('what is wrong is refused with REST Proxy’s codes, and nothing of it is stored', async () => {
  const before = total(await rig.agent.metrics(), 'tidegate_frames_total', {
    protocol: 'http',
    verdict: 'admit',
  });
  for (const [what, sent, status, code] of refusals) {
    const answer = await rig.post(sent);
    const body = (await answer.json()) as { error_code: number; message: string };
    assert.deepEqual([answer.status, body.error_code], [status, code], `${what}: ${body.message}`);
    assert.ok(body.message.length > 5, what);
  }
  const get = await fetch(`http://127.0.0.1:${rig.agent.httpPort}${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST']);
  const now = total(await rig.agent.metrics(), 'tidegate_frames_total', {
    protocol: 'http',
    verdict: 'admit',
  });
  assert.equal(now, before);
});

test('a body that is too long and does not say so is refused, and hears it', async () => {
  const spaces = Buffer.alloc(64 * 1024, 0x20);
  for (const encoding of ['identity', 'gzip']) {
    const body = new ReadableStream({
      start(controller) {
        for (let n = 0; n * spaces.length <= bridgeBodyBytes; n++) controller.enqueue(spaces);
        controller.close();
      },
    });
    const answer = await fetch(`http://127.0.0.1:${rig.agent.httpPort}${path}`, {
      method: 'POST',
      duplex: 'half',
      headers: {
        'content-type': v2Json,
        authorization: `Bearer ${token}`,
        'content-encoding': encoding,
      },
      body: encoding === 'gzip' ? body.pipeThrough(new CompressionStream('gzip')) : body,
    });
    assert.equal(answer.status, 413, encoding);
    assert.match(await answer.text(), /"error_code":413/);
  }
});

test('over a limit the answer is 429 with Retry-After, or says what is stored', async () => {
  const records = [1, 2, 3, 4].map((value) => ({ value }));
  const first = await rig.post({ path: '/topics/slow%2F1', body: { records } });
  assert.equal(first.status, 200);
  const { offsets } = (await first.json()) as { offsets: { error_code: number | null }[] };
  assert.deepEqual(
    offsets.map(({ error_code }) => error_code),
    [null, null, 2, 2],
  );
  assert.ok(Number(first.headers.get('retry-after')) > 0);
  const second = await rig.post({ path: '/topics/slow%2F1', body: { records: [{ value: 5 }] } });
  assert.equal(second.status, 429);
  const seconds = Number(second.headers.get('retry-after'));
  assert.ok(seconds > 10 && seconds <= 60, `${seconds} s`);
});

for (const how of ['kill', 'stop'] as const) {
  test(`what was answered 200 is there after ${how}, under load`, async () => {
    const answered: string[] = [];
    const work = async (client: number): Promise<void> => {
      for (let n = 0; ; n++) {
        const value = `${how} ${client} ${n}`;
        const answer = await rig
          .post({
            path: '/topics/plant%2F6%2Fend',
            body: { records: [{ value }] },
          })
          .catch(() => null);
        if (answer?.status !== 200) return;
        answered.push(`"${value}"`);
      }
    };
    const clients = [0, 1, 2, 3].map(work);
    await eventually('some are answered', arriveWithinMs, () => answered.length > 200);
    const ended = await rig.agent[how]();
    if (how === 'stop') assert.equal(ended, 0);
    await Promise.all(clients);
    await rig.agent.start();
    await eventually('all of them are there', arriveWithinMs, () => {
      const there = new Set(rig.lines('out').map(({ value }) => value.toString()));
      return answered.every((value) => there.has(value));
    });
  });
}

test('a request with an Idempotency-Key is stored once, also over a crash', async () => {
  const keyed = (key: string, value: string): Promise<Response> => {
    const headers = { 'idempotency-key': key };
    const body = { records: [{ value }, { value: `${value} too` }] };
    return rig.post({ path: '/topics/plant%2F8%2Fonce', body, headers });
  };
  const first = await keyed('"key-1"', 'once');
  const offsets = await first.text();
  assert.equal(first.status, 200);
  assert.equal(await (await keyed('"key-1"', 'once')).text(), offsets);
  const together = await Promise.all([1, 2, 3, 4, 5].map(() => keyed('"key-2"', 'at once')));
  assert.ok(together.every(({ status }) => status === 200 || status === 409));
  assert.ok(together.some(({ status }) => status === 200));
  assert.equal((await keyed('"key-1"', 'another')).status, 422);
  assert.equal((await keyed('k'.repeat(256), 'once')).status, 400);
  await rig.agent.reload((config) => {
    Object.assign((config.http as { bridge: object }).bridge, { rest: 'out' });
  });
  assert.equal(await (await keyed('"key-1"', 'once')).text(), offsets);
  await rig.agent.kill();
  await rig.agent.start();
  assert.equal(await (await keyed('"key-1"', 'once')).text(), offsets);
  assert.equal((await keyed('"key-1"', 'another')).status, 422);
  assert.equal((await keyed('"key-3"', 'the last')).status, 200);
  await rig.arrived('out', '"the last too"');
  const count = (value: string): number =>
    rig.lines('out').filter((line) => line.value.toString() === value).length;
  assert.deepEqual(['"once"', '"once too"', '"at once"', '"another"'].map(count), [1, 1, 1, 0]);
});

test('a key whose records were stored in part does not hinder the rest', async () => {
  const slow = (values: readonly number[]): Promise<Response> => {
    const headers = { 'idempotency-key': 'in-part' };
    const body = { records: values.map((value) => ({ value })) };
    return rig.post({ path: '/topics/slow%2Fkeyed', body, headers });
  };
  const { offsets } = (await (await slow([1, 2, 3])).json()) as { offsets: { error: string }[] };
  assert.deepEqual(
    offsets.map(({ error }) => error),
    [null, null, 'limit'],
  );
  assert.equal((await slow([3])).status, 429, 'refused for its limit alone, not for its key');
});
