/**
 * What an operator does with a fleet: makes a key, pushes, takes back. On a real server; the
 * gateways are played.
 */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CliContext } from '../agent/cli/context.ts';
import { FleetBucket } from '../agent/cli/fleet-bucket.ts';
import { FleetLink } from '../agent/cli/fleet-link.ts';
import { placeOf } from '../agent/cli/fleet-place.ts';
import { Pusher } from '../agent/cli/fleet-pusher.ts';
import { TidegateError } from '../agent/errors.ts';
import { nkeyFromPublic } from '../agent/nats-client.ts';
import { startNats } from './support/nats.ts';
import { layer, Operator } from './support/operator.ts';
import { PlayedFleet } from './support/played-fleet.ts';
import { freePorts } from './support/ports.ts';

const server = await startNats();
const operator = new Operator(server);
after(async () => {
  operator[Symbol.dispose]();
  await server.stop();
});

/** Each test has buckets of its own. */
async function buckets(prefix: string) {
  const fleet = await PlayedFleet.start(server, prefix);
  const flags = ['--bucket', `${prefix}-config`, '--status-bucket', `${prefix}-status`];
  const run = (...args: string[]) => operator.run(...args, ...flags);
  return { fleet, flags, run };
}

/** What a push works with, in this process: so that two can look before either writes. */
async function pusherIn(prefix: string, { key: signer }: Operator) {
  const flags = { servers: server.url, bucket: `${prefix}-config` };
  const place = await placeOf(flags, { env: {} } as CliContext);
  const link = await FleetLink.open(place);
  const bucket = await FleetBucket.open({ link, place, own: signer });
  const key = 'fleet.default';
  const history = await bucket.history(key);
  return { pusher: new Pusher({ bucket, key, signer, history, reported: () => 0 }), link };
}

interface Told {
  readonly revision: number;
  readonly counts: Record<string, number>;
  readonly gateways: readonly { gateway: string; state: string; reason: string | null }[];
}

function errorOf(err: string) {
  return (JSON.parse(err) as { error: { code: string; message: string; remedy: string } }).error;
}

test('keygen: the seed in a file of its owner, the public key on standard output', async () => {
  const { code, out, err } = await operator.run('keygen', 'new.seed');
  assert.equal(code, 0, err);
  assert.match(out, /^U[A-Z2-7]{55}\n$/);
  assert.match(err, /fleet\.trust/);
  assert.equal(nkeyFromPublic(out.trim()).publicKey, out.trim());
  assert.match(operator.read('new.seed'), /^SU[A-Z2-7]{56}\n$/);
  assert.equal(statSync(join(operator.directory, 'new.seed')).mode & 0o777, 0o600);
  const before = operator.read('new.seed');
  const again = await operator.run('keygen', 'new.seed', '--json');
  assert.deepEqual([again.code, errorOf(again.err).code], [73, 'cannotWrite']);
  assert.equal(operator.read('new.seed'), before);
});

test('push: signed, in the bucket, followed until every gateway has answered', async () => {
  const { fleet, run } = await buckets('push');
  await using _ = fleet;
  await fleet.join({ name: 'gw-1' }, { name: 'gw-2', groups: ['line-a'] });
  const file = operator.write('plant.yaml', layer('one'));
  const { code, out, err } = await run('push', file);
  assert.equal(code, 0, err);
  assert.match(out, /fleet\.default revision 1: signed/);
  assert.match(out, /fleet\.default: 2 applied\n$/);
  const [signed] = await fleet.revisions('fleet.default');
  assert.deepEqual(
    [signed?.revision, signed?.config, signed?.signer, signed?.rollout],
    [1, layer('one'), operator.key.publicKey, null],
  );

  await fleet.join({ name: 'gw-3', groups: ['line-a'], answers: () => ['refused', 'no disk'] });
  await fleet.join({ name: 'gw-4', groups: ['line-a'], answers: () => null });
  const group = await run('push', file, '--group', 'line-a', '--follow', '1s', '--json');
  const told = JSON.parse(group.out) as Told;
  assert.deepEqual([group.code, told.revision, group.err], [65, 1, '']);
  const { applied, refused, silent } = told.counts;
  assert.deepEqual([applied, refused, silent], [1, 1, 1]);
  assert.equal(told.gateways.find(({ gateway }) => gateway === 'gw-3')?.reason, 'no disk');

  const one = await run('push', file, '--gateway', 'gw-4', '--follow', '1s');
  assert.equal(one.code, 69, one.err);
  assert.match(one.out, /gw-4 +silent/);
});

test('push to nobody says so, and is exit 0', async () => {
  const { fleet, run } = await buckets('nobody');
  await using _ = fleet;
  const { code, out } = await run('push', operator.write('nobody.yaml', layer('nobody')));
  assert.equal(code, 0);
  assert.match(out, /no gateway that it is for reports now/);
  assert.equal((await fleet.revisions('fleet.default')).length, 1);
});

test('the first push makes the bucket, with ten revisions of each key', async () => {
  const flags = ['--bucket', 'fresh', '--status-bucket', 'fresh-status'];
  const status = await operator.run('status', ...flags);
  assert.deepEqual([status.code, /there is no bucket fresh/.test(status.out)], [0, true]);
  const file = operator.write('fresh.yaml', layer('fresh'));
  assert.equal((await operator.run('push', file, ...flags)).code, 0);
  const connection = await server.connect();
  const kv = await connection.jetstream().views.kv('fresh', { bindOnly: true });
  assert.equal((await kv.status()).history, 10);
  await connection.close();
});

test('a config that is not valid is refused with its line, and nothing is written', async () => {
  const { fleet, run } = await buckets('wrong');
  await using _ = fleet;
  const file = operator.write('wrong.yaml', `${layer('wrong')}routs: []\n`);
  const { code, err } = await run('push', file);
  assert.equal(code, 78);
  assert.match(err, /wrong\.yaml:6:1: error: routs: unknown key routs\n {4}Did you mean routes\?/);
  const json = await run('push', file, '--json');
  assert.equal(json.code, 78);
  assert.equal(errorOf(json.err).code, 'configInvalid');
  assert.deepEqual(await fleet.revisions('fleet.default'), []);
});

test('a layer is checked as gateways will run it: with wider and narrower ones', async () => {
  const { fleet, run } = await buckets('layers');
  await using _ = fleet;
  const route = (upstream: string) =>
    `routes: [{ name: ${upstream}, from: '#', to: { upstream: ${upstream} } }]\n`;
  const plant = operator.write('layers.yaml', layer('layers'));
  const line = operator.write('line.yaml', route('out'));
  const alone = await run('push', line, '--group', 'line-a');
  assert.equal(alone.code, 78, 'the upstream is not there yet');
  assert.equal((await run('push', plant)).code, 0);
  assert.equal((await run('push', line, '--group', 'line-a')).code, 0);
  const renamed = layer('renamed')
    .replaceAll('out:', 'cloud:')
    .replace('upstream: out', 'upstream: cloud');
  const narrow = await run('push', operator.write('renamed.yaml', renamed));
  assert.equal(narrow.code, 78, narrow.out);
  assert.match(narrow.err, /fleet\.default|renamed\.yaml/);
  assert.match(narrow.err, /group\.line-a@1:1:\d+: error: routes/);
  assert.equal((await fleet.revisions('fleet.default')).length, 1);

  const base = operator.write(
    'base.yaml',
    `gateway: gw-1
fleet: { servers: [nats://127.0.0.1:4222], trust: [${operator.key.publicKey}] }
upstreams: { own: { file: { directory: ./own } } }
`,
  );
  const own = operator.write('own.yaml', route('own'));
  const unknown = await run('push', own, '--gateway', 'gw-1');
  assert.equal(unknown.code, 78);
  assert.match(unknown.err, /gateways’ own files: name one such file with --base/);
  assert.equal((await run('push', own, '--gateway', 'gw-1', '--base', base)).code, 0);
});

test('what only gateways have is not missing here: environment and files', async () => {
  const { fleet, run } = await buckets('references');
  await using _ = fleet;
  const upstream = `
  cloud:
    kafka:
      brokers: ['\${TEST_BROKER}']
      tls: {}
      sasl: { mechanism: plain, username: a, password: 'file:/nowhere/secret' }
`;
  const text = layer('references') + upstream.slice(1);
  const { code, out, err } = await run('push', operator.write('references.yaml', text));
  assert.equal(code, 0, err);
  assert.match(out, /valid as fleet\.default/);
  assert.match(err, /warning: .*TEST_BROKER is not set here\n {4}Each gateway/);
  assert.match(err, /warning: .*nowhere\/secret cannot be read \(ENOENT\) here/);
});

test('two operators at once: exactly one of them wins, the other is told who', async () => {
  const { fleet } = await buckets('race');
  await using _ = fleet;
  using other = new Operator(server);
  const key = 'fleet.default';
  for (const round of [1, 2, 3]) {
    const opened = await Promise.all([operator, other].map((who) => pusherIn('race', who)));
    const pushers = opened.map(({ pusher }) => pusher);
    const outcomes = await Promise.allSettled(
      pushers.map((pusher, index) => pusher.push(layer(`${round} ${index}`), null)),
    );
    const lost = outcomes.filter((one) => one.status === 'rejected');
    assert.equal(lost.length, 1);
    const { reason } = lost[0] as PromiseRejectedResult;
    assert.ok(reason instanceof TidegateError);
    assert.deepEqual([reason.code, reason.exit], ['fleetConflict', 75]);
    const winner = (await fleet.revisions(key)).at(-1);
    assert.equal(winner?.revision, round);
    assert.ok(reason.message.includes(`revision ${round} was pushed by ${winner.signer} at `));
    for (const { link } of opened) await link.close();
  }
});

test('rollback: what was before, under a new revision; --to names one that is kept', async () => {
  const { fleet, run } = await buckets('back');
  await using _ = fleet;
  await fleet.join({ name: 'gw-1' });
  const none = await run('rollback', '--json');
  assert.deepEqual([none.code, errorOf(none.err).code], [65, 'fleetNoFormer']);
  for (const mark of ['a', 'b']) await run('push', operator.write('back.yaml', layer(mark)));
  const { code, out, err } = await run('rollback');
  assert.equal(code, 0, err);
  assert.match(out, /fleet\.default: 1 applied/);
  const [a, , again] = await fleet.revisions('fleet.default');
  assert.deepEqual([again?.revision, again?.config, again?.hash], [3, layer('a'), a?.hash]);
  const to = await run('rollback', '--to', '2', '--json');
  const told = JSON.parse(to.out) as Told & { of: number };
  assert.deepEqual([to.code, told.revision, told.of], [0, 4, 2]);
  const late = await run('rollback', '--to', '9');
  assert.deepEqual([late.code, /no revision 9 yet: the last is 4/.test(late.err)], [65, true]);
  const { pusher, link } = await pusherIn('back', operator);
  for (let push = 0; push < 7; push++) await pusher.push(layer(`c ${push}`), null);
  await link.close();
  const lost = await run('rollback', '--to', '1');
  assert.equal(lost.code, 65);
  assert.match(lost.err, /revision 1 is no longer kept; there are 2, 3, 4/);
});

test('nobody signs what somebody untrusted wrote', async () => {
  const { fleet, flags, run } = await buckets('trust');
  await using _ = fleet;
  using other = new Operator(server);
  await other.run('push', other.write('plant.yaml', layer('theirs')), ...flags);
  await run('push', operator.write('trust.yaml', layer('ours')));
  const refused = await run('rollback', '--json');
  assert.deepEqual([refused.code, errorOf(refused.err).code], [65, 'fleetConfigUntrusted']);
  const configs = { bucket: 'trust-config', statusBucket: 'trust-status' };
  const write = (name: string, ...trust: string[]) =>
    operator.write(name, JSON.stringify({ fleet: { servers: [server.url], trust, ...configs } }));
  const both = write('both.yaml', operator.key.publicKey, other.key.publicKey);
  const only = write('only.yaml', operator.key.publicKey);
  const back = await operator.run('rollback', '--config', both);
  assert.equal(back.code, 0, back.err);
  assert.equal((await fleet.revisions('fleet.default')).at(-1)?.config, layer('theirs'));
  const wrong = await other.run('rollback', '--config', only);
  assert.equal(wrong.code, 65);
  assert.ok(wrong.err.includes(`${other.key.publicKey}, which fleet.trust of ${only} has not`));
});

test('a bucket that was made anew goes on behind what gateways have seen', async () => {
  const { fleet, run } = await buckets('anew');
  await using _ = fleet;
  await fleet.join({ name: 'gw-1' });
  const seen = { revision: 41, hash: '', state: 'applied', reason: null, running: 41 } as const;
  await fleet.report('gw-1', { layers: { 'fleet.default': seen } });
  const file = operator.write('anew.yaml', layer('anew'));
  const { code, out, err } = await run('push', file);
  assert.equal(code, 0, err);
  assert.match(out, /fleet\.default revision 42: signed/);
});

test('without a server, a key or a file it is said what to do', async () => {
  const [port] = await freePorts(1);
  const nowhere = ['--servers', `nats://127.0.0.1:${port}`];
  const file = operator.write('keys.yaml', layer('keys'));
  for (const args of [['status'], ['watch'], ['rollback'], ['push', file]]) {
    const { code, err } = await operator.run(...args, ...nowhere, '--json');
    assert.deepEqual([code, errorOf(err).code], [69, 'fleetUnreachable'], args.join(' '));
    assert.match(errorOf(err).remedy, /--servers/);
  }
  const missing = operator.start(['push', file], { TIDEGATE_FLEET_KEY: '' });
  assert.deepEqual(
    [(await missing.ended).code, /--key SEEDFILE/.test(missing.said.err)],
    [64, true],
  );
  const unread = await operator.run('push', file, '--key', 'none.seed', '--json');
  assert.deepEqual([unread.code, errorOf(unread.err).code], [78, 'fleetKeyUnreadable']);
  const noSeed = await operator.run('push', file, '--key', file, '--json');
  assert.deepEqual([noSeed.code, errorOf(noSeed.err).code], [65, 'natsKeyInvalid']);
});

test('a login that is not let in is exit 69, and so is a server without JetStream', async () => {
  const lines = ['authorization { users = [{ user: a, password: "right" }] }'];
  await using closed = await startNats({ lines, jetstream: false });
  const login = ['--servers', closed.url, '--username', 'a', '--password'];
  const { code, err } = await operator.run('status', ...login, 'wrong', '--json');
  assert.deepEqual([code, errorOf(err).code], [69, 'fleetUnauthorized']);
  const secret = operator.write('password', 'right\n');
  const none = await operator.run('status', ...login, `file:${secret}`, '--json');
  assert.deepEqual([none.code, errorOf(none.err).code], [69, 'natsNoResponders']);
});
