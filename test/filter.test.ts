/**
 * The promises of the MQTT filter in the listener seat, each trap of the design as a sentence, over
 * real sockets, the real core and the real embedded broker; only the disk's COMMIT is in our hand.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { eventually, publish, Rig } from './support/rig.ts';

const settleMs = 60;
const connectFrame = {
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clientId: 'early',
  keepalive: 60,
  clean: true,
} as const;

test('a PUBACK leaves only after the COMMIT of its segment', async () => {
  await using rig = await Rig.start({ held: true });
  const device = await rig.device('d1');
  device.publish('plant/1', 'a', 7);
  await eventually('the segment was sent to the disk', () => rig.disk.segments.length === 1);
  await sleep(settleMs);
  assert.deepEqual(device.acknowledged(), []);
  rig.disk.release();
  await device.until('puback');
  assert.deepEqual(device.acknowledged(), [7]);
  assert.deepEqual(rig.disk.frames(), ['d1 plant/1 a']);
});

test('acknowledgements leave in the order of the PUBLISHes, one write per commit', async () => {
  await using rig = await Rig.start({ held: true });
  const device = await rig.device('d1');
  const ids = Array.from({ length: 500 }, (_, i) => i + 1);
  device.send(...ids.map((id) => publish('plant/1', `m${id}`, id)));
  await eventually('frames on their way', () => rig.disk.segments.length > 0);
  await sleep(settleMs);
  const [chunks, segments] = [device.chunks.length, rig.disk.segments.length];
  rig.disk.held = false;
  rig.disk.release();
  await device.until('puback', ids.length);
  assert.deepEqual(device.acknowledged(), ids);
  assert.ok(device.chunks.length - chunks <= rig.disk.segments.length, `${segments} commits`);
});

test('a device whose Topic Name has no route is served by the broker alone', async () => {
  await using rig = await Rig.start({ held: true });
  const [reader, writer] = [await rig.device('reader'), await rig.device('writer')];
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'home/+', qos: 1 }] });
  await reader.until('suback');
  writer.publish('home/door', 'open', 3);
  await writer.until('puback');
  await reader.until('publish');
  assert.equal(rig.disk.segments.length, 0);
});

test('PUBLISH behind CONNECT is captured only once the broker accepted the device', async () => {
  await using rig = await Rig.start();
  const accepted = await rig.socket();
  accepted.send(connectFrame, publish('plant/1', 'pipelined', 1));
  await accepted.until('puback');
  assert.deepEqual(
    accepted.packets.map((packet) => packet.cmd),
    ['connack', 'puback'],
  );
  const refused = await rig.socket();
  // The embedded broker does not speak version 5 yet: return code 1.
  const five = { ...connectFrame, clientId: 'five', protocolVersion: 5 } as const;
  const behind = generate(publish('plant/1', 'refused', 1), { protocolVersion: 5 });
  refused.socket.write(Buffer.concat([generate(five), behind]));
  await eventually('refused', () => refused.ended);
  assert.deepEqual(rig.disk.frames(), ['early plant/1 pipelined']);
});

test('a device whose every frame is captured is not timed out by the broker', async () => {
  await using rig = await Rig.start();
  const device = await rig.device('busy', 1);
  for (let id = 1; id <= 14; id++) {
    device.publish('plant/1', `${id}`, id);
    await sleep(250);
  }
  await device.until('puback', 14);
  assert.equal(device.ended, false);
  assert.equal(device.count('pingresp'), 0);
  device.send({ cmd: 'pingreq' });
  await device.until('pingresp');
});

test('a device that is silent past 1.5 × Keep Alive is closed and its Will fires', async () => {
  await using rig = await Rig.start();
  const watcher = await rig.device('watcher');
  watcher.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'gone/#', qos: 0 }] });
  await watcher.until('suback');
  const silent = await rig.socket();
  const will = {
    topic: 'gone/silent',
    payload: Buffer.from('bye'),
    qos: 0,
    retain: false,
  } as const;
  silent.send({ ...connectFrame, clientId: 'silent', keepalive: 1, will });
  await silent.until('connack');
  await eventually('closed', () => silent.ended);
  await watcher.until('publish');
});

test('local subscribers get a copy, and the PUBACK waits for both commit and broker', async () => {
  await using rig = await Rig.start({ held: true });
  const [reader, writer] = [await rig.device('reader'), await rig.device('writer')];
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'plant/+', qos: 1 }] });
  await reader.until('suback');
  writer.publish('plant/1', 'both', 9);
  await reader.until('publish');
  await sleep(settleMs);
  assert.deepEqual(writer.acknowledged(), [], 'the broker alone does not acknowledge');
  rig.disk.release();
  await writer.until('puback');
  await sleep(settleMs);
  assert.deepEqual(writer.acknowledged(), [9], 'exactly one acknowledgement');
});

test('a route with local: false keeps its frames from local subscribers', async () => {
  await using rig = await Rig.start({ routes: [{ local: false }] });
  const [reader, writer] = [await rig.device('reader'), await rig.device('writer')];
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'plant/+', qos: 1 }] });
  await reader.until('suback');
  writer.publish('plant/1', 'x', 1);
  await writer.until('puback');
  await sleep(settleMs);
  assert.equal(reader.count('publish'), 0);
  assert.deepEqual(rig.disk.frames(), ['writer plant/1 x']);
});

test('a retained PUBLISH is stored once and kept by the broker for later subscribers', async () => {
  await using rig = await Rig.start();
  const writer = await rig.device('writer');
  writer.send({ ...publish('plant/1', 'kept', 4), retain: true } as never);
  await writer.until('puback');
  const reader = await rig.device('reader');
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'plant/1', qos: 0 }] });
  await reader.until('publish');
  assert.deepEqual(rig.disk.frames(), ['writer plant/1 kept']);
});

test('DISCONNECT and FIN wait for the acknowledgement of what was captured', async () => {
  await using rig = await Rig.start({ held: true });
  const [polite, brief] = [await rig.device('polite'), await rig.device('brief')];
  polite.send(publish('plant/1', 'last', 1), { cmd: 'disconnect' });
  brief.publish('plant/2', 'zero', 0, 0);
  brief.publish('plant/2', 'one', 2);
  brief.socket.end();
  await eventually('both in the path', () => rig.disk.segments.length > 0);
  await sleep(settleMs);
  assert.deepEqual([polite.ended, brief.ended], [false, false]);
  rig.disk.held = false;
  rig.disk.release();
  await eventually('both ended', () => polite.ended && brief.ended);
  assert.deepEqual([polite.acknowledged(), brief.acknowledged()], [[1], [2]]);
  const frames = rig.disk.frames().sort();
  assert.deepEqual(frames, ['brief plant/2 one', 'brief plant/2 zero', 'polite plant/1 last']);
});

test('packets of any cut give the same log', async () => {
  await using rig = await Rig.start();
  const device = await rig.device('slow');
  const bytes = Buffer.concat([1, 2, 3].map((id) => generate(publish('plant/1', `m${id}`, id))));
  for (const byte of bytes) {
    device.socket.write(Buffer.from([byte]));
    await sleep(1);
  }
  await device.until('puback', 3);
  assert.deepEqual(rig.disk.frames(), ['slow plant/1 m1', 'slow plant/1 m2', 'slow plant/1 m3']);
});

test('when the disk stands still, reading stops and memory does not grow', async () => {
  await using rig = await Rig.start({ held: true });
  const device = await rig.device('flood');
  const payload = 'x'.repeat(8_000);
  let drained = true;
  for (let id = 1; id <= 4_000 && drained; id++) {
    drained = device.socket.write(generate(publish('plant/1', payload, (id % 65_000) + 1)));
    if (!drained) drained = await Promise.race([onceDrained(device.socket), sleep(400, false)]);
  }
  assert.equal(drained, false, 'the socket pushes back');
  assert.ok(rig.disk.segments.length <= 2, 'at most two commits are on their way');
  rig.disk.held = false;
  rig.disk.release();
  await eventually('the rest is taken', () => rig.disk.segments.length > 3);
});

test('a device that waits for the disk gets its PINGRESP, and is shown as held', async () => {
  await using rig = await Rig.start({ held: true });
  const device = await rig.device('patient', 1);
  const payload = 'x'.repeat(8_000);
  for (let id = 1; rig.listener?.heldDevices.length === 0; id++) {
    assert.ok(id < 1_000, 'two commits on their way and a full segment are far less');
    device.publish('plant/1', payload, id);
    if (id % 8 === 0) await sleep(2);
  }
  assert.deepEqual(rig.listener?.heldDevices, ['patient']);
  for (let i = 1; i <= 5; i++) {
    device.send({ cmd: 'pingreq' });
    await device.until('pingresp', i);
    await sleep(400);
  }
  assert.equal(device.ended, false, 'nor is it timed out by us or by the broker behind');
  rig.disk.held = false;
  rig.disk.release();
  await eventually('it is let go', () => rig.listener?.heldDevices.length === 0);
  await sleep(settleMs);
  assert.equal(device.count('pingresp'), 5, 'each PINGREQ is answered once');
});

test('a packet beyond maxPacketSize costs that connection at its header', async () => {
  await using rig = await Rig.start({ maxPacketBytes: 1024 });
  const [good, bad] = [await rig.device('good'), await rig.device('bad')];
  bad.publish('plant/1', 'kept', 1);
  bad.socket.write(Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f]));
  await eventually('closed', () => bad.ended);
  assert.deepEqual(bad.acknowledged(), [1], 'what came before is still acknowledged');
  good.publish('plant/1', 'fine', 2);
  await good.until('puback');
  assert.ok(rig.events.some(({ name }) => name === 'frameRefused'));
});

test('beyond the budget for partial packets the connection that holds most is closed', async () => {
  await using rig = await Rig.start({ partialsBytes: 100_000 });
  const [small, large] = [await rig.device('small'), await rig.device('large')];
  small.socket.write(generate(publish('plant/1', 'y'.repeat(20_000), 1)).subarray(0, 10_000));
  await eventually('small holds', () => rig.partials.totalBytes > 0);
  large.socket.write(generate(publish('plant/1', 'y'.repeat(200_000), 1)).subarray(0, 150_000));
  await eventually('the largest is closed', () => large.ended);
  assert.equal(small.ended, false);
});

test('hold makes the device wait and loses nothing; drop is acknowledged and counted', async () => {
  const limit = { per: 'device', bytesPerSecond: 0, burstBytes: 0 } as const;
  await using rig = await Rig.start({
    routes: [
      {
        from: 'plant/#',
        limits: [{ ...limit, messagesPerSecond: 50, burstMessages: 5, over: 'hold' }],
      },
      {
        from: 'lossy/#',
        limits: [{ ...limit, messagesPerSecond: 0.01, burstMessages: 2, over: 'drop' }],
      },
    ],
  });
  const [held, dropped] = [await rig.device('held'), await rig.device('dropped')];
  const began = performance.now();
  held.send(...Array.from({ length: 15 }, (_, i) => publish('plant/1', `${i}`, i + 1)));
  dropped.send(...Array.from({ length: 6 }, (_, i) => publish('lossy/1', `${i}`, i + 1)));
  await held.until('puback', 15);
  assert.ok(performance.now() - began > 150, 'ten of them waited for 50 messages a second');
  await dropped.until('puback', 6);
  assert.deepEqual(dropped.acknowledged(), [1, 2, 3, 4, 5, 6]);
  const stored = rig.disk.frames();
  assert.equal(stored.filter((frame) => frame.startsWith('held')).length, 15);
  assert.deepEqual(stored.filter((frame) => frame.startsWith('dropped')).length, 2);
  assert.equal(rig.events.filter(({ name }) => name === 'frameDropped').length, 4);
});

test('a shared bucket serves waiting connections in turn', async () => {
  await using rig = await Rig.start({
    routes: [
      {
        limits: [
          {
            per: 'route',
            messagesPerSecond: 100,
            burstMessages: 1,
            bytesPerSecond: 0,
            burstBytes: 0,
            over: 'hold',
          },
        ],
      },
    ],
  });
  const [greedy, modest] = [await rig.device('greedy'), await rig.device('modest')];
  greedy.send(...Array.from({ length: 200 }, (_, i) => publish('plant/1', `${i}`, i + 1)));
  await greedy.until('puback', 5);
  const before = greedy.count('puback');
  modest.send(...Array.from({ length: 10 }, (_, i) => publish('plant/1', `${i}`, i + 1)));
  await modest.until('puback', 10);
  const during = greedy.count('puback') - before;
  assert.ok(during <= 20, `while modest got 10, greedy got ${during}`);
});

function onceDrained(socket: { once(name: 'drain', call: () => void): unknown }): Promise<boolean> {
  return new Promise((resolve) => socket.once('drain', () => resolve(true)));
}

test('a device that its own limit holds too strands nobody in the limit they share', async () => {
  const limit = { bytesPerSecond: 0, burstBytes: 0, over: 'hold' } as const;
  const limits = [
    { ...limit, per: 'device', messagesPerSecond: 0.01, burstMessages: 2 },
    { ...limit, per: 'route', messagesPerSecond: 20, burstMessages: 1 },
  ] as const;
  await using rig = await Rig.start({ routes: [{ limits, local: false }] });
  const [greedy, modest] = [await rig.device('greedy'), await rig.device('modest')];
  greedy.send(...[1, 2, 3, 4, 5].map((id) => publish('plant/1', 'x', id)));
  await eventually('held', () => rig.holds.size === 1);
  modest.send(...[1, 2].map((id) => publish('plant/2', 'x', id)));
  await modest.until('puback', 2);
  assert.deepEqual(greedy.acknowledged(), [1, 2], 'what its own limit lets through');
});
