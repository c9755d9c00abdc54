/**
 * SIGHUP on a running agent: routes, limits, upstreams, the HTTP port and the log level change
 * while devices stay connected; what was decided before a reload goes by the old definition.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { tidegate } from './support/command.ts';
import { Device } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { freePorts } from './support/ports.ts';

const withinMs = 15_000;

let agent: AgentUnderTest;
let device: Device;
let sent = 0;

before(async () => {
  agent = await AgentUnderTest.start({
    routes: [{ name: 'first', from: 'plant/#', to: { upstream: 'out', topic: 'old' } }],
    upstreams: { out: { file: { directory: './out' } } },
  });
  device = await Device.connect(agent.mqttPort, 'pump');
});
after(async () => {
  device.close();
  await agent[Symbol.asyncDispose]();
});

const publish = async (count = 1, topic = 'plant/a'): Promise<void> => {
  for (let i = 0; i < count; i++) {
    assert.equal(await device.publishAndWait(topic, `${++sent}`), 0);
  }
};
const stored = async (least: number, folder = 'out'): Promise<Line[]> => {
  let found: Line[] = [];
  await eventually(`${least} lines in ${folder}`, withinMs, () => {
    found = readLines(join(agent.directory, folder));
    return found.length >= least;
  });
  return found;
};
const reload = async (change: Parameters<AgentUnderTest['reload']>[0]): Promise<void> => {
  const told = await agent.reload(change);
  assert.equal(told.event, 'configReloaded', JSON.stringify(told));
  assert.equal(device.ended, false, 'the device stayed connected');
};

test('events before a reload go by the old route, events after it by the new', async () => {
  const upstream = 'out';
  assert.equal(
    (await tidegate(['upstream', 'pause', 'out', '--config', agent.configPath])).code,
    0,
  );
  await publish(5);
  await reload((config) => {
    config.routes = [{ name: 'second', from: 'plant/+', to: { upstream, topic: 'new' } }];
  });
  await publish(5);
  const lane = () => agent.metrics();
  assert.equal(total(await lane(), 'tidegate_lane_state', { state: 'paused' }), 1, 'paused');
  await tidegate(['upstream', 'resume', 'out', '--config', agent.configPath]);
  const found = await stored(10);
  const seen = found.map(({ topic, headers, value }) => [topic, headers.ce_type, `${value}`]);
  const wanted = Array.from({ length: 10 }, (_, i) =>
    i < 5 ? ['old', 'first', `${i + 1}`] : ['new', 'second', `${i + 1}`],
  );
  assert.deepEqual(seen, wanted);
});

test('a drain, commitEvery, an upstream that is paused and the log level change', async () => {
  await tidegate(['upstream', 'pause', 'out', '--config', agent.configPath]);
  await reload((config) => {
    Object.assign(config.upstreams.out ?? {}, { drain: { messages: '1000/s' } });
    config.buffer = { ...(config.buffer as object), commitEvery: '20ms' };
    config.log = { level: 'debug' };
  });
  const began = performance.now();
  await publish(3);
  assert.ok(performance.now() - began > 55, 'three commits of 20 ms each');
  const paused = { lane: 'out/at-least-once', state: 'paused' };
  await eventually('paused still', withinMs, async () => {
    return total(await agent.metrics(), 'tidegate_lane_state', paused) === 1;
  });
  await sleep(300);
  assert.equal((await stored(10)).length, 10, 'a reload does not resume what was paused');
  await tidegate(['upstream', 'resume', 'out', '--config', agent.configPath]);
  await stored(13);
  (await Device.connect(agent.mqttPort, 'seen')).close();
  await eventually('debug lines', withinMs, () => agent.events('connectionOpened').length > 0);
  await reload((config) => {
    config.buffer = { ...(config.buffer as object), commitEvery: '0ms' };
    config.log = { level: 'info' };
  });
});

test('a limit changes at once also for a device that waits for it', async () => {
  const route = (limit: object) => [
    { name: 'slow', from: 'slow/#', to: { upstream: 'out' }, limits: [limit] },
    { name: 'second', from: 'plant/+', to: { upstream: 'out', topic: 'new' } },
  ];
  const slow = { per: 'device', messages: '1/m', burst: 2, over: 'hold' };
  await reload((config) => {
    config.routes = route(slow);
  });
  const held = await Device.connect(agent.mqttPort, 'held');
  for (const id of [1, 2, 3]) held.publish('slow/a', `held-${id}`, id);
  await eventually('two', withinMs, () => held.acknowledged().length === 2);
  await reload((config) => {
    config.routes = [...route(slow), { name: 'more', from: 'more', to: { upstream: 'out' } }];
  });
  await sleep(300);
  assert.equal(held.acknowledged().length, 2, 'a limit that stays gives no new burst');
  await reload((config) => {
    config.routes = route({ ...slow, messages: '100/s' });
  });
  const began = performance.now();
  await eventually('the third', withinMs, () => held.acknowledged().length === 3);
  assert.ok(performance.now() - began < 2_000, 'it did not wait for the old limit');
  assert.deepEqual(held.acknowledged(), [1, 2, 3]);
  held.close();
});

test('a new upstream starts at latest; one that is removed pins its cursor', async () => {
  const before = (await stored(16)).length;
  await reload((config) => {
    config.upstreams.more = { file: { directory: './more' } };
    config.routes = [
      { name: 'both', from: 'plant/#', to: [{ upstream: 'out' }, { upstream: 'more' }] },
    ];
  });
  await publish(2);
  await stored(before + 2);
  const fresh = (await stored(2, 'more')).map(({ value }) => value.toString());
  assert.deepEqual(fresh, [`${sent - 1}`, `${sent}`]);
  await reload((config) => {
    delete config.upstreams.more;
    config.routes = [{ name: 'both', from: 'plant/#', to: { upstream: 'out' } }];
  });
  await publish(2);
  await stored(before + 4);
  assert.equal((await stored(2, 'more')).length, 2);
  const stat = await tidegate(['buffer', 'stat', '--config', agent.configPath, '--json']);
  const { lanes } = JSON.parse(stat.out) as { lanes: { lane: string; configured: boolean }[] };
  assert.deepEqual(lanes.map(({ lane }) => lane).sort(), [
    'more/at-least-once',
    'out/at-least-once',
  ]);
  const states = Object.keys(
    (
      (await (await fetch(`http://127.0.0.1:${agent.httpPort}/readyz`)).json()) as {
        upstreams: object;
      }
    ).upstreams,
  );
  assert.deepEqual(states, ['out/at-least-once'], 'what left is not shown as running');
});

test('an upstream that comes back goes on where its cursor stands', async () => {
  await reload((config) => {
    config.upstreams.more = { file: { directory: './more' } };
    config.routes = [
      { name: 'both', from: 'plant/#', to: [{ upstream: 'out' }, { upstream: 'more' }] },
    ];
  });
  await publish(1);
  assert.equal((await stored(3, 'more')).at(-1)?.value.toString(), `${sent}`);
});

test('options of an upstream change: it writes elsewhere, and devices stay', async () => {
  await reload((config) => {
    config.upstreams.more = { file: { directory: './elsewhere' } };
  });
  await publish(2);
  assert.equal((await stored(2, 'elsewhere')).length, 2);
  assert.equal((await stored(3, 'more')).length, 3);
});

test('the HTTP port moves, goes and comes', async () => {
  const [port = 0] = await freePorts(1);
  const old = agent.httpPort;
  await reload((config) => {
    config.http = { bind: `127.0.0.1:${port}` };
  });
  await assert.rejects(fetch(`http://127.0.0.1:${old}/readyz`));
  agent.httpPort = port;
  assert.ok((await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
  await reload((config) => {
    delete config.http;
  });
  await assert.rejects(fetch(`http://127.0.0.1:${port}/readyz`));
  await reload((config) => {
    config.http = { bind: `127.0.0.1:${port}` };
  });
  assert.ok((await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
});

test('the log says what a reload warned of', async () => {
  await reload((config) => {
    config.upstreams.idle = { file: { directory: './idle' } };
  });
  const warned = agent.events('configWarning').map(({ key }) => key);
  assert.ok(warned.includes('upstreams.idle'), `${warned}`);
});
