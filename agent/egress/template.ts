/**
 * Renders the templates of a target. The grammar is that of agent/config/template.ts, which has
 * judged it before it was stored:
 *
 *   template    = *( literal | "{" placeholder "}" )
 *   placeholder = "device" | "client" | "topic" | "gateway" | index
 *
 * A template is compiled once per stored route. What an older version stored and this one cannot
 * read throws `recordInvalid`, which buries the frame.
 */
import { TidegateError } from '../errors.ts';

export interface TemplateValues {
  readonly device: string;
  readonly client: string;
  readonly topicName: string;
  readonly gateway: string;
  /** Wildcard captures of the route's Topic Filter; `{1}` is the first. */
  readonly captures: readonly string[];
}

export interface Template {
  readonly usesClient: boolean;
  readonly usesCaptures: boolean;
  render(values: TemplateValues): string;
}

type Part = string | ((values: TemplateValues) => string);

const named: Readonly<Record<string, (values: TemplateValues) => string>> = {
  device: (values) => values.device,
  client: (values) => values.client,
  topic: (values) => values.topicName,
  gateway: (values) => values.gateway,
};
const indexGrammar = /^[1-9]\d{0,4}$/;

function placeholder(name: string, text: string): Part {
  const known = named[name];
  if (known !== undefined) return known;
  if (!indexGrammar.test(name)) {
    throw new TidegateError('recordInvalid', `unknown placeholder {${name}} in ${text}`);
  }
  const index = Number(name) - 1;
  return (values) => values.captures[index] ?? '';
}

/** @param slash what a `/` inside a value becomes: Kafka topics know no `/` */
export function compileTemplate(text: string, slash: '/' | '.' = '/'): Template {
  const parts: Part[] = [];
  const names: string[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('{', at);
    if (open !== at) parts.push(text.slice(at, open < 0 ? text.length : open));
    if (open < 0) break;
    const close = text.indexOf('}', open);
    if (close < 0) throw new TidegateError('recordInvalid', `{ without } in ${text}`);
    const name = text.slice(open + 1, close);
    names.push(name);
    parts.push(placeholder(name, text));
    at = close + 1;
  }
  const clean = slash === '/' ? (value: string) => value : (value: string) => dots(value, slash);
  return {
    usesClient: names.includes('client'),
    usesCaptures: names.some((name) => indexGrammar.test(name)),
    render(values) {
      let rendered = '';
      for (const part of parts) rendered += typeof part === 'string' ? part : clean(part(values));
      return rendered;
    },
  };
}

function dots(value: string, slash: string): string {
  return value.includes('/') ? value.replaceAll('/', slash) : value;
}

/**
 * What the wildcards of a Topic Filter matched, from the left; `#` is all its levels, joined, and
 * empty where it matched the parent level itself ([MQTT-4.7.1-2]).
 */
export function capturesOf(filter: string, topicName: string): string[] {
  const levels = topicName.split('/');
  const captures: string[] = [];
  for (const [index, level] of filter.split('/').entries()) {
    if (level === '+') captures.push(levels[index] ?? '');
    if (level === '#') captures.push(levels.slice(index).join('/'));
  }
  return captures;
}
