/**
 * TLS of a server as promised: certificates are taken again when their files change, what is bad
 * leaves the old ones in place and is said with its remedy, and clients are asked who they are.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import type { ClientTls, ServerTls } from '../agent/config/types.ts';
import { TidegateError } from '../agent/errors.ts';
import { clientTlsOptions, serverTlsOptions } from '../agent/tls.ts';
import {
  ca,
  fault,
  folder,
  here,
  lookEveryMs,
  replace,
  serve,
  shutOut,
  stranger,
  talk,
  trusting,
} from './support/tls-rig.ts';

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
