/**
 * The operator's book (deploy/README.md) says what is so: each YAML block is a config without a
 * warning, each `tidegate` command with its options exists, what it says of metrics, states and
 * room is what the agent says, its links lead somewhere.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { openPlain } from '../agent/buffer/database.ts';
import type { CliContext } from '../agent/cli/context.ts';
import { runProgram } from '../agent/cli/program.ts';
import { costOf } from '../agent/cli/size-model.ts';
import { checkText } from '../agent/config/check.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { publish } from './support/cli.ts';
import { readLines } from './support/files.ts';

const folder = fileURLToPath(new URL('../deploy/', import.meta.url));
const withinMs = 15_000;
const book = readFileSync(join(folder, 'README.md'), 'utf8');

interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
}

function blocksOf(text: string): Block[] {
  const fences = text.matchAll(/^( *)```([a-z][a-z ]*)\n([\s\S]*?)^\1```$/gm);
  return [...fences].map(({ 1: indent = '', 2: language = '', 3: body = '', index }) => ({
    language,
    text: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    line: text.slice(0, index).split('\n').length,
  }));
}

const blocks = blocksOf(book);

type Tree = Record<string, unknown>;

/** A part of a config, and the least that makes it a whole one. */
function wholeOf(part: Tree): Tree {
  const upstreams = (part.upstreams ?? { files: { file: { directory: './out' } } }) as Tree;
  const to = Object.keys(upstreams).map((upstream) => ({ upstream }));
  const routes = part.routes ?? [{ name: 'all', from: '+/+/#', to }];
  return { ...part, routes, upstreams };
}

test('each YAML block is a config, or a part of one, without a problem', () => {
  const configs = blocks.filter(({ language }) => language === 'yaml');
  assert.ok(configs.length >= 8, `${configs.length} blocks`);
  for (const { text, line } of configs) {
    const whole = wholeOf(parse(text.replaceAll(/'file:[^']*'/g, 'secret')) as Tree);
    const { problems } = checkText(stringify(whole), `README.md:${line}`, {});
    assert.deepEqual(problems, [], `the block at line ${line}`);
  }
});

interface Command {
  readonly words: readonly string[];
  readonly options: readonly string[];
  readonly written: string;
}

function commandsIn(text: string): Command[] {
  const whole = text.replaceAll(/\\\n\s*/g, ' ').replaceAll(/ +# .*$/gm, '');
  return whole.split(/\n|&&|\||;/).flatMap((written) => {
    const [, rest] = /^\s*(?:[A-Z_]+=\S+ +)?(?:\S*\/)?tidegate( .*)?$/.exec(written) ?? [];
    if (rest === undefined) return [];
    const tokens = rest.trim().split(/\s+/);
    const end = tokens.findIndex((token) => !/^[a-z]+$/.test(token));
    const words = tokens.slice(0, end < 0 ? tokens.length : end);
    return [{ words, options: tokens.filter((token) => token.startsWith('--')), written }];
  });
}

async function helpOf(words: readonly string[]): Promise<string> {
  let said = '';
  const context: CliContext = {
    env: {},
    out: (text) => {
      said += String(text);
    },
    err: (text) => {
      said += text;
    },
    isTerminal: false,
    stopSignal: () => new AbortController().signal,
    onReload: () => {},
  };
  assert.equal(await runProgram([...words, '--help'], context), 0, `${words.join(' ')}\n${said}`);
  return said;
}

test('each tidegate command in the book exists, with its options', async () => {
  const fenced = blocks.filter(({ language }) => language === 'sh');
  const inline = [...book.matchAll(/`(tidegate [^`]+)`/g)].map(([, written = '']) => written);
  const commands = [...fenced.map(({ text }) => text), ...inline].flatMap(commandsIn);
  assert.ok(commands.length > 35, `${commands.length} commands`);
  for (const { words, options, written } of commands) {
    // What follows the command's own words are arguments: fewer words until they are a command.
    let known = [...words];
    let help = '';
    while (known.length > 0) {
      help = await helpOf(known);
      const usage = `Usage: tidegate ${known.join(' ')}`;
      if (help.startsWith(`${usage} `) || help.startsWith(`${usage}\n`)) break;
      known = known.slice(0, -1);
    }
    if (known.length === 0) help = await helpOf([]);
    assert.ok(known.length > 0 || options.length > 0, `${written}: no such command`);
    for (const option of options) {
      const name = option.split('=')[0] ?? '';
      assert.match(help, new RegExp(`^ +(-., )?${name}\\b`, 'm'), `${written}: no ${option}`);
    }
  }
});

test('links and contents lead to headings and files that are there', () => {
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(' ', '-');
  const pages = new Map(
    ['README.md', 'errors.md'].map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
  );
  for (const [page, text] of pages) {
    for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
      const [file = '', anchor] = target.split('#');
      const name = file === '' ? page : file;
      assert.ok(existsSync(join(folder, name)), `${page}: ${target}`);
      if (anchor === undefined) continue;
      const headings = [...(pages.get(name) ?? '').matchAll(/^#+ (.*)$/gm)].map(([, h = '']) => h);
      assert.ok(headings.map(slug).includes(anchor), `${page}: ${target}`);
    }
  }
  for (const [, heading = ''] of book.matchAll(/^## (.*)$/gm)) {
    assert.match(book, new RegExp(`\\]\\(#${slug(heading)}\\)`), `contents: ${heading}`);
  }
});

test('what the book says of metrics and states is what the agent has', async () => {
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: '#', to: { upstream: 'files' } }],
    upstreams: { files: { file: { directory: './out' } } },
  });
  const known = new Set<string>();
  await eventually('the metrics of a lane', withinMs, async () => {
    for (const { name } of await agent.metrics()) known.add(name);
    return known.has('tidegate_lane_state');
  });
  const named = [...book.matchAll(/\btidegate_[a-z_]+\b/g)].map(([name]) => name);
  assert.ok(named.length > 8);
  assert.deepEqual(
    [...new Set(named)].filter((name) => !known.has(name)),
    [],
  );
  const states = readFileSync(join(folder, '../agent/egress/lane-states.ts'), 'utf8');
  for (const state of ['connecting', 'forwarding', 'backing-off', 'paused', 'halted']) {
    assert.match(states, new RegExp(`'${state}'`), state);
    assert.match(book, new RegExp(`\`${state}\``), state);
  }
});

test('the rule of thumb for the room is on the safe side, and not far', () => {
  const factor = Number(/events a commit\) × (\d\.\d) \+ 4 MiB\)/.exec(book)?.[1]);
  for (const payloadBytes of [20, 100, 200, 400, 600, 5_000, 20_000]) {
    for (const [messagesPerSecond, commitEveryMs] of [
      [10, 0],
      [100, 50],
      [2_000, 20],
    ] as const) {
      const load = { messagesPerSecond, payloadBytes, namesBytes: 56, commitEveryMs, syncMs: 1 };
      const { eventBytes, messagesPerCommit, fileBytesPerMessage } = costOf(load);
      const rule = (eventBytes + 108 / messagesPerCommit) * factor;
      const told = `${payloadBytes} bytes, ${commitEveryMs} ms: ${rule} for ${fileBytesPerMessage}`;
      assert.ok(rule >= fileBytesPerMessage * 0.95, told);
      assert.ok(rule <= fileBytesPerMessage * 1.35, told);
    }
  }
});

/** The statements that sqlite3 is given in the book, in order. */
function statements(): string[] {
  const shell = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text);
  return [...shell.join('\n').matchAll(/^sqlite3 \S+ "([^"]+)"$/gm)].map(([, sql = '']) => sql);
}

test('a copy made as the book says is whole; restored, it gives no id a second time', async () => {
  const [copyIt = '', makeWal = '', renew = ''] = statements();
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: '#', to: { upstream: 'files' } }],
    upstreams: { files: { file: { directory: './out' } } },
  });
  const at = (name: string) => join(agent.directory, name);
  const values = () => readLines(at('out')).map(({ value }) => String(value));
  const send = async (text: string) => {
    await publish(agent.mqttPort, 'pump-7', [['a/b', text]]);
    await eventually(`${text} is delivered`, withinMs, () => values().includes(text));
  };
  const sql = (file: string, statement: string) => {
    const db = openPlain(file, { readonly: false });
    db.exec(statement);
    db.close();
  };
  await send('before');
  sql(at('tidegate.db'), copyIt.replace(/'[^']+'/, `'${at('copy.db')}'`));
  sql(at('copy.db'), makeWal);
  await send('lost with the file');
  await agent.stop();
  for (const end of ['', '-wal', '-shm', '.lock', '.reserve']) {
    rmSync(at(`tidegate.db${end}`), { force: true });
  }
  renameSync(at('copy.db'), at('tidegate.db'));
  sql(at('tidegate.db'), renew);
  await agent.start();
  await send('after');
  await agent.stop();
  assert.deepEqual([...new Set(values())].sort(), ['after', 'before', 'lost with the file']);
  const ids = new Set(readLines(at('out')).map(({ headers }) => headers.ce_id));
  assert.equal(ids.size, 3, 'each event has an id of its own');
});
