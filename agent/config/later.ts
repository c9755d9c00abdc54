/**
 * Keys that the design names and this version does not have yet. They are refused by name, so that
 * nobody takes a silent key for a working one, and not as slips with a nearest key.
 *
 * A pattern is a key path in which `*` stands for any name or index.
 */
import type { KeyPath } from './types.ts';

const patterns = [
  'users',
  'allow',
  'subscriptions',
  'tracing',
  'delivery',
  'routes.*.decode',
  'routes.*.device',
  'upstreams.*.amqp',
  'upstreams.*.http',
  'buffer.encryption',
  'http.tls',
  'http.users',
] as const;

const steps = patterns.map((pattern) => pattern.split('.'));

export function comesLater(path: KeyPath): boolean {
  return steps.some(
    (pattern) =>
      pattern.length === path.length &&
      pattern.every((step, index) => step === '*' || step === String(path[index])),
  );
}
