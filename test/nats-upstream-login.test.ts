/**
 * Who a NATS upstream is to its server: every way to log in, the wrong ones, TLS, and what a server
 * does not allow. A refused log-in or right halts the lane with a remedy, until it is mended and
 * resumed; nothing is lost meanwhile.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientTls, NatsUpstreamConfig } from '../agent/config/types.ts';
import { createNkey } from '../agent/nats-client.ts';
import { Authority } from './support/certificates.ts';
import { frameOf, type LaneRig, waitFor } from './support/egress-rig.ts';
import { numbered, texts } from './support/mqtt-upstream-rig.ts';
import type { NatsServer } from './support/nats.ts';
import { operatorMode } from './support/nats-jwt.ts';
import {
  closeAll,
  NatsWire,
  natsConfig,
  natsLane,
  Streams,
  serverOf,
} from './support/nats-upstream-rig.ts';

afterEach(closeAll);
const folder = mkdtempSync(join(tmpdir(), 'tidegate-nats-login-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function haltedWith(rig: LaneRig, code: string): Promise<string> {
  await waitFor(() => rig.states.at(-1) === 'halted');
  const event = rig.events.findLast(({ name }) => name === 'laneHalted');
  assert.equal(event?.fields.code, code);
  assert.match(String(event?.fields.remedy), code === 'natsKeyUnreadable' ? /nkey/ : /resume/);
  return String(event?.fields.error);
}

function laneWith(server: NatsServer, login: Partial<NatsUpstreamConfig>): LaneRig {
  const rig = natsLane({ config: natsConfig(server.port, login) });
  rig.append(numbered(3));
  rig.start();
  return rig;
}

const key = createNkey();
const stranger = createNkey();
const logins: readonly {
  readonly name: string;
  readonly lines: readonly string[];
  readonly good: Partial<NatsUpstreamConfig>;
  readonly bad: Partial<NatsUpstreamConfig>;
}[] = [
  {
    name: 'user and password',
    lines: ['authorization { users: [{ user: gw1, password: secret }] }'],
    good: { username: 'gw1', password: 'secret' },
    bad: { username: 'gw1', password: 'wrong' },
  },
  {
    name: 'a token',
    lines: ['authorization { token: t0ken }'],
    good: { token: 't0ken' },
    bad: { token: 'wrong' },
  },
  {
    name: 'an nkey',
    lines: [`authorization { users: [{ nkey: ${key.publicKey} }] }`],
    good: { nkey: fileOf('good.nk', `${key.seed}\n`) },
    bad: { nkey: fileOf('bad.nk', `${stranger.seed}\n`) },
  },
];

for (const { name, lines, good, bad } of logins) {
  test(`${name}: the right one is let in, a wrong one and none halt the lane`, async () => {
    const server = await serverOf({ lines });
    for (const login of [bad, {}]) {
      assert.match(await haltedWith(laneWith(server, login), 'upstreamUnauthorized'), /nats:/);
    }
    const rig = natsLane({ config: natsConfig(server.port, { ...good, jetstream: false }) });
    rig.append(numbered(3));
    rig.start();
    await rig.settledAll();
    assert.equal(rig.outcomes.confirmed, 3);
  });
}

test('a .creds file lets in, also a mended one after resume; one of a stranger halts', async () => {
  const mode = operatorMode();
  const server = await serverOf({ lines: mode.lines, jetstream: false });
  const creds = fileOf('gw1.creds', mode.credsOf('stranger'));
  const rig = laneWith(server, { creds, jetstream: false });
  await haltedWith(rig, 'upstreamUnauthorized');
  writeFileSync(creds, mode.credsOf('known'));
  rig.forwarder.resume();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 3);
});

test('a key file that is not there halts, and is read at the next connect', async () => {
  const [, , nkey] = logins;
  const server = await serverOf({ lines: nkey?.lines ?? [] });
  const path = join(folder, 'later.nk');
  const rig = laneWith(server, { nkey: path, jetstream: false });
  assert.match(await haltedWith(rig, 'natsKeyUnreadable'), /later\.nk/);
  writeFileSync(path, `${key.seed}`);
  rig.forwarder.resume();
  await rig.settledAll();
});

test('TLS: a CA that is named is trusted, another is not; the certificate lets in', async () => {
  const ca = new Authority(folder);
  const other = new Authority(folder, 'other');
  const own = ca.sign('server', { altNames: 'IP:127.0.0.1' });
  const client = ca.sign('gw1', { commonName: 'gw1' });
  const lines = [
    `tls { cert_file: "${own.certificate}", key_file: "${own.key}"`,
    `ca_file: "${ca.certificate}", verify: true }`,
  ];
  const server = await serverOf({ lines });
  const tls: ClientTls = { ca: ca.certificate, certificate: null, key: null, serverName: null };
  const servers = [{ host: '127.0.0.1', port: server.port, tls: true }];
  const lane = (more: Partial<ClientTls>) =>
    laneWith(server, { servers, tls: { ...tls, ...more }, jetstream: false });
  const told = async (rig: LaneRig) => {
    await waitFor(() => rig.events.some(({ name }) => name === 'laneRetrying'));
    return rig.events.find(({ name }) => name === 'laneRetrying')?.fields.code;
  };
  assert.equal(await told(lane({ ...client, ca: other.certificate })), 'tlsUnknownCa');
  assert.equal(await told(lane({ ...client, serverName: 'elsewhere' })), 'tlsWrongName');
  assert.equal(await told(lane({})), 'tlsTurnedAway');
  const rig = lane(client);
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 3);
});

const admin = { user: 'admin', pass: 'admin' };
const users = (allowed: string) => [
  'authorization { users: [',
  '  { user: admin, password: admin }',
  `  { user: gw1, password: p, permissions: { publish: [${allowed}], subscribe: "_INBOX.>" } }`,
  '] }',
];

test('a subject that may not be published halts; all goes on in order once it may', async () => {
  const server = await serverOf({ lines: users('"open.>"') });
  const streams = await Streams.of(server, admin);
  await streams.make(['open.>', 'closed.>']);
  const config = natsConfig(server.port, { username: 'gw1', password: 'p' });
  const rig = natsLane({ config, target: { topic: '{device}.x' } });
  rig.append([...numbered(3, 0, { device: 'open' }), frameOf({ device: 'closed', value: '3' })]);
  rig.append(numbered(3, 4, { device: 'open' }));
  rig.start();
  assert.match(await haltedWith(rig, 'upstreamUnauthorized'), /publish closed\.x/);
  // Not mended: it halts again.
  rig.forwarder.resume();
  await waitFor(() => rig.states.at(-1) !== 'halted');
  await haltedWith(rig, 'upstreamUnauthorized');
  await server.kill();
  await server.start(users('"open.>", "closed.>"'));
  rig.forwarder.resume();
  await rig.settledAll();
  const again = await Streams.of(server, admin);
  const stored = (await again.values()).map(Number);
  assert.deepEqual(
    stored.toSorted((a, b) => a - b),
    texts(7).map(Number),
  );
  const open = stored.filter((value) => value !== 3);
  assert.deepEqual(
    open,
    open.toSorted((a, b) => a - b),
    'a device in its order',
  );
});

test('without the right to an inbox the lane halts: nothing would ever be confirmed', async () => {
  const lines = ['authorization { users: [{ user: gw1, password: p'];
  lines.push('permissions: { publish: ">", subscribe: { deny: ">" } } }] }');
  const server = await serverOf({ lines });
  const rig = laneWith(server, { username: 'gw1', password: 'p' });
  assert.match(await haltedWith(rig, 'upstreamUnauthorized'), /subscription _INBOX/);
});

test('at-most-once: what may not be published is told as lost, and the lane halts', async () => {
  const server = await serverOf({ lines: users('"open.>"') });
  const config = natsConfig(server.port, { username: 'gw1', password: 'p', jetstream: false });
  const rig = natsLane({ config, target: { topic: '{device}.x' }, once: true });
  rig.append([frameOf({ device: 'closed' }), frameOf({ device: 'open' })]);
  rig.start();
  await haltedWith(rig, 'upstreamUnauthorized');
  await waitFor(() => rig.events.some(({ fields }) => fields.lostRecords === 1));
});

test('a log-in that the server takes back is tried again, and halts if it is refused', async () => {
  const server = await serverOf({ lines: logins[0]?.lines ?? [] });
  const wire = await NatsWire.to(server);
  const login = { username: 'gw1', password: 'secret', jetstream: false };
  const rig = natsLane({ config: natsConfig(wire.port, login) });
  rig.append(numbered(1));
  rig.start();
  await rig.settledAll();
  await server.kill();
  await server.start(['authorization { users: [{ user: gw1, password: other }] }']);
  await haltedWith(rig, 'upstreamUnauthorized');
  rig.append(numbered(1, 1));
  await sleep(20);
  assert.equal(rig.settled, 1);
});
