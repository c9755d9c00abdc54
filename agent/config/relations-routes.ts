/**
 * Routes against one another and against the upstreams: unique names, no route hidden by an earlier
 * one, captures that exist, templates that can be rendered, targets that lead somewhere.
 */
import { type Complain, type DraftMap, listOf, mapOf, targetsOf, textOf } from './draft.ts';
import { nearest } from './nearest.ts';
import { subjectTemplateFault } from './scalars-nats.ts';
import { kafkaTopicFault, readTemplate, type Template, topicNameFault } from './template.ts';
import { covers, filterFault, wildcardsOf } from './topic-filter.ts';
import type { KeyPath } from './types.ts';

const warning = { severity: 'warning' } as const;
const kindsOf = ['kafka', 'mqtt', 'nats'] as const;
/** Headers that the envelope or the agent writes. */
const reservedHeader = /^(?:ce_|tidegate-)/i;

export function relateRoutes(
  draft: DraftMap,
  upstreamNames: readonly string[],
  complain: Complain,
): void {
  const routes = listOf(draft.routes).map(mapOf);
  // With a fleet they are still to come.
  if (Array.isArray(draft.routes) && routes.length === 0 && draft.fleet === undefined) {
    const message = 'no route: no event is captured';
    complain(['routes'], message, 'Add one, as in { name: all, from: "#", to: … }.', warning);
  }
  const seen = new Map<string, number>();
  for (const [index, route] of routes.entries()) {
    const name = textOf(route.name);
    const first = name === null ? undefined : seen.get(name);
    if (first !== undefined) {
      const message = `${name} is the name of routes[${first}] already`;
      complain(['routes', index, 'name'], message, 'Give each route its own name.');
    } else if (name !== null) seen.set(name, index);
    relateFrom(routes, index, complain);
    relateTargets(route, ['routes', index], draft, upstreamNames, complain);
  }
}

function relateFrom(routes: readonly DraftMap[], index: number, complain: Complain): void {
  const from = textOf(routes[index]?.from);
  if (from === null || filterFault(from)) return;
  const earlier = routes.slice(0, index).findIndex((route) => {
    const filter = textOf(route.from);
    return filter !== null && !filterFault(filter) && covers(filter, from);
  });
  if (earlier < 0) return;
  complain(
    ['routes', index, 'from'],
    `never matches: routes[${earlier}] (${textOf(routes[earlier]?.from)}) takes all of ${from}`,
    'Move this route up, or take it out.',
    warning,
  );
}

function relateTargets(
  route: DraftMap,
  path: KeyPath,
  draft: DraftMap,
  upstreamNames: readonly string[],
  complain: Complain,
): void {
  const lanes = new Set<string>();
  for (const { target, path: here } of targetsOf(route, path)) {
    const upstream = textOf(target.upstream);
    if (upstream !== null && upstream !== '' && !upstreamNames.includes(upstream)) {
      complain([...here, 'upstream'], ...unknownUpstream(upstream, upstreamNames));
    }
    const lane = `${upstream}/${textOf(target.delivery)}`;
    if (upstream !== null && lanes.has(lane)) {
      const message = `a second target of this route in the lane ${lane}: an event goes there once`;
      complain(here, message, 'Keep one of them, or give it another delivery or upstream.');
    }
    lanes.add(lane);
    const { kafka, mqtt, nats } = mapOf(mapOf(draft.upstreams)[upstream ?? '']);
    const kinds = { kafka, mqtt, nats };
    const kind = kindsOf.find((one) => kinds[one] !== undefined) ?? 'file';
    relateTemplates(target, here, textOf(route.from), kind, complain);
    if (mapOf(mqtt).qos === 0 && target.delivery === 'at-least-once') {
      const message = `${upstream} has qos: 0: a flushed write confirms, whatever becomes of it`;
      const remedy = 'Set its qos to 1 or 2, or say delivery: at-most-once.';
      complain([...here, 'upstream'], message, remedy, warning);
    }
  }
}

function unknownUpstream(name: string, known: readonly string[]): [string, string] {
  const near = nearest(name, known);
  const list = known.length === 0 ? 'upstreams has none.' : `Known are ${known.join(', ')}.`;
  return [`there is no upstream ${name}`, near === null ? list : `Did you mean ${near}? ${list}`];
}

function relateTemplates(
  target: DraftMap,
  path: KeyPath,
  from: string | null,
  kind: (typeof kindsOf)[number] | 'file',
  complain: Complain,
): void {
  const topic = check(target.topic, [...path, 'topic'], from, complain);
  const topicText = textOf(target.topic);
  const faults = { kafka: kafkaTopicFault, mqtt: topicNameFault, nats: subjectTemplateFault };
  const faultOf = kind === 'file' ? () => null : faults[kind];
  const fault = topic && topicText !== null ? faultOf(topicText, topic) : null;
  if (fault) complain([...path, 'topic'], `${topicText} ${fault.wrong}`, fault.remedy);
  const key = check(target.key, [...path, 'key'], from, complain);
  if (key && kind === 'kafka' && !key.names.includes('device')) {
    complain(
      [...path, 'key'],
      'the key has no {device}: records of one device may leave their order',
      'Write {device} into the key unless another order is meant.',
      warning,
    );
  }
  for (const [name, value] of Object.entries(mapOf(target.headers))) {
    const here = [...path, 'headers', name];
    check(value, here, from, complain);
    if (name === '' || reservedHeader.test(name)) {
      const remedy = 'Choose another name; ce_ and tidegate- are written by the agent.';
      complain(here, `${JSON.stringify(name)} is not a free header name`, remedy, { part: 'key' });
    }
  }
}

function check(
  value: unknown,
  path: KeyPath,
  from: string | null,
  complain: Complain,
): Template | null {
  const text = textOf(value);
  if (text === null) return null;
  const template = readTemplate(text);
  if ('wrong' in template) {
    complain(path, `${text} ${template.wrong}`, template.remedy);
    return null;
  }
  const wildcards = from === null || filterFault(from) ? null : wildcardsOf(from);
  const beyond = template.captures.find((index) => wildcards !== null && index > wildcards);
  if (beyond !== undefined) {
    const has =
      wildcards === 0 ? 'no wildcard' : `${wildcards} wildcard${wildcards === 1 ? '' : 's'}`;
    const remedy =
      wildcards === 0
        ? 'Use + or # in from, or write the text itself.'
        : `The last is {${wildcards}}.`;
    complain(path, `${text} names {${beyond}}, but ${from} has ${has}`, remedy);
  }
  return template;
}
