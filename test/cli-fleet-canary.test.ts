/**
 * A canary: some gateways first, then all of them or what was before. What an operator who is
 * interrupted is told. On a real server; the gateways are played.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { SignedConfig } from '../agent/fleet/signed.ts';
import { startNats } from './support/nats.ts';
import { layer, Operator } from './support/operator.ts';
import { PlayedFleet, type PlayedGateway } from './support/played-fleet.ts';

const server = await startNats();
const operator = new Operator(server);
after(async () => {
  operator[Symbol.dispose]();
  await server.stop();
});

const key = 'fleet.default';

async function tenGateways(prefix: string, answers?: PlayedGateway['answers']) {
  const fleet = await PlayedFleet.start(server, prefix);
  const names = Array.from({ length: 10 }, (_, index) => `gw-${index}`);
  await fleet.join(...names.map((name) => ({ name, ...(answers ? { answers } : {}) })));
  const flags = ['--bucket', `${prefix}-config`, '--status-bucket', `${prefix}-status`];
  const push = (mark: string, ...more: string[]) => {
    return operator.start(['push', operator.write(`${mark}.yaml`, layer(mark)), ...flags, ...more]);
  };
  return { fleet, flags, push };
}

const isBad = ({ config }: SignedConfig): boolean => config.includes('# bad');

interface Told {
  readonly revision: number;
  readonly putBack: number | null;
  readonly counts: Record<string, number>;
  readonly canary: {
    readonly share: number;
    readonly revision: number;
    readonly gateways: readonly { gateway: string; state: string; reason: string | null }[];
  };
}

test('a canary that applies it goes to all, under the next revision', async () => {
  const { fleet, push } = await tenGateways('good');
  await using _ = fleet;
  const { code, out, err } = await push('good', '--canary', '30%', '--wait', '5s', '--json').ended;
  assert.equal(code, 0, err);
  const told = JSON.parse(out) as Told;
  const [canary, all] = await fleet.revisions(key);
  assert.deepEqual([canary?.revision, canary?.rollout?.share], [1, 0.3]);
  assert.deepEqual([all?.revision, all?.rollout, all?.hash], [2, null, canary?.hash]);
  assert.deepEqual([told.revision, told.canary.revision, told.counts.applied], [2, 1, 10]);
  const { length } = told.canary.gateways;
  assert.ok(length >= 1 && length <= 6, `${length} of 10`);
});

test('a canary that refuses is put back to what stood before, for all', async () => {
  const answers = (signed: SignedConfig) =>
    isBad(signed) ? (['refused', 'the disk is full'] as const) : (['applied'] as const);
  const { fleet, push } = await tenGateways('bad', answers);
  await using _ = fleet;
  assert.equal((await push('good').ended).code, 0);
  const { code, out, err } = await push('bad', '--canary', '20%', '--wait', '9s').ended;
  assert.equal(code, 65, err);
  assert.match(out, /gw-\d +refused +1 +the disk is full/);
  assert.match(out, /the canary did not confirm revision 2: stopped/);
  assert.match(out, /revision 3 puts back what revision 1 was, for all/);
  const [good, , back] = await fleet.revisions(key);
  assert.deepEqual([back?.revision, back?.rollout, back?.hash], [3, null, good?.hash]);
  const rollback = ['rollback', '--bucket', 'bad-config', '--status-bucket', 'bad-status'];
  const none = await operator.run(...rollback);
  assert.equal(none.code, 65, 'what failed as a canary is nothing to go back to');
});

test('a silent canary is taken back; with nothing before, to an empty config', async () => {
  const { fleet, push } = await tenGateways('silent', () => null);
  await using _ = fleet;
  const { code, out } = await push('good', '--canary', '20%', '--wait', '1s', '--json').ended;
  const told = JSON.parse(out) as Told;
  assert.deepEqual([code, told.revision, told.putBack], [65, 2, null]);
  assert.ok(told.canary.gateways.every(({ state }) => state === 'silent'));
  const [, back] = await fleet.revisions(key);
  assert.deepEqual([back?.config, back?.rollout], ['{}', null]);
});

test('a canary that is pending is waited for, and stops the push when it reverts', async () => {
  const { fleet, push } = await tenGateways('revert', () => ['pending']);
  await using _ = fleet;
  const pushing = push('bad', '--canary', '10%', '--wait', '20s', '--json');
  const pending = () => fleet.states(key).find(([, state]) => state === 'pending')?.[0];
  await fleet.until(() => pending() !== undefined);
  const hit = pending() ?? '';
  await fleet.answer(hit, key, 'reverted', 'lane out was lost');
  const { code, out } = await pushing.ended;
  const told = JSON.parse(out) as Told;
  assert.equal(code, 65);
  const one = told.canary.gateways.find(({ gateway }) => gateway === hit);
  assert.deepEqual([one?.state, one?.reason], ['reverted', 'lane out was lost']);
});

test('a canary that reaches nobody is said so, and nothing is written without --yes', async () => {
  const { fleet, push } = await tenGateways('nobody');
  await using _ = fleet;
  const small = await push('good', '--canary', '1%').ended;
  assert.equal(small.code, 64);
  assert.match(small.err, /1 % of the 10 gateways that report is nobody; nothing was pushed/);
  assert.deepEqual(await fleet.revisions(key), []);
  const yes = await push('good', '--canary', '1%', '--yes').ended;
  assert.equal(yes.code, 0, yes.err);
  assert.deepEqual(
    (await fleet.revisions(key)).map(({ rollout }) => rollout),
    [null],
  );
});

test('interrupted while a canary runs: it is told what stands there, exit 75', async () => {
  const { fleet, flags, push } = await tenGateways('interrupted', () => ['pending']);
  await using _ = fleet;
  const pushing = push('good', '--canary', '20%', '--wait', '30s');
  await pushing.says(/pending/);
  pushing.child.kill('SIGINT');
  const { code, err } = await pushing.ended;
  assert.equal(code, 75);
  assert.match(err, /interrupted: fleet\.default revision 1 stays in the bucket \(.*pending.*\)/);
  assert.match(err, /all others run what they had\n {4}Push again.*rollback/);
  assert.equal((await fleet.revisions(key)).length, 1);
  const back = await operator.run('rollback', ...flags, '--follow', '0s');
  assert.equal(back.code, 0, back.err);
  assert.match(back.out, /before the canary there was nothing: an empty config for all/);
  assert.equal((await fleet.revisions(key)).at(-1)?.config, '{}');
});

test('who pushes into the canary of another wins; the other is told who it was', async () => {
  const { fleet, flags, push } = await tenGateways('conflict', ({ config }) =>
    config.includes('# second') ? ['applied'] : ['pending'],
  );
  await using _ = fleet;
  using other = new Operator(server);
  const first = push('good', '--canary', '20%', '--wait', '20s', '--json');
  await fleet.until(() => fleet.states(key).some(([, state]) => state === 'pending'));
  const file = other.write('second.yaml', layer('second'));
  const second = await other.run('push', file, ...flags);
  assert.equal(second.code, 0, second.err);
  const { code, err } = await first.ended;
  const { error } = JSON.parse(err) as { error: { code: string; message: string } };
  assert.deepEqual([code, error.code], [75, 'fleetConflict']);
  assert.ok(error.message.includes(`revision 2 was pushed by ${other.key.publicKey} at `));
  assert.equal((await fleet.revisions(key)).length, 2);
});

test('a server that dies while gateways are waited for: what stands is told, exit 69', async () => {
  await using own = await startNats();
  const fleet = await PlayedFleet.start(own);
  await using _ = fleet;
  using alone = new Operator(own);
  await fleet.join({ name: 'gw-1', answers: () => ['pending'] });
  const pushing = alone.start(['push', alone.write('plant.yaml', layer('lost'))]);
  await pushing.says(/1 pending/);
  await own.kill();
  const { code, err } = await pushing.ended;
  assert.equal(code, 69);
  assert.match(err, /fleet\.default revision 1 stays in the bucket/);
});
