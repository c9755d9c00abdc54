/**
 * The bridge when the agent behind it cannot store: starting, or with a buffer that holds. Over a
 * real socket, with an agent that the test plays, since a full disk takes minutes to fill.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { type Behind, Bridge } from '../agent/bridge/bridge.ts';
import type { Judged } from '../agent/ingress/request-source.ts';
import { v2Json } from './support/bridge-rig.ts';

let server: Server;
let behind: Behind | null = null;
const refused: unknown[] = [];

before(async () => {
  const report = (_name: string, fields: object = {}): void => void refused.push(fields);
  const bridge = new Bridge({ clients: [] }, report, () => behind);
  server = createServer((request, response) => {
    void bridge.serve(request, response, (request.url ?? '').split('?', 1)[0] ?? '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => server.close());

const storing = (judged: readonly Judged[], holding: string | null = null): Behind => ({
  publish: async () => judged,
  holding,
});

function ask(path: string, body: string, type: string): Promise<Response> {
  const { port } = server.address() as AddressInfo;
  const headers = { 'content-type': type };
  return fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body });
}

const asks = [
  () => ask('/topics/a', '{"records":[{"value":1}]}', v2Json),
  () =>
    ask(
      '/v3/clusters/c/topics/a/records',
      '{"value":{"type":"JSON","data":1}}',
      'application/json',
    ),
  () => {
    const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };
    return ask('/events', JSON.stringify(event), 'application/cloudevents+json');
  },
];

for (const [what, now, status] of [
  ['an agent that is starting', null, 503],
  ['a buffer that holds', storing([], 'full'), 503],
  ['a disk that does not answer', storing([{ outcome: 'unavailable' }]), 503],
  ['a limit', storing([{ outcome: 'limited', waitMs: 2_400 }]), 429],
  ['a limit that drops', storing([{ outcome: 'dropped' }]), 429],
] as const) {
  test(`${what} is answered ${status} with Retry-After, whatever the API, and told`, async () => {
    behind = now;
    for (const one of asks) {
      refused.length = 0;
      const answer = await one();
      assert.equal(answer.status, status);
      assert.ok(Number(answer.headers.get('retry-after')) >= 1);
      if (what === 'a limit') assert.equal(answer.headers.get('retry-after'), '3');
      const { error_code } = (await answer.json()) as { error_code: number };
      assert.equal(error_code, status);
      assert.equal(refused.length, 1);
    }
  });
}
