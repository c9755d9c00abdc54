/**
 * TLS of a client as promised: the other side must be who it says, a connection that fails because
 * of TLS names the reason, and our own certificate is read at each connect.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { type AddressInfo, createServer as createPlain, type Server as Plain } from 'node:net';
import { test } from 'node:test';
import { clientTlsOptions, tlsFault } from '../agent/tls.ts';
import {
  ca,
  closing,
  fault,
  here,
  nothing,
  replace,
  serve,
  shutOut,
  stranger,
  talk,
  trusting,
} from './support/tls-rig.ts';

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

test('without a CA of its own a client trusts whom the system trusts', async () => {
  const { port } = await serve(ca.sign('public', { altNames: here }));
  const client = `
    const { clientTlsOptions } = await import(process.argv[1]);
    const { connect } = await import('node:tls');
    const none = { ca: null, certificate: null, key: null, serverName: null };
    const options = clientTlsOptions(none, '127.0.0.1');
    const socket = connect({ ...options, host: '127.0.0.1', port: Number(process.argv[2]) });
    socket.on('secureConnect', () => process.exit(0)).on('error', () => process.exit(1));`;
  const module = new URL('../agent/tls.ts', import.meta.url).href;
  const exitWith = async (trusted: string) => {
    const args = ['--input-type=module', '-e', client, module, String(port)];
    const env = { ...process.env, SSL_CERT_FILE: trusted, SSL_CERT_DIR: '/none' };
    const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
    return (await once(child, 'exit'))[0];
  };
  assert.equal(await exitWith(ca.certificate), 0);
  assert.equal(await exitWith(stranger.certificate), 1);
});

test('the name that is checked may be said in the config, and is told the other side', async () => {
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
