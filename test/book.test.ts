/**
 * What an operator reads and takes from deploy/: the config that a package installs is safe as it
 * stands and right when its commented parts are taken in, and the list of what the agent can say
 * is what it can say.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkText } from '../agent/config/check.ts';
import { bookText } from '../deploy/book/book.ts';
import { connectionWords } from '../deploy/book/reason-words.ts';

const deploy = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../deploy/${name}`, import.meta.url)), 'utf8');

test('the packaged config is valid without a warning, and reached from this machine only', () => {
  const text = deploy('tidegate.yaml');
  const { config, problems } = checkText(text, '/etc/tidegate/tidegate.yaml', {});
  assert.deepEqual(problems, []);
  const binds = config?.mqtt.listeners.map(({ bind }) => bind.host);
  assert.deepEqual(binds, ['127.0.0.1']);
  assert.equal(config?.buffer.whenFull, 'hold');
});

test('what the packaged config has in comments is right too, once it is taken in', () => {
  const text = deploy('tidegate.yaml')
    .replaceAll(/^( *)# (?=(?: *[a-zA-Z-]+:| *- [{a-z]).*$)/gm, '$1')
    .replaceAll(/^ {4}to: \{ upstream: files \}\n/gm, '')
    .replaceAll(/'file:[^']*'/g, 'secret');
  for (const key of ['cloud:', 'mesh:', 'tls:', 'commitEvery:', 'gateway:']) {
    assert.match(text, new RegExp(`^[^#\n]*\\b${key}`, 'm'), `${key} is taken in`);
  }
  assert.deepEqual(checkText(text, '/etc/tidegate/tidegate.yaml', {}).problems, []);
});

test('deploy/errors.md is what the agent’s tables say (npm run book writes it)', () => {
  assert.equal(deploy('errors.md'), bookText());
});

test('every reason for which a connection is ended stands in the book, and no other', () => {
  const folder = fileURLToPath(new URL('../agent/ingress/', import.meta.url));
  const source = readdirSync(folder)
    .map((name) => (name.endsWith('.ts') ? readFileSync(`${folder}${name}`, 'utf8') : ''))
    .join('\n');
  const written = /\brefuse\(\s*'(\w+)'|'connectionRefused', \{[^}]*?reason: '(\w+)'/g;
  const named = [...source.matchAll(written)].map(([, one, other]) => one ?? other ?? '');
  const admissions = [...source.matchAll(/\{ reason: '(\w+)', reasonCode/g)].map(
    ([, name]) => name,
  );
  assert.ok(named.length > 10 && admissions.length > 2);
  assert.deepEqual(
    [...new Set([...named, ...admissions])].sort(),
    Object.keys(connectionWords).sort(),
  );
});
