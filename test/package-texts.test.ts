/**
 * What the package says without being built: its command line, the completions of the three shells
 * and the man page, which come from the program's own commands, and the licences it refuses.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { completions } from '../deploy/completions/completions.ts';
import { manualPage } from '../deploy/man/manual.ts';
import { debianChangelog } from '../deploy/package/changelog.ts';
import { spokenCommands } from '../deploy/package/commands.ts';
import { licenceOf } from '../deploy/package/licences.ts';
import { debianVersion } from '../deploy/package/options.ts';
import { runPackaging } from './support/package.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-texts-'));
after(() => rmSync(folder, { recursive: true }));
const scripts = new Map(
  completions().map(([path, script]) => [path.split('/')[2] ?? '', script] as const),
);

function completion(shell: string): string {
  const script = scripts.get(shell);
  assert.ok(script, `no completion for ${shell}`);
  return script;
}

test('a wrong command line is refused as usage, with the reason and what to do', () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['--arch', 'armhf'], /^package: --arch armhf: there is amd64 or arm64\n {4}\S/],
    [['--version', '1.2'], /^package: --version 1\.2: it is not like 1\.2\.3/],
    [['--version', '1.2.3-1/..'], /it is not like/],
    [['--out', ''], /^package: --out is empty\n/],
    [['--fast'], /^package: Unknown option '--fast'/],
    [['amd64'], /^package: Unexpected argument 'amd64'/],
  ];
  for (const [args, said] of wrong) {
    const { code, out, err } = runPackaging(args);
    assert.deepEqual([code, out], [64, ''], err);
    assert.match(err, said);
    assert.match(err, /--help|folder/);
  }
});

test('its help shows every option and examples', () => {
  const { code, out } = runPackaging(['--help']);
  assert.equal(code, 0);
  for (const word of ['--arch', '--out', '--version', '--json', 'Examples:', 'SOURCE_DATE_EPOCH']) {
    assert.ok(out.includes(word), word);
  }
});

test('a time that is none is refused before anything is fetched', () => {
  const { code, err } = runPackaging(['--out', folder], { SOURCE_DATE_EPOCH: 'yesterday' });
  assert.equal(code, 65);
  assert.match(err, /^package: SOURCE_DATE_EPOCH is yesterday\n {4}Set it to seconds/);
});

test('a pre-release sorts before its release in the eyes of dpkg', () => {
  const [before, release] = ['1.2.0-rc.1', '1.2.0'].map(debianVersion);
  execFileSync('dpkg', ['--compare-versions', String(before), 'lt', String(release)]);
});

test('a licence that nobody looked at is refused by its name', () => {
  const manifest = { name: 'some', version: '1.0.0', license: 'SSPL-1.0' };
  const some = { path: 'node_modules/some', manifest, needs: [] };
  assert.throws(() => licenceOf(some), /some is under SSPL-1\.0/);
});

test('a version that the changelog does not know has an entry of its own on top', () => {
  const text = '# Changelog\n\n## 0.1.0: 2026-01-02\n\n- The main\n  road.\n';
  const shown = debianChangelog(text, '0.2.0', 1_790_000_000);
  assert.match(shown, /^tidegate \(0\.2\.0\) stable; urgency=medium\n/);
  assert.match(shown, /\ntidegate \(0\.1\.0\) stable; .*\n\n {2}\* The main road\.\n\n -- /);
  assert.match(shown, / {2}Fri, 02 Jan 2026 12:00:00 \+0000\n$/);
});

test('every command and option is in the man page and in the completions of each shell', () => {
  const page = manualPage('0.1.0', 0).replaceAll('\\-', '-');
  for (const { path, flags } of spokenCommands()) {
    for (const [shell, script] of scripts) {
      for (const word of [path.at(-1) ?? 'tidegate', ...flags.map(({ long }) => long.slice(2))]) {
        assert.ok(script.includes(word), `${shell}: ${path.join(' ')} ${word}`);
      }
    }
    if (path.length > 0) assert.ok(page.includes(`.SS tidegate ${path.join(' ')}\n`));
    const own = flags.filter(({ long }) => path.length > 0 && long !== '--help');
    for (const { long } of own) assert.ok(page.includes(long), `${path.join(' ')} ${long}`);
  }
});

/** What bash offers for the last word. */
function offered(...words: readonly string[]): string[] {
  const file = join(folder, 'completion.bash');
  const asked = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tidegate;';
  const ask = `${asked} printf '%s\\n' "\${COMPREPLY[@]}"`;
  writeFileSync(file, `${completion('bash-completion')}\ncompopt() { :; }\n${ask}\n`);
  const { status, stdout, stderr } = spawnSync('bash', [file, 'tidegate', ...words], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stderr], [0, '']);
  return stdout.split('\n').filter((word) => word !== '');
}

test('bash completes commands, options of the command that was typed, and files', () => {
  assert.deepEqual(offered('fl'), ['fleet']);
  assert.ok(offered('fleet', '').includes('rollback'));
  assert.deepEqual(offered('fleet', 'status', '--gr'), ['--group']);
  assert.deepEqual(offered('status', '--gr'), []);
  const config = join(folder, 'plant.yaml');
  writeFileSync(config, '');
  assert.deepEqual(offered('run', '--config', join(folder, 'pla')), [config]);
  assert.deepEqual(offered('check', join(folder, 'pla')), [config]);
  assert.deepEqual(offered('demo', '--seconds', ''), []);
});

test('the scripts are what their shells can read', () => {
  const file = join(folder, 'script');
  writeFileSync(file, completion('bash-completion'));
  execFileSync('bash', ['-n', file]);
  for (const shell of ['zsh', 'fish'] as const) {
    // Few machines have these two; what goes wrong is a quote in somebody's prose.
    for (const line of completion(shell).split('\n')) {
      const bare = line.replaceAll(/\\\\|\\'|'\\''/g, '').replace(/#.*/, '');
      assert.equal(bare.split("'").length % 2, 1, `${shell}: ${line}`);
    }
  }
});
