/**
 * `buffer.compression: zstd` in an agent as its users run it: killed with SIGKILL while devices
 * publish, it delivers all it acknowledged out of packed segments, and a damaged one costs only the
 * frames it held. The upstream is a folder that cannot be made at first, so that events wait.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPlain } from '../agent/buffer/database.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { assertHas, Device } from './support/counting-device.ts';
import { readLines } from './support/files.ts';
import { total } from './support/metrics.ts';

const withinMs = 20_000;
const perDevice = 400;
const lane = 'out/at-least-once';

async function packing(compression: 'none' | 'zstd' = 'zstd'): Promise<AgentUnderTest> {
  const agent = await AgentUnderTest.prepare({
    routes: [{ name: 'all', from: 'plant/+/telemetry', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    extra: { buffer: { compression } },
  });
  writeFileSync(join(agent.directory, 'out'), 'in the way');
  await agent.start();
  return agent;
}

function clearTheWay(agent: AgentUnderTest): void {
  rmSync(join(agent.directory, 'out'));
}

interface Stored {
  readonly sequence: number;
  readonly frames: number;
  readonly body: Buffer;
}

/** Of an agent that does not run. */
function withFile<T>(agent: AgentUnderTest, look: (db: ReturnType<typeof openPlain>) => T): T {
  const db = openPlain(join(agent.directory, 'tidegate.db'), { readonly: false });
  try {
    return look(db);
  } finally {
    db.close();
  }
}

function packedIn(agent: AgentUnderTest): Stored[] {
  const sql = 'SELECT sequence, frames, body FROM segment ORDER BY sequence';
  const rows = withFile(agent, (db) => db.prepare<[], Stored>(sql).all());
  return rows.filter(({ body }) => body.toString('latin1', 0, 4) === 'TGZ1');
}

const valuesOf = (agent: AgentUnderTest): string[] =>
  readLines(join(agent.directory, 'out')).map(({ value }) => String(value));

async function delivered(agent: AgentUnderTest): Promise<void> {
  await eventually('no frame waits', withinMs, async () => {
    return total(await agent.metrics(), 'tidegate_lane_backlog_frames', { lane }) === 0;
  });
}

test('killed and started again, an agent delivers all it owes from packed segments', async () => {
  await using agent = await packing();
  const devices = [0, 1, 2, 3].map((n) => new Device(`d${n}`));
  await Promise.all(devices.map((device) => device.publish(agent.mqttPort, perDevice)));
  const cut = devices.map((device) => device.publish(agent.mqttPort, perDevice));
  await eventually('some of the next are acknowledged', withinMs, () =>
    devices.some(({ acknowledged }) => acknowledged.length > perDevice),
  );
  await agent.kill();
  await Promise.all(cut);
  const packed = packedIn(agent);
  assert.ok(packed.reduce((sum, { frames }) => sum + frames, 0) >= perDevice, 'packed they are');
  clearTheWay(agent);
  await agent.start();
  await Promise.all(devices.map((device) => device.publish(agent.mqttPort, perDevice)));
  await delivered(agent);
  assert.equal(await agent.stop(), 0);
  assertHas(valuesOf(agent), devices);
});

test('packing is switched on and off by reload: old and new segments are delivered', async () => {
  await using agent = await packing('none');
  const device = new Device('d0');
  const publish = () => device.publish(agent.mqttPort, perDevice);
  const switchTo = async (compression: 'none' | 'zstd') => {
    const told = await agent.reload((config) => {
      config.buffer = { ...(config.buffer as object), compression };
    });
    assert.equal(told.event, 'configReloaded');
  };
  await publish();
  await switchTo('zstd');
  await publish();
  await switchTo('none');
  await publish();
  await agent.kill();
  const packed = packedIn(agent).map(({ sequence }) => sequence);
  const sql = 'SELECT min(sequence) AS first, max(sequence) AS last FROM segment';
  const all = withFile(agent, (db) => db.prepare<[], { first: number; last: number }>(sql).get());
  assert.ok(all && packed.length > 0);
  assert.ok(all.first < Math.min(...packed) && Math.max(...packed) < all.last, 'plain around it');
  clearTheWay(agent);
  await agent.start();
  await delivered(agent);
  assert.equal(await agent.stop(), 0);
  assertHas(valuesOf(agent), [device]);
});

test('a damaged packed segment costs its own frames, counted, and nothing else', async () => {
  await using agent = await packing();
  const device = new Device('d0');
  for (let i = 0; i < 3; i++) await device.publish(agent.mqttPort, perDevice);
  await agent.kill();
  const [damaged] = packedIn(agent).toSorted((a, b) => b.frames - a.frames);
  assert.ok(damaged);
  const middle = damaged.body.length >> 1;
  damaged.body[middle] = (damaged.body[middle] ?? 0) ^ 0xff;
  withFile(agent, (db) =>
    db
      .prepare('UPDATE segment SET body = ? WHERE sequence = ?')
      .run(damaged.body, damaged.sequence),
  );
  clearTheWay(agent);
  await agent.start();
  await delivered(agent);
  const outcome = { lane, outcome: 'damaged' };
  const counted = total(await agent.metrics(), 'tidegate_lane_outcome_frames_total', outcome);
  assert.equal(counted, damaged.frames);
  const [told] = agent.events('bufferDamaged');
  assert.deepEqual([told?.segment, told?.frames], [damaged.sequence, damaged.frames]);
  assert.equal(await agent.stop(), 0);
  assert.equal(new Set(valuesOf(agent)).size, 3 * perDevice - damaged.frames);
});
