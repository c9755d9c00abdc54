/**
 * Leaves of the schema that only NATS has: URLs of servers and subjects. User names and passwords
 * in a URL are refused: they have keys of their own, where a reference can stand.
 *
 *   url      = ( "nats" | "tls" ) "://" host [ ":" port ]              port 4222 by default
 *   subject  = token *( "." token )      token: no space, no control character, not empty
 *              "*" stands for one token, ">" for the last ones
 */
import * as v from 'valibot';
import { nearest } from './nearest.ts';
import { complaint, type Facts, noted } from './scalars.ts';
import type { NatsUrl } from './types-nats.ts';
import { type Read, readAddress } from './units.ts';

const natsPort = 4_222;
const urlPattern = '^(?:nats|tls)://\\S+$';
const schemes: Readonly<Record<string, boolean>> = { nats: false, tls: true };
const remedy = 'Write nats://host:port, or tls://host:port for TLS.';
const subjectRemedy = 'Write tokens between dots, as in plant.line-1.telemetry.';

export function readNatsUrl(value: unknown): Read<NatsUrl> {
  const match = typeof value === 'string' && /^([a-z]+):\/\/([^/\s]*)\/?$/.exec(value);
  if (!match) return { wrong: 'is not the URL of a NATS server', remedy };
  const [, name = '', written = ''] = match;
  const tls = Object.hasOwn(schemes, name) ? schemes[name] : undefined;
  if (tls === undefined) {
    const near = nearest(name, Object.keys(schemes));
    const hint = near === null ? remedy : `Did you mean ${near}://?`;
    return { wrong: `has the unknown scheme ${name}`, remedy: hint };
  }
  if (written.includes('@')) {
    const keys = 'Write username, password or token as keys of their own.';
    return { wrong: 'holds a user name or password', remedy: keys };
  }
  const hasPort = /\]:|^[^[]*:/.test(written);
  const address = readAddress(hasPort ? written : `${written}:${natsPort}`);
  if ('wrong' in address) return { wrong: address.wrong, remedy };
  const { host, port } = address.value;
  if (port === 0) return { wrong: 'has port 0, which nobody can reach', remedy };
  return { value: { host, port, tls } };
}

/** Why NATS would not take it; null: it would. */
export function subjectFault(subject: string): string | null {
  if (subject === '') return 'is empty';
  if (/[\s\p{Cc}]/u.test(subject)) return 'holds a space';
  const tokens = subject.split('.');
  if (tokens.includes('')) return 'has an empty token';
  const rest = tokens.indexOf('>');
  if (rest >= 0 && rest < tokens.length - 1) return 'has > before its end';
  return null;
}

/** Of a template that renders a subject: what is written in it, whatever its values are. */
export function subjectTemplateFault(text: string): { wrong: string; remedy: string } | null {
  const subject = text.replaceAll(/\{[^}]*\}/g, 'x');
  const hasWildcard = subject.split('.').some((token) => token === '*' || token === '>');
  const wrong = hasWildcard ? 'has a wildcard where events are published' : subjectFault(subject);
  return wrong === null ? null : { wrong, remedy: subjectRemedy };
}

export function natsUrl(given: Facts) {
  return v.pipe(
    v.unknown(),
    noted({
      description: given.prose,
      type: 'string',
      pattern: urlPattern,
      'x-change': given.change,
    }),
    v.rawTransform<unknown, NatsUrl>(({ dataset, addIssue, NEVER }) => {
      const outcome = readNatsUrl(dataset.value);
      if ('value' in outcome) return outcome.value;
      addIssue({ message: complaint(outcome.wrong, outcome.remedy) });
      return NEVER;
    }),
  );
}

export function natsSubject(given: Facts) {
  return v.pipe(
    v.string(),
    noted({ description: given.prose, 'x-change': given.change }),
    v.rawCheck(({ dataset, addIssue }) => {
      const wrong = dataset.typed ? subjectFault(dataset.value) : null;
      if (wrong !== null) addIssue({ message: complaint(wrong, subjectRemedy) });
    }),
  );
}
