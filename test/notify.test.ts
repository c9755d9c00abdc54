/**
 * What a real agent tells a service manager, seen at the manager's end of the socket: when it is
 * ready, that it changes its config, that it stops, why it does not start, and one sentence about
 * how it is. And that a manager who cannot be told does not matter to it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openAtLeastMs, openBytesPerSecond } from '../agent/bounds.ts';
import { type AgentSetup, AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { startNats } from './support/nats.ts';
import { freePorts } from './support/ports.ts';
import { NotifiedService } from './support/service.ts';

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
const withinMs = 20_000;
const koffiKibMost = 2 * 1_024;

const setup = (manager: NotifiedService | null, more: Partial<AgentSetup> = {}): AgentSetup => ({
  routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
  upstreams: { out: { file: { directory: './out' } } },
  ...(manager === null ? {} : { env: manager.environment() }),
  ...more,
});

for (const where of ['atPath', 'abstract'] as const) {
  test(`ready, changed, refused, stopped: each is told in its turn (${where})`, async () => {
    using manager = NotifiedService[where]();
    await using agent = await AgentUnderTest.prepare(setup(manager));
    const starting = agent.start();
    await manager.until('READY', ({ states }) => states.length > 0);
    // At this moment, not later:
    assert.ok((await fetch(`http://127.0.0.1:${agent.httpPort}/readyz`)).ok);
    await starting;
    const [first] = manager.told;
    assert.match(
      first?.text ?? '',
      /^EXTEND_TIMEOUT_USEC=\d+\nSTATUS=starting: making the buffer$/,
    );
    assert.equal(manager.status, '1 listener, 0 devices');

    assert.equal((await agent.reload()).event, 'configReloaded');
    await manager.until('READY again', ({ states }) => states.length === 3);
    const reloading = manager.with('RELOADING=1')[0]?.text ?? '';
    const toldMicros = Number(/^MONOTONIC_USEC=(\d+)$/m.exec(reloading)?.[1]);
    const ageMs = (Number(process.hrtime.bigint()) / 1_000 - toldMicros) / 1_000;
    assert.ok(ageMs >= 0 && ageMs < withinMs, `CLOCK_MONOTONIC, ${ageMs} ms ago`);

    const refused = await agent.reload((config) => {
      config.nonsense = true;
    });
    assert.equal(refused.event, 'configRefused');
    await manager.until('READY after what was refused', ({ states }) => states.length === 5);
    assert.match(manager.status, /; degraded: config refused, the last good one runs$/);

    assert.equal(await agent.stop(), 0);
    manager.read();
    const states = ['READY', 'RELOADING', 'READY', 'RELOADING', 'READY', 'STOPPING'];
    assert.deepEqual(manager.states, states);
    assert.match(manager.told.at(-1)?.text ?? '', /^STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+\nSTATUS=/);
    assert.deepEqual(agent.events('serviceUntold'), []);
  });
}

test('opening a buffer asks for the time that a slow card takes to read and write it', async () => {
  using manager = NotifiedService.atPath();
  await using agent = await AgentUnderTest.start(setup(manager));
  const device = await Device.connect(agent.mqttPort, 'pump');
  await device.publishAndWait('plant/a', 'x'.repeat(200_000));
  await agent.stop();
  const bytes = statSync(join(agent.directory, 'tidegate.db')).size;
  assert.ok(bytes > 200_000);
  await agent.start();
  const last = manager.with('EXTEND_TIMEOUT_USEC=').at(-1)?.text ?? '';
  assert.match(last, /STATUS=starting: opening the buffer \(\d+\.\d KiB\)/);
  const asked = Number(/^EXTEND_TIMEOUT_USEC=(\d+)$/m.exec(last)?.[1]) / 1_000;
  assert.equal(asked, Math.ceil(openAtLeastMs + (bytes / openBytesPerSecond) * 1_000));
});

test('a config of the fleet is a reload too', async () => {
  const nats = await startNats();
  using manager = NotifiedService.atPath();
  await using agent = await AgentUnderTest.start({
    ...gatewaySetup(nats),
    env: manager.environment(),
  });
  const writer = await Writer.connect(nats);
  await writer.push('fleet.default', 1, { log: { level: 'debug' } });
  await manager.until('READY again', ({ states }) => states.length === 3);
  assert.deepEqual(manager.states, ['READY', 'RELOADING', 'READY']);
  await eventually('it is applied', withinMs, async () => {
    return (await fleetOf(agent)).layers['fleet.default']?.running === 1;
  });
  await writer.close();
  await agent.stop();
  await nats.stop();
});

test('the sentence says who is there and which upstream is behind', async () => {
  using manager = NotifiedService.atPath();
  const [nobody = 0] = await freePorts(1);
  await using agent = await AgentUnderTest.start(
    setup(manager, {
      routes: [{ name: 'all', from: 'plant/#', to: [{ upstream: 'out' }, { upstream: 'cloud' }] }],
      upstreams: {
        out: { file: { directory: './out' } },
        cloud: { kafka: { brokers: [`127.0.0.1:${nobody}`] } },
      },
    }),
  );
  const device = await Device.connect(agent.mqttPort, 'pump');
  await device.publishAndWait('plant/a', 'x');
  const sentence =
    /^1 listener, 1 device; backlog \d+ B behind cloud \((connecting|backing-off)\)$/;
  await manager.until('a backlog', ({ status }) => sentence.test(status));
  device.close();
  await manager.until('the device is gone', ({ status }) => status.startsWith('1 listener, 0 dev'));
  const every = manager.with('STATUS=').map(({ atMs }) => atMs);
  const seconds = ((every.at(-1) ?? 0) - (every[0] ?? 0)) / 1_000;
  assert.ok(every.length <= 3 + seconds, `${every.length} sentences in ${seconds} s`);
});

function runOnce(manager: NotifiedService, config: string) {
  const env = { ...process.env, ...manager.environment() };
  return spawnSync(process.execPath, [main, 'run', '--config', config], { env, encoding: 'utf8' });
}

test('an agent that cannot start says why, and its errno', async () => {
  using manager = NotifiedService.atPath();
  await using first = await AgentUnderTest.start(setup(null));
  await using second = await AgentUnderTest.prepare(setup(manager));
  second.edit((config) => {
    config.buffer = { path: `${first.directory}/tidegate.db` };
  });
  const locked = runOnce(manager, second.configPath);
  manager.read();
  assert.equal(locked.status, 75, locked.stderr);
  assert.match(manager.status, /^halted: bufferLocked: .*; Another agent runs on this buffer/);
  assert.equal(manager.with(`ERRNO=${constants.errno.EBUSY}`).length, 1);

  second.writeConfig('nonsense: 1\nroutes: []\n');
  const refused = runOnce(manager, second.configPath);
  manager.read();
  assert.equal(refused.status, 78, refused.stderr);
  assert.match(manager.status, /^halted: configInvalid: .*nonsense/);
  assert.equal(manager.with(`ERRNO=${constants.errno.EINVAL}`).length, 1);
  assert.deepEqual(manager.states, []);
});

test('a manager that is not there is told of once, and the agent goes on', async () => {
  const env = { NOTIFY_SOCKET: '/nowhere/notify' };
  await using agent = await AgentUnderTest.start(setup(null, { env }));
  await agent.reload();
  const device = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await device.publishAndWait('plant/a', 'x'), 0);
  const [event, ...more] = agent.events('serviceUntold');
  assert.match(String(event?.error), /\/nowhere\/notify: ENOENT/);
  assert.deepEqual(more, []);
  assert.equal(await agent.stop(), 0);
});

test('a manager that goes away while the agent runs is told of once', async () => {
  using manager = NotifiedService.atPath();
  await using agent = await AgentUnderTest.start(setup(manager));
  manager.close();
  await agent.reload();
  await agent.reload();
  assert.equal(agent.events('serviceUntold').length, 1);
  assert.equal(await agent.stop(), 0);
});

test('a manager that hangs does not stop the agent, and hears every state later', async () => {
  using manager = NotifiedService.atPath();
  await using agent = await AgentUnderTest.start(setup(manager));
  await manager.until('READY', ({ states }) => states.length === 1);
  manager.deafen();
  // More than the kernel's queue holds: net.unix.max_dgram_qlen, 10 unless somebody raised it.
  const queue = Number(readFileSync('/proc/sys/net/unix/max_dgram_qlen', 'utf8'));
  const reloads = Math.min(queue, 20) + 2;
  for (let i = 0; i < reloads; i++) await agent.reload();
  const device = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await device.publishAndWait('plant/a', 'x'), 0);
  manager.listen();
  await manager.until('all states', ({ states }) => states.length === 1 + 2 * reloads);
  assert.equal(manager.states.at(-1), 'READY');
  assert.deepEqual(agent.events('serviceUntold'), []);
});

/** KiB of a file's mappings that are in memory. */
function mappedKib(pid: number, name: string): number {
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return mappings
    .filter((mapping) => mapping.split('\n', 1)[0]?.includes(name))
    .reduce((sum, mapping) => sum + Number(/^Rss:\s+(\d+) kB$/m.exec(mapping)?.[1] ?? 0), 0);
}

test('without a manager nothing is loaded for it; with one it costs little memory', async (t) => {
  using manager = NotifiedService.atPath();
  await using alone = await AgentUnderTest.start(setup(null));
  await using served = await AgentUnderTest.start(setup(manager));
  assert.equal(mappedKib(alone.pid, 'koffi'), 0);
  const cost = mappedKib(served.pid, 'koffi');
  t.diagnostic(`the library that opens the manager's socket: ${cost} KiB in memory`);
  assert.ok(cost > 0 && cost < koffiKibMost, `${cost} KiB`);
});
