/**
 * What an operator reads and takes from deploy/: the config that a package installs is safe as it
 * stands and right when its commented parts are taken in.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkText } from '../agent/config/check.ts';

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
