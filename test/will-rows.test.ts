/**
 * What `Wills` records of a Will: on a path that only takes notes, so that stops and long times can
 * be had at will.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionChange } from '../agent/buffer/protocol.ts';
import type { ConnectPacket } from '../agent/ingress/connect-packet.ts';
import type { Path, Source } from '../agent/ingress/source.ts';
import { type ArmedWill, Wills } from '../agent/ingress/wills.ts';

/** A Will of one open connection. */
function armed(touchEveryMs?: number): { wills: Wills; will: ArmedWill | null; ops: string[] } {
  const ops: string[] = [];
  const record = ({ op }: SessionChange) => ops.push(op);
  const wills = new Wills(
    { captures: () => true, record } as unknown as Path,
    () => {},
    touchEveryMs,
  );
  const said = {
    ...{ topicName: 'plant/1', payload: Buffer.from('gone'), qos: 0, retain: false },
    ...{ delaySeconds: 600, properties: [] },
  };
  const connect = { version: 5, sessionExpirySeconds: 600 } as ConnectPacket;
  wills.connected('rig', 'a', false);
  const whose = { scope: 'rig', client: 'a', device: 'a', clientId: '' };
  return { wills, ops, will: wills.arm(whose, said, connect, {} as Source)?.will ?? null };
}

test('a DISCONNECT that was taken before a stop still discards its Will', () => {
  const { wills, will, ops } = armed();
  wills.close();
  wills.disconnected('rig', 'a', will, true);
  assert.deepEqual(ops, ['put', 'delete']);
});

test('a stop leaves the Wills of open connections on disk', () => {
  const { wills, will, ops } = armed();
  wills.close();
  wills.disconnected('rig', 'a', will, false);
  assert.deepEqual(ops, ['put']);
});

test('a Will is put again while its connection lives, or its Will Delay lasts', async () => {
  const { wills, will, ops } = armed(20);
  await sleep(70);
  assert.ok(ops.length >= 2 && ops.every((op) => op === 'put'), ops.join());
  wills.disconnected('rig', 'a', will, false);
  const before = ops.length;
  await sleep(70);
  assert.ok(ops.length > before, ops.join());
  wills.connected('rig', 'a', true);
  assert.equal(ops.at(-1), 'delete');
  const after = ops.length;
  await sleep(50);
  assert.equal(ops.length, after, 'and no longer');
  wills.close();
});
