/**
 * What must hold for a source seat: Topic Filters a broker takes, a word for who published, no hold
 * that would block everyone, and no static loop: what we publish to a broker does not come back
 * through a source. (Loops that only values decide are refused at run time, by `tidegate-via`.)
 */
import { type Complain, type DraftMap, listOf, mapOf, targetsOf, textOf } from './draft.ts';
import { filterFault, overlaps, withoutShare } from './topic-filter.ts';
import type { KeyPath } from './types.ts';
import { isLoopback } from './units.ts';

export function relateSource(
  source: DraftMap,
  path: KeyPath,
  draft: DraftMap,
  complain: Complain,
): void {
  const subscribed: string[] = [];
  for (const { written, here } of filtersAt(source.subscribe, [...path, 'subscribe'])) {
    const filter = withoutShare(written);
    const fault = filter === null ? badShare : filterFault(filter);
    if (fault) complain(here, `${written} ${fault.wrong}`, fault.remedy);
    else if (filter !== null) subscribed.push(filter);
  }
  relateDevice(source, path, complain);
  for (const [index, value] of listOf(draft.routes).entries()) {
    const route = mapOf(value);
    const from = textOf(route.from);
    if (from === null || filterFault(from)) continue;
    if (!subscribed.some((filter) => overlaps(filter, from))) continue;
    relateHold(route, ['routes', index], complain);
    relateLoop(source, subscribed, draft, index, complain);
  }
}

/** One Topic Filter or a list of them, each with its place. */
export function filtersAt(value: unknown, path: KeyPath): { written: string; here: KeyPath }[] {
  if (typeof value === 'string') return [{ written: value, here: path }];
  return listOf(value).flatMap((written, index) =>
    typeof written === 'string' ? [{ written, here: [...path, index] }] : [],
  );
}

const badShare = {
  wrong: 'is not a shared subscription',
  remedy: 'Write $share/GROUP/FILTER; GROUP has no / + #.',
};

function relateDevice(source: DraftMap, path: KeyPath, complain: Complain): void {
  const device = textOf(source.device);
  if (device === null || /^(?:\{topic\}|\{[1-9]\d?\}|property:.+)$/.test(device)) return;
  const remedy = 'Write {topic}, {1} for the first wildcard of the route, or property:NAME.';
  complain([...path, 'device'], `${device} does not name who published`, remedy);
}

export function relateHold(route: DraftMap, path: KeyPath, complain: Complain): void {
  for (const [place, value] of listOf(route.limits).entries()) {
    const { per, over } = mapOf(value);
    if (over !== 'hold' || (per !== 'device' && per !== 'topicName')) continue;
    complain(
      [...path, 'limits', place, 'over'],
      `hold per ${per} on a route that a source feeds: one held frame would block every device`,
      'Write over: drop or over: bury, or limit per: route.',
    );
  }
}

/** A target on the very broker that the source subscribes at, under a Topic Name it hears again. */
function relateLoop(
  source: DraftMap,
  subscribed: readonly string[],
  draft: DraftMap,
  index: number,
  complain: Complain,
): void {
  const route = mapOf(listOf(draft.routes)[index]);
  const from = textOf(route.from) ?? '#';
  const { host, port } = mapOf(source.url);
  for (const { target, path } of targetsOf(route, ['routes', index])) {
    const upstream = mapOf(mapOf(draft.upstreams)[textOf(target.upstream) ?? '']);
    const url = mapOf(mapOf(upstream.mqtt).url);
    if (url.port !== port || !isSameHost(url.host, host)) continue;
    const topic = textOf(target.topic) ?? '{topic}';
    const back = renderedAs(topic, from);
    if (!subscribed.some((filter) => overlaps(filter, back))) continue;
    const message = `${topic} is published where mqtt.sources hears it again: a loop`;
    complain([...path, 'topic'], message, 'Publish under a Topic Name that no source subscribes.');
  }
}

export function isSameHost(one: unknown, other: unknown): boolean {
  if (typeof one !== 'string' || typeof other !== 'string') return false;
  return one === other || (isLoopback(one) && isLoopback(other));
}

/** The Topic Filter of all that a template can become; a device or client counts as one level. */
export function renderedAs(template: string, from: string): string {
  const wildcards = from.split('/').filter((level) => level === '+' || level === '#');
  const levels: string[] = [];
  for (const level of template.replaceAll('{topic}', from).split('/')) {
    const capture = /^[^{]*\{([1-9]\d?)\}/.exec(level);
    const isMany = level === '#' || wildcards[Number(capture?.[1]) - 1] === '#';
    if (isMany) return [...levels, '#'].join('/');
    levels.push(/[{+#]/.test(level) ? '+' : level);
  }
  return levels.join('/');
}
