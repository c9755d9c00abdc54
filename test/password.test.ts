/**
 * `tidegate password` as its users meet it: a process of agent/main.ts, with standard input from a
 * pipe and from a terminal (a pseudo-terminal of util-linux's script).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'tidegate-password-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'users');
const permissions = 0o777;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function run(command: string, args: string[], feed: (said: string) => string | null) {
  const child = spawn(command, args, { cwd: folder });
  const said = { out: '', err: '' };
  const answer = () => {
    const input = feed(said.out + said.err);
    if (input !== null) child.stdin.write(input);
  };
  child.stdin.on('error', () => {});
  child.stdout.on('data', (chunk) => {
    said.out += String(chunk);
    answer();
  });
  child.stderr.on('data', (chunk) => {
    said.err += String(chunk);
  });
  answer();
  return await new Promise<Ended>((resolve) =>
    child.once('close', (code) => resolve({ code, ...said })),
  );
}

/** With standard input from a pipe that stays open: only the first line is waited for. */
async function tidegate(input: string, ...args: string[]): Promise<Ended> {
  let isFed = false;
  return await run(process.execPath, [main, 'password', ...args], () => {
    if (isFed) return null;
    isFed = true;
    return input;
  });
}

test('a user is added, verified, changed and deleted, with exit codes and JSON', async () => {
  const added = await tidegate('hush\n', file, 'pump-7');
  assert.deepEqual([added.code, added.out], [0, 'pump-7 added\n'], added.err);
  assert.equal(added.err !== '', process.geteuid?.() === 0, 'root is told to give it away');
  assert.equal(statSync(file).mode & permissions, 0o600);
  assert.match(
    readFileSync(file, 'utf8'),
    /^pump-7:\$scrypt\$ln=15,r=8,p=1\$[\w+/=]+\$[\w+/=]+\n$/,
  );
  assert.equal((await tidegate('hush\r\n', file, 'pump-7', '--verify')).code, 0);
  const wrong = await tidegate('hash\n', file, 'pump-7', '--verify');
  assert.equal(wrong.code, 65);
  assert.match(wrong.err, /is not the password of pump-7.*\n {4}Set it again/);
  const before = readFileSync(file, 'utf8');
  const changed = await tidegate('other\n', file, 'pump-7', '--json');
  assert.deepEqual(JSON.parse(changed.out), { file, name: 'pump-7', done: 'changed' });
  assert.notEqual(readFileSync(file, 'utf8'), before);
  assert.equal((await tidegate('hush\n', file, 'pump-7', '--verify')).code, 65);
  assert.equal((await tidegate('', file, 'pump-7', '--delete')).out, 'pump-7 deleted\n');
  assert.equal(readFileSync(file, 'utf8'), '');
  assert.equal((await tidegate('', file, 'pump-7', '--delete')).code, 65);
  assert.deepEqual(readdirSync(folder), ['users'], 'nothing is left beside it');
});

test('comments, order and a symbolic link stay, and a bad file is not written over', async () => {
  const link = join(folder, 'link');
  symlinkSync(file, link);
  for (const name of ['a', 'b']) await tidegate(`${name}\n`, link, name);
  writeFileSync(file, `# pumps\n${readFileSync(file, 'utf8')}\n# end\n`);
  await tidegate('new\n', link, 'a');
  const lines = readFileSync(file, 'utf8').split('\n');
  const kinds = lines.map((line) => line.split(':')[0]);
  assert.deepEqual(kinds, ['# pumps', 'a', 'b', '', '# end', '']);
  assert.ok(readdirSync(folder, { withFileTypes: true }).some((e) => e.isSymbolicLink()));
  writeFileSync(file, 'a:nonsense\n');
  const refused = await tidegate('x\n', file, 'b');
  assert.equal(refused.code, 78);
  assert.match(refused.err, /users:1: /);
  assert.equal(readFileSync(file, 'utf8'), 'a:nonsense\n');
  writeFileSync(file, '');
});

test('the file is synced before it takes the old one’s place, and its folder after', async () => {
  const trace = join(folder, 'trace');
  const words = [process.execPath, main, 'password', file, 'traced'];
  const traced = ['-f', '-qq', '-e', 'trace=fsync,fdatasync,rename,renameat2', '-o', trace];
  let isFed = false;
  const { code, err } = await run('strace', [...traced, ...words], () => {
    if (isFed) return null;
    isFed = true;
    return 'hush\n';
  });
  assert.equal(code, 0, err);
  const calls = readFileSync(trace, 'utf8').match(/\b(f(?:data)?sync|rename)/g);
  assert.deepEqual(calls, ['fsync', 'rename', 'fsync']);
  rmSync(trace);
  writeFileSync(file, '');
});

test('what cannot be a user or a password is refused', async () => {
  const codes = async (input: string, ...args: string[]) => (await tidegate(input, ...args)).code;
  assert.equal(await codes('x\n', file, 'a:b'), 64);
  assert.equal(await codes('x\n', file, '#a'), 64);
  assert.equal(await codes('x\n', file, 'a', '--delete', '--verify'), 64);
  assert.equal(await codes('\n', file, 'a'), 65);
  assert.equal(await codes(`${'x'.repeat(70_000)}\n`, file, 'a'), 65);
  assert.equal(await codes('x\n', join(folder, 'no', 'users'), 'a'), 73);
  assert.equal(readFileSync(file, 'utf8'), '');
});

/** Types an answer to each prompt; `script` gives the program a terminal. */
async function onTerminal(answers: readonly string[], ...args: string[]): Promise<Ended> {
  const words = [process.execPath, main, 'password', ...args].map((word) => `'${word}'`).join(' ');
  let given = 0;
  return await run('script', ['-qefc', words, '/dev/null'], (said) => {
    const prompts = said.match(/(Password|Again): /g)?.length ?? 0;
    if (given >= prompts) return null;
    given += 1;
    return answers[given - 1] ?? null;
  });
}

test('on a terminal the password is asked for twice and never shown', async () => {
  const good = await onTerminal(['hushX\u007f\r', 'hush\r'], file, 'anna');
  assert.equal(good.code, 0, good.out);
  assert.match(good.out, /Password: \s+Again: \s+anna added/);
  assert.doesNotMatch(good.out, /hush/);
  assert.equal((await tidegate('hush\n', file, 'anna', '--verify')).code, 0);
  assert.equal((await onTerminal(['hush\r'], file, 'anna', '--verify')).code, 0);
  const differ = await onTerminal(['one\r', 'two\r'], file, 'bert');
  assert.equal(differ.code, 65);
  assert.match(differ.out, /not the same/);
  const stopped = await onTerminal(['one\u0003'], file, 'bert');
  assert.equal(stopped.code, 64);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /bert/);
});
