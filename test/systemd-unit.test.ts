/**
 * The unit file: how exposed it is beside others, that its numbers hold against the agent's bounds,
 * that systemd takes it and every drop-in that its comments show, and that a config refers to
 * credentials as they say.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { stopLogMs, stopWithinDefaultMs, watchdogPatience } from '../agent/bounds.ts';
import { checkText } from '../agent/config/check.ts';
import { arenasMost, heapFlags } from '../agent/heap-flags.ts';
import { assess } from '../deploy/systemd/assess.ts';
import { compare, exposureMost, isWithin, showComparison } from '../deploy/systemd/exposure.ts';
import { secondsOf, theValueOf, unitPath } from './support/unit-file.ts';

const unit = readFileSync(unitPath, 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'tidegate-unit-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const devicesMost = 10_000;
const threadsSeen = 14;
const stopGraceMs = 2_000;
/** Of a disk that the kernel resets: 30 s, up to five times. */
const diskResetsMs = 150_000;

test(`its exposure is ${exposureMost} or less, and all that remains has a reason`, (t) => {
  const comparison = compare();
  t.diagnostic(showComparison(comparison));
  assert.ok(isWithin(comparison), showComparison(comparison));
  const [ours, ...others] = comparison.units;
  assert.ok(others.every(({ exposure }) => exposure > 8 * (ours?.exposure ?? Infinity)));
});

test('it starts the agent as the agent is to be started', () => {
  assert.deepEqual(theValueOf('ExecStart').split(' '), [
    '/usr/lib/tidegate/bin/node',
    ...heapFlags,
    ...['/usr/lib/tidegate/agent/main.js', 'run', '--config', '/etc/tidegate/tidegate.yaml'],
  ]);
  assert.equal(theValueOf('Environment'), `MALLOC_ARENA_MAX=${arenasMost}`);
  assert.doesNotMatch(unit, /^ExecStartPre=/m, 'a spoilt config must not keep a gateway dead');
  assert.equal(theValueOf('StartLimitIntervalSec'), '0');
  assert.doesNotMatch(unit, /^(After|Wants|Requires)=.*(network-online|time-sync)/m);
});

test('its numbers leave the room that the agent’s bounds ask for', () => {
  const stopMs = stopWithinDefaultMs + stopGraceMs + stopLogMs;
  assert.ok(secondsOf('TimeoutStopSec') * 1_000 > stopMs);
  assert.ok(secondsOf('WatchdogSec') * watchdogPatience * 1_000 > diskResetsMs);
  // A broker behind the listener is a second descriptor for each device.
  assert.ok(Number(theValueOf('LimitNOFILE')) >= 2 * devicesMost + 1_000);
  assert.ok(Number(theValueOf('TasksMax')) >= 2 * threadsSeen);
});

/** What systemd complains of, but for what is not installed here. */
function complaintsOf(text: string): string[] {
  const path = join(folder, 'tidegate.service');
  writeFileSync(path, text);
  const args = ['verify', '--man=no', path];
  const { error, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
  assert.equal(error, undefined);
  return stderr
    .split('\n')
    .filter((line) => line.includes('tidegate.service'))
    .filter((line) => !/Command \S+ is not executable/.test(line));
}

/** Known from systemd 254 on; an older one says that it ignores them. */
const newer = /Unknown key(?: name)? '(RestartSteps|RestartMaxDelaySec)' in section '?\[?Service/;

test('systemd takes it, but for two keys that came with 254', () => {
  assert.deepEqual(
    complaintsOf(unit).filter((line) => !newer.test(line)),
    [],
  );
});

/** Blocks of `#   [Unit]`, `#   [Service]` and their keys, each with the sentence above it. */
function dropIns(): string[] {
  const blocks = unit.slice(unit.indexOf('# Drop-ins:')).split(/\n#\n/).slice(1);
  return blocks.map((block) => {
    const lines = block.split('\n').filter((line) => line.startsWith('#   '));
    return lines.map((line) => line.slice(4)).join('\n');
  });
}

test('systemd takes every drop-in that its comments show', () => {
  assert.ok(dropIns().length >= 6);
  for (const dropIn of dropIns()) {
    assert.match(dropIn, /^\[(Unit|Service)\]\n/);
    const complaints = complaintsOf(`${unit}\n${dropIn}\n`).filter((line) => !newer.test(line));
    assert.deepEqual(complaints, [], dropIn);
  }
});

test('a port below 1024 costs some of it, and not all', (t) => {
  const dropIn = dropIns().find((each) => each.includes('CAP_NET_BIND_SERVICE')) ?? '';
  const path = join(folder, 'low-port.service');
  writeFileSync(path, `${unit}\n${dropIn}\n`);
  const { exposure } = assess(path);
  t.diagnostic(`with a port below 1024: ${exposure}`);
  assert.ok(exposure > exposureMost && exposure < 2 * exposureMost);
});

test('a config refers to credentials as the comments of the unit say', () => {
  writeFileSync(join(folder, 'kafka'), 'hush hush\n');
  const env = { CREDENTIALS_DIRECTORY: folder };
  const [, password = ''] = /`password: (\S+)`/.exec(unit) ?? [];
  const [, key = ''] = /`key: (\S+)`/.exec(unit) ?? [];
  const text = `
mqtt: { listeners: [{ bind: '127.0.0.1:1', tls: { certificate: /x.pem, key: '${key}' } }] }
routes: [{ name: all, from: '#', to: { upstream: cloud } }]
upstreams:
  cloud:
    kafka:
      brokers: [127.0.0.1:1]
      sasl: { mechanism: plain, username: u, password: '${password}' }
`;
  const { config, problems } = checkText(text, 'test.yaml', env);
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.match(JSON.stringify(config), /hush hush/);
  assert.match(JSON.stringify(config), new RegExp(`"${folder}/server.key"`));
  const missing = checkText(text, 'test.yaml', {}).problems.map(({ message }) => message);
  assert.ok(missing.includes('the environment variable CREDENTIALS_DIRECTORY is not set'));
  assert.ok(
    missing.every((message) => !message.includes('cannot be read')),
    'told once',
  );
});
