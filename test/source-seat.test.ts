/**
 * The source seat against a broker whose every answer is ours: when it acknowledges, what it keeps
 * of its session, when it subscribes, and how its connection stays alive.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { type Answer, FarServer } from './support/mqtt-far.ts';
import { eventually, fullRoute, publish } from './support/rig.ts';
import { SourceRig, type SourceRigOptions } from './support/source-rig.ts';

const settleMs = 60;
const brokerGrace = 1.5;

/** Grants what is subscribed, and says what the test wants it to say. */
class Broker {
  grants = true;
  readonly #answer: Answer = ({ packet }, say) => {
    const { messageId = 0 } = packet;
    if (packet.cmd === 'subscribe' && this.grants) say({ cmd: 'suback', messageId, granted: [2] });
    if (packet.cmd === 'pingreq') say({ cmd: 'pingresp' });
  };
  readonly far = new FarServer(this.#answer);

  say(packet: Packet): void {
    this.far.say(packet);
  }

  acknowledged(cmd: 'puback' | 'pubrec' | 'pubcomp'): number[] {
    return this.far.of(cmd).map(({ packet }) => packet.messageId ?? 0);
  }
}

let broker: Broker;
let port: number;
beforeEach(async () => {
  broker = new Broker();
  port = await broker.far.listen();
});
afterEach(() => broker.far.close());

async function subscribed(options: Partial<SourceRigOptions> = {}): Promise<SourceRig> {
  const rig = new SourceRig({ port, ...options });
  await eventually('subscribed', () => rig.source.state === 'subscribed');
  return rig;
}

function again(payload: string, messageId: number): Packet {
  return { ...publish('plant/1', payload, messageId, 2), dup: true } as Packet;
}

for (const version of [4, 5] as const) {
  const name = (what: string) => `${what} (MQTT ${version === 4 ? '3.1.1' : '5'})`;

  test(name('PUBACK and PUBREC follow the COMMIT, PUBCOMP that of the release'), async () => {
    await using rig = await subscribed({ version, held: true });
    broker.say(publish('plant/1', 'one', 1, 1));
    broker.say(publish('plant/1', 'two', 2, 2));
    await eventually('on its way', () => rig.disk.segments.length > 0);
    await sleep(settleMs);
    assert.deepEqual([broker.acknowledged('puback'), broker.acknowledged('pubrec')], [[], []]);
    rig.disk.release();
    await eventually('PUBREC', () => broker.acknowledged('pubrec').length === 1);
    assert.deepEqual(broker.acknowledged('puback'), [1]);
    broker.say({ cmd: 'pubrel', messageId: 2 });
    await sleep(settleMs);
    assert.deepEqual(broker.acknowledged('pubcomp'), []);
    rig.disk.release();
    await eventually('PUBCOMP', () => broker.acknowledged('pubcomp').length === 1);
    assert.deepEqual(rig.disk.sessions, []);
  });

  test(name('what a lost connection left unanswered is taken once, answered at once'), async () => {
    await using rig = await subscribed({ version });
    broker.say(publish('plant/1', 'once', 7, 2));
    await eventually('PUBREC', () => broker.acknowledged('pubrec').length === 1);
    broker.far.connack = { sessionPresent: true };
    broker.far.cut();
    await eventually('there again', () => rig.count('sourceSubscribed') === 2);
    broker.say(again('once', 7));
    await eventually('PUBREC again', () => broker.acknowledged('pubrec').length === 2);
    broker.say({ cmd: 'pubrel', messageId: 7 });
    await eventually('PUBCOMP', () => broker.acknowledged('pubcomp').length === 1);
    assert.deepEqual(rig.disk.frames(), ['plant/1 plant/1 once']);
  });

  test(name('it is a repeat also when its route has gone, and frees its identifier'), async () => {
    await using rig = await subscribed({ version });
    broker.say(publish('plant/1', 'once', 7, 2));
    await eventually('PUBREC', () => broker.acknowledged('pubrec').length === 1);
    rig.path.install([], []);
    broker.say(again('once', 7));
    await eventually('PUBREC again', () => broker.acknowledged('pubrec').length === 2);
    broker.say({ cmd: 'pubrel', messageId: 7 });
    await eventually('PUBCOMP', () => broker.acknowledged('pubcomp').length === 1);
    await eventually('its row is gone', () => rig.disk.sessions.length === 0);
    rig.path.install([fullRoute({}, 0)], [1]);
    broker.say(publish('plant/1', 'next', 7, 2));
    await eventually('PUBREC', () => broker.acknowledged('pubrec').length === 3);
    assert.deepEqual(rig.disk.frames(), ['plant/1 plant/1 once', 'plant/1 plant/1 next']);
  });

  test(name('a broker without a session is subscribed, and what was kept of it goes'), async () => {
    const row = { scope: 'source rig', client: 'agent', kind: 'qos2', id: 3 } as const;
    await using rig = await subscribed({ version, left: [{ ...row, body: Buffer.alloc(0) }] });
    assert.deepEqual(rig.disk.sessions, [], 'before it may subscribe');
    broker.say(publish('plant/1', 'new', 3, 2));
    await eventually('PUBREC', () => broker.acknowledged('pubrec').length === 1);
    assert.deepEqual(rig.disk.frames(), ['plant/1 plant/1 new']);
  });

  test(name('cut before SUBACK, it subscribes again though there is a session'), async () => {
    await using rig = await subscribed({ version });
    // The broker lost its sessions, makes a new one, and is gone before it answers SUBSCRIBE.
    broker.grants = false;
    broker.far.cut();
    await eventually('asked', () => broker.far.of('subscribe').length === 2);
    broker.far.connack = { sessionPresent: true };
    broker.grants = true;
    broker.far.cut();
    await eventually('there again', () => rig.count('sourceSubscribed') === 2);
    assert.equal(broker.far.of('subscribe').length, 3);
  });

  test(name('Keep Alive: what arrives is no sign of life from us, PINGREQ goes out'), async () => {
    const keepAliveMs = 1_000;
    await using rig = await subscribed({ version, keepAliveMs });
    const began = performance.now();
    let [heardMs, longestMs, heard] = [began, 0, broker.far.heard.length];
    while (performance.now() - began < 4 * keepAliveMs) {
      broker.say(publish('plant/1', 'x', 0, 0));
      broker.say(publish('home/1', 'x', 0, 0));
      await sleep(keepAliveMs / 10);
      if (broker.far.heard.length > heard) heardMs = performance.now();
      heard = broker.far.heard.length;
      longestMs = Math.max(longestMs, performance.now() - heardMs);
    }
    assert.ok(longestMs < brokerGrace * keepAliveMs, `nothing heard for ${longestMs} ms`);
    assert.equal(rig.count('sourceRetrying'), 0);
  });
}

test('a source that lost its broker while a route held it is not counted as held', async () => {
  const limit = { per: 'route', bytesPerSecond: 0, burstBytes: 0, over: 'hold' } as const;
  const limits = [{ ...limit, messagesPerSecond: 0.01, burstMessages: 1 }];
  await using rig = await subscribed({ limits, random: () => 1 });
  broker.say(publish('plant/1', 'a', 1));
  broker.say(publish('plant/1', 'b', 2));
  await eventually('held', () => rig.source.held);
  broker.far.cut();
  await eventually('lost', () => rig.source.state === 'waiting');
  assert.equal(rig.source.held, false);
});
