/**
 * The first entry of a key there ever was, and it is not for this gateway: that is said as it is of
 * any later one, since nobody knows otherwise what became of it.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createNkey } from '../agent/nats-client.ts';
import { AgentUnderTest } from './support/agent.ts';
import { gatewaySetup, Writer } from './support/gateway-rig.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const [all, group] = ['fleet.default', 'group.line-a'];

let nats: NatsServer;
let writer: Writer;
before(async () => {
  nats = await startNats();
  writer = await Writer.connect(nats);
});
after(async () => {
  await writer.close();
  await nats.stop();
});

test('signed by somebody who is not trusted, or a canary for others', async () => {
  await writer.push(all, 1, {}, { signer: createNkey() });
  await using agent = await AgentUnderTest.start(gatewaySetup(nats));
  const refused = await writer.reported(all, 0, 'refused');
  assert.match(refused.layers[all]?.reason ?? '', /signed by U/);
  const rollout = { share: Number.MIN_VALUE, seed: 'none' };
  await writer.push(group, 1, {}, { rollout });
  const spared = await writer.reported(group, 1, 'spared');
  assert.equal(spared.layers[group]?.running, null);
  assert.equal(agent.events('fleetSpared').length, 1);
});
