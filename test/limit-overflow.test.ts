/**
 * Promise 6: when no rate bucket is free, new keys share one, and that is said and counted.
 * Seen from outside, with more Topic Names than the core has buckets.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { limitBuckets } from '../agent/bounds.ts';
import { AgentUnderTest } from './support/agent.ts';
import { connectPacket, publishPacket } from './support/packets.ts';
import { eventually } from './support/rig.ts';

const metric = 'tidegate_events_total{event="limitOverflow"}';

async function counted(agent: AgentUnderTest): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${agent.httpPort}/metrics`);
  const line = (await response.text()).split('\n').find((one) => one.startsWith(metric));
  return Number(line?.slice(metric.length) ?? Number.NaN);
}

test('more keys than rate buckets share one bucket, counted and named in the log', async () => {
  const limits = [{ per: 'topicName', messages: '1/h', burst: 2, over: 'drop' }];
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'many', from: 'many/#', to: { upstream: 'out' }, limits }],
    upstreams: { out: { file: { directory: './out' } } },
  });
  assert.equal(await counted(agent), 0);
  const socket = connect({ host: '127.0.0.1', port: agent.mqttPort });
  socket.resume();
  socket.write(connectPacket({ clientId: 'many' }));
  for (let i = 0; i < limitBuckets + 1_000; i++) {
    socket.write(publishPacket({ topicName: `many/${i}`, payload: 'x', qos: 0 }));
  }
  const said = (): boolean => agent.log().some((line) => line.includes('"limitOverflow"'));
  await eventually('the log says so', said, 20_000);
  assert.ok((await counted(agent)) > 0);
  socket.destroy();
});
