/**
 * What must hold in the MQTT seats: who is the device, who may do what, what stands behind whom.
 *
 * - a captured PUBLISH never meets the external broker's access rules: the listener has allow rules
 *   of its own, or says `publishAcl: none`
 * - an identity other than the Client Identifier is one that was proven here
 * - in a source seat one held frame blocks every device of that broker
 * - what we publish to a broker does not come back to us through a route (static loops)
 */
import { type Complain, type DraftMap, listOf, mapOf, targetsOf, textOf } from './draft.ts';
import { filterFault, overlaps, withoutShare } from './topic-filter.ts';
import type { KeyPath } from './types.ts';

const warning = { severity: 'warning' } as const;
const devicePlace = '{device}';

export function relateMqtt(draft: DraftMap, complain: Complain): void {
  const mqtt = mapOf(draft.mqtt);
  for (const [index, listener] of listOf(mqtt.listeners).entries()) {
    const path = ['mqtt', 'listeners', index];
    relateIdentity(mapOf(listener), path, complain);
    relateBroker(mapOf(listener), path, complain);
    relateAllow(mapOf(listener), path, complain);
  }
  for (const [index, source] of listOf(mqtt.sources).entries()) {
    const path = ['mqtt', 'sources', index];
    relateSource(mapOf(source), path, draft, complain);
  }
}

function relateIdentity(listener: DraftMap, path: KeyPath, complain: Complain): void {
  const tls = mapOf(listener.tls);
  const here = [...path, 'identity'];
  if (listener.identity === 'username' && listener.users === undefined) {
    const message = 'a User Name that nobody proves names no device';
    complain(here, message, 'Add users: FILE (tidegate password FILE NAME writes it).');
  }
  if (listener.identity === 'certificate' && (!tls.clientCa || tls.requireClient !== true)) {
    const message = 'without a client certificate there is no identity in it';
    complain(here, message, 'Add tls.clientCa and tls.requireClient: true.');
  }
  if (tls.requireClient === true && tls.clientCa === undefined) {
    const message = 'there is nothing to check the certificates of clients with';
    complain([...path, 'tls', 'requireClient'], message, 'Add clientCa: FILE beside it.');
  }
}

/** Whether the agent itself can tell who a device is. */
function authenticates(listener: DraftMap): boolean {
  return listener.users !== undefined || mapOf(listener.tls).requireClient === true;
}

function relateBroker(listener: DraftMap, path: KeyPath, complain: Complain): void {
  const external = typeof listener.broker === 'object';
  const hasRules = listOf(listener.allow).length > 0;
  if (external && !hasRules && listener.publishAcl !== 'none') {
    complain(
      [...path, 'broker'],
      'captured events never meet the access rules of the broker behind, and there are none here',
      'Add allow rules, or say publishAcl: none if every device may publish everything.',
    );
  }
  if (hasRules && listener.publishAcl === 'none') {
    const message = 'is said beside allow rules, which are asked of every PUBLISH';
    complain([...path, 'publishAcl'], message, 'Take one of the two out.', warning);
  }
  if (listener.whenBrokerDown !== 'capture') return;
  const here = [...path, 'whenBrokerDown'];
  if (!external) {
    const message = 'the embedded broker is never away';
    complain(here, message, 'Take it out, or name an external broker.', warning);
  } else if (!authenticates(listener)) {
    const message = 'while the broker is away nobody here can tell who a device is';
    complain(here, message, 'Add users: FILE, or tls.clientCa with requireClient: true.');
  }
}

function relateAllow(listener: DraftMap, path: KeyPath, complain: Complain): void {
  for (const [index, rule] of listOf(listener.allow).entries()) {
    const here = [...path, 'allow', index];
    const { publish, subscribe } = mapOf(rule);
    if (publish === undefined && subscribe === undefined) {
      complain(here, 'allows nothing', 'Add publish: or subscribe: with Topic Filters.');
    }
    for (const [key, value] of Object.entries({ publish, subscribe })) {
      for (const filter of filtersOf(value)) {
        const bad = filter
          .split('/')
          .find((level) => level.includes(devicePlace) && level !== devicePlace);
        if (bad === undefined) continue;
        const message = `${bad} is only partly ${devicePlace}`;
        complain([...here, key], message, `Let ${devicePlace} be a whole level.`);
      }
    }
  }
}

function filtersOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).filter((each) => typeof each === 'string');
}

function relateSource(source: DraftMap, path: KeyPath, draft: DraftMap, complain: Complain): void {
  const subscribed: string[] = [];
  for (const written of filtersOf(source.subscribe)) {
    const filter = withoutShare(written);
    const fault = filter === null ? badShare : filterFault(filter);
    if (fault) complain([...path, 'subscribe'], `${written} ${fault.wrong}`, fault.remedy);
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

function relateHold(route: DraftMap, path: KeyPath, complain: Complain): void {
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
    if (url.host !== host || url.port !== port || host === undefined) continue;
    const topic = textOf(target.topic) ?? '{topic}';
    const written = topic.replaceAll('{topic}', from).replaceAll(/[^/]*\{[^}]*\}[^/]*/g, '+');
    const back = filterFault(written) ? '#' : written;
    if (!subscribed.some((filter) => overlaps(filter, back))) continue;
    const message = `${topic} is published where mqtt.sources hears it again: a loop`;
    complain([...path, 'topic'], message, 'Publish under a Topic Name that no source subscribes.');
  }
}
