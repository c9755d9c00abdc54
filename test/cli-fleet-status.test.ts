/**
 * What an operator sees of a fleet: `fleet status` and `fleet watch`, on a real server, with played
 * gateways, also ten thousand of them, and with ones that mean no good.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startNats } from './support/nats.ts';
import { layer, Operator, type Started } from './support/operator.ts';
import { PlayedFleet } from './support/played-fleet.ts';

const server = await startNats();
const operator = new Operator(server);
after(async () => {
  operator[Symbol.dispose]();
  await server.stop();
});

async function buckets(prefix: string) {
  const fleet = await PlayedFleet.start(server, prefix);
  const flags = ['--bucket', `${prefix}-config`, '--status-bucket', `${prefix}-status`];
  return { fleet, flags, run: (...args: string[]) => operator.run(...args, ...flags) };
}

interface Status {
  readonly totals: Record<string, number>;
  readonly unreadable: number;
  readonly configs: readonly { key: string; revision?: number; fault?: string; signer: string }[];
  readonly gateways: readonly { gateway: string; state: string; report: object | null }[];
}

test('status: configs with their signers, each gateway by the worst of its layers', async () => {
  const { fleet, run } = await buckets('status');
  await using _ = fleet;
  const groups = ['line-a'];
  await fleet.join({ name: 'gw-1' }, { name: 'gw-2', groups, answers: () => ['refused', 'no'] });
  const file = operator.write('plant.yaml', layer('status'));
  await run('push', file);
  await run('push', file, '--group', 'line-a');
  await run('push', file, '--gateway', 'gw-9');
  await fleet.join({ name: 'gw-3', groups });
  const { code, out } = await run('status');
  assert.equal(code, 0);
  const signer = operator.key.publicKey.slice(0, 12);
  assert.match(out, new RegExp(`^CONFIG .*\\nfleet\\.default +1 +20\\S+ \\S+Z +${signer}… `));
  assert.match(out, /\ngw-1 +0\.1\.0 +applied +fleet\.default@1 +ok +0 +12\/s +\ds\n/);
  assert.match(
    out,
    /\ngw-2 +0\.1\.0 +refused .*group\.line-a@- \(1 refused\).* group\.line-a: no\n/,
  );
  assert.match(out, /\ngw-3 +0\.1\.0 +behind +-/);
  assert.match(out, /\ngw-9 +- +silent .* never reported\n4 gateways: 1 applied/);
  const json = JSON.parse((await run('status', '--json', '--group', 'line-a')).out) as Status;
  assert.deepEqual(
    json.gateways.map(({ gateway, state }) => [gateway, state]),
    [
      ['gw-2', 'refused'],
      ['gw-3', 'behind'],
    ],
  );
  assert.deepEqual(
    json.configs.map(({ key, revision }) => [key, revision]),
    [
      ['fleet.default', 1],
      ['group.line-a', 1],
    ],
  );
});

test('who has not reported for three intervals is silent', async () => {
  const { fleet, run } = await buckets('late');
  await using _ = fleet;
  await fleet.join({ name: 'gw-1' });
  await fleet.report('gw-1', { everySeconds: 0.1 });
  await new Promise((resolve) => setTimeout(resolve, 400));
  const { totals } = JSON.parse((await run('status', '--json')).out) as Status;
  assert.deepEqual(totals, { silent: 1 });
});

test('what gateways and strangers write moves no cursor and stops nothing', async () => {
  const { fleet, run } = await buckets('hostile');
  await using _ = fleet;
  const answers = () => ['refused', '\u001b[2Jgone\nfake line\u0007'] as const;
  await fleet.join({ name: 'gw-1', answers });
  await fleet.scribble('gw-2', 'no JSON');
  await fleet.scribble('gw-3', JSON.stringify({ gateway: 'gw-1', layers: [] }));
  await fleet.configs.put('group.x', 'no JSON either');
  const pushed = await run('push', operator.write('hostile.yaml', layer('hostile')));
  assert.equal(pushed.code, 65);
  assert.match(pushed.err, /passed over by every gateway: group\.x: /);
  const status = await run('status');
  assert.match(status.out, /gone fake line/);
  assert.match(status.out, /1 gateway: 1 refused, 2 reports cannot be read\n$/);
  assert.match(status.out, /group\.x +- .* it is not what tidegate fleet push writes\n/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those must not be there
  const control = /[\x00-\x09\x0b-\x1f\x7f-\x9f]/;
  assert.doesNotMatch(pushed.out + pushed.err + status.out, control);
});

test('ten thousand gateways: one read of the bucket, a table in seconds', async () => {
  const { fleet, run } = await buckets('many');
  await using _ = fleet;
  const names = Array.from(
    { length: 10_000 },
    (_, index) => `gw-${String(index).padStart(5, '0')}`,
  );
  for (let from = 0; from < names.length; from += 1_000) {
    const some = names.slice(from, from + 1_000);
    await Promise.all(some.map((name) => fleet.report(name)));
  }
  const before = performance.now();
  const { code, out } = await run('status');
  const took = performance.now() - before;
  assert.equal(code, 0);
  const lines = out.trimEnd().split('\n');
  assert.equal(lines.at(-1), '10000 gateways: 10000 none');
  assert.equal(lines.length, 10_000 + 4);
  assert.ok(took < 10_000, `${took} ms`);
  const pushing = ['push', operator.write('many.yaml', layer('many')), '--follow', '1s'];
  const pushed = await run(...pushing);
  assert.equal(pushed.code, 69);
  assert.match(pushed.out, /fleet\.default: 10000 silent\n/);
  assert.match(pushed.out, /and 9950 more: tidegate fleet status shows them all\n$/);
});

function linesOf({ said }: Started): Record<string, unknown>[] {
  const lines = said.out.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('watch: one line a change, from now on, until SIGINT', async () => {
  const { fleet, flags, run } = await buckets('watch');
  await using _ = fleet;
  await fleet.join({ name: 'gw-1' }, { name: 'gw-2', answers: () => ['refused', 'no disk'] });
  const file = operator.write('plant.yaml', layer('before'));
  await run('push', file, '--follow', '0s');
  await fleet.until(() => fleet.states('fleet.default').length === 2);
  const people = operator.start(['watch', ...flags]);
  const programs = operator.start(['watch', '--json', ...flags]);
  await people.says(/watching nats:\S+, 2 gateways/);
  // It says nothing that is no change; that it listens shows by the first one.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await run('push', operator.write('plant.yaml', layer('watched')), '--follow', '0s');
  await people.says(/ gw-2 fleet\.default@2 refused: no disk\n/);
  await people.says(/ fleet\.default@2 signed by U/);
  await people.says(/ gw-1 fleet\.default@2 applied\n/);
  await fleet.report('gw-1', { health: 'degraded', lanes: { out: 'backing-off' } });
  await people.says(/ gw-1 degraded: lane out backing-off\n/);
  await fleet.report('gw-1', { everySeconds: 0.2 });
  await people.says(/ gw-1 gone: no report for 1s\n/);
  await fleet.report('gw-1');
  await people.says(/ gw-1 is back\n/);
  await fleet.leave('gw-2');
  await people.says(/ gw-2 gone: /);
  for (const one of [people, programs]) one.child.kill('SIGINT');
  assert.deepEqual([(await people.ended).code, (await programs.ended).code], [0, 0]);
  const lines = linesOf(programs);
  assert.ok(lines.every(({ at }) => typeof at === 'string'));
  assert.ok(lines.some(({ gateway, what }) => gateway === 'gw-2' && what === 'refused'));
  assert.ok(!lines.some(({ revision }) => revision === 1), 'what stood there is no change');
});

test('watch outlives its server, and tells what changed meanwhile', async () => {
  await using own = await startNats();
  using alone = new Operator(own);
  const watching = alone.start(['watch']);
  await watching.says(/there is no bucket tidegate-status .* yet/);
  const fleet = await PlayedFleet.start(own);
  await fleet.join({ name: 'gw-1' });
  await watching.says(/ gw-1 reports, version 0\.1\.0\n/);
  await fleet.stop();
  await own.kill();
  await watching.says(/trying again/);
  await own.start();
  const again = await PlayedFleet.start(own);
  await using _ = again;
  await again.join({ name: 'gw-1' }, { name: 'gw-2' });
  await again.report('gw-1', { version: '0.2.0' });
  await watching.says(/connected again/);
  await watching.says(/ gw-1 version 0\.2\.0\n/);
  await watching.says(/ gw-2 reports, /);
  watching.child.kill('SIGINT');
  assert.equal((await watching.ended).code, 0);
});
