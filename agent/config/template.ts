/**
 * Templates of record topics, keys and headers, as far as they can be judged before an event comes:
 *
 *   template    = *( literal | "{" placeholder "}" )
 *   placeholder = "device" | "client" | "topic" | "gateway" | index
 *   index       = 1 …, a wildcard of the route's Topic Filter, from the left
 *
 * A brace outside of a placeholder is refused. Rendering is egress's.
 */
import { nearest } from './nearest.ts';
import type { Wrong } from './units.ts';

export const placeholders = ['device', 'client', 'topic', 'gateway'] as const;

/** What Kafka takes as the name of a topic. */
const kafkaTopicLiteral = /^[a-zA-Z0-9._-]*$/;
const kafkaTopicLengthMax = 249;

export interface Template {
  readonly literals: readonly string[];
  readonly names: readonly string[];
  readonly captures: readonly number[];
}

export function readTemplate(text: string): Template | Wrong {
  const literals: string[] = [];
  const names: string[] = [];
  const captures: number[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('{', at);
    const literal = text.slice(at, open < 0 ? text.length : open);
    if (literal.includes('}')) return unbalanced('}');
    if (literal !== '') literals.push(literal);
    if (open < 0) break;
    const close = text.indexOf('}', open);
    if (close < 0) return unbalanced('{');
    const name = text.slice(open + 1, close);
    if (/^[1-9]\d{0,4}$/.test(name)) captures.push(Number(name));
    else if ((placeholders as readonly string[]).includes(name)) names.push(name);
    else return unknownPlaceholder(name);
    at = close + 1;
  }
  return { literals, names, captures };
}

function unbalanced(brace: string): Wrong {
  return {
    wrong: `has a ${brace} that is no placeholder`,
    remedy:
      'Write {device}, {client}, {topic}, {gateway} or {1}; a brace itself cannot be written.',
  };
}

function unknownPlaceholder(name: string): Wrong {
  const near = nearest(name, placeholders);
  const known = 'Known are {device}, {client}, {topic}, {gateway} and {1}, {2} … for wildcards.';
  return {
    wrong: `has the unknown placeholder {${name}}`,
    remedy: near === null ? known : `Did you mean {${near}}? ${known}`,
  };
}

/** What is wrong with the fixed part of a Kafka topic; the rest is judged per event. */
export function kafkaTopicFault(text: string, template: Template): Wrong | null {
  const fixed = template.literals.join('');
  const isFixed = template.names.length + template.captures.length === 0;
  if (text === '') return { wrong: 'is empty', remedy: 'Name a Kafka topic, as in telemetry.{1}.' };
  if (!kafkaTopicLiteral.test(fixed)) {
    const found = [...fixed].find((character) => !kafkaTopicLiteral.test(character));
    return {
      wrong: `has ${JSON.stringify(found)}, which Kafka does not take in a topic`,
      remedy: 'Use letters, digits, ".", "_" and "-"; write "." in the place of "/".',
    };
  }
  if (fixed.length > kafkaTopicLengthMax) {
    return {
      wrong: `is longer than ${kafkaTopicLengthMax} characters`,
      remedy: 'Write a shorter Kafka topic.',
    };
  }
  if (isFixed && (fixed === '.' || fixed === '..')) {
    return { wrong: 'is not a name Kafka takes', remedy: 'Write more than dots.' };
  }
  return null;
}

/** What is wrong with the fixed part of a Topic Name; the rest is judged per event. */
export function topicNameFault(text: string, template: Template): Wrong | null {
  const remedy = 'Name a Topic Name, as in site/{gateway}/{topic}.';
  if (text === '') return { wrong: 'is empty', remedy }; // [MQTT-4.7.3-1]
  const fixed = template.literals.join('');
  const found = /[+#\0]/.exec(fixed)?.[0]; // [MQTT-3.3.2-2]
  if (found === undefined) return null;
  return { wrong: `has ${JSON.stringify(found)}, which no Topic Name has`, remedy };
}
