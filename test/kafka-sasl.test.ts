/**
 * SASL on our side of it, against a broker made of the RFCs' words: what SCRAM sends is right for
 * any name and password, and an answer that is not right is refused, never taken and never thrown
 * out of the connection. The real broker is in kafka-secure.test.ts.
 */
import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KafkaSasl } from '../agent/config/types.ts';
import { type Exchange, logIn } from '../agent/egress/kafka-sasl.ts';
import { TidegateError } from '../agent/errors.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`kafka-sasl seed ${seed}`);
fc.configureGlobal({ seed });

const hashes = { 'scram-sha-256': 'sha256', 'scram-sha-512': 'sha512' } as const;
type Mechanism = keyof typeof hashes;

interface Broker {
  readonly exchange: Exchange;
  /** Once the proof was right. */
  user: string | null;
}

/** The server's side of RFC 5802, section 3. @param bend changes what it says */
function scramBroker(
  mechanism: Mechanism,
  password: string,
  bend: (said: string, step: number) => string = (said) => said,
): Broker {
  const hash = hashes[mechanism];
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, 4_096, createHash(hash).digest().length, hash);
  const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
  let step = 0;
  let first = '';
  let answer = '';
  const broker: Broker = { user: null, exchange: async () => Buffer.alloc(0) };
  const say = (text: string) => Buffer.from(bend(text, step));
  const exchange: Exchange = async (bytes) => {
    step += 1;
    const text = bytes.toString();
    if (step === 1) {
      first = text.replace(/^n,,/, '');
      const nonce = /,r=(.*)$/.exec(first)?.[1];
      answer = `r=${nonce}more,s=${salt.toString('base64')},i=4096`;
      return say(answer);
    }
    const [, withoutProof = '', proof = ''] = /^(c=biws,r=[^,]*),p=(.*)$/.exec(text) ?? [];
    const messages = `${first},${answer},${withoutProof}`;
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(createHash(hash).update(clientKey).digest(), messages);
    const expected = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)));
    assert.equal(proof, expected.toString('base64'), 'the proof is right');
    const name = /^n=([^,]*),/.exec(first)?.[1] ?? '';
    broker.user = name.replaceAll('=2C', ',').replaceAll('=3D', '=');
    return say(`v=${hmac(hmac(salted, 'Server Key'), messages).toString('base64')}`);
  };
  return Object.assign(broker, { exchange });
}

const mechanisms = fc.constantFrom<Mechanism>('scram-sha-256', 'scram-sha-512');

test('SCRAM is right for every name and password', async () => {
  const text = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' });
  const names = fc.oneof(text, fc.constantFrom('a,b,c', 'a=b', '=2C', ',=,'));
  await fc.assert(
    fc.asyncProperty(mechanisms, names, text, async (mechanism, username, password) => {
      const broker = scramBroker(mechanism, password);
      await logIn({ mechanism, username, password }, broker.exchange);
      assert.equal(broker.user, username);
    }),
    { numRuns: 100 },
  );
});

async function refusalOf(sasl: KafkaSasl, exchange: Exchange): Promise<TidegateError> {
  const error = await logIn(sasl, exchange).then(
    () => assert.fail('it logged in'),
    (failed: unknown) => failed,
  );
  assert.ok(error instanceof TidegateError, String(error));
  return error;
}

test('a broker that says anything but what SCRAM says is refused', async () => {
  const mechanism = 'scram-sha-256';
  const sasl = { mechanism, username: 'u', password: 'p' } as const;
  const bends: [number, (said: string) => string, RegExp][] = [
    [1, () => '', /does not answer as SCRAM says/],
    [1, () => 'garbage', /does not answer as SCRAM says/],
    [1, (said) => said.replace(/^r=./, 'r=!'), /does not answer as SCRAM says/],
    [1, (said) => said.replace(/more,/, ','), /does not answer as SCRAM says/],
    [1, (said) => `m=x,${said}`, /does not answer as SCRAM says/],
    [1, (said) => said.replace('4096', '1'), /asks for 1 iterations/],
    [1, (said) => said.replace('4096', '999999999'), /asks for 999999999 iterations/],
    [2, () => 'e=other-error', /SCRAM: other-error/],
    [2, () => '', /does not know the password/],
    [2, () => `v=${randomBytes(32).toString('base64')}`, /does not know the password/],
  ];
  for (const [at, change, message] of bends) {
    const bend = (said: string, step: number) => (step === at ? change(said) : said);
    const error = await refusalOf(sasl, scramBroker(mechanism, 'p', bend).exchange);
    assert.equal(error.code, 'upstreamUnauthorized');
    assert.match(error.message, message);
  }
  await fc.assert(
    fc.asyncProperty(fc.string(), async (said) => {
      await refusalOf(sasl, scramBroker(mechanism, 'p', () => said).exchange);
    }),
  );
});

test('a network that fails within a log-in is not a wrong password', async () => {
  const reset = new Error('reset');
  for (const mechanism of ['plain', 'scram-sha-256'] as const) {
    const sasl = { mechanism, username: 'u', password: 'p' };
    await assert.rejects(
      logIn(sasl, () => Promise.reject(reset)),
      (error) => error === reset,
    );
  }
  let step = 0;
  const { exchange } = scramBroker('scram-sha-512', 'p');
  const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'p' } as const;
  const breaking: Exchange = (bytes) => (++step === 2 ? Promise.reject(reset) : exchange(bytes));
  await assert.rejects(logIn(sasl, breaking), (error) => error === reset);
});

test('PLAIN sends name and password once, and neither has NUL', async () => {
  const sent: string[] = [];
  const exchange: Exchange = async (bytes) => {
    sent.push(bytes.toString());
    return Buffer.alloc(0);
  };
  await logIn({ mechanism: 'plain', username: 'ü', password: 'p w' }, exchange);
  assert.deepEqual(sent, ['\0ü\0p w']);
  await refusalOf({ mechanism: 'plain', username: 'a\0b', password: 'p' }, exchange);
});

test('a token that is refused is acknowledged and named, and only tokens are sent', async () => {
  const sent: string[] = [];
  const bearer = (token: string): KafkaSasl => ({
    mechanism: 'oauthbearer',
    token,
    tokenFile: null,
  });
  const exchange: Exchange = async (bytes) => {
    sent.push(bytes.toString());
    if (sent.length > 1) throw new Error('SASL_AUTHENTICATION_FAILED');
    return Buffer.from('{"status":"invalid_token"}');
  };
  const error = await refusalOf(bearer('abc.def'), exchange);
  assert.equal(error.code, 'upstreamUnauthorized');
  assert.match(error.message, /invalid_token/);
  assert.deepEqual(sent, ['n,,\u0001auth=Bearer abc.def\u0001\u0001', '\u0001']);
  for (const token of ['', 'a b', 'a\u0001host=x', 'a\n']) await refusalOf(bearer(token), exchange);
  assert.equal(sent.length, 2);
  const missing: KafkaSasl = { mechanism: 'oauthbearer', token: null, tokenFile: '/none/token' };
  assert.equal((await refusalOf(missing, exchange)).code, 'secretUnreadable');
});
