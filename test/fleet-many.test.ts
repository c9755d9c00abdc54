/**
 * Fifty gateways on one nats-server, their devices publishing throughout: a push reaches all, in a
 * time that is printed; a bad one is refused by all with the reason in `fleet status`; one that
 * kills the upstream reverts by itself, on the canaries only; nats-server killed in mid-push ends
 * consistent; and not one acknowledged event is lost. What it costs a server is printed too: these
 * are the figures that agent/fleet/README.md calculates with.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayReport } from '../agent/fleet/report.ts';
import { eventually } from './support/agent.ts';
import { ManyGateways } from './support/many-gateways.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const gateways = 50;
const withinMs = 60_000;
const watchMs = 10_000;
const key = 'fleet.default';

let nats: NatsServer;
let fleet: ManyGateways;

before(async () => {
  nats = await startNats({ monitor: true });
  fleet = await ManyGateways.start(nats, gateways);
  fleet.publish();
});
after(async () => {
  await fleet?.close();
  await nats?.stop();
});

function route(topic: string): object {
  return { name: 'all', from: 'plant/#', to: { upstream: 'out', topic } };
}

interface Served {
  readonly in_msgs: number;
  readonly out_msgs: number;
  readonly in_bytes: number;
  readonly out_bytes: number;
}

async function served(): Promise<Served> {
  const answer = await fetch(`http://127.0.0.1:${nats.monitorPort}/varz`);
  return (await answer.json()) as Served;
}

function less(after: Served, before: Served): string {
  const each = (of: keyof Served): string => ((after[of] - before[of]) / gateways).toFixed(1);
  const [received, sent] = [each('in_msgs'), each('out_msgs')];
  return `${received} messages in (${each('in_bytes')} B), ${sent} out (${each('out_bytes')} B)`;
}

test('what a gateway costs a server while nothing happens', async (t) => {
  const before = await served();
  await sleep(watchMs);
  const after = await served();
  t.diagnostic(`in ${watchMs / 1_000} s at reportEvery 2s, each gateway: ${less(after, before)}`);
  const inBytes = (after.in_bytes - before.in_bytes) / (after.in_msgs - before.in_msgs);
  const outBytes = (after.out_bytes - before.out_bytes) / (after.out_msgs - before.out_msgs);
  t.diagnostic(`a report: ${inBytes.toFixed(0)} B in, its PubAck ${outBytes.toFixed(0)} B out`);
});

test('a push reaches all, is confirmed by all, and no device notices', async (t) => {
  const before = await served();
  const drops = fleet.drops;
  const pushing = fleet.push({ routes: [route('first')] });
  void pushing.then(({ code, out, err }) => code === 0 || t.diagnostic(`${out}\n${err}`));
  const began = performance.now();
  await eventually('it runs everywhere', withinMs, async () => {
    const { 'pending@1': pending = 0, 'applied@1': applied = 0 } = await fleet.states(key);
    return pending + applied === gateways;
  });
  const reached = (performance.now() - began) / 1_000;
  const { code, out, err, seconds } = await pushing;
  assert.equal(code, 0, `${out}\n${err}`);
  assert.deepEqual(await fleet.states(key), { 'applied@1': gateways });
  assert.equal(fleet.drops, drops, 'no connection was dropped');
  t.diagnostic(`reached all ${gateways} in ${reached.toFixed(1)} s (command, check and reports`);
  t.diagnostic(`included), confirmed by all in ${seconds.toFixed(1)} s (confirmWithin 8s)`);
  t.diagnostic(`each gateway meanwhile: ${less(await served(), before)}`);
});

test('a bad push is refused by all, with the reason in fleet status', async () => {
  const missing = '$' + '{NOT_SET_ANYWHERE}';
  const bad = { upstreams: { mesh: { nats: { servers: nats.url, token: missing } } } };
  const { code, out, err } = await fleet.push({ routes: [route('first')], ...bad });
  assert.equal(code, 65, `${out}\n${err}`);
  assert.deepEqual(await fleet.states(key), { 'refused@2': gateways });
  const status = await fleet.command('status', '--json');
  const shown = JSON.parse(status.out) as { gateways: { report: GatewayReport }[] };
  assert.equal(shown.gateways.length, gateways);
  for (const { report } of shown.gateways) {
    assert.match(report.layers[key]?.reason ?? '', /NOT_SET_ANYWHERE is not set/);
  }
  const table = await fleet.command('status');
  assert.equal(
    table.out.match(/^gw-\d\d .*refused.*NOT_SET_ANYWHERE is not set/gm)?.length,
    gateways,
  );
  const back = await fleet.command('rollback');
  assert.equal(back.code, 0, `${back.out}\n${back.err}`);
  assert.deepEqual(await fleet.states(key), { 'applied@3': gateways });
});

test('a push that kills the upstream reverts by itself, on the canaries only', async (t) => {
  const dead = { out: { file: null, kafka: { brokers: ['127.0.0.1:1'] }, lag: { over: 'hold' } } };
  const { code, out, err, seconds } = await fleet.push(
    { routes: [route('first')], upstreams: dead },
    ...['--canary', '20%', '--wait', '30s'],
  );
  assert.equal(code, 65, `${out}\n${err}`);
  const ran = fleet.agents.filter((agent) =>
    agent.events('fleetApplied').some(({ layers }) => layers === `${key}@4`),
  );
  const reverted = fleet.agents.filter((agent) => agent.events('fleetReverted').length > 0);
  assert.ok(reverted.length > 0, 'by itself');
  assert.ok(reverted.every((agent) => ran.includes(agent)));
  assert.ok(ran.length < gateways / 2, `${ran.length} ran it`);
  t.diagnostic(`${ran.length} canaries ran it, ${reverted.length} of them reverted by themselves;`);
  t.diagnostic(`the first that did stopped the push: put back after ${seconds.toFixed(1)} s`);
  await fleet.areAll('applied@5', key);
});

test('nats-server killed in mid-push and started again: the fleet ends consistent', async (t) => {
  const pushing = fleet.push({ routes: [route('second')] }, '--follow', '40s');
  void pushing.then(({ out, err }) => t.diagnostic(`${out}\n${err}`));
  await eventually('some run it', withinMs, async () => {
    return Object.keys(await fleet.states(key)).some((state) => state.endsWith('@6'));
  });
  await nats.kill();
  await sleep(500);
  await nats.start();
  const { code, out, err } = await pushing;
  await fleet.areAll('applied@6', key);
  t.diagnostic(`the command ended with ${code}: ${(out || err).trim().split('\n').at(-1)}`);
});

test('not one acknowledged event was lost meanwhile', async (t) => {
  const totals = await fleet.settle();
  t.diagnostic(JSON.stringify(totals));
  assert.equal(totals.lost, 0);
  assert.ok(totals.acknowledged > gateways * 10);
});
