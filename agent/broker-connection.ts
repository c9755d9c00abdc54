/**
 * Connections to the broker behind a listener, over TCP or TLS. Files of TLS are read each time, so
 * that a renewed one is taken; nothing here throws, since a device's CONNECT asks for it.
 */
import { connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { ClientTls, MqttUrl } from './config/types.ts';
import { messageOf, TidegateError } from './errors.ts';
import { clientTlsOptions, tlsFault } from './tls.ts';

/** A file that cannot be read comes as an error of the stream, as a refused connection does. */
export function connectBroker({ host, port, tls }: MqttUrl, brokerTls: ClientTls): Duplex {
  const address = { host, port, noDelay: true, keepAlive: true };
  try {
    return tls
      ? connectTls({ ...address, ...clientTlsOptions(brokerTls, host) })
      : connectTcp(address);
  } catch (error) {
    const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    setImmediate(() => stream.destroy(error as Error));
    return stream;
  }
}

/** What an error of such a connection means; of the embedded broker: null. */
export function brokerFault(error: Error, behind: MqttUrl | null): TidegateError {
  if (error instanceof TidegateError) return error;
  const where = behind === null ? 'embedded broker' : `${behind.host}:${behind.port}`;
  const fault = behind?.tls === true ? tlsFault(error, where) : null;
  return fault ?? new TidegateError('brokerUnreachable', `${where}: ${messageOf(error)}`);
}
