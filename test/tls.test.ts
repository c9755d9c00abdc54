/**
 * TLS as promised: certificates are taken again when their files change, what is bad leaves the old
 * ones in place and is said with its remedy, and a connection that fails because of TLS says why.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createPlain, type Server as Plain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type Server,
  type TLSSocket,
} from 'node:tls';
import type { ClientTls, ServerTls } from '../agent/config/types.ts';
import { TidegateError } from '../agent/errors.ts';
import type { EventName, Fields } from '../agent/events.ts';
import { clientTlsOptions, serverTlsOptions, tlsFault, watchServerTls } from '../agent/tls.ts';
import { Authority, type CertificateFiles } from './support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

const ca = new Authority(folder);
const stranger = new Authority(folder, 'stranger');
const here = 'DNS:localhost,IP:127.0.0.1';
const lookEveryMs = 20;
const nothing: ClientTls = { ca: null, certificate: null, key: null, serverName: null };
const trusting: ClientTls = { ...nothing, ca: ca.certificate };

interface Told {
  readonly name: EventName;
  readonly fields: Fields;
}

interface Rig {
  readonly server: Server;
  readonly port: number;
  readonly told: Told[];
  readonly heard: (name: EventName) => Promise<Fields>;
}

async function serve(files: CertificateFiles, more: Partial<ServerTls> = {}): Promise<Rig> {
  const tls: ServerTls = { ...files, clientCa: null, requireClient: false, ...more };
  const server = createServer(serverTlsOptions(tls), (socket) => {
    socket.on('error', () => {});
    socket.end(socket.authorized ? 'known' : 'unknown');
  });
  const told: Told[] = [];
  const watch = watchServerTls(
    server,
    tls,
    (name, fields = {}) => told.push({ name, fields }),
    lookEveryMs,
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    watch.close();
    server.close();
  });
  const heard = async (name: EventName): Promise<Fields> => {
    for (let waited = 0; waited < 5_000; waited += 5) {
      const at = told.findIndex((event) => event.name === name);
      if (at >= 0) return told.splice(at, 1)[0]?.fields ?? {};
      await new Promise((wake) => setTimeout(wake, 5));
    }
    throw new Error(`${name} was not reported: ${JSON.stringify(told)}`);
  };
  return { server, port: (server.address() as AddressInfo).port, told, heard };
}

interface Talk {
  readonly serial: string;
  readonly said: string;
}

async function talk(port: number, options: ConnectionOptions, host = '127.0.0.1'): Promise<Talk> {
  const socket: TLSSocket = connect({ ...options, host, port });
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  await once(socket, 'secureConnect');
  const serial = socket.getPeerCertificate().serialNumber;
  await once(socket, 'end');
  return { serial, said };
}

async function fault(port: number, tls: ClientTls, host = '127.0.0.1'): Promise<string> {
  const error = await talk(port, clientTlsOptions(tls, host), host).then(
    () => assert.fail('it connected'),
    (failed: unknown) => failed,
  );
  const found = tlsFault(new Error('outer', { cause: error }), 'there');
  assert.ok(found, String(error));
  assert.match(found.message, /^there: /);
  return found.code;
}

/** Node ends a connection whose certificate it refuses without an alert. */
async function shutOut(port: number, options: ConnectionOptions): Promise<boolean> {
  return await talk(port, options).then(
    ({ said }) => said === '',
    () => true,
  );
}

function replace(files: CertificateFiles, by: CertificateFiles): void {
  for (const key of ['certificate', 'key'] as const) {
    copyFileSync(by[key], `${files[key]}.new`);
    renameSync(`${files[key]}.new`, files[key]);
  }
}

test('a renewed certificate is taken without a restart, also by an atomic rename', async () => {
  const files = ca.sign('renewed', { altNames: here });
  const { port, heard } = await serve(files);
  const options = () => clientTlsOptions(trusting, '127.0.0.1');
  const before = await talk(port, options());
  replace(files, ca.sign('renewed-next', { altNames: here }));
  assert.equal((await heard('tlsReloaded')).file, files.certificate);
  const next = await talk(port, options());
  assert.notEqual(next.serial, before.serial);
  ca.sign('renewed', { altNames: here });
  await heard('tlsReloaded');
  assert.notEqual((await talk(port, options())).serial, next.serial);
});

test('a bad certificate is said with its remedy, the old one stays until a good one', async () => {
  const files = ca.sign('steady', { altNames: here });
  const { port, heard } = await serve(files);
  const serial = async () => (await talk(port, clientTlsOptions(trusting, '127.0.0.1'))).serial;
  const before = await serial();
  const bad: [RegExp, () => void][] = [
    [/is not the key of/, () => copyFileSync(ca.sign('other').key, files.key)],
    [/holds no PEM certificate/, () => writeFileSync(files.certificate, 'no certificate')],
    [/cannot be read \(ENOENT\)/, () => rmSync(files.certificate)],
    [/ended on/, () => replace(files, ca.sign('ended', { altNames: here, days: -1 }))],
  ];
  for (const [reason, change] of bad) {
    change();
    const fields = await heard('tlsRefused');
    assert.match(String(fields.reason), reason);
    assert.match(String(fields.remedy), /PEM/);
    assert.equal(await serial(), before);
  }
  replace(files, ca.sign('mended', { altNames: here }));
  await heard('tlsReloaded');
  assert.notEqual(await serial(), before);
});

test('at the start a file that cannot serve is named with its key', () => {
  const good = ca.sign('named');
  const tls = { ...good, clientCa: null, requireClient: false };
  const garbage = join(folder, 'garbage.pem');
  writeFileSync(garbage, 'x');
  const cases: [Partial<ServerTls>, string, RegExp][] = [
    [{ key: '/none/k.pem' }, 'tlsFileUnreadable', /^tls\.key: \/none\/k\.pem .*ENOENT/],
    [{ certificate: garbage }, 'tlsFileInvalid', /^tls\.certificate: .*garbage\.pem/],
    [{ key: garbage }, 'tlsFileInvalid', /^tls\.key: .*garbage\.pem is no private key/],
    [{ key: ca.sign('named-2').key }, 'tlsFileInvalid', /^tls\.key: .* is not the key of/],
    [{ clientCa: garbage }, 'tlsFileInvalid', /^tls\.clientCa: .*garbage\.pem holds no PEM/],
  ];
  for (const [change, code, message] of cases) {
    assert.throws(
      () => serverTlsOptions({ ...tls, ...change }),
      (error) => {
        assert.ok(error instanceof TidegateError);
        assert.deepEqual([error.code, error.exit], [code, 78]);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

test('clients without a certificate of the CA are turned away where one is required', async () => {
  const server = ca.sign('strict', { altNames: here });
  const { port, heard } = await serve(server, { clientCa: ca.certificate, requireClient: true });
  const known = { ...trusting, ...ca.sign('device') };
  assert.equal((await talk(port, clientTlsOptions(known, '127.0.0.1'))).said, 'known');
  assert.equal(await fault(port, trusting), 'tlsTurnedAway');
  assert.match(String((await heard('connectionRefused')).reason), /^tls ERR_SSL_/);
  const thief = clientTlsOptions({ ...trusting, ...stranger.sign('thief') }, '127.0.0.1');
  assert.ok(await shutOut(port, thief));
  assert.match(String((await heard('connectionRefused')).reason), /^tls .*VERIFY_LEAF/);
});

test('where a certificate is only asked for, a bad one counts as none', async () => {
  const files = ca.sign('asking', { altNames: here });
  const { port } = await serve(files, { clientCa: ca.certificate });
  const says = async (tls: ClientTls) =>
    (await talk(port, clientTlsOptions(tls, '127.0.0.1'))).said;
  assert.equal(await says({ ...trusting, ...ca.sign('polite') }), 'known');
  assert.equal(await says(trusting), 'unknown');
  assert.equal(await says({ ...trusting, ...stranger.sign('foreign') }), 'unknown');
});

test('a client CA that is replaced shuts those out whom only the old one knew', async () => {
  const clientCa = join(folder, 'clients.pem');
  copyFileSync(ca.certificate, clientCa);
  const files = ca.sign('turning', { altNames: here });
  const { port, heard } = await serve(files, { clientCa, requireClient: true });
  const device = { ...trusting, ...ca.sign('old-device') };
  const options = clientTlsOptions(device, '127.0.0.1');
  const socket = connect({ ...options, host: '127.0.0.1', port });
  socket.resume();
  const [session] = (await once(socket, 'session')) as [Buffer];
  copyFileSync(stranger.certificate, clientCa);
  await heard('tlsReloaded');
  assert.ok(await shutOut(port, options));
  assert.ok(await shutOut(port, { ...options, session }), 'a ticket outlived the CA');
});

test('TLS 1.1 is refused', async () => {
  const { port } = await serve(ca.sign('modern', { altNames: here }));
  const old = {
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  } as const;
  const options = clientTlsOptions(trusting, '127.0.0.1');
  await assert.rejects(talk(port, { ...options, ...old }), /alert|protocol/i);
  assert.equal(options.minVersion, 'TLSv1.2');
});

test('the end of a certificate is said two weeks ahead, once a day', async () => {
  const soon = await serve(ca.sign('soon', { altNames: here, days: 13 }));
  const { days, file } = await soon.heard('tlsExpiring');
  assert.deepEqual([days, file], [12, join(folder, 'soon.pem')]);
  await new Promise((wake) => setTimeout(wake, 5 * lookEveryMs));
  assert.deepEqual(soon.told, []);
  const ended = await serve(ca.sign('over', { altNames: here, days: -1 }));
  await ended.heard('tlsExpired');
  const { told } = await serve(ca.sign('later', { altNames: here, days: 15 }));
  assert.deepEqual(told, []);
});

test('a connection that fails because of TLS names the reason', async () => {
  const good = await serve(ca.sign('right', { altNames: here }));
  assert.equal(await fault(good.port, nothing), 'tlsUnknownCa');
  assert.equal(await fault(good.port, { ...trusting, ca: stranger.certificate }), 'tlsUnknownCa');
  assert.equal(await fault(good.port, { ...trusting, serverName: 'else.example' }), 'tlsWrongName');
  const elsewhere = await serve(ca.sign('elsewhere', { altNames: 'DNS:kafka.example' }));
  assert.equal(await fault(elsewhere.port, trusting), 'tlsWrongName');
  const ended = await serve(ca.sign('gone', { altNames: here, days: -1 }));
  assert.equal(await fault(ended.port, trusting), 'tlsExpired');
  const plain: Plain = createPlain((socket) => {
    socket.on('error', () => {});
    socket.end('no TLS here, but more bytes than one record has');
  });
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  closing.push(() => plain.close());
  assert.equal(await fault((plain.address() as AddressInfo).port, trusting), 'tlsNotSpoken');
  assert.equal(tlsFault(new Error('ECONNREFUSED'), 'there'), null);
});

test('the name that is checked may be said in the config, and is told to the other side', async () => {
  const { server, port } = await serve(ca.sign('by-name', { altNames: 'DNS:kafka.example' }));
  const names: (string | false | null)[] = [];
  server.prependListener('secureConnection', (socket) => names.push(socket.servername));
  const named = { ...trusting, serverName: 'kafka.example' };
  await talk(port, clientTlsOptions(named, '127.0.0.1'));
  const here2 = await serve(ca.sign('by-address', { altNames: 'IP:127.0.0.1,DNS:localhost' }));
  here2.server.prependListener('secureConnection', (socket) => names.push(socket.servername));
  await talk(here2.port, clientTlsOptions({ ...trusting, serverName: '127.0.0.1' }, 'localhost'));
  await talk(here2.port, clientTlsOptions(trusting, 'localhost.'));
  assert.deepEqual(names, ['kafka.example', false, 'localhost']);
});

test('our own certificate is read at each connect', async () => {
  const files = ca.sign('acceptor', { altNames: here });
  const { port } = await serve(files, { clientCa: ca.certificate, requireClient: true });
  const own = stranger.sign('ours');
  const options = () => clientTlsOptions({ ...trusting, ...own }, '127.0.0.1');
  assert.ok(await shutOut(port, options()));
  replace(own, ca.sign('ours-renewed'));
  assert.equal((await talk(port, options())).said, 'known');
  rmSync(own.key);
  assert.throws(options, /tls\.key: .*ENOENT/);
});
