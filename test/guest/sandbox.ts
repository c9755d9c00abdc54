/**
 * Everything that the agent can do, in the unit's own sandbox: what the filter of system calls or a
 * missing path would break must break here. Kafka, NATS and the fleet's server are addresses where
 * nobody listens, which is promise 5; the TLS listener, the log-in and the dead letters are used.
 *
 * A call that the filter refuses is logged by the kernel as an audit line of type 1326, because PID
 * 1 was started with SYSTEMD_LOG_SECCOMP; these are looked for, of the whole boot.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { AckScanner, packet, packetTypes, publishPacket, text, u16 } from '../support/packets.ts';
import { bufferFile, configFile, type Machine, output } from './machine.ts';
import type { Detail } from './report.ts';
import { ask, journal, mainPid, must, show, unit, until, untilActive } from './system.ts';

/** Where an operator puts what the config names. */
const folder = '/etc/tidegate';
const carried = '/mnt/tls';
/** They outlive the package, as everything that it did not bring. */
export const operatorsFiles = ['operator.seed', 'server.key', 'server.pem', 'users'].map(
  (name) => `${folder}/${name}`,
);
const withinMs = 60_000;
const tlsPort = 8_883;
const nobodyAt = { kafka: 4_291, nats: 4_292 } as const;
const user = { name: 'robot-1', password: 'a password of the test' } as const;
/** Of ours: systemd's own services have filters too, and are refused something all the time. */
const refusedCall = /(type=1326|SECCOMP).*exe="\/usr\/lib\/tidegate\//;
const lettersWanted = 5;
/**
 * Answered with ENOSYS, as by an older kernel, for which libuv and the C library have another way:
 * io_uring is not in the filter, clone3 hides its flags from a filter that forbids namespaces.
 */
const hasAnotherWay: Readonly<Record<string, string>> = {
  '425': 'io_uring_setup',
  '435': 'clone3',
};
const publishes = 30;
const callsShown = 5;

const everything = (trust: string): string => `
gateway: guest-gateway
mqtt:
  listeners:
    - { bind: '127.0.0.1:1883', broker: embedded }
    - bind: 127.0.0.1:${tlsPort}
      broker: embedded
      tls: { certificate: ${folder}/server.pem, key: ${folder}/server.key }
      users: ${folder}/users
      identity: username
      allow: [{ publish: ['noisy/{device}/#', 'side/{device}/#'] }]
routes:
  - name: noisy
    from: noisy/#
    to: { upstream: files }
    limits: [{ per: device, messages: 1/s, burst: 2, over: bury }]
  - { name: side, from: side/#, to: [{ upstream: cloud, topic: side }, { upstream: mesh }] }
  - { name: everything, from: '#', to: { upstream: files } }
upstreams:
  files: { file: { directory: ${output} } }
  cloud: { kafka: { brokers: ['127.0.0.1:${nobodyAt.kafka}'] } }
  mesh: { nats: { servers: 'nats://127.0.0.1:${nobodyAt.nats}' } }
fleet:
  servers: ['nats://127.0.0.1:${nobodyAt.nats}']
  trust: [${trust}]
buffer: { path: ${bufferFile}, bytes: 256MiB, commitEvery: 5ms }
http: { bind: 127.0.0.1:8080 }
`;

/** By uid and gid of the agent: only it reads its keys. */
async function owned(path: string, content: string | Buffer): Promise<void> {
  writeFileSync(path, content, { mode: 0o600 });
  const ids = (await must('getent', 'passwd', 'tidegate')).split(':');
  chownSync(path, Number(ids[2]), Number(ids[3]));
}

export async function sandboxed(machine: Machine): Promise<void> {
  const { report } = machine;
  const before = readFileSync(configFile, 'utf8');
  await report.check('sandbox.features', () => everythingRuns(machine));
  await report.check('sandbox.walls', () => wallsHold());
  // The lanes of both upstreams stay in the buffer from now on, with what nobody took.
  writeFileSync(configFile, before);
  await must('systemctl', 'restart', unit);
}

async function everythingRuns(machine: Machine): Promise<Detail> {
  const trust = (await must('tidegate', 'fleet', 'keygen', `${folder}/operator.seed`)).trim();
  for (const name of ['server.pem', 'server.key']) {
    await owned(`${folder}/${name}`, readFileSync(`${carried}/${name}`));
  }
  const add = `tidegate password ${folder}/users ${user.name}`;
  const password = `printf '%s\\n' '${user.password}' | ${add}`;
  await must('sh', '-c', password);
  await owned(`${folder}/users`, readFileSync(`${folder}/users`));
  writeFileSync(configFile, everything(trust));
  await must('tidegate', 'check', configFile);
  await must('systemctl', 'restart', unit);
  await untilActive(withinMs);
  await publishOverTls('noisy', publishes);
  await publishOverTls('side', publishes);
  const waiting = await until('both lanes try, letters are buried', withinMs, () => laneStates());
  const dead = await must('tidegate', 'dead', 'list', '--config', configFile, '--json');
  const verified = await must('tidegate', 'buffer', 'verify', '--buffer', bufferFile);
  await must('systemctl', 'reload', unit);
  await machine.load(publishes, publishes);
  await machine.settled();
  const { NRestarts, ActiveState } = await show('NRestarts', 'ActiveState');
  assert.deepEqual([ActiveState, NRestarts], ['active', '0']);
  return { waiting, dead: dead.slice(0, 200), verified: verified.trim() };
}

interface Status {
  readonly upstreams: Readonly<Record<string, { lastError: string | null }>>;
  readonly buffer: { readonly deadLetters: number } | null;
}

async function laneStates(): Promise<Detail | false> {
  const status = JSON.parse((await ask('/status')) ?? 'null') as Status | null;
  if (status === null || (status.buffer?.deadLetters ?? 0) < lettersWanted) return false;
  const lanes = Object.entries(status.upstreams);
  const failing = lanes.filter(([, { lastError }]) => lastError !== null);
  const said = failing.map(([name, { lastError }]) => [name, lastError]);
  return failing.length >= 2 && { said, deadLetters: status.buffer?.deadLetters };
}

/** As a device of the field: TLS, user name and password, QoS 1. */
async function publishOverTls(topic: string, count: number): Promise<void> {
  const ca = readFileSync(`${carried}/ca.pem`);
  const socket = connect({ host: '127.0.0.1', port: tlsPort, ca });
  await once(socket, 'secureConnect');
  const head = [text('MQTT'), Buffer.from([4, 0xc2]), u16(60)];
  socket.write(packet(0x10, ...head, text(user.name), text(user.name), text(user.password)));
  const scanner = new AckScanner();
  let acknowledged = 0;
  socket.on('data', (chunk) => {
    scanner.push(chunk, (type, _, reason) => {
      if (type === packetTypes.connack) assert.equal(reason, 0, 'the log-in was refused');
      if (type === packetTypes.puback) acknowledged += 1;
    });
  });
  for (let n = 1; n <= count; n++) {
    const topicName = `${topic}/${user.name}/x`;
    socket.write(publishPacket({ topicName, payload: `${topic}/${n}`, identifier: n }));
  }
  await until(`${count} PUBACKs over TLS`, withinMs, async () => acknowledged === count);
  socket.destroy();
}

/** Tried from inside of the agent's mounts, as its user. */
const probe = `
  const fs = require('node:fs');
  const tries = ['/etc/x', '/etc/tidegate/x', '/usr/lib/tidegate/x', '/x', '/run/x', '/srv/x'];
  const wrote = tries.filter((path) => {
    try { fs.writeFileSync(path, ''); return true; } catch {} });
  const seen = fs.readdirSync('/proc').filter((name) => Number(name) > 0).map((pid) => {
    try { return [pid, fs.statSync('/proc/' + pid).uid]; } catch { return [pid, null]; }
  });
  const secret = ['/etc/shadow', '/root', '/srv/x', '/dev/vda'].filter((path) => {
    try { fs.accessSync(path, fs.constants.R_OK); return true; } catch {} });
  console.log(JSON.stringify({ wrote, seen, secret, uid: process.getuid() }));`;

async function wallsHold(): Promise<Detail> {
  const pid = await mainPid();
  const [, , uid, gid] = (await must('getent', 'passwd', 'tidegate')).split(':');
  const inside = [
    '--target',
    String(pid),
    '--mount',
    '--root',
    `--setuid=${uid}`,
    `--setgid=${gid}`,
  ];
  const said = await must('nsenter', ...inside, '/usr/lib/tidegate/bin/node', '-e', probe);
  const found = JSON.parse(said) as { wrote: string[]; seen: [string, number][]; secret: string[] };
  assert.deepEqual(found.wrote, []);
  assert.deepEqual(found.secret, []);
  const others = found.seen.filter(([, owner]) => owner !== Number(uid));
  assert.deepEqual(others, [], 'processes of others are in sight');
  return { processesInSight: found.seen.length };
}

/** What the kernel logged of refused calls, since the machine started. */
export async function refusedCalls(): Promise<Detail> {
  await must('journalctl', '--sync');
  const lines = (await journal(null)).split('\n');
  const calls = lines.filter((line) => refusedCall.test(line));
  const numbers = calls.map((line) => /syscall=(\d+)/.exec(line)?.[1] ?? line);
  const surprises = [...new Set(numbers)].filter((number) => !(number in hasAnotherWay));
  assert.deepEqual(surprises, [], calls.slice(0, callsShown).join('\n'));
  // That such lines are written at all: those of systemd's own services are.
  const ofOthers = lines.filter((line) => /type=1326/.test(line)).length;
  assert.ok(ofOthers > 0, 'the kernel logs no refused call of anybody');
  return { ofOthers, answeredWithEnosys: [...new Set(numbers)] };
}
