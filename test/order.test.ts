/**
 * Promise 1 seen from outside of the process: under strace, the sync of the write-ahead log returns
 * before the PUBACK's bytes are handed to the device's socket.
 *
 * The reader of the trace is tested with it: given the same calls with the two swapped, it refuses.
 */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { AckScanner, connectPacket, packetTypes, publishPacket } from './support/packets.ts';
import { readCalls, witness } from './support/strace.ts';

const traced = 'read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev';
const traceBytes = 16_384;
const publishes = 8;
const ackWithinMs = 20_000;

const arrives = '100 read(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, "0\\10\\0\\1aMARK-1", 65536) = 10';
const logs = '101 pwrite64(9</tmp/t/tidegate.db-wal>, "..MARK-1..", 4096, 32) = 4096';
const syncs = '101 fdatasync(9</tmp/t/tidegate.db-wal>) = 0';
const acks = '100 write(20<TCP:[127.0.0.1:1->127.0.0.1:2]>, "@\\2\\0\\1", 4) = 4';
const puback1 = Buffer.from([0x40, 2, 0, 1]);

test('the reader of the trace accepts a sync that returned before the PUBACK', () => {
  const seen = witness(readCalls([arrives, logs, syncs, acks].join('\n')), 'MARK-1', puback1);
  assert.deepEqual(seen.synced, { began: 2, returned: 2 });
});

test('the reader of the trace refuses a PUBACK before the sync', () => {
  const swapped = [arrives, logs, acks, syncs].join('\n');
  assert.throws(() => witness(readCalls(swapped), 'MARK-1', puback1), /PUBACK entered on line 3/);
});

test('the reader of the trace refuses a PUBACK while the sync has not returned', () => {
  const during = [
    arrives,
    logs,
    '101 fdatasync(9</tmp/t/tidegate.db-wal> <unfinished ...>',
    acks,
    '101 <... fdatasync resumed>) = 0',
  ].join('\n');
  assert.throws(() => witness(readCalls(during), 'MARK-1', puback1), /returned on line 5/);
});

test('the reader of the trace refuses a foreign sync, a failed one and an early one', () => {
  const ofDatabase = syncs.replace('-wal', '');
  const failed = syncs.replace('= 0', '= -1 EIO (Input/output error)');
  for (const sync of [ofDatabase, failed]) {
    const trace = [arrives, logs, sync, acks].join('\n');
    assert.throws(() => witness(readCalls(trace), 'MARK-1', puback1), /no sync of the WAL/);
  }
  const early = [arrives, syncs, logs, acks].join('\n');
  assert.throws(() => witness(readCalls(early), 'MARK-1', puback1), /no sync of the WAL/);
});

interface Publisher {
  readonly socket: Socket;
  readonly acknowledged: Set<number>;
  connected: boolean;
}

function publisher(port: number): Publisher {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const state: Publisher = { socket, acknowledged: new Set(), connected: false };
  const scanner = new AckScanner();
  socket.write(connectPacket({ clientId: 'watched' }));
  socket.on('data', (chunk: Buffer) => {
    scanner.push(chunk, (type, identifier) => {
      if (type === packetTypes.connack) state.connected = true;
      if (type === packetTypes.puback) state.acknowledged.add(identifier);
    });
  });
  return state;
}

test('the sync of the WAL returns before the PUBACK is written', async (t) => {
  const trace = join(tmpdir(), `tidegate-order-${process.pid}.strace`);
  t.after(() => rmSync(trace, { force: true }));
  const names = `trace=fdatasync,fsync,${traced}`;
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: 'order/#', to: { upstream: 'archive' } }],
    upstreams: { archive: { file: { directory: './out' } } },
    wrap: ['strace', '-f', '-e', names, '-yy', '-s', String(traceBytes), '-o', trace],
  });
  const device = publisher(agent.mqttPort);
  await eventually('CONNACK', ackWithinMs, () => device.connected);
  const marker = (n: number) => `MARK-${n}-of-the-order-test`;
  const publish = (n: number) =>
    device.socket.write(
      publishPacket({ topicName: 'order/a', payload: marker(n), identifier: 0x1100 + n }),
    );
  for (let n = 1; n <= publishes; n++) {
    publish(n);
    await eventually('PUBACK', ackWithinMs, () => device.acknowledged.size === n);
  }
  for (let n = publishes + 1; n <= 2 * publishes; n++) publish(n);
  await eventually('PUBACKs', ackWithinMs, () => device.acknowledged.size === 2 * publishes);
  device.socket.destroy();
  assert.equal(await agent.stop(), 0);
  const calls = readCalls(readFileSync(trace, 'utf8'));
  for (let n = 1; n <= 2 * publishes; n++) {
    const puback = Buffer.from([0x40, 2, 0x11, n]);
    const seen = witness(calls, marker(n), puback);
    t.diagnostic(
      `publish ${n}: read on line ${seen.arrived + 1}, in the WAL ${seen.written + 1}, ` +
        `synced ${seen.synced.began + 1}–${seen.synced.returned + 1}, ` +
        `PUBACK ${seen.acknowledged + 1}`,
    );
  }
});
