/**
 * The definition of the image and the Kubernetes examples, without an engine or a cluster: both are
 * linted, and what they say of flags, users, paths, ports, times and memory is what the agent,
 * its unit and the book say. `long/container.test.ts` builds the image and runs it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkText } from '../agent/config/check.ts';
import { arenasMost, heapFlags } from '../agent/heap-flags.ts';
import { readManifest, root } from '../deploy/package/repository.ts';
import {
  containerfilePath,
  instructions,
  lastStage,
  theInstruction,
  theWords,
} from './support/containerfile.ts';
import { hadolint, validateManifest } from './support/linters.ts';
import { breaches, containersOf, exampleNames, readExample } from './support/manifests.ts';
import { secondsOf, theValueOf } from './support/unit-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-containers-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const user = 65_532;
/** Of Kubernetes: the first that knows native sidecars by default, and the newest with schemas. */
const versions = ['1.29', '1.37'];
const examples = exampleNames.map(readExample);
const [daemonSet, sidecar] = exampleNames.map(readExample);
const node = '/usr/lib/tidegate/bin/node';
const isOk = '(a) => process.exit(a.statusCode === 200 ? 0 : 1)';
const ask = (path: string) => [
  node,
  '-e',
  `require('http').get('http://127.0.0.1:8080${path}', ${isOk})`,
];

function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('hadolint has nothing to say of the Containerfile, and something of a worse one', () => {
  assert.deepEqual(hadolint(containerfilePath), { code: 0, said: '' });
  const text = readFileSync(containerfilePath, 'utf8');
  const shell = text.replace(/^ENTRYPOINT \[.*$/m, 'ENTRYPOINT node main.js');
  const untagged = text.replace(/^FROM \$\{BASE\}$/m, 'FROM gcr.io/distroless/cc-debian12');
  for (const [worse, rule] of [
    [shell, 'DL3025'],
    [untagged, 'DL3006'],
  ] as const) {
    assert.notEqual(worse, text);
    const { code, said } = hadolint(written('Containerfile', worse));
    assert.equal(code, 1, said);
    assert.match(said, new RegExp(rule));
  }
});

test('Kubernetes’ schemas know every key of the examples, and refuse one that is misspelt', () => {
  for (const version of versions) {
    for (const { path, text } of examples) {
      const { code, said } = validateManifest(path, version);
      assert.equal(code, 0, said);
      const misspelt = text.replaceAll('readOnlyRootFilesystem', 'readonlyRootFilesystem');
      assert.notEqual(misspelt, text);
      const refused = validateManifest(written('misspelt.yaml', misspelt), version);
      assert.equal(refused.code, 1, refused.said);
      assert.match(refused.said, /readonlyRootFilesystem/);
    }
  }
});

test('the image starts the agent as the unit does, without a shell and not as root', () => {
  const started = [...theWords('ENTRYPOINT'), ...theWords('CMD')];
  assert.deepEqual(started, theValueOf('ExecStart').split(' '));
  assert.deepEqual(theWords('ENTRYPOINT').slice(1, -1), [...heapFlags]);
  assert.equal(theInstruction('ENV'), `MALLOC_ARENA_MAX=${arenasMost}`);
  assert.equal(theInstruction('USER'), `${user}:${user}`);
  assert.equal(theInstruction('VOLUME'), theValueOf('WorkingDirectory'));
  assert.equal(theInstruction('WORKDIR'), theValueOf('WorkingDirectory'));
  assert.equal(theInstruction('EXPOSE'), '1883 8080');
  assert.equal(theInstruction('STOPSIGNAL'), 'SIGTERM');
  assert.deepEqual(theWords('HEALTHCHECK'), ask('/healthz'));
  assert.equal(lastStage.filter(({ keyword }) => keyword === 'RUN').length, 0);
});

test('the image is of this version, and so are the examples', () => {
  const { version } = readManifest();
  const given = instructions('ARG').filter(({ rest }) => rest.startsWith('VERSION'));
  assert.deepEqual(
    given.map(({ rest }) => rest),
    [`VERSION=${version}`, `VERSION=${version}`],
  );
  for (const { pod } of examples) {
    const ours = containersOf(pod).filter(({ name }) => name !== 'workload');
    for (const { image } of ours) assert.equal(image, `registry.example/tidegate:${version}`);
  }
});

test('each config is valid without a warning, and what it refers to is mounted', () => {
  for (const { config, agent, pod, path } of examples) {
    const env = { NODE_NAME: 'plant7-gw03', POD_NAME: 'workload-0' };
    const text = config.replaceAll(/'file:[^']*'/g, 'secret');
    const checked = checkText(text, '/etc/tidegate/tidegate.yaml', env);
    assert.deepEqual(checked.problems, [], path);
    assert.equal(checked.config?.buffer.path, '/var/lib/tidegate/tidegate.db');
    assert.deepEqual(checked.config?.http?.bind, { host: '127.0.0.1', port: 8080 });
    const projected = pod.volumes?.find(({ name }) => name === 'config')?.projected;
    const files = projected?.sources.flatMap(({ secret }) => secret?.items ?? []) ?? [];
    const named = [...config.matchAll(/\/etc\/tidegate\/([\w.-]+)/g)].map(([, name]) => name);
    assert.deepEqual(named.toSorted(), files.map((item) => item.path).toSorted());
    assert.equal(projected?.defaultMode, 0o440);
    const variables = [...config.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name);
    assert.deepEqual(
      variables,
      agent.env?.map(({ name }) => name),
    );
    const mounted = Object.fromEntries(
      (agent.volumeMounts ?? []).map(({ name, mountPath }) => [name, mountPath]),
    );
    assert.deepEqual(mounted, { state: '/var/lib/tidegate', config: '/etc/tidegate' });
  }
});

test('ports of the DaemonSet are those of its config', () => {
  assert.ok(daemonSet);
  const { config } = checkText(daemonSet.config.replaceAll(/'file:[^']*'/g, 'secret'), 'x', {
    NODE_NAME: 'plant7-gw03',
  });
  const bound = [...(config?.mqtt.listeners ?? []), config?.http].map((one) => one?.bind.port);
  const named = daemonSet.agent.ports ?? [];
  assert.deepEqual(
    named.map(({ containerPort }) => containerPort),
    bound,
  );
  for (const { hostPort, containerPort } of named) assert.equal(hostPort, containerPort);
});

test('the sidecar is within the level restricted, the DaemonSet but for its reasons', () => {
  assert.ok(daemonSet && sidecar);
  const level = 'pod-security.kubernetes.io/enforce';
  assert.deepEqual(breaches(sidecar.pod), []);
  assert.equal(sidecar.of('Namespace').metadata.labels?.[level], 'restricted');
  assert.deepEqual(breaches(daemonSet.pod), [
    ...['hostNetwork', 'hostPath', 'state: root', 'state: CHOWN'],
    ...['tidegate: hostPort 1883', 'tidegate: hostPort 8883', 'tidegate: hostPort 8080'],
  ]);
  assert.deepEqual(breaches({ containers: sidecar.pod.containers }), [
    'workload: root',
    'workload: seccompProfile',
  ]);
  for (const { pod } of examples) {
    assert.equal(pod.automountServiceAccountToken, false);
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext ?? {};
    assert.deepEqual([runAsUser, runAsGroup, fsGroup], [user, user, user]);
    for (const { securityContext } of containersOf(pod)) {
      assert.equal(securityContext?.readOnlyRootFilesystem, true);
    }
  }
});

test('probes ask what the agent answers where they reach it, as patiently as the watchdog', () => {
  assert.ok(daemonSet && sidecar);
  const at = (path: string) => ({ host: '127.0.0.1', port: 8080, path });
  const { livenessProbe, readinessProbe } = daemonSet.agent;
  assert.equal(daemonSet.pod.hostNetwork, true);
  assert.deepEqual(livenessProbe?.httpGet, at('/healthz'));
  assert.deepEqual(readinessProbe?.httpGet, at('/readyz'));
  assert.deepEqual(sidecar.agent.startupProbe?.exec?.command, ask('/readyz'));
  assert.deepEqual(sidecar.agent.livenessProbe?.exec?.command, ask('/healthz'));
  assert.deepEqual(sidecar.agent.readinessProbe?.exec?.command, ask('/readyz'));
  assert.equal(sidecar.agent.restartPolicy, 'Always');
  for (const { agent } of examples) {
    const { periodSeconds = 0, failureThreshold = 0 } = agent.livenessProbe ?? {};
    assert.equal(periodSeconds * failureThreshold, secondsOf('WatchdogSec'));
  }
});

test('time to stop and memory are what the unit and the book ask for', () => {
  const mib = (text = '') => Number(/^(\d+)Mi$/.exec(text)?.[1]);
  const book = readFileSync(join(root, 'deploy/README.md'), 'utf8');
  const peaks = [...book.matchAll(/^\| (?:files|kafka) \|.*\| (\d+) MiB ≤ \d+ \|/gm)];
  const small = Number(/In (\d+) MiB and half a core/.exec(book)?.[1]);
  assert.equal(peaks.length, 2);
  for (const { pod, agent } of examples) {
    assert.ok((pod.terminationGracePeriodSeconds ?? 0) > secondsOf('TimeoutStopSec'));
    const { requests, limits } = agent.resources;
    for (const [, peak] of peaks) assert.ok(mib(requests.memory) >= Number(peak));
    assert.ok(mib(limits.memory) >= small);
    assert.equal(limits.cpu, undefined);
  }
});
