/**
 * Log-in over the real agent: a password file made by `tidegate password`, allow rules with
 * `{device}` asked of everything a device may do, devices admitted while the broker behind is away,
 * and a flood of wrong passwords beside a polite device.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ISubackPacket } from 'mqtt-packet';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { tidegate } from './support/command.ts';
import { Device, type DeviceOptions, isSuccess } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';

const withinMs = 20_000;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-login-agent-'));
const users = join(folder, 'users');
const five = { protocolVersion: 5 } as const;
const versions = [{ protocolVersion: 4 }, five] as const;
const as = (username: string, password = `secret of ${username}`): DeviceOptions => {
  return { username, password: Buffer.from(password) };
};
const setPassword = async (name: string, password = `secret of ${name}`): Promise<void> => {
  const { code, err } = await tidegate(['password', users, name], `${password}\n`);
  assert.equal(code, 0, err);
};

let agent: AgentUnderTest;
let broker: Mosquitto;
before(async () => {
  await Promise.all([setPassword('anna'), startMosquitto().then((started) => (broker = started))]);
  await setPassword('bert');
  agent = await AgentUnderTest.start({
    routes: [
      { name: 'all', from: 'plant/#', to: { upstream: 'out', headers: { by: '{client}' } } },
    ],
    upstreams: { out: { file: { directory: './out' } } },
    listener: {
      ...{ broker: `mqtt://127.0.0.1:${broker.port}`, users, identity: 'username' },
      whenBrokerDown: 'capture',
      allow: [
        { publish: ['plant/{device}/#', 'home/{device}'], subscribe: ['home/{device}/#'] },
        { device: 'a*', publish: ['plant/shared'], subscribe: ['plant/+/news'] },
      ],
    },
  });
});
after(async () => {
  await agent?.[Symbol.asyncDispose]();
  await broker?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const lines = (): Line[] => readLines(join(agent.directory, 'out'));
const lineOf = async (value: string): Promise<Line> => {
  let line: Line | undefined;
  await eventually(value, withinMs, () => {
    line = lines().find((each) => `${each.value}` === value);
    return line !== undefined;
  });
  return line as Line;
};
const connect = (clientId: string, options: DeviceOptions) =>
  Device.connect(agent.mqttPort, clientId, options);

test('a right password is let in as its User Name, and {client} is what it claims', async () => {
  for (const version of versions) {
    const value = `by ${version.protocolVersion}`;
    const device = await connect('claims-bert', { ...as('anna'), ...version });
    assert.ok(isSuccess(await device.publishAndWait('plant/anna/t', value)));
    const { key, headers } = await lineOf(value);
    assert.deepEqual([key, headers.by], ['anna', 'claims-bert']);
    device.close();
  }
});

test('a wrong, unknown or missing password is refused in the words of each version', async () => {
  const bad: DeviceOptions[] = [
    as('anna', 'wrong'),
    as('anna', 'secret of bert'),
    as('nobody'),
    { username: 'anna' },
    {},
  ];
  for (const each of bad) {
    for (const version of versions) {
      const { device, code } = await Device.ask(agent.mqttPort, 'x', { ...each, ...version });
      assert.equal(code, version.protocolVersion === 5 ? 0x86 : 4, JSON.stringify(each));
      await device.closed();
    }
  }
});

test('a changed password file is taken; who is connected stays', async () => {
  const device = await connect('stays', as('bert'));
  await setPassword('bert', 'renewed');
  await setPassword('carl');
  await eventually('taken', withinMs, () => agent.events('usersReloaded').length > 0);
  await eventually('the old one is wrong', withinMs, async () => {
    return (await Device.ask(agent.mqttPort, 'x', as('bert'))).code === 4;
  });
  (await connect('x', as('bert', 'renewed'))).close();
  (await connect('x', as('carl'))).close();
  const deleted = await tidegate(['password', users, 'carl', '--delete']);
  assert.equal(deleted.code, 0, deleted.err);
  await eventually('carl is gone', withinMs, async () => {
    return (await Device.ask(agent.mqttPort, 'x', as('carl'))).code === 4;
  });
  assert.equal(await device.publishAndWait('plant/bert/t', 'stayed'), 0);
  device.close();
});

test('what no rule allows is neither captured nor passed on', async () => {
  const listening = await Device.connect(broker.port, 'listening', five);
  listening.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] });
  await listening.until('suback');
  const anna = await connect('c', { ...as('anna'), ...five });
  const asked: [string, number][] = [
    ['plant/anna/a/b', 0],
    ['plant/shared', 0],
    ['home/anna', 0],
    ['plant/bert/a', 0x87],
    ['plant/annabelle', 0x87],
    ['home/anna/door', 0x87],
    ['elsewhere', 0x87],
  ];
  for (const [topic, reason] of asked) {
    assert.equal(await anna.publishAndWait(topic, `allow ${topic}`), reason, topic);
  }
  const bert = await connect('d', { ...as('bert', 'renewed'), ...five });
  assert.equal(await bert.publishAndWait('plant/shared', 'allow bert'), 0x87);
  anna.publish('elsewhere', 'allow QoS 0', 0, 0);
  assert.equal(await anna.publishAndWait('plant/shared', 'allow last'), 0);
  await lineOf('allow last');
  const stored = lines().flatMap(({ value }) => /^allow (.*)/.exec(`${value}`)?.[1] ?? []);
  assert.deepEqual(stored, ['plant/anna/a/b', 'plant/shared', 'last']);
  const heard = () => listening.packets.flatMap((p) => (p.cmd === 'publish' ? `${p.payload}` : []));
  await eventually('copies', withinMs, () => heard().includes('allow last'));
  assert.deepEqual(heard(), [
    ...['allow plant/anna/a/b', 'allow plant/shared'],
    ...['allow home/anna', 'allow last'],
  ]);
  assert.ok(agent.events('frameDenied').length > 0);
  for (const device of [listening, anna, bert]) device.close();
});

test('version 3.1.1 has no word for it: the connection ends, and nothing is stored', async () => {
  const anna = await connect('c', as('anna'));
  assert.equal(await anna.publishAndWait('plant/bert/t', 'denied to 3.1.1'), null);
  await anna.closed();
  assert.ok(!lines().some(({ value }) => `${value}` === 'denied to 3.1.1'));
});

test('subscriptions and Wills are asked as well', async () => {
  for (const version of versions) {
    const anna = await connect('c', { ...as('anna'), ...version });
    const topics = ['home/anna/#', 'home/#', 'plant/x/news', 'plant/#', '$share/g/home/anna/a'];
    const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
    anna.send({ cmd: 'subscribe', messageId: 7, subscriptions });
    await anna.until('suback');
    const suback = anna.packets.find(({ cmd }) => cmd === 'suback') as ISubackPacket;
    const no = version.protocolVersion === 5 ? 0x87 : 0x80;
    assert.deepEqual([...suback.granted], [1, no, 1, no, 1]);
    anna.close();
    const will = (topic: string) => ({
      will: { topic, payload: Buffer.from(`will on ${topic}`), qos: 1 as const, retain: false },
    });
    const denied = { ...as('anna'), ...version, ...will('plant/bert/w') };
    const { code } = await Device.ask(agent.mqttPort, 'w', denied);
    assert.equal(code, version.protocolVersion === 5 ? 0x87 : 5);
  }
  const will = { topic: 'plant/anna/w', payload: Buffer.from('last words'), qos: 1, retain: false };
  (await connect('w', { ...as('anna'), will: will as never })).close();
  assert.equal((await lineOf('last words')).key, 'anna');
});

test('a flood of wrong passwords leaves a connected device its pace, and is bounded', async () => {
  const device = await connect('polite', as('anna'));
  const flood = 150;
  const codes = new Map<number | null, number>();
  let slowestMs = 0;
  let over = false;
  const asking = Promise.all(
    Array.from({ length: flood }, async (_, i) => {
      const { device: each, code } = await Device.ask(
        agent.mqttPort,
        `f${i}`,
        as('anna', `no${i}`),
      );
      codes.set(code, (codes.get(code) ?? 0) + 1);
      each.close();
    }),
  ).then(() => {
    over = true;
  });
  for (let i = 0; !over; i++) {
    const began = performance.now();
    assert.equal(await device.publishAndWait('plant/anna/t', `polite ${i}`), 0);
    slowestMs = Math.max(slowestMs, performance.now() - began);
    await sleep(20);
  }
  await asking;
  assert.ok(slowestMs < 2_000, `${slowestMs} ms for one PUBACK`);
  assert.equal(
    [...codes.keys()].every((code) => code === 4 || code === 3),
    true,
  );
  assert.ok((codes.get(3) ?? 0) > 0, 'beyond the bound they are told that it is busy');
  assert.ok((codes.get(4) ?? 0) > 0);
  (await connect('afterwards', as('anna'))).close();
  device.close();
});

test('while the broker is away known devices are captured, then let go', async () => {
  await broker.kill();
  const { code } = await Device.ask(agent.mqttPort, 'x', as('anna', 'wrong'));
  assert.equal(code, 4, 'who is nobody is so without a broker too');
  for (const version of versions) {
    const device = await connect(`away-${version.protocolVersion}`, { ...as('anna'), ...version });
    const value = `away ${version.protocolVersion}`;
    assert.ok(isSuccess(await device.publishAndWait('plant/anna/t', value)));
    assert.equal((await lineOf(value)).key, 'anna');
    device.close();
  }
  const device = await connect('waits', { ...as('anna'), ...five });
  assert.equal(await device.publishAndWait('plant/bert/t', 'not even then'), 0x87);
  await broker.start();
  await device.closed();
  assert.ok(device.packets.some((p) => p.cmd === 'disconnect' && p.reasonCode === 0x8b));
  const again = await connect('waits', { ...as('anna'), ...five });
  again.send({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: 'home/anna/#', qos: 1 }] });
  await again.until('suback');
  const suback = again.packets.find(({ cmd }) => cmd === 'suback') as ISubackPacket;
  assert.deepEqual([...suback.granted], [1], 'the broker itself answers');
  again.close();
});
