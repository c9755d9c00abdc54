/**
 * CloudEvents over HTTP at a real agent: the three content modes, what the CloudEvents SDK makes
 * and refuses, and what of an event arrives: its attributes and its bytes.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CloudEvent, HTTP, type Message } from 'cloudevents';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { arriveWithinMs, BridgeRig } from './support/bridge-rig.ts';
import { readLines } from './support/files.ts';

let rig: BridgeRig;
before(async () => {
  rig = await BridgeRig.start();
});
after(() => rig.agent[Symbol.asyncDispose]());

const event = {
  specversion: '1.0',
  id: 'A234-1234',
  source: '/machines/7',
  type: 'org.example.alarm',
  subject: 'plant/7/alarm',
  time: '2026-01-02T03:04:05Z',
  site: 'north',
};
const attributes = (event: object): Record<string, string> =>
  Object.fromEntries(Object.entries(event).map(([name, value]) => [`ce-${name}`, String(value)]));

test('a CloudEvent in binary mode goes on with its attributes and its bytes', async () => {
  const headers = { ...attributes(event), 'ce-note': 'h%C3%A4ll' };
  const answer = await rig.post({
    path: '/events',
    type: 'text/plain',
    body: 'a binary one',
    headers,
  });
  assert.deepEqual([answer.status, await answer.text()], [204, '']);
  const { headers: found } = await rig.arrived('out', 'a binary one');
  const { 'tidegate-source': source, 'tidegate-via': via, ...own } = found;
  assert.deepEqual(own, {
    ...Object.fromEntries(Object.entries(event).map(([name, value]) => [`ce_${name}`, value])),
    ce_note: 'häll',
    'content-type': 'text/plain',
  });
  assert.deepEqual([source, via], ['//test-gw/http/erp', 'test-gw']);
});

test('structured and batched CloudEvents arrive as what they say', async () => {
  const type = 'application/cloudevents+json; charset=utf-8';
  const one = { ...event, id: 's1', data: { n: 9007199254740993n } };
  const body = JSON.stringify(one, (_, value) =>
    typeof value === 'bigint' ? 'BIG' : value,
  ).replace('"BIG"', '9007199254740993');
  assert.equal((await rig.post({ path: '/events', type, body })).status, 204);
  assert.equal((await rig.arrived('out', '{"n":9007199254740993}')).headers.ce_id, 's1');
  const batch = [
    { ...event, id: 'b1', data_base64: Buffer.from('from base64').toString('base64') },
    { ...event, id: 'b2', datacontenttype: 'text/csv', data: 'a;b' },
  ];
  const batched = 'application/cloudevents-batch+json';
  assert.equal((await rig.post({ path: '/events', type: batched, body: batch })).status, 204);
  assert.equal((await rig.arrived('out', 'from base64')).headers.ce_id, 'b1');
  assert.equal((await rig.arrived('out', 'a;b')).headers['content-type'], 'text/csv');
});

test('what the CloudEvents SDK sends is taken, and what it refuses is refused', async () => {
  const send = async (message: Message): Promise<Response> => {
    const { 'content-type': type = '', ...headers } = message.headers as Record<string, string>;
    return await rig.post({ path: '/events', type, body: message.body as string, headers });
  };
  const made = new CloudEvent({ ...event, id: 'sdk', data: { by: 'the SDK' } });
  for (const message of [HTTP.binary(made), HTTP.structured(made)]) {
    assert.equal((await send(message)).status, 204);
  }
  await eventually('both arrive', arriveWithinMs, () => {
    return rig.lines('out').filter(({ headers }) => headers.ce_id === 'sdk').length === 2;
  });
  const line = await rig.arrived('out', '{"by":"the SDK"}');
  const back = HTTP.toEvent({
    headers: Object.fromEntries(
      Object.entries(line.headers).map(([name, value]) => [name.replace(/^ce_/, 'ce-'), value]),
    ),
    body: line.value.toString(),
  }) as CloudEvent<unknown>;
  assert.deepEqual(JSON.parse(JSON.stringify(back)).source, event.source);
  assert.deepEqual([back.id, back.type, back.data], ['sdk', event.type, { by: 'the SDK' }]);
  const wrong: readonly object[] = [
    { ...event, source: '' },
    { ...event, type: undefined },
    { ...event, subject: '' },
    { ...event, time: 'yesterday' },
    { ...event, 'Not-A-Name': 'x' },
  ];
  for (const written of wrong) {
    assert.throws(() => new CloudEvent(written as object), JSON.stringify(written));
    const type = 'application/cloudevents+json';
    const answer = await rig.post({ path: '/events', type, body: written });
    assert.equal(answer.status, 422, JSON.stringify(written));
  }
});

test('CloudEvents beyond what the SDK looks at are refused as the specification says', async () => {
  const type = 'application/cloudevents+json';
  const wrong: readonly unknown[] = [
    { ...event, site: { not: 'of the type system' } },
    { ...event, data: 1, data_base64: 'AA==' },
    { ...event, data_base64: 'A' },
    { ...event, specversion: '0.3' },
    { ...event, time: '2026-02-30T00:00:00Z' },
    { ...event, site: 'two\nlines' },
    { ...event, subject: 'plant/+/x' },
    [event],
  ];
  for (const body of wrong) {
    const answer = await rig.post({ path: '/events', type, body });
    assert.equal(answer.status, 422, JSON.stringify(body));
  }
  const batch = { path: '/events', type: 'application/cloudevents-batch+json' };
  assert.equal((await rig.post({ ...batch, body: [] })).status, 204, 'JSON Format, section 4.1');
  assert.equal((await rig.post({ ...batch, body: [event, { ...event, id: '' }] })).status, 422);
  assert.equal((await rig.post({ path: '/events', type: 'text/plain', body: 'x' })).status, 422);
  for (const header of [{ 'ce-data': 'x' }, { 'ce-site': '%ff' }, { 'ce-site': '%00' }]) {
    const headers = { ...attributes(event), ...header };
    const answer = await rig.post({ path: '/events', type: 'text/plain', body: 'x', headers });
    assert.equal(answer.status, 422, JSON.stringify(header));
  }
  const xml = { path: '/events', type: 'application/cloudevents+xml', body: '<event/>' };
  assert.equal((await rig.post(xml)).status, 415);
});

test('a batch with an event that can never pass is not asked for again', async () => {
  const type = 'application/cloudevents-batch+json';
  const batch = ['plant/a', 'plant/a+b.jpg', 'plant/c'].map((subject, n) => {
    return { ...event, subject, id: `m${n}`, data: `mixed ${n}` };
  });
  const answer = await rig.post({ path: '/events', type, body: batch });
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [422, null]);
  assert.match(await answer.text(), /event 1 of 3, 2 of them stored/);
});

test('null is what is not there, a leap second is a time, types have no case', async () => {
  const type = 'Application/CloudEvents+JSON';
  const base64 = Buffer.from('with null').toString('base64');
  const body = {
    ...event,
    id: 'n1',
    time: '2016-12-31T23:59:60Z',
    data: null,
    data_base64: base64,
  };
  assert.equal((await rig.post({ path: '/events', type, body })).status, 204);
  assert.equal((await rig.arrived('out', 'with null')).headers.ce_id, 'n1');
});

test('without tokens a request whose Host is a name is refused', async () => {
  await using open = await AgentUnderTest.start({
    routes: [{ name: 'all', from: '#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    http: { bridge: {} },
  });
  const statusWith = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = { ...attributes(event), host, 'content-type': 'text/plain' };
      const options = { port: open.httpPort, path: '/events', method: 'POST', headers };
      request({ host: '127.0.0.1', ...options }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .once('error', reject)
        .end('x');
    });
  assert.equal(await statusWith('rebound.example'), 403);
  assert.equal(await statusWith(`localhost:${open.httpPort}`), 204);
  const lines = () => readLines(join(open.directory, 'out'));
  await eventually('it arrives', arriveWithinMs, () => lines().length > 0);
  const [line] = lines();
  assert.equal(line?.headers['tidegate-source'], '//test-gw/http/127.0.0.1');
});
