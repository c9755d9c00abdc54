/**
 * The command line as its users meet it: `node agent/main.ts …` as a process, its output and its
 * exit code (sysexits).
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readMeta } from '../agent/buffer/meta.ts';
import { freePorts } from './support/ports.ts';

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'tidegate-cli-'));
const started: ChildProcess[] = [];
after(() => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param node flags of Node itself, before the program */
function start(args: readonly string[], node: readonly string[] = []) {
  const child = spawn(process.execPath, [...node, main, ...args], { cwd: directory });
  started.push(child);
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (said.out += String(chunk)));
  child.stderr.on('data', (chunk) => (said.err += String(chunk)));
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => resolve({ code, ...said }));
  });
  return { child, said, ended };
}

const tidegate = (...args: string[]): Promise<Ended> => start(args).ended;

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

async function until(what: string, met: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await met())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(30);
  }
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/readyz`)).ok;
  } catch {
    return false;
  }
}

const good = (buffer: string, http: number): string => `
gateway: cli-gw
mqtt: { listeners: [{ bind: 127.0.0.1:0 }] }
routes: [{ name: all, from: '#', to: { upstream: out } }]
upstreams: { out: { file: { directory: '${join(directory, 'out')}' } } }
buffer: { path: '${buffer}', bytes: 64MiB }
http: { bind: 127.0.0.1:${http} }
`;

const usage: readonly (readonly string[])[] = [
  [],
  ['fly'],
  ['run', '--fast'],
  ['run', 'a', 'b'],
  ['check'],
  ['buffer'],
  ['buffer', 'forget'],
  ['upstream', 'pause'],
  ['upstream', 'pause', 'x', '--http', 'nowhere'],
  ['dead', 'list', '--most', 'many'],
  ['dead', 'replay'],
  ['dead', 'discard', 'seven'],
  ['dead', 'show'],
  ['demo', '--seconds', '-3'],
  ['fleet'],
  ['fleet', 'push'],
  ['fleet', 'push', 'x', '--canary', '5', '--key', 'x'],
  ['fleet', 'push', 'x', '--group', 'Line', '--key', 'x'],
  ['fleet', 'push', 'x', '--group', 'a', '--gateway', 'b', '--key', 'x'],
  ['fleet', 'rollback', '--to', 'last', '--key', 'x'],
  ['fleet', 'status', '--servers', 'nowhere'],
  ['fleet', 'status', '--servers', 'nats://10.0.0.1:4222'],
  ['fleet', 'keygen'],
];
for (const args of usage) {
  test(`a usage error is exit 64: tidegate ${args.join(' ')}`, async () => {
    const { code, err } = await tidegate(...args);
    assert.equal(code, 64, err);
    assert.notEqual(err, '');
  });
}

const commands = [
  [],
  ['run'],
  ['check'],
  ['demo'],
  ['buffer', 'stat'],
  ['buffer', 'forget'],
  ['buffer', 'verify'],
  ['buffer', 'export'],
  ['dead', 'list'],
  ['dead', 'show'],
  ['dead', 'replay'],
  ['dead', 'discard'],
  ['status'],
  ['upstream', 'pause'],
  ['upstream', 'resume'],
  ['fleet', 'push'],
  ['fleet', 'status'],
  ['fleet', 'rollback'],
  ['fleet', 'watch'],
  ['fleet', 'keygen'],
];
for (const command of commands) {
  test(`--help has examples and exit 0: tidegate ${command.join(' ')}`, async () => {
    const { code, out } = await tidegate(...command, '--help');
    assert.equal(code, 0);
    assert.match(out, /Examples:\n +\$ tidegate /);
    if (command.length > 0) assert.match(out, /--json/);
  });
}

test('check prints file, line, column, key and remedy of every problem, exit 78', async () => {
  const path = write('bad.yaml', 'routes: []\nupstreams: {}\ngatway: x\nstopWithin: 5\n');
  const { code, out } = await tidegate('check', path);
  assert.equal(code, 78);
  assert.ok(
    out.includes(`${path}:3:1: error: gatway: unknown key gatway\n    Did you mean gateway?`),
  );
  assert.ok(out.includes(`${path}:4:13: error: stopWithin: 5 has no unit\n    Write a number`));
  assert.match(out, /refused: 2 errors, 1 warning/);
  const json = await tidegate('check', '--json', path);
  assert.equal(json.code, 78);
  const { valid, problems } = JSON.parse(json.out) as { valid: boolean; problems: object[] };
  assert.deepEqual([valid, problems.length], [false, 3]);
});

test('check of a good config is exit 0, of a missing file exit 78', async () => {
  assert.equal((await tidegate('check', write('good.yaml', good('x.db', 1)))).code, 0);
  const { code, err } = await tidegate('check', 'none.yaml');
  assert.equal(code, 78);
  assert.match(err, /none\.yaml[\s\S]*--config/);
});

test('check --schema prints the schema that deploy has', async () => {
  const { code, out } = await tidegate('check', '--schema');
  assert.equal(code, 0);
  const deployed = new URL('../deploy/tidegate.schema.json', import.meta.url);
  assert.equal(out, readFileSync(deployed, 'utf8'));
});

test('check loads neither SQLite nor Kafka, broker, log or HTTP', async () => {
  const seen = join(directory, 'seen.txt');
  const hook = write(
    'hook.mjs',
    `import { registerHooks } from 'node:module';
import { appendFileSync } from 'node:fs';
registerHooks({ resolve(specifier, context, next) {
  const found = next(specifier, context);
  appendFileSync(${JSON.stringify(seen)}, found.url + '\\n');
  return found;
} });`,
  );
  const path = write('light.yaml', good('x.db', 1));
  assert.equal((await start(['check', path], ['--import', hook]).ended).code, 0);
  const loaded = readFileSync(seen, 'utf8');
  assert.match(loaded, /valibot/);
  const heavy =
    /node_modules\/(better-sqlite3|@platformatic|aedes|mqtt|pino|@valibot)|node:https?\n/;
  assert.doesNotMatch(loaded, heavy);
});

test('buffer stat of a file that is not there is exit 73, and creates nothing', async () => {
  const path = join(directory, 'none.db');
  const { code, err } = await tidegate('buffer', 'stat', '--buffer', path, '--json');
  assert.equal(code, 73);
  const { error } = JSON.parse(err) as { error: { code: string; remedy: string } };
  assert.equal(error.code, 'bufferCannotOpen');
  assert.notEqual(error.remedy, '');
  assert.ok(!existsSync(path));
});

test('upstream pause without an agent is exit 69', async () => {
  const [port] = await freePorts(1);
  const { code, err } = await tidegate('upstream', 'pause', 'x', '--http', `127.0.0.1:${port}`);
  assert.equal(code, 69);
  assert.match(err, /no agent answers at http:\/\/127\.0\.0\.1/);
});

test('a refused config without a last good one is exit 78, with every problem', async () => {
  const text = `buffer: { path: '${join(directory, 'no.db')}' }\nrouts: []\n`;
  const { code, err } = await tidegate('run', '--config', write('refused.yaml', text));
  assert.equal(code, 78);
  assert.match(err, /refused\.yaml:2:1: error: routs: unknown key/);
  assert.match(err, /upstreams is missing/);
});

test('an HTTP address that is taken is exit 69 with its remedy', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => holder.once('listening', done));
  const { port } = holder.address() as AddressInfo;
  const path = write('taken.yaml', good(join(directory, 'taken.db'), port));
  const { code, err } = await tidegate('run', '--config', path);
  holder.close();
  assert.equal(code, 69);
  assert.match(err, /EADDRINUSE[\s\S]*ss -ltnp/);
});

test('run: ready, commands of an operator, and a clean stop', async (t) => {
  const buffer = join(directory, 'run.db');
  const [http = 0] = await freePorts(1);
  const config = write('run.yaml', good(buffer, http));
  const agent = start(['run', '--config', config]);
  await until('ready', () => isReady(http));

  await t.test('pause and resume answer, an unknown upstream is exit 64', async () => {
    for (const action of ['pause', 'resume']) {
      const { code, out } = await tidegate('upstream', action, 'out', '--config', config);
      assert.deepEqual([code, out], [0, `out ${action}d\n`]);
    }
    const { code, err } = await tidegate('upstream', 'pause', 'in', '--config', config);
    assert.equal(code, 64);
    assert.match(err, /no upstream in/);
  });

  await t.test('a second agent on the buffer is exit 75', async () => {
    const [port = 0] = await freePorts(1);
    const second = write('second.yaml', good(buffer, port));
    const { code, err } = await tidegate('run', '--config', second);
    assert.equal(code, 75, err);
  });

  await t.test('buffer stat and dead list read beside the agent, forget is refused', async () => {
    const found = await tidegate('buffer', 'stat', '--config', config, '--json');
    assert.equal(found.code, 0, found.err);
    const stat = JSON.parse(found.out) as { lanes: { lane: string }[] };
    assert.deepEqual(
      stat.lanes.map(({ lane }) => lane),
      ['out/at-least-once'],
    );
    assert.match((await tidegate('buffer', 'stat', '--buffer', buffer)).out, /out\/at-least-once/);
    assert.equal((await tidegate('dead', 'list', '--buffer', buffer)).out, 'no dead letters\n');
    assert.equal((await tidegate('dead', 'list', '--buffer', buffer, '--json')).out, '[]\n');
    assert.equal((await tidegate('buffer', 'forget', 'out', '--config', config)).code, 64);
    assert.equal((await tidegate('buffer', 'forget', 'out', '--buffer', buffer)).code, 75);
  });

  await t.test('SIGTERM ends it with exit 0, and its log is one JSON object a line', async () => {
    agent.child.kill('SIGTERM');
    const { code, out } = await agent.ended;
    assert.equal(code, 0);
    const events = out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: string }).event);
    for (const event of ['agentStarting', 'configLoaded', 'agentReady', 'agentStopped']) {
      assert.ok(events.includes(event), `${event} in ${events}`);
    }
  });
});

test('a config that broke runs on the last good one, and its lane can be forgotten', async (t) => {
  const buffer = join(directory, 'broken.db');
  const [http = 0] = await freePorts(1);
  const config = write('broken.yaml', good(buffer, http));
  const agent = start(['run', '--config', config]);
  await until('ready', () => isReady(http));
  agent.child.kill('SIGTERM');
  assert.equal((await agent.ended).code, 0);

  await t.test('it runs on the last good config, and says so', async () => {
    assert.equal(readMeta(buffer, 'config'), readFileSync(config, 'utf8'));
    writeFileSync(config, `${good(buffer, http)}gatway: x\n`);
    const degraded = start(['run', '--config', config]);
    await until('ready', () => isReady(http));
    const response = await fetch(`http://127.0.0.1:${http}/readyz`);
    assert.equal(((await response.json()) as { degraded: string }).degraded, 'config');
    degraded.child.kill('SIGTERM');
    const { code, out, err } = await degraded.ended;
    assert.equal(code, 0);
    const lines = out.split('\n').filter((line) => /"(configRefused|configDegraded)"/.test(line));
    assert.equal(lines.length, 2);
    for (const line of lines) assert.equal((JSON.parse(line) as { level: string }).level, 'error');
    assert.match(err, /gatway: unknown key/);
    assert.equal(readMeta(buffer, 'config'), good(buffer, http));
  });

  await t.test(
    'forget drops the cursor of a stopped agent, and names one that is none',
    async () => {
      assert.equal((await tidegate('buffer', 'forget', 'nobody', '--buffer', buffer)).code, 64);
      const { code, out } = await tidegate('buffer', 'forget', 'out', '--buffer', buffer);
      assert.equal(code, 0);
      assert.match(out, /forgotten: out\/at-least-once \(0 frames/);
      const { out: json } = await tidegate('buffer', 'stat', '--buffer', buffer, '--json');
      assert.deepEqual((JSON.parse(json) as { lanes: object[] }).lanes, []);
    },
  );
});

test('a signal while the agent is starting ends it too', async () => {
  const [http = 0] = await freePorts(1);
  const path = write('early.yaml', good(join(directory, 'early.db'), http));
  const agent = start(['run', '--config', path]);
  await until('the first line', () => agent.said.out.includes('agentStarting'));
  agent.child.kill('SIGTERM');
  assert.equal((await agent.ended).code, 0);
});

test('an older Node is refused before anything native is loaded', () => {
  const script = `Object.defineProperty(process.versions, 'node', { value: '24.5.0' });
    await import(${JSON.stringify(main)});`;
  const flags = ['--input-type=module', '-e', script];
  const { status, stderr } = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  assert.equal(status, 69);
  assert.match(stderr, /Node 24\.5\.0, tidegate needs 24\.6 or later\n +Run it with Node 24\.6/);
});
