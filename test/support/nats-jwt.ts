/**
 * Operator, account and user of a nats-server in operator mode, as its own tools would make them:
 * JWTs signed by nkeys (jwt v2 of nats-io), and the .creds file of a user.
 */
import { nkeys } from 'nats';

type Pair = ReturnType<typeof nkeys.createUser>;

const unlimited = -1;
const limits = { subs: unlimited, data: unlimited, payload: unlimited };

function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes).toString('base64url');
}

function sign(name: string, subject: Pair, issuer: Pair, nats: object): string {
  const header = { typ: 'JWT', alg: 'ed25519-nkey' };
  const claims = {
    jti: name,
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { ...nats, version: 2 },
  };
  const text = `${base64(JSON.stringify(header))}.${base64(JSON.stringify(claims))}`;
  return `${text}.${base64(issuer.sign(Buffer.from(text)))}`;
}

export interface OperatorMode {
  /** Of the server's config. */
  readonly lines: readonly string[];
  /** Of a new user of the account; `stranger`: of an account that the server does not know. */
  credsOf(kind: 'known' | 'stranger'): string;
}

export function operatorMode(): OperatorMode {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const stranger = nkeys.createAccount();
  const operatorJwt = sign('operator', operator, operator, { type: 'operator' });
  const accountLimits = { ...limits, imports: unlimited, exports: unlimited, wildcards: true };
  const accountJwt = sign('plant', account, operator, {
    type: 'account',
    limits: { ...accountLimits, conn: unlimited, leaf: unlimited },
  });
  return {
    lines: [
      `operator: ${operatorJwt}`,
      'resolver: MEMORY',
      `resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
    ],
    credsOf: (kind) => {
      const user = nkeys.createUser();
      const issuer = kind === 'known' ? account : stranger;
      const jwt = sign('gw1', user, issuer, { type: 'user', ...limits, pub: {}, sub: {} });
      const seed = Buffer.from(user.getSeed()).toString('latin1');
      return [
        `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`,
        `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
      ].join('\n');
    },
  };
}
