/**
 * The leaves of the schema: one function per kind of value. Each takes the facts of its key (prose,
 * whether a change applies to a running agent, bounds) and returns a valibot schema that carries
 * them, so that checking, the JSON Schema and the list of keys come from one place.
 *
 * A leaf's complaint is two sentences, what is wrong and the remedy; valibot's issues hold one
 * string, so the two travel joined (`complaint`) and are taken apart in issues.ts.
 */
import * as v from 'valibot';
import { nearest } from './nearest.ts';
import { filterFault } from './topic-filter.ts';
import type { Address, MqttUrl } from './types.ts';
import type { Read } from './units.ts';
import {
  addressPattern,
  byteRatePattern,
  durationPattern,
  ratePattern,
  readAddress,
  readByteRate,
  readDuration,
  readRate,
  readSize,
  showDuration,
  showSize,
  sizePattern,
} from './units.ts';
import { mqttUrlPattern, readBrokerUrl, readMqttUrl } from './url.ts';

export interface Facts {
  readonly prose: string;
  /** hot: may be applied to a running agent; cold: takes a restart. */
  readonly change: 'hot' | 'cold';
}

/** A pattern and what is said of a text that does not match it. */
export interface Shape {
  readonly pattern: RegExp;
  readonly wrong: string;
  readonly remedy: string;
}

interface Range {
  readonly min?: number;
  readonly max?: number;
}

const separator = '\u0001';

export function complaint(wrong: string, remedy: string): string {
  return wrong + separator + remedy;
}

export function splitComplaint(message: string): { wrong: string; remedy: string } | null {
  const at = message.indexOf(separator);
  return at < 0 ? null : { wrong: message.slice(0, at), remedy: message.slice(at + 1) };
}

/** Prose and facts of a key; they stand in the JSON Schema as they are. */
export function noted<T>(written: Record<string, unknown>) {
  return v.metadata<T, Record<string, unknown>>(written);
}

function facts<T>(given: Facts, unit: string | null, pattern: string | null) {
  return noted<T>({
    description: given.prose,
    ...(pattern === null ? {} : { type: 'string', pattern }),
    ...(unit === null ? {} : { 'x-unit': unit }),
    'x-change': given.change,
  });
}

function read<T>(reader: (value: unknown) => Read<T>, check?: (value: T) => string | null) {
  return v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
    const outcome = reader(dataset.value);
    if ('wrong' in outcome) {
      addIssue({ message: complaint(outcome.wrong, outcome.remedy) });
      return NEVER;
    }
    const refusal = check?.(outcome.value) ?? null;
    if (refusal === null) return outcome.value;
    addIssue({ message: refusal });
    return NEVER;
  });
}

function within(range: Range, show: (value: number) => string) {
  return (value: number): string | null => {
    const { min = 0, max = Number.MAX_SAFE_INTEGER } = range;
    if (value >= min && value <= max) return null;
    const bounds =
      range.max === undefined ? `at least ${show(min)}` : `from ${show(min)} to ${show(max)}`;
    const wrong = value < min ? `is less than ${show(min)}` : `is more than ${show(max)}`;
    return complaint(wrong, `Write a value ${bounds}.`);
  };
}

export function duration(given: Facts, range: Range = {}) {
  return v.pipe(
    v.unknown(),
    facts(given, 'ms', durationPattern),
    read(readDuration, within(range, showDuration)),
  );
}

export function size(given: Facts, range: Range = {}) {
  return v.pipe(
    v.unknown(),
    facts(given, 'bytes', sizePattern),
    read(readSize, within(range, showSize)),
  );
}

/** Events a second, more than none: a rate of 0 would stop the device for ever. */
export function rate(given: Facts) {
  return v.pipe(v.unknown(), facts(given, 'per second', ratePattern), read(readRate, moreThanNone));
}

export function byteRate(given: Facts) {
  return v.pipe(
    v.unknown(),
    facts(given, 'bytes per second', byteRatePattern),
    read(readByteRate, moreThanNone),
  );
}

function moreThanNone(value: number): string | null {
  return value > 0 ? null : complaint('is zero', 'Write more than 0, or leave the key out.');
}

export function address(given: Facts) {
  return v.pipe(v.unknown(), facts(given, null, addressPattern), read(readAddress));
}

/** Of a server: port 0 is for listeners, which are given a free one. */
export function serverAddress(given: Facts) {
  const reachable = (address: Address) =>
    address.port > 0 ? null : complaint('has port 0, which nobody can reach', 'Write host:port.');
  return v.pipe(v.unknown(), facts(given, null, addressPattern), read(readAddress, reachable));
}

/** mqtt:// mqtts:// ws:// wss:// */
export function mqttUrl(given: Facts) {
  return v.pipe(v.unknown(), facts(given, null, mqttUrlPattern), read(readMqttUrl));
}

/** `embedded`, or the URL of a broker. */
export function brokerUrl(given: Facts) {
  return v.pipe(
    v.unknown(),
    facts(given, null, `^embedded$|${mqttUrlPattern}`),
    read<'embedded' | MqttUrl>((value) =>
      value === 'embedded' ? { value } : readBrokerUrl(value),
    ),
  );
}

export function topicFilter(given: Facts) {
  return v.pipe(
    v.string(),
    facts(given, null, null),
    v.rawCheck(({ dataset, addIssue }) => {
      const fault = dataset.typed ? filterFault(dataset.value) : null;
      if (fault) addIssue({ message: complaint(fault.wrong, fault.remedy) });
    }),
  );
}

export function freeText(given: Facts) {
  return v.pipe(v.string(), facts(given, null, null));
}

export function text(given: Facts, shape: Shape) {
  return v.pipe(
    v.string(),
    facts(given, null, null),
    v.regex(shape.pattern, complaint(shape.wrong, shape.remedy)),
  );
}

/** @param later what versions to come will take: refused by name, not as a slip */
export function choice<const T extends readonly string[]>(
  options: T,
  given: Facts,
  later: RegExp | null = null,
) {
  const known = `Known are ${options.join(', ')}.`;
  return v.pipe(
    v.picklist(options, (issue) => {
      const written = typeof issue.input === 'string' ? issue.input : '';
      if (later?.test(written)) return complaint('does not exist yet in this version', known);
      const near = nearest(written, options);
      return complaint(
        `is not one of ${options.join(', ')}`,
        near === null ? known : `Did you mean ${near}?`,
      );
    }),
    facts(given, null, null),
  );
}

/** `5` without quotes is a number to YAML, and 3.1.1 is a text. */
export function mqttVersion(given: Facts) {
  const known: Readonly<Record<string, 4 | 5>> = { '3.1.1': 4, '5': 5 };
  return v.pipe(
    v.unknown(),
    noted({ description: given.prose, enum: [5, '5', '3.1.1'], 'x-change': given.change }),
    read<4 | 5>((value) => {
      const version = known[String(value)];
      if (version !== undefined) return { value: version };
      return { wrong: 'is not an MQTT version we speak', remedy: 'Write 5 or 3.1.1.' };
    }),
  );
}

export function flag(given: Facts) {
  return v.pipe(v.boolean(), facts(given, null, null));
}

export function count(given: Facts, range: { min: number; max: number }) {
  const wrong = `is not a whole number from ${range.min} to ${range.max}`;
  const words = complaint(wrong, `Write a whole number from ${range.min} to ${range.max}.`);
  return v.pipe(
    v.number(),
    v.integer(words),
    v.minValue(range.min, words),
    v.maxValue(range.max, words),
    facts(given, null, null),
  );
}

/** A value, or a list of such values: judged as what was written, so that complaints are exact. */
export function oneOrList<T extends v.GenericSchema>(item: T, given: Facts) {
  const list = v.pipe(
    v.array(item),
    v.minLength(1, complaint('is an empty list', 'Name at least one.')),
  );
  const either = v.union([item, list]);
  return v.pipe(
    v.lazy((input) => {
      // Called without a value by the export of the JSON Schema.
      if (input === undefined) return either;
      return Array.isArray(input) ? list : item;
    }),
    facts(given, null, null),
  );
}

/** An object, or the word `off`. */
export function objectOrOff<T extends v.GenericSchema>(object: T, given: Facts) {
  const off = v.literal('off');
  const either = v.union([object, off]);
  return v.pipe(
    v.lazy((input) => {
      if (input === undefined) return either;
      return typeof input === 'string' ? off : object;
    }),
    facts(given, null, null),
  );
}
