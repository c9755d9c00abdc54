/**
 * Log-in: who is admitted as which device, by password file and by certificate; that a flood of
 * log-ins is bounded, costs known devices nothing, and learns nothing of who exists.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import fc from 'fast-check';
import type { EventName, Fields } from '../agent/events.ts';
import {
  type CertificateNames,
  certificateNames,
  Login,
  type LoginAnswer,
  type LoginRequest,
  readAltNames,
} from '../agent/ingress/login.ts';
import { type CheckBounds, PasswordCheck } from '../agent/ingress/password-check.ts';
import { writeUser } from '../agent/ingress/password-file.ts';
import { clientTlsOptions, serverTlsOptions } from '../agent/tls.ts';
import { Authority, type CertificateSpec } from './support/certificates.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`login seed ${seed}`);
fc.configureGlobal({ seed });

const folder = mkdtempSync(join(tmpdir(), 'tidegate-login-'));
const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

const cheap = { ln: 4, r: 1, p: 1 };
const lookEveryMs = 10;
const wide: CheckBounds = { computing: 2, waiting: 64, remembered: 100, rememberedMs: 60_000 };
let files = 0;

const bytes = (text: string) => Buffer.from(text);
const request = (given: Partial<LoginRequest>): LoginRequest => ({
  clientId: 'c1',
  username: null,
  password: null,
  certificate: null,
  ...given,
});

async function fileOf(users: Readonly<Record<string, string>>): Promise<string> {
  const file = join(folder, `users-${files++}`);
  const lines = ['# users', ''];
  for (const [name, secret] of Object.entries(users)) {
    lines.push(await writeUser(name, bytes(secret), cheap));
  }
  writeFileSync(file, lines.join('\n'));
  return file;
}

interface Rig {
  readonly login: Login;
  readonly told: { name: EventName; fields: Fields }[];
}

function rig(
  identity: 'clientId' | 'username' | 'certificate',
  users: string | null,
  given: CheckBounds = wide,
): Rig {
  const told: Rig['told'] = [];
  const report = (name: EventName, fields: Fields = {}) => told.push({ name, fields });
  const login = Login.of({ identity, users }, report, new PasswordCheck(given), lookEveryMs);
  closing.push(() => login.close());
  return { login, told };
}

const refusal = (answer: LoginAnswer) =>
  answer.admitted ? answer : [answer.reason, answer.reasonCode, answer.returnCode];
const badPassword = ['badUserNameOrPassword', 0x86, 4];

test('without users everyone is admitted as the Client Identifier says, at once', () => {
  const { login } = rig('clientId', null);
  assert.deepEqual(login.answer(request({ clientId: 'pump' })), { admitted: true, device: 'pump' });
  assert.deepEqual(login.answer(request({ clientId: '' })), { admitted: true, device: '' });
});

test('with users the User Name and its Password must be right, and may be the device', async () => {
  const file = await fileOf({ anna: 'hush', bert: 'other' });
  const good = { username: 'anna', password: bytes('hush') };
  assert.deepEqual(await rig('clientId', file).login.answer(request(good)), {
    admitted: true,
    device: 'c1',
  });
  const { login } = rig('username', file);
  assert.deepEqual(await login.answer(request(good)), { admitted: true, device: 'anna' });
  const bad: Partial<LoginRequest>[] = [
    {},
    { username: 'anna' },
    { password: bytes('hush') },
    { username: '', password: bytes('hush') },
    { username: 'anna', password: bytes('hush ') },
    { username: 'anna', password: bytes('') },
    { username: 'anna', password: bytes('other') },
    { username: 'nobody', password: bytes('hush') },
    { username: 'constructor', password: bytes('hush') },
  ];
  for (const each of bad) {
    assert.deepEqual(refusal(await login.answer(request(each))), badPassword, JSON.stringify(each));
  }
});

test('a Password is taken as it was, whatever becomes of its bytes meanwhile', async () => {
  const file = await fileOf({ anna: 'hush' });
  const { login } = rig('username', file, { ...wide, computing: 1 });
  const chunk = bytes('hush');
  const password = chunk.subarray();
  const answers = [1, 2].map(() => login.answer(request({ username: 'anna', password })));
  chunk.fill(0);
  for (const answer of answers) assert.ok((await answer).admitted);
});

test('a changed password file counts at once, also for who was remembered', async () => {
  const file = await fileOf({ anna: 'hush', bert: 'other' });
  const { login, told } = rig('username', file);
  const good = request({ username: 'anna', password: bytes('hush') });
  await login.answer(good);
  const change = async (text: string, event: EventName) => {
    told.length = 0;
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
    while (told.every(({ name }) => name !== event))
      await new Promise((wake) => setTimeout(wake, 5));
    return told[0]?.fields;
  };
  const bad = await change('anna:nonsense\n', 'usersRefused');
  assert.match(String(bad?.reason), /users-\d+:1: behind the name stands no \$scrypt/);
  assert.match(String(bad?.remedy), /tidegate password/);
  assert.ok('admitted' in login.answer(good), 'the old users stay, remembered');
  await change(await writeUser('anna', bytes('new'), cheap), 'usersReloaded');
  assert.deepEqual(refusal(await login.answer(good)), badPassword);
  const changed = request({ username: 'anna', password: bytes('new') });
  assert.ok((await login.answer(changed)).admitted);
  await change('# nobody\n', 'usersReloaded');
  assert.deepEqual(refusal(await login.answer(changed)), badPassword);
});

test('a log-in that is refused as busy says so: 0x89, or Server unavailable', async () => {
  const file = await fileOf({ anna: 'hush' });
  const { login } = rig('username', file, { ...wide, computing: 1, waiting: 0 });
  const first = login.answer(request({ username: 'anna', password: bytes('hush') }));
  const second = login.answer(request({ username: 'anna', password: bytes('hush') }));
  assert.deepEqual(refusal(second as LoginAnswer), ['loginBusy', 0x89, 3]);
  assert.ok((await first).admitted);
});

test('a password file that is not there is named at the start', () => {
  const missing = join(folder, 'none');
  const report = () => {};
  const open = () => Login.of({ identity: 'username', users: missing }, report);
  assert.throws(open, /users: .*none cannot be read \(ENOENT\)/);
});

const ca = new Authority(folder);
const stranger = new Authority(folder, 'stranger');
const server = ca.sign('server', { altNames: 'IP:127.0.0.1' });

async function namesOf(spec: CertificateSpec | null, authority = ca) {
  const tls = { ...server, clientCa: ca.certificate, requireClient: false };
  const listening = createServer(serverTlsOptions(tls));
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const own = spec === null ? { certificate: null, key: null } : authority.sign('client', spec);
  const options = clientTlsOptions({ ca: ca.certificate, serverName: null, ...own }, '127.0.0.1');
  const { port } = listening.address() as AddressInfo;
  const accepted = once(listening, 'secureConnection') as Promise<[TLSSocket]>;
  const socket = connect({ ...options, host: '127.0.0.1', port });
  socket.on('error', () => {});
  const names = certificateNames((await accepted)[0]);
  socket.destroy();
  listening.close();
  return names;
}

test('a certificate names a device by CN, else by the first DNS, URI or e-mail name', async () => {
  const { login } = rig('certificate', null);
  const altNames = 'IP:10.0.0.1,URI:urn:dev:7,DNS:pump-7.example,email:pump@example.org';
  const both = await namesOf({ commonName: 'pump-7', altNames });
  assert.deepEqual(both, {
    commonName: 'pump-7',
    altNames: ['urn:dev:7', 'pump-7.example', 'pump@example.org'],
  });
  const device = (certificate: CertificateNames | null) => {
    const answer = login.answer(request({ certificate }));
    assert.ok('admitted' in answer);
    return answer.admitted ? answer.device : refusal(answer);
  };
  const notAuthorized = ['noNameInCertificate', 0x87, 5];
  assert.equal(device(both), 'pump-7');
  assert.equal(device(await namesOf({ altNames })), 'urn:dev:7');
  assert.deepEqual(device(await namesOf({})), notAuthorized);
  assert.deepEqual(device(await namesOf({ commonName: 'a/CN=b' })), notAuthorized);
  assert.deepEqual(device({ commonName: 'a\u0000b', altNames: [] }), notAuthorized);
  assert.equal(await namesOf(null), null);
  assert.equal(await namesOf({ commonName: 'pump-7' }, stranger), null, 'it was not verified');
});

test('no name of a certificate passes for two', async () => {
  const names = await namesOf({ altNames: 'URI:urn:a' });
  assert.deepEqual(names?.altNames, ['urn:a']);
  const quoted = 'URI:"http://a/, DNS:evil", DNS:good, othername:<unsupported>, email:"a\\"b"';
  assert.deepEqual(readAltNames(quoted), ['http://a/, DNS:evil', 'good', 'a"b']);
  assert.deepEqual(readAltNames('URI:"broken'), []);
  fc.assert(fc.property(fc.string(), (text) => void readAltNames(text)));
});
