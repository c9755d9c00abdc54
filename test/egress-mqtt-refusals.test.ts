/**
 * What an MQTT upstream does with a record that its server does not take: again, buried, or halted,
 * and what becomes of the records behind it.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { frameOf, waitFor } from './support/egress-rig.ts';
import { type Answer, takes } from './support/mqtt-far.ts';
import { closeAll, laneTo, numbered, texts } from './support/mqtt-upstream-rig.ts';

afterEach(closeAll);

test('a refusal that time may mend is tried again, and nothing later overtakes it', async () => {
  for (const reasonCode of [0x80, 0x83, 0x97]) {
    let refusals = 0;
    const answer: Answer = (heard, say, socket) => {
      const { packet } = heard;
      if (packet.cmd !== 'publish' || String(packet.payload) !== '0' || refusals === 4) {
        return takes(heard, say, socket);
      }
      refusals += 1;
      say({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode });
    };
    const [rig, server] = await laneTo(answer, { inFlight: 4 });
    rig.append(numbered(12));
    rig.start();
    await rig.settledAll();
    assert.equal(rig.outcomes.confirmed, 12);
    // What was on its way with it may come first; nothing else may.
    assert.deepEqual(server.values().slice(0, 8), ['0', '1', '2', '3', '0', '0', '0', '0']);
    assert.deepEqual(server.values().slice(8), texts(8, 4));
    assert.ok(rig.states.includes('backing-off'));
  }
});

test('a record that the server will never take is buried, and those behind it go on', async () => {
  const reasons: [number, string][] = [
    [0x90, 'topicInvalid'],
    [0x95, 'recordTooLarge'],
    [0x99, 'recordInvalid'],
  ];
  for (const [reasonCode, reason] of reasons) {
    for (const qos of [1, 2] as const) {
      const answer: Answer = (heard, say, socket) => {
        const { packet } = heard;
        if (packet.cmd !== 'publish' || String(packet.payload) !== '3')
          return takes(heard, say, socket);
        const { messageId = 0 } = packet;
        say({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode });
      };
      const [rig] = await laneTo(answer, { qos });
      rig.append(numbered(10));
      rig.start();
      await rig.settledAll();
      assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.buried], [9, 1]);
      assert.equal(rig.buried[0]?.reason, reason);
    }
  }
});

test('a right that is missing halts the lane, and an operator resumes it', async () => {
  let isAllowed = false;
  const answer: Answer = (heard, say, socket) => {
    const { messageId = 0 } = heard.packet;
    if (isAllowed || heard.packet.cmd !== 'publish') return takes(heard, say, socket);
    say({ cmd: 'puback', messageId, reasonCode: 0x87 });
  };
  const [rig] = await laneTo(answer);
  rig.append(numbered(5));
  rig.start();
  await waitFor(() => rig.states.includes('halted'));
  const event = rig.events.find(({ name }) => name === 'laneHalted');
  assert.equal(event?.fields.code, 'upstreamUnauthorized');
  await sleep(50);
  assert.equal(rig.settled, 0);
  isAllowed = true;
  rig.forwarder.resume();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 5);
});

test('a server that ends the connection over one record gets all the others', async () => {
  const answer: Answer = (heard, say, socket) => {
    const { packet } = heard;
    if (packet.cmd !== 'publish' || String(packet.payload) !== '5')
      return takes(heard, say, socket);
    say({ cmd: 'disconnect', reasonCode: 0x99 });
    socket.end();
  };
  const [rig] = await laneTo(answer, { inFlight: 16 });
  rig.append(numbered(12));
  rig.start();
  await rig.settledAll();
  assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.buried], [11, 1]);
  assert.equal(rig.buried[0]?.reason, 'recordInvalid');
});

test('what the server cannot take at all is not sent to it: size, QoS, RETAIN', async () => {
  const [rig, server] = await laneTo(takes);
  server.connack = { properties: { maximumPacketSize: 400, retainAvailable: false } };
  rig.append([...numbered(1, 0, { retain: true }), frameOf({ value: 'x'.repeat(400) })]);
  rig.append(numbered(1, 1));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(server.values(), ['0', '1']);
  assert.equal(server.of('publish')[0]?.packet.retain, false);
  assert.equal(rig.buried[0]?.reason, 'recordTooLarge');

  const [other, poor] = await laneTo(takes, { qos: 2 });
  poor.connack = { properties: { maximumQoS: 1 } };
  other.append(numbered(1));
  other.start();
  await waitFor(() => other.states.includes('halted'));
  assert.equal(other.events.at(-1)?.fields.code, 'upstreamUnsuited');
});
