/**
 * Signed configs: whoever changes one bit of what was signed is refused, and each gateway decides
 * by itself, the same way everywhere, whether a canary is for it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fleetConfigBytes } from '../agent/bounds.ts';
import { TidegateError } from '../agent/errors.ts';
import {
  type ConfigBody,
  hashOf,
  isInRollout,
  openSigned,
  signConfig,
} from '../agent/fleet/signed.ts';
import { createNkey, nkeyFromPublic } from '../agent/nats-client.ts';

const signer = createNkey();
const trusted = new Map([[signer.publicKey, nkeyFromPublic(signer.publicKey)]]);
const key = 'group.line-a';
const body: ConfigBody = {
  key,
  revision: 7,
  pushedAt: '2026-03-01T12:00:00Z',
  config: 'log: { level: debug }\n',
  rollout: { share: 0.25, seed: 'spring' },
};

function refusalOf(text: string, under = key, trust = trusted): string {
  try {
    openSigned(text, under, trust);
  } catch (error) {
    assert.ok(error instanceof TidegateError);
    return error.code;
  }
  return 'opened';
}

test('what was signed is opened as it was', () => {
  const { hash, signer: by, ...opened } = openSigned(signConfig(body, signer), key, trusted);
  assert.deepEqual(opened, body);
  assert.equal(hash, hashOf(body.config));
  assert.equal(by, signer.publicKey);
  const everyone = { ...body, rollout: null };
  assert.equal(openSigned(signConfig(everyone, signer), key, trusted).rollout, null);
});

test('each field changed by itself is refused', () => {
  const written = JSON.parse(signConfig(body, signer)) as Record<string, unknown>;
  const other = 'log: { level: info }\n';
  const changes: Record<string, unknown[]> = {
    format: [2, null, '1'],
    key: ['fleet.default', 'group.line-b', `${key}\n`, 7],
    revision: [8, 6, 0, -1, 7.5, '7', 2 ** 53, null],
    pushedAt: ['2026-03-01T12:00:01Z', '', null],
    hash: [hashOf(other), '', written.hash?.toString().toUpperCase()],
    config: [other, '', null, `${body.config} `],
    rollout: [
      null,
      { share: 1, seed: 'spring' },
      { share: 0.25, seed: 'summer' },
      { share: 0, seed: 'spring' },
      { share: 2, seed: 'spring' },
      { share: 0.25, seed: 'spring\n' },
      { share: '0.25', seed: 'spring' },
      {},
      7,
    ],
    signer: [createNkey().publicKey, '', null],
    signature: ['', 'AAAA', `${written.signature}`.replace(/^../, 'zz'), null],
  };
  assert.deepEqual(Object.keys(changes).toSorted(), Object.keys(written).toSorted());
  for (const [field, values] of Object.entries(changes)) {
    for (const value of values) {
      const code = refusalOf(JSON.stringify({ ...written, [field]: value }));
      assert.match(code, /^fleetConfigUn(signed|trusted)$/, `${field}: ${value}`);
    }
    const { [field]: _, ...without } = written;
    assert.match(refusalOf(JSON.stringify(without)), /^fleetConfigUn(signed|trusted)$/, field);
  }
  // The hash and the config together, which fit each other, are not what was signed.
  const swapped = { ...written, config: other, hash: hashOf(other) };
  assert.equal(refusalOf(JSON.stringify(swapped)), 'fleetConfigUnsigned');
});

test('another signer, another key, and what is no signed config at all', () => {
  const text = signConfig(body, signer);
  assert.equal(refusalOf(signConfig(body, createNkey())), 'fleetConfigUntrusted');
  assert.equal(refusalOf(text, key, new Map()), 'fleetConfigUntrusted');
  assert.equal(refusalOf(text, 'fleet.default'), 'fleetConfigUnsigned');
  for (const other of ['', 'null', '[]', '7', '{', 'log: {}', '{"format":1}', '\u0000']) {
    assert.equal(refusalOf(other), 'fleetConfigUnsigned', other);
  }
});

test('what is too large is neither signed nor opened', () => {
  const config = 'x'.repeat(fleetConfigBytes);
  assert.throws(() => signConfig({ ...body, config }, signer), /more than/);
  assert.equal(refusalOf('x'.repeat(fleetConfigBytes + 1)), 'fleetConfigTooLarge');
});

test('bytes that were changed anywhere are never opened as something else', () => {
  const text = signConfig(body, signer);
  const whole = JSON.stringify(openSigned(text, key, trusted));
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom(...'0aZ"\\,{ '), (at, put) => {
      const changed = text.slice(0, at) + put + text.slice(at + 1);
      try {
        assert.equal(JSON.stringify(openSigned(changed, key, trusted)), whole);
      } catch (error) {
        assert.ok(error instanceof TidegateError);
      }
    }),
    { numRuns: 300 },
  );
});

test('a rollout takes about its share of 10,000 gateways, and always the same ones', () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `plant${i % 40}-gw${i}`);
  fc.assert(
    fc.property(
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.string({ maxLength: 12 }),
      (share, seed) => {
        const taken = names.filter((name) => isInRollout(name, { share, seed }));
        // Six standard deviations.
        const spread = 6 * Math.sqrt(names.length * share * (1 - share)) + 1;
        assert.ok(Math.abs(taken.length - names.length * share) <= spread, `${taken.length}`);
        assert.deepEqual(
          names.slice(0, 500).filter((name) => isInRollout(name, { share, seed })),
          taken.filter((name) => names.indexOf(name) < 500),
        );
      },
    ),
    { numRuns: 12 },
  );
});

test('a wider rollout with the same seed keeps who was in it', () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `gw-${i}`);
  const at = (share: number) => names.filter((name) => isInRollout(name, { share, seed: 's' }));
  const [few, more] = [at(0.1), new Set(at(0.5))];
  assert.ok(few.length > 0 && few.every((name) => more.has(name)));
  assert.equal(at(1).length, names.length);
  assert.equal(names.filter((name) => isInRollout(name, null)).length, names.length);
  const other = names.filter((name) => isInRollout(name, { share: 0.1, seed: 't' }));
  assert.notDeepEqual(other, few);
});
