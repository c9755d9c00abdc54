/**
 * tidegate(1), in man(7): what the program's own help says, section by section, with the files,
 * variables and signals that no help of a command names. mandoc's lint passes without a warning.
 *
 * Text of others goes through `escaped`: a backslash, a dot at the beginning of a line and a hyphen
 * that is meant as one are what roff would take for its own.
 */
import type { Flag, Positional, Spoken } from '../package/commands.ts';
import { spokenCommands } from '../package/commands.ts';
import { wrap } from '../package/wrap.ts';

const files: readonly (readonly [path: string, prose: string])[] = [
  ['/etc/tidegate/tidegate.yaml', 'The config of the service. It is never overwritten.'],
  ['/var/lib/tidegate/tidegate.db', 'The buffer. Beside it stand its log, its lock and a reserve.'],
  ['/var/lib/tidegate/out', 'What the file upstream of the default config writes.'],
  ['/usr/lib/tidegate', 'The program, its dependencies and its runtime.'],
  ['/usr/share/doc/tidegate', "The operator's book, an example config, licences, the SBOM."],
];

const variables: readonly (readonly [name: string, prose: string])[] = [
  ['NAME', 'Any variable that a value in the config names in $ and braces.'],
  ['TIDEGATE_FLEET_SERVERS', 'What --servers says to the fleet commands.'],
  ['TIDEGATE_FLEET_KEY', 'What --key says to the fleet commands.'],
];

/** Escapes come on top; 80 is what lint allows. */
const columnsMost = 70;
const exitHeading = /^Exit codes: /;
const examplesHeading = /^Examples:\n/;

/** @param epoch seconds; the page's date */
export function manualPage(version: string, epoch: number): string {
  const [program, ...commands] = spokenCommands();
  if (!program) throw new Error('there is no program');
  const date = new Date(epoch * 1000).toISOString().slice(0, 10);
  const paragraphs = program.after.split('\n\n');
  const examples = paragraphs.filter((text) => examplesHeading.test(text));
  const exits = paragraphs.filter((text) => exitHeading.test(text));
  const leaves = commands.filter(({ below }) => below.length === 0);
  return [
    `.TH TIDEGATE 1 "${date}" "tidegate ${escaped(version)}" "User Commands"`,
    '.SH NAME',
    'tidegate \\- event-mesh agent for edge gateways',
    '.SH SYNOPSIS',
    ...leaves.flatMap(synopsis),
    '.SH DESCRIPTION',
    ...filled(program.prose),
    'Devices publish to it over MQTT and NATS; what is committed to its buffer goes',
    'on to Kafka, MQTT, NATS or files, now or when the uplink is back.',
    'As a service it is run by systemd: see FILES, and',
    '.BR "systemctl status tidegate" .',
    '.SH COMMANDS',
    ...commands.flatMap(section),
    '.SH EXIT STATUS',
    ...exits.flatMap((text) => filled(text.replace(exitHeading, ''))),
    '.SH ENVIRONMENT',
    ...variables.flatMap(([name, prose]) => item(`.B ${escaped(name)}`, prose)),
    '.SH FILES',
    ...files.flatMap(([path, prose]) => item(`.I ${escaped(path)}`, prose)),
    '.SH EXAMPLES',
    ...examples.flatMap(paragraph).slice(1),
    '.SH SEE ALSO',
    '.BR systemctl (1),',
    '.BR journalctl (1)',
    '',
  ].join('\n');
}

function synopsis(command: Spoken, at: number): string[] {
  const words = command.positionals.map(({ shown }) => ` ${escaped(shown)}`).join('');
  const line = `.B tidegate ${command.path.join(' ')}`;
  return [...(at > 0 ? ['.br'] : []), line, `[options]${words}`];
}

function section(command: Spoken): string[] {
  const body = [
    `.SS tidegate ${command.path.join(' ')}`,
    ...filled(`${command.prose.charAt(0).toUpperCase()}${command.prose.slice(1)}.`),
    ...command.positionals.flatMap((one: Positional) =>
      item(`.I ${escaped(one.shown)}`, one.prose),
    ),
    ...command.flags
      .filter(({ long }) => long !== '--help')
      .flatMap(({ long, value, prose }: Flag) => item(flagHead(long, value), prose)),
  ];
  const after = command.after === '' ? [] : command.after.split('\n\n').flatMap(paragraph);
  return [...body, ...after];
}

function flagHead(long: string, value: string): string {
  return value === '' ? `.B ${escaped(long)}` : `.BI ${escaped(long)} " ${escaped(value)}"`;
}

function item(head: string, prose: string): string[] {
  return ['.TP', head, ...filled(prose)];
}

/** A paragraph of a help text: examples keep their lines, prose is filled. */
function paragraph(text: string): string[] {
  if (!examplesHeading.test(text)) return ['.PP', ...filled(text)];
  const lines = text.replace(examplesHeading, '').split('\n');
  return ['.PP', '.nf', ...lines.map((line) => escaped(line.replace(/^ {2}/, ''))), '.fi'];
}

/** Prose as roff wants its source: short lines, a new sentence on a new one. */
function filled(text: string): string[] {
  return text
    .split(/(?<=[.!?])\s+/)
    .flatMap((sentence) => wrap(sentence, columnsMost))
    .map(escaped);
}

function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&')
    .replaceAll('\t', ' ')
    .trimEnd();
}
