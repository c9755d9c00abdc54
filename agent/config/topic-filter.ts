/**
 * Topic Filters as a route's `from`, level by level ([MQTT-4.7]):
 *
 *   filter = level *( "/" level )
 *   level  = "+" | "#" (last only) | any characters but "+", "#" and NUL, also none
 *
 * A shared subscription (`$share/…`) is refused: it says how a subscriber shares, not what matches.
 */
import { topicNameBytes } from '../bounds.ts';
import type { Wrong } from './units.ts';

export function filterFault(filter: string): Wrong | null {
  if (filter === '') {
    // [MQTT-4.7.3-1]
    return { wrong: 'is empty', remedy: 'Name a Topic Filter; # matches every Topic Name.' };
  }
  if (filter.includes('\u0000')) {
    // [MQTT-4.7.3-2]
    return { wrong: 'contains NUL', remedy: 'Remove the NUL character.' };
  }
  if (Buffer.byteLength(filter) > topicNameBytes) {
    // [MQTT-4.7.3-3]
    return { wrong: `is longer than ${topicNameBytes} bytes`, remedy: 'Write a shorter filter.' };
  }
  const levels = filter.split('/');
  if (levels[0] === '$share') {
    return { wrong: 'is a shared subscription', remedy: 'Write the filter without $share/NAME/.' };
  }
  for (const [index, level] of levels.entries()) {
    const fault = levelFault(level, index === levels.length - 1);
    if (fault) return fault;
  }
  return null;
}

function levelFault(level: string, isLast: boolean): Wrong | null {
  if (level === '#' && !isLast) {
    // [MQTT-4.7.1-1]
    return { wrong: 'has # before its last level', remedy: 'Let # be the last level, or use +.' };
  }
  if (level.length > 1 && level.includes('#')) {
    // [MQTT-4.7.1-1]
    return {
      wrong: `has # inside the level "${level}"`,
      remedy: 'Let # stand alone between slashes, as in plant/#.',
    };
  }
  if (level.length > 1 && level.includes('+')) {
    // [MQTT-4.7.1-2]
    return {
      wrong: `has + inside the level "${level}"`,
      remedy: 'Let + stand alone between slashes, as in plant/+/state.',
    };
  }
  return null;
}

/** How many captures `{1}` … a match of this filter leaves. */
export function wildcardsOf(filter: string): number {
  return filter.split('/').filter((level) => level === '+' || level === '#').length;
}

/** Whether every Topic Name that `inner` matches is matched by `outer` too. */
export function covers(outer: string, inner: string): boolean {
  const out = outer.split('/');
  const inn = inner.split('/');
  // A wildcard in the first level does not match a Topic Name that begins with $ [MQTT-4.7.2-1].
  if (inner.startsWith('$') && (out[0] === '+' || out[0] === '#')) return false;
  for (let i = 0; ; i++) {
    if (out[i] === '#') return true;
    if (i === out.length || i === inn.length) return out.length === inn.length;
    // The last level of `inner` may be #, which also matches the parent level itself.
    if (inn[i] === '#') return false;
    if (out[i] !== '+' && out[i] !== inn[i]) return false;
  }
}

/** Whether some Topic Name is matched by both. */
export function overlaps(one: string, other: string): boolean {
  const a = one.split('/');
  const b = other.split('/');
  const hidden = (name: string, first: string | undefined): boolean =>
    name.startsWith('$') && (first === '+' || first === '#'); // [MQTT-4.7.2-1]
  if (hidden(one, b[0]) || hidden(other, a[0])) return false;
  for (let i = 0; ; i++) {
    if (a[i] === '#' || b[i] === '#') return true;
    if (i === a.length || i === b.length) return a.length === b.length;
    if (a[i] !== '+' && b[i] !== '+' && a[i] !== b[i]) return false;
  }
}

/** `$share/GROUP/FILTER` → FILTER; null where the GROUP is not one [MQTT-4.8.2-1, -2]. */
export function withoutShare(filter: string): string | null {
  if (filter !== '$share' && !filter.startsWith('$share/')) return filter;
  const match = /^\$share\/[^/+#\0]+\/(.+)$/s.exec(filter);
  return match?.[1] ?? null;
}
