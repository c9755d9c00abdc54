/**
 * A config as it stands in the fleet's bucket: signed over the key it was written for, a revision
 * that only grows, its hash, and to whom it is rolled out. So nobody can bring an old one back, put
 * it under another key, or widen a canary.
 *
 *   JSON    { format: 1, key, revision, pushedAt, hash, rollout, config, signer, signature }
 *   signed  "tidegate-config-1" LF key LF revision LF pushedAt LF hash LF share LF seed LF
 *           (share and seed are "-" without a rollout)
 *   hash    SHA-256 of the config's text, UTF-8, hexadecimal
 *
 * Ed25519, with keys as NATS writes them (nkeys). Secrets never travel: a config has references.
 */
import { createHash } from 'node:crypto';
import { fleetConfigBytes } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import type { Nkey } from '../nats-client.ts';

export interface Rollout {
  /** 0 < share ≤ 1: of all gateways that the key is for. */
  readonly share: number;
  /** Another one chooses other gateways. */
  readonly seed: string;
}

export interface ConfigBody {
  /** `fleet.default`, `group.NAME` or `gateway.NAME`. */
  readonly key: string;
  /** From 1. */
  readonly revision: number;
  /** RFC 3339. */
  readonly pushedAt: string;
  readonly config: string;
  /** null: everyone. */
  readonly rollout: Rollout | null;
}

export interface SignedConfig extends ConfigBody {
  readonly hash: string;
  /** Public nkey. */
  readonly signer: string;
}

interface Written extends SignedConfig {
  readonly format: number;
  readonly signature: string;
}

const format = 1;
/** Of Ed25519. */
const signatureBytes = 64;
const hashPattern = /^[0-9a-f]{64}$/;
const revisionMost = Number.MAX_SAFE_INTEGER;

export function hashOf(config: string): string {
  return createHash('sha256').update(config, 'utf8').digest('hex');
}

function signedBytes({ key, revision, pushedAt, rollout }: ConfigBody, hash: string): Buffer {
  const [share, seed] = rollout === null ? ['-', '-'] : [String(rollout.share), rollout.seed];
  const lines = ['tidegate-config-1', key, revision, pushedAt, hash, share, seed];
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

/** @throws TidegateError fleetConfigTooLarge */
export function signConfig(body: ConfigBody, signer: Nkey): string {
  const { key, revision, pushedAt, config, rollout } = body;
  const hash = hashOf(config);
  const signature = Buffer.from(signer.sign(signedBytes(body, hash))).toString('base64');
  const written = { format, key, revision, pushedAt, hash, rollout, config };
  const text = JSON.stringify({ ...written, signer: signer.publicKey, signature });
  if (Buffer.byteLength(text) > fleetConfigBytes) throw tooLarge(key);
  return text;
}

/**
 * @param text the value of the bucket, @param key the key it stands under
 * @param trusted by public key; what others signed does not count
 * @throws TidegateError fleetConfigUnsigned, fleetConfigUntrusted, fleetConfigTooLarge
 */
export function openSigned(
  text: string,
  key: string,
  trusted: ReadonlyMap<string, Nkey>,
): SignedConfig {
  if (Buffer.byteLength(text) > fleetConfigBytes) throw tooLarge(key);
  const written = parse(text);
  if (written === null) throw unsigned(key, 'it is not what tidegate fleet push writes');
  const { signature, format: _, ...config } = written;
  if (config.key !== key) throw unsigned(key, `it was signed for ${config.key}`);
  if (hashOf(config.config) !== config.hash) throw unsigned(key, 'its hash is of another text');
  const signer = trusted.get(config.signer);
  if (signer === undefined) {
    throw new TidegateError('fleetConfigUntrusted', `${key}: signed by ${config.signer}`);
  }
  const given = Buffer.from(signature, 'base64');
  // The library throws on another length.
  const fits = given.length === signatureBytes;
  if (!fits || !signer.verify(signedBytes(config, config.hash), given)) {
    throw unsigned(key, 'the signature does not fit');
  }
  return config;
}

function parse(text: string): Written | null {
  let value: Partial<Written> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || value.format !== format) return null;
  const { key, revision, pushedAt, hash, config, signer, signature, rollout } = value;
  const texts = [key, pushedAt, hash, config, signer, signature];
  if (texts.some((one) => typeof one !== 'string') || !isRollout(rollout)) return null;
  if (!Number.isInteger(revision) || Number(revision) < 1) return null;
  if (Number(revision) > revisionMost || !hashPattern.test(String(hash))) return null;
  // A line break would let one field stand for two.
  if ([key, pushedAt, rollout?.seed ?? ''].some((one) => /[\r\n]/.test(String(one)))) return null;
  return value as Written;
}

function isRollout(value: unknown): value is Rollout | null {
  if (value === null) return true;
  const { share, seed } = Object(value) as Partial<Rollout>;
  return typeof seed === 'string' && typeof share === 'number' && share > 0 && share <= 1;
}

const unitBytes = 6;
const unit = 2 ** 48;

/** Each gateway decides for itself, the same way everywhere: SHA-256 of seed and name. */
export function isInRollout(gateway: string, rollout: Rollout | null): boolean {
  if (rollout === null) return true;
  const digest = createHash('sha256').update(`${rollout.seed}\n${gateway}`).digest();
  return digest.readUIntBE(0, unitBytes) / unit < rollout.share;
}

function unsigned(key: string, why: string): TidegateError {
  return new TidegateError('fleetConfigUnsigned', `${key}: ${why}`);
}

function tooLarge(key: string): TidegateError {
  return new TidegateError('fleetConfigTooLarge', `${key}: more than ${fleetConfigBytes} bytes`);
}
