/**
 * A Kafka with every way in that the agent knows, on one process: TLS, TLS that asks for our
 * certificate, and SASL over TLS with PLAIN, SCRAM and OAUTHBEARER (unsigned tokens, as Kafka's own
 * validator for development takes them). The plain listener stays, to read back what arrived.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority } from './certificates.ts';
import type { KafkaOptions } from './kafka.ts';

const security = 'org.apache.kafka.common.security';
export const user = { username: 'anna', password: 'hush-1' } as const;
/** What a log-in by SCRAM-SHA-512 may last here. */
export const sessionMs = 2_000;

const quoted = (text: string) => `"${text.replaceAll('"', '\\"')}"`;
/** Backslashes are the file's own escapes. */
const inProperties = (text: string) => text.replaceAll('\\', '\\\\');

export function secureKafka(folder: string, ca: Authority): KafkaOptions {
  const server = ca.sign('kafka', { altNames: 'DNS:kafka.test,IP:127.0.0.1' });
  const store = join(folder, 'kafka-store.pem');
  writeFileSync(store, readFileSync(server.key, 'utf8') + readFileSync(server.certificate, 'utf8'));
  const tls = {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': store,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': ca.certificate,
  };
  const { username, password } = user;
  const plain = `${security}.plain.PlainLoginModule required ${quoted(`user_${username}`)}=`;
  const token = `${security}.oauthbearer.OAuthBearerLoginModule required`;
  return {
    listeners: {
      TLS: { protocol: 'SSL', properties: tls },
      MUTUAL: { protocol: 'SSL', properties: { ...tls, 'ssl.client.auth': 'required' } },
      LOGIN: {
        protocol: 'SASL_SSL',
        properties: {
          ...tls,
          'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
          'plain.sasl.jaas.config': inProperties(`${plain}${quoted(password)};`),
          'scram-sha-256.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
          'scram-sha-512.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
          'scram-sha-512.connections.max.reauth.ms': String(sessionMs),
          'oauthbearer.sasl.jaas.config': `${token} unsecuredLoginStringClaim_sub="kafka";`,
        },
      },
    },
    format: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
      '--add-scram',
      `${mechanism}=[name=${quoted(username)},password=${quoted(password)}]`,
    ]),
  };
}

/** An unsigned JWT. @param seconds until it ends */
export function tokenFor(subject: string, seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const iat = Math.floor(Date.now() / 1_000) - 60;
  const exp = iat + 60 + seconds;
  return `${part({ alg: 'none' })}.${part({ sub: subject, iat, exp })}.`;
}
