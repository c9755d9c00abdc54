/**
 * Keys that several parts share because they are about a connection: TLS of a server and of a
 * client, who we are to the other side, a named object of keys.
 *
 * Certificates and keys are paths: the files are read at each use, so that a renewed one is taken
 * without a restart. Secrets are values, best written as a reference (`${NAME}`, `file:PATH`).
 */
import * as v from 'valibot';
import { flag, noted, text } from './scalars.ts';

const cold = 'cold';
const path = { pattern: /^[^\0]+$/, wrong: 'is not a path', remedy: 'Write a path of a file.' };
const notEmpty = { pattern: /^[\s\S]+$/, wrong: 'is empty', remedy: 'Write a value.' };

export function object<T extends v.ObjectEntries>(prose: string, entries: T) {
  return v.pipe(v.strictObject(entries), noted({ description: prose }));
}

function pemFile(prose: string) {
  return text({ prose, change: cold }, path);
}

export const serverTls = object('TLS towards those who connect.', {
  certificate: pemFile('PEM file: the certificate, then its chain. Read again when it changes.'),
  key: pemFile('PEM file: the private key.'),
  clientCa: v.optional(pemFile('PEM file: who signs the certificates of clients.')),
  requireClient: v.optional(
    flag({ prose: 'Refuse clients without a certificate. Needs clientCa.', change: cold }),
    false,
  ),
});

export const clientTls = object('TLS towards the other side.', {
  ca: v.optional(pemFile('PEM file: who signs its certificate. Default: what the system trusts.')),
  certificate: v.optional(pemFile('PEM file: our certificate, where the other side asks for it.')),
  key: v.optional(pemFile('PEM file: the private key of our certificate.')),
  serverName: v.optional(
    text({ prose: 'Name its certificate must have. Default: its host.', change: cold }, notEmpty),
  ),
});

/** Who we are to an MQTT server. */
export const credentials = {
  username: v.optional(text({ prose: 'User Name of CONNECT.', change: cold }, notEmpty)),
  password: v.optional(
    text({ prose: 'Password of CONNECT; best as a reference.', change: cold }, notEmpty),
  ),
  clientId: v.optional(
    text(
      { prose: 'Client Identifier. Default: made of the gateway and this name.', change: cold },
      notEmpty,
    ),
  ),
  tls: v.optional(clientTls),
  insecure: v.optional(
    flag({ prose: 'Plain text to an address that is not on this machine.', change: cold }),
    false,
  ),
};
