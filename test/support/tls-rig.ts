/**
 * TLS servers and clients for tests of agent/tls.ts: real sockets, certificates of two authorities,
 * and the events that were told.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type Server,
  type TLSSocket,
} from 'node:tls';
import type { ClientTls, ServerTls } from '../../agent/config/types.ts';
import type { EventName, Fields } from '../../agent/events.ts';
import { clientTlsOptions, serverTlsOptions, tlsFault, watchServerTls } from '../../agent/tls.ts';
import { Authority, type CertificateFiles } from './certificates.ts';

export const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
export const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

export const ca = new Authority(folder);
export const stranger = new Authority(folder, 'stranger');
export const here = 'DNS:localhost,IP:127.0.0.1';
export const lookEveryMs = 20;
export const nothing: ClientTls = { ca: null, certificate: null, key: null, serverName: null };
export const trusting: ClientTls = { ...nothing, ca: ca.certificate };

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

export async function serve(files: CertificateFiles, more: Partial<ServerTls> = {}): Promise<Rig> {
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

export async function talk(
  port: number,
  options: ConnectionOptions,
  host = '127.0.0.1',
): Promise<Talk> {
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

export async function fault(port: number, tls: ClientTls, host = '127.0.0.1'): Promise<string> {
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
export async function shutOut(port: number, options: ConnectionOptions): Promise<boolean> {
  return await talk(port, options).then(
    ({ said }) => said === '',
    () => true,
  );
}

export function replace(files: CertificateFiles, by: CertificateFiles): void {
  for (const key of ['certificate', 'key'] as const) {
    copyFileSync(by[key], `${files[key]}.new`);
    renameSync(`${files[key]}.new`, files[key]);
  }
}
