/**
 * What devices may publish and subscribe: the allow rules of all listeners, compiled.
 *
 *   publish    one trie of (Topic Filter, groups) in the core; a group is a bit that stands for one
 *              device pattern of one listener, and a connection has the mask of those it matches
 *   subscribe  asked in the host, since it is rare: a rule's filter must cover the one asked for
 *   Will       asked in the host at CONNECT, as a publish
 *
 * With any rule on a listener, what none allows is denied. A level `{device}` is the device's own
 * name, and only ever one level: a name that is empty, begins with $ or has / + # in it, which
 * could become levels, wildcards or topics of the broker, matches no such rule.
 */
import { allowPatternsMax } from '../bounds.ts';
import type { Listener } from '../config/types.ts';
import { TidegateError } from '../errors.ts';

/** agent/config/topic-filter.ts, handed in: rooms do not import one another. */
export interface TopicFilters {
  covers(outer: string, inner: string): boolean;
  withoutShare(filter: string): string | null;
}

/** A Topic Filter of publish rules, and the bits of those that have it. */
export interface AllowFilter {
  readonly filter: string;
  readonly groups: number;
}

type AllowListener = Pick<Listener, 'allow'>;

const devicePlace = '{device}';
const ownLevelShape = /^[^$/+#\0][^/+#\0]*$/;

/** What a level `{device}` stands for; null: nothing, for this name. */
export function ownLevel(device: string): string | null {
  return ownLevelShape.test(device) ? device : null;
}

/** `*` stands for any characters, also none; linear in the length of the name. */
export function matchesPattern(pattern: string, device: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop();
  if (last === undefined) return device === pattern;
  if (!device.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = device.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return device.length - last.length >= at && device.endsWith(last);
}

interface Group {
  readonly listener: number;
  readonly pattern: string;
  readonly bit: number;
}

export class AllowRules {
  /** For the core. */
  readonly filters: readonly AllowFilter[];
  readonly #listeners: readonly AllowListener[];
  readonly #topicFilters: TopicFilters;
  readonly #groups: Group[] = [];

  /** @throws TidegateError internal beyond `allowPatternsMax`, which check refuses */
  constructor(listeners: readonly AllowListener[], topicFilters: TopicFilters) {
    this.#listeners = listeners;
    this.#topicFilters = topicFilters;
    const groups = new Map<string, number>();
    for (const [listener, { allow }] of listeners.entries()) {
      for (const { device, publish } of allow) {
        if (publish.length === 0) continue;
        const { bit } = this.#groupOf(listener, device);
        for (const filter of publish) groups.set(filter, ((groups.get(filter) ?? 0) | bit) >>> 0);
      }
    }
    this.filters = [...groups].map(([filter, bits]) => ({ filter, groups: bits }));
  }

  #groupOf(listener: number, pattern: string): Group {
    const known = this.#groups.find(
      (group) => group.listener === listener && group.pattern === pattern,
    );
    if (known) return known;
    if (this.#groups.length === allowPatternsMax) {
      const detail = `more than ${allowPatternsMax} device patterns have publish rules`;
      throw new TidegateError('internal', detail);
    }
    const group = { listener, pattern, bit: (1 << this.#groups.length) >>> 0 };
    this.#groups.push(group);
    return group;
  }

  /** Whether this listener has rules at all: without any, everything is allowed. */
  isAsked(listener: number): boolean {
    return (this.#listeners[listener]?.allow.length ?? 0) > 0;
  }

  /** The mask of a connection: bits of the device patterns that match it. */
  groupsFor(listener: number, device: string): number {
    let mask = 0;
    for (const group of this.#groups) {
      if (group.listener === listener && matchesPattern(group.pattern, device)) mask |= group.bit;
    }
    return mask >>> 0;
  }

  mayPublish(listener: number, device: string, topicName: string): boolean {
    if (!this.isAsked(listener)) return true;
    if (/[+#]/.test(topicName)) return false; // [MQTT-3.3.2-2]
    return this.#isCovered(listener, device, 'publish', topicName);
  }

  /** A shared subscription is judged by its Topic Filter. */
  maySubscribe(listener: number, device: string, topicFilter: string): boolean {
    if (!this.isAsked(listener)) return true;
    const asked = this.#topicFilters.withoutShare(topicFilter);
    return asked !== null && this.#isCovered(listener, device, 'subscribe', asked);
  }

  #isCovered(
    listener: number,
    device: string,
    kind: 'publish' | 'subscribe',
    asked: string,
  ): boolean {
    const own = ownLevel(device);
    for (const rule of this.#listeners[listener]?.allow ?? []) {
      if (!matchesPattern(rule.device, device)) continue;
      for (const written of rule[kind]) {
        const filter = filledIn(written, own);
        if (filter !== null && this.#topicFilters.covers(filter, asked)) return true;
      }
    }
    return false;
  }
}

function filledIn(filter: string, own: string | null): string | null {
  const levels = filter.split('/');
  if (!levels.includes(devicePlace)) return filter;
  if (own === null) return null;
  return levels.map((level) => (level === devicePlace ? own : level)).join('/');
}
