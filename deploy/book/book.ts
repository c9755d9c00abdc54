/**
 * `npm run book`: writes `deploy/errors.md`, the part of the operator's book that is a list of what
 * the agent can say: error codes, log events, reasons, exit codes. What they are, what follows and
 * the remedy come from the agent's own tables; `*-words.ts` beside this file add what an operator
 * cannot see in them. `--check` writes nothing and exits 1 when the file is another.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, exitCodes, TidegateError } from '../../agent/errors.ts';
import { catalogue, type EventName, outcomes } from '../../agent/events.ts';
import { type FaultName, faults } from '../../agent/frames/faults.ts';
import { reasonCodeOf } from '../../agent/frames/reason-codes.ts';
import { errorWords } from './error-words.ts';
import { type AlarmingName, eventWords } from './event-words.ts';
import { buryWords, connectionWords, faultWords, outcomeWords } from './reason-words.ts';

const path = fileURLToPath(new URL('../errors.md', import.meta.url));
const hexadecimal = 16;
/** Faults from here on are not a device's. */
const deviceFaultsBelow = 50;

const exitWords: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: 'done; or the agent was told to stop',
  usage: 'the command line is wrong',
  badData: 'what was given, or what is stored, is not good',
  unavailable: 'something that is needed does not answer',
  ourFault: 'a defect of tidegate',
  cannotCreate: 'a file cannot be made',
  inputOutput: 'the disk failed',
  tryLater: 'not now: another process is at work',
  config: 'the config is refused',
};

const follows = {
  retry: 'tried again by itself',
  bury: 'this event becomes a dead letter',
  refuse: 'refused, nothing changed',
  halt: 'stops until somebody acts',
} as const;

const introduction = `# What tidegate says, and what to do

Written by \`npm run book\` from the agent's own tables; do not edit. The book is \`README.md\`.

A command that fails prints two lines: what is wrong, and the remedy. With \`--json\` it is one
object with \`code\`, \`message\` and \`remedy\`. The agent logs a JSON object a line; \`event\` is
its name below, \`code\`, \`reason\` and \`remedy\` say more.

- [Exit codes](#exit-codes)
- [Error codes](#error-codes)
- [Log events that want attention](#log-events-that-want-attention)
- [Why an event was buried](#why-an-event-was-buried)
- [What becomes of an event](#what-becomes-of-an-event)
- [Why a connection was ended](#why-a-connection-was-ended)
- [What was wrong with a packet](#what-was-wrong-with-a-packet)
`;

export function bookText(): string {
  const parts = [
    introduction,
    section('Exit codes', 'As in sysexits.h.', ['exit', 'meaning'], exitRows()),
    section(
      'Error codes',
      'A lane that halts leaves the agent running: `tidegate upstream resume NAME` sends it on.',
      ['code', 'exit', 'when', 'then', 'remedy'],
      errorRows(),
    ),
    section(
      'Log events that want attention',
      'A warning: nothing is lost yet. An error: something is lost, or hands are needed.',
      ['event', 'level', 'text', 'what to do'],
      eventRows(),
    ),
    section(
      'Why an event was buried',
      '`tidegate dead list` shows the reason of each dead letter; none is deleted by itself.',
      ['reason', 'when', 'remedy'],
      buryRows(),
    ),
    section(
      'What becomes of an event',
      'Each event of a lane is counted once: `tidegate_lane_outcome_frames_total{outcome}`.',
      ['outcome', 'meaning'],
      outcomes.map((name) => [code(name), outcomeWords[name]]),
    ),
    section(
      'Why a connection was ended',
      '`connectionRefused`, field `reason`. `tls …`: the handshake failed. `connack N`: the' +
        ' broker behind refused the device with N.',
      ['reason', 'meaning'],
      Object.entries(connectionWords).map(([name, words]) => [code(name), words]),
    ),
    section(
      'What was wrong with a packet',
      '`frameRefused`, field `reason`. The connection is closed; MQTT 5 devices are told the code.',
      ['reason', 'number', 'MQTT 5', 'what it is'],
      faultRows(),
    ),
  ];
  return parts.join('\n');
}

type Row = readonly string[];

function section(title: string, prose: string, columns: Row, rows: readonly Row[]): string {
  const line = (cells: Row) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rule = line(columns.map(() => '---'));
  return `## ${title}\n\n${prose}\n\n${[line(columns), rule, ...rows.map(line)].join('\n')}\n`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function exitRows(): Row[] {
  const names = Object.keys(exitCodes) as (keyof typeof exitCodes)[];
  return names.map((name) => [String(exitCodes[name]), exitWords[name]]);
}

function errorRows(): Row[] {
  const codes = Object.keys(errorWords) as ErrorCode[];
  return codes.map((name) => {
    const error = new TidegateError(name, '');
    return [code(name), String(error.exit), errorWords[name], follows[error.class], error.remedy];
  });
}

function eventRows(): Row[] {
  const alarming = (name: EventName): name is AlarmingName => name in eventWords;
  return (Object.keys(catalogue) as EventName[]).filter(alarming).map((name) => {
    const { level, text } = catalogue[name];
    return [code(name), level, text, eventWords[name]];
  });
}

function buryRows(): Row[] {
  const codes = (Object.keys(errorWords) as ErrorCode[])
    .map((name) => new TidegateError(name, ''))
    .filter((error) => error.class === 'bury');
  const others = Object.entries(buryWords).map(([name, { when, remedy }]) => [
    code(name),
    when,
    remedy,
  ]);
  return [
    ...others,
    ...codes.map((error) => [code(error.code), errorWords[error.code], error.remedy]),
  ];
}

function faultRows(): Row[] {
  return (Object.keys(faults) as FaultName[]).map((name) => {
    const number = faults[name];
    const reasonCode = number < deviceFaultsBelow ? reasonCodeOf(number, 'open') : null;
    const answered = reasonCode === null ? '' : `0x${reasonCode.toString(hexadecimal)}`;
    return [code(name), String(number), answered, faultWords[name]];
  });
}

function main(): number {
  const text = bookText();
  const isCheck = process.argv.includes('--check');
  if (!isCheck) writeFileSync(path, text);
  else if (readFileSync(path, 'utf8') !== text) {
    process.stderr.write('deploy/errors.md is stale: npm run book writes it anew\n');
    return 1;
  }
  return 0;
}

if (import.meta.main) process.exitCode = main();
