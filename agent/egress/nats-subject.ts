/**
 * Topic Names and NATS subjects.
 *
 *   subject ─source─▶ Topic Name     `.` ▶ `/`; in a token  % ▶ %25  / ▶ %2F  + ▶ %2B  # ▶ %23
 *   Topic Name ─subjectOf─▶ subject  exactly the inverse, for frames that came over NATS
 *   value ─subjectValues─▶ tokens    of frames that came otherwise
 *
 * A value of a template becomes tokens level by level: `/` is `.`, and what a token cannot have
 * (`.`, `*`, `>`, white space, control characters), and `%` itself, is percent-encoded as UTF-8, so
 * that two Topic Names never become one subject. An empty level is the token `/`, as it is for the
 * MQTT side of nats-server; an empty value stays empty.
 *
 * Refused: an empty token, a wildcard, white space, what fills the server's control line, and a
 * first token that begins with `$` unless the config said so: there the server takes orders ($JS,
 * $SYS, $KV), and a device must not give them through `{1}` or `{device}`. `{topic}` may, because a
 * wildcard at the first level never matches a `$` [MQTT-4.7.2-1].
 */
import type { Place } from './record.ts';
import type { TemplateValues } from './template.ts';

const fromNats = 2;
const escapes: Readonly<Record<string, string>> = { '25': '%', '2F': '/', '2B': '+', '23': '#' };
const notInToken = /[\s\p{Cc}.*>%]/gu;
const emptyToken = /^$|^\.|\.\.|\.$/;
const wildcard = /(?:^|\.)[*>](?:\.|$)/;
const blank = /[\s\p{Cc}]/u;
/** What the config itself puts first: `$KV.…`, or all of a Topic Name. */
const saysDollar = /^(?:\$[^{.]*(?:\.|$)|\{topic\})/;
/** max_control_line, 4,096 by default, less what stands beside the subject in HPUB. */
const subjectBytesMax = 4_000;

/** The subject that a frame which came over NATS was published on. */
export function subjectOf(topicName: string): string {
  const dotted = topicName.replaceAll('/', '.');
  if (!dotted.includes('%')) return dotted;
  return dotted.replaceAll(/%(25|2F|2B|23)/g, (_, hex: string) => escapes[hex] as string);
}

/** What the placeholders of a subject template stand for. */
export function subjectValues(values: TemplateValues, protocol: number): TemplateValues {
  const { device, client, topicName, gateway, captures } = values;
  if (protocol !== fromNats) {
    return {
      device: tokens(device),
      client: tokens(client),
      topicName: tokens(topicName),
      gateway,
      captures: captures.map(tokens),
    };
  }
  const subject = subjectOf(topicName);
  const known = (value: string) => value === topicName || value === subject;
  return {
    device: known(device) ? subject : tokens(device),
    client: known(client) ? subject : tokens(client),
    topicName: subject,
    gateway,
    captures: captures.map(subjectOf),
  };
}

function tokens(value: string): string {
  if (value === '') return value;
  return value
    .split('/')
    .map((level) => (level === '' ? '/' : level.replaceAll(notInToken, percent)))
    .join('.');
}

/** Its UTF-8 bytes, each as %XX (RFC 3986, section 2.1). */
export function percent(text: string): string {
  let encoded = '';
  for (const byte of Buffer.from(text)) encoded += `%${hexOf(byte)}`;
  return encoded;
}

function hexOf(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}

/** @param template of the config; @returns why NATS would not take the subject */
export function subjectFault(subject: string, template: string): Place['fault'] {
  const why = wrongWith(subject, template);
  if (why === null) return null;
  return { code: 'topicInvalid', detail: `rendered subject ${JSON.stringify(subject)}: ${why}` };
}

function wrongWith(subject: string, template: string): string | null {
  if (emptyToken.test(subject)) return 'a token is empty';
  if (wildcard.test(subject)) return 'a token is a wildcard';
  if (blank.test(subject)) return 'it has white space';
  if (Buffer.byteLength(subject) > subjectBytesMax) return `longer than ${subjectBytesMax} bytes`;
  const isOrder = subject.startsWith('$') && !saysDollar.test(template);
  return isOrder ? 'a device’s value would name a subject of the server' : null;
}
