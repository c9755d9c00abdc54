/**
 * The `copyright` file of the package (DEP-5): who owns each part and under which terms, with the
 * terms as their owners wrote them. One stanza for us, one for the runtime, one a dependency.
 *
 * It refuses what nobody looked at: a licence that is not in `known`, and a dependency without a
 * text. The few packages that hold only a binary have theirs in the package that they belong to.
 * Texts stand whole in each stanza (they differ in names, clauses and line breaks); only the Apache
 * licence, which is the same everywhere, is referred to, as Debian wants it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dependency } from './dependencies.ts';
import { licenceFile } from './prune.ts';
import { Refusal } from './refusal.ts';

/** SPDX's names, and Debian's where they differ. */
const known = new Map(
  Object.entries({
    MIT: 'Expat',
    ISC: 'ISC',
    '0BSD': '0BSD',
    'Apache-2.0': 'Apache-2.0',
    'BSD-2-Clause': 'BSD-2-clause',
    'BSD-3-Clause': 'BSD-3-clause',
    Unlicense: 'Unlicense',
  }),
);
const apache = 'Apache-2.0';
/** A package that is the binary of another one: whose licence it is under. */
const binaryOf: readonly (readonly [RegExp, string])[] = [
  [/^@koromix\/koffi-linux-/, 'node_modules/koffi'],
  [/^@node-rs\/crc32-linux-/, 'node_modules/@node-rs/crc32'],
];
const copyrightLine = /^\W*(copyright\b.*(\(c\)|©|\d{4})|\(c\) )/i;
const copyrightPlain = /^\W*Copyright ([A-Z][\w.]+ ?){1,4}/;

const sqlite = `The SQLite library inside of the binding is in the public domain:
https://www.sqlite.org/copyright.html`;
const apacheText = `On Debian systems the text of the Apache License, version 2.0, is in
/usr/share/common-licenses/Apache-2.0; the tarball has it as LICENSE.`;

interface Stanza {
  readonly files: string;
  readonly copyright: readonly string[];
  readonly licence: string;
  readonly text: string;
}

/**
 * @param staged folder with node_modules, as npm left it
 * @param runtime folder of the runtime's package
 */
export function copyrightFile(
  staged: string,
  runtime: string,
  dependencies: readonly Dependency[],
): string {
  const own: Stanza = {
    files: '*',
    copyright: ['The Tidegate authors'],
    licence: apache,
    text: apacheText,
  };
  const node: Stanza = {
    files: 'usr/lib/tidegate/bin/node',
    copyright: ['Node.js contributors', 'Joyent, Inc. and other Node contributors'],
    licence: 'Expat and others',
    text: readFileSync(join(runtime, 'LICENSE'), 'utf8'),
  };
  const head = [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    'Upstream-Name: tidegate',
    'Comment: The package holds a Node runtime and its dependencies, so that a gateway needs no',
    ' network to be installed; each is under the terms of its own stanza. A dependency without a',
    ' folder below node_modules is part of the files in usr/lib/tidegate/agent.',
  ].join('\n');
  const stanzas = [own, node, ...dependencies.map((one) => stanzaOf(staged, one))];
  return `${[head, ...stanzas.map(show)].join('\n\n')}\n`;
}

/** As SPDX names it. */
export function licenceOf({ manifest }: Dependency): string {
  const { license = 'none', name } = manifest;
  if (known.has(license)) return license;
  throw new Refusal(
    `${name} is under ${license}`,
    'Read its terms; then name it in deploy/package/licences.ts, or do without the package.',
  );
}

function stanzaOf(staged: string, dependency: Dependency): Stanza {
  const licence = licenceOf(dependency);
  const { manifest, path } = dependency;
  const text = textOf(staged, dependency);
  const named = text.split('\n').filter((line) => namesOwner(line, licence));
  const { author } = manifest;
  const writer = typeof author === 'string' ? author : author?.name;
  const holders = named.length > 0 ? named.map(tidy) : [writer ?? `The ${manifest.name} authors`];
  const notice = licence === apache ? [apacheText, noticesOf(staged, path)].join('\n\n') : text;
  return {
    files: `usr/lib/tidegate/${path}/*`,
    copyright: [...new Set(holders)],
    licence: known.get(licence) ?? licence,
    text: manifest.name === 'better-sqlite3' ? `${notice.trim()}\n\n${sqlite}` : notice,
  };
}

function textOf(staged: string, { manifest, path }: Dependency): string {
  const home = binaryOf.find(([pattern]) => pattern.test(manifest.name))?.[1] ?? path;
  const folder = join(staged, home);
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => isText(name)) : [];
  if (files.length === 0 && manifest.license !== apache) {
    throw new Refusal(
      `${manifest.name} has no text of its licence (${manifest.license})`,
      'Name the package whose text it is in deploy/package/licences.ts, or do without it.',
    );
  }
  return files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
}

const isText = (name: string) => licenceFile.test(name);

/** The Apache licence speaks of copyright at the beginning of lines itself. */
function namesOwner(line: string, licence: string): boolean {
  if (licence === apache) return /^\W*Copyright\b.*\d{4}/.test(line);
  return copyrightLine.test(line) || copyrightPlain.test(line);
}

/** What the Apache licence wants to be carried along. */
function noticesOf(staged: string, path: string): string {
  return readdirSync(join(staged, path))
    .filter((name) => /^notice/i.test(name))
    .map((name) => readFileSync(join(staged, path, name), 'utf8'))
    .join('\n');
}

function tidy(line: string): string {
  return line.replace(/^[\s*#>-]+|[\s*]+$/g, '').replace(/^copyright:?\s*/i, '');
}

function show({ files, copyright, licence, text }: Stanza): string {
  const body = text.replaceAll('\r', '').trim().split('\n').map(folded).join('\n');
  return [
    `Files: ${files}`,
    `Copyright: ${copyright.join('\n           ')}`,
    `License: ${licence}\n${body}`,
  ].join('\n');
}

/** A line of a field's body: never empty, never at the margin. */
function folded(line: string): string {
  const kept = line.replaceAll(/[\t\f\v]/g, ' ').trimEnd();
  return kept === '' ? ' .' : ` ${kept}`;
}
