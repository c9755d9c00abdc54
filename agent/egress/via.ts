/**
 * The gateways an event has passed, as it carries them along:
 *
 *   tidegate-via = gateway *( "," gateway )    the first hop first; several are one list
 *
 * A gateway adds its own name at the end. An event that names it already went in a circle, and one
 * with `viaHopsMax` names behind it most likely does so between gateways of one name each: both are
 * refused as `loop`, or they would go round for ever and multiply where the circle forks.
 */
import { viaHopsMax } from '../bounds.ts';
import { TidegateError } from '../errors.ts';

export const viaName = 'tidegate-via';

/** What is carried on when no gateway stood before this one. */
const noHops = '';

/** @throws TidegateError loop. @returns the value that the record carries */
export function viaWith(
  gateway: string,
  userProperties: readonly (readonly [name: string, value: string])[],
): string {
  let before = noHops;
  for (const [name, value] of userProperties) {
    if (name !== viaName) continue;
    before = before === noHops ? value : `${before},${value}`;
  }
  if (before === noHops) return gateway;
  const hops = before.split(',', viaHopsMax).map((hop) => hop.trim());
  if (hops.includes(gateway)) throw new TidegateError('loop', `came back to ${gateway}: ${before}`);
  if (hops.length >= viaHopsMax) {
    throw new TidegateError('loop', `has ${viaHopsMax} hops: ${before}`);
  }
  return `${before},${gateway}`;
}
