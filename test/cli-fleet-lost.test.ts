/**
 * Somebody without a key empties the bucket, or writes numbers that nobody has reached: the
 * operator signs nothing that takes from the gateways what they run, or uses up the revisions.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { signConfig } from '../agent/fleet/signed.ts';
import { createNkey } from '../agent/nats-client.ts';
import { startNats } from './support/nats.ts';
import { layer, Operator } from './support/operator.ts';
import { PlayedFleet } from './support/played-fleet.ts';

const server = await startNats();
const operator = new Operator(server);
after(async () => {
  operator[Symbol.dispose]();
  await server.stop();
});

const key = 'fleet.default';
const last = Number.MAX_SAFE_INTEGER;

async function fleetOf(prefix: string) {
  const fleet = await PlayedFleet.start(server, prefix);
  await fleet.join(...Array.from({ length: 4 }, (_, index) => ({ name: `gw-${index}` })));
  const flags = ['--bucket', `${prefix}-config`, '--status-bucket', `${prefix}-status`];
  const push = (mark: string, ...more: string[]) =>
    operator.run('push', operator.write(`${mark}.yaml`, layer(mark)), ...flags, ...more);
  const revisions = async () => (await fleet.revisions(key)).map(({ revision }) => revision);
  return { fleet, flags, push, revisions };
}

test('a purged bucket: nothing unknown is put back, and a push goes on counting', async () => {
  const { fleet, flags, push, revisions } = await fleetOf('purged');
  await using _ = fleet;
  assert.equal((await push('one')).code, 0);
  assert.equal((await push('two')).code, 0);
  const [first] = await fleet.revisions(key);
  await fleet.configs.purge(key);
  const canary = await push('three', '--canary', '25%');
  assert.equal(canary.code, 65, canary.out);
  assert.match(canary.err, /gateways have seen revision 2, the bucket keeps none/);
  // An old one in its place.
  await fleet.configs.put(key, JSON.stringify(first));
  await fleet.report('gw-real', {
    layers: { [key]: { revision: 1, hash: '', state: 'refused', reason: 'replayed', running: 2 } },
  });
  const replayed = await push('three', '--canary', '25%');
  assert.match(replayed.err, /gateways have seen revision 2, the bucket keeps 1/);
  const rollback = await operator.run('rollback', ...flags, '--follow', '0s');
  assert.equal(rollback.code, 65, rollback.out);
  assert.deepEqual(await revisions(), [1]);
  assert.equal((await push('four', '--follow', '0s')).code, 0);
  assert.deepEqual(await revisions(), [1, 3]);
});

test('canaries alone are left: nobody knows what runs elsewhere', async () => {
  const { fleet, flags, push } = await fleetOf('canaries');
  await using _ = fleet;
  const rollout = { share: 0.5, seed: 's' };
  const pushedAt = new Date().toISOString();
  const body = { key, revision: 7, pushedAt, config: layer('canary'), rollout };
  await fleet.configs.put(key, signConfig(body, operator.key));
  for (const run of [
    await push('more', '--canary', '25%'),
    await operator.run('rollback', ...flags, '--follow', '0s'),
  ]) {
    assert.equal(run.code, 65, run.out);
    assert.match(run.err, /what was for everyone is no longer kept/);
  }
});

test('numbers of a report, and of a stranger, that nobody can have reached', async () => {
  const { fleet, push, revisions } = await fleetOf('ahead');
  await using _ = fleet;
  const seen = { revision: last - 1, hash: '', state: 'applied', reason: null, running: last };
  await fleet.report('gw-0', { layers: { [key]: { ...seen, state: 'applied' } } });
  assert.equal((await push('one', '--follow', '0s')).code, 0);
  assert.deepEqual(await revisions(), [1]);
  const pushedAt = new Date().toISOString();
  const body = { key, revision: last - 1, pushedAt, config: '{}', rollout: null };
  await fleet.configs.put(key, signConfig(body, createNkey()));
  assert.equal((await push('two', '--follow', '0s')).code, 0);
  assert.deepEqual(await revisions(), [1, last - 1, 2]);
});
