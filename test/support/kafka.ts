/**
 * A real Apache Kafka for tests: one process, KRaft mode, broker and controller in one, on free
 * ports of 127.0.0.1, with its log in a folder of its own under the system's temporary folder.
 *
 * The jars are those of `kafka/pom.xml`; Maven resolves them once and the class path is kept in
 * `.cache/` of the project. `TIDEGATE_TEST_KAFKA=host:port` uses a Kafka that runs already, whose
 * life the tests then cannot control (`kill`, `restart` refuse).
 *
 * The process dies with the test: by `stop`, at exit, and when the test itself is killed, by a
 * watcher shell that waits on a pipe whose other end only the test holds.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import * as client from './kafka-client.ts';
import { freePorts } from './ports.ts';

export type { ConsumedRecord, ConsumeOptions, TopicSpec } from './kafka-client.ts';

const pomFile = join(import.meta.dirname, 'kafka', 'pom.xml');
const cacheFolder = join(import.meta.dirname, '..', '..', '.cache', 'kafka');
const javaOptions = [
  '-Xmx400m',
  '-Xms64m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Xshare:auto',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];
const startWithinMs = 60_000;
const answerPollMs = 150;
const stopWithinMs = 15_000;
const logTailBytes = 4_000;
const run = promisify(execFile);

export interface KafkaOptions {
  /** Lines of server.properties; they win over ours. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly autoCreateTopics?: boolean;
  readonly partitions?: number;
  /** Format and take ports, but leave it down until `restart()`. */
  readonly down?: boolean;
  /** Listeners beside the plain one, each on a port of its own; see kafka-secure.ts. */
  readonly listeners?: Readonly<Record<string, ExtraListener>>;
  /** More arguments of the storage tool's `format`. */
  readonly format?: readonly string[];
}

export interface ExtraListener {
  readonly protocol: 'SSL' | 'SASL_SSL' | 'SASL_PLAINTEXT';
  /** Without `listener.name.NAME.` before them. */
  readonly properties: Readonly<Record<string, string>>;
}

/** Path of the jars, joined for `java -cp`; resolved by Maven on first use. */
export async function kafkaClassPath(): Promise<string> {
  const pom = await readFile(pomFile);
  const name = createHash('sha256').update(pom).digest('hex').slice(0, 16);
  const cached = join(cacheFolder, `${name}.classpath`);
  if (existsSync(cached)) {
    const text = (await readFile(cached, 'utf8')).trim();
    if (text.split(delimiter).every((jar) => existsSync(jar))) return text;
  }
  await mkdir(cacheFolder, { recursive: true });
  const partial = `${cached}.${process.pid}`;
  const goal = 'dependency:build-classpath';
  await run('mvn', ['-q', '-B', '-f', pomFile, goal, `-Dmdep.outputFile=${partial}`]);
  await rename(partial, cached);
  return (await readFile(cached, 'utf8')).trim();
}

function serverProperties(folder: string, ports: number[], options: KafkaOptions): string {
  const [broker, controller, ...others] = ports;
  const extra = Object.entries(options.listeners ?? {});
  const address = (name: string, port: number | undefined) => `${name}://127.0.0.1:${port}`;
  const devices = [
    address('PLAINTEXT', broker),
    ...extra.map(([name], index) => address(name, others[index])),
  ];
  const protocols = extra.map(([name, { protocol }]) => `,${name}:${protocol}`).join('');
  const own = extra.flatMap(([name, { properties }]) =>
    Object.entries(properties).map(([key, value]) => [
      `listener.name.${name.toLowerCase()}.${key}`,
      value,
    ]),
  );
  const all: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    listeners: [...devices, address('CONTROLLER', controller)].join(),
    'advertised.listeners': devices.join(),
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT${protocols}`,
    'log.dirs': join(folder, 'log'),
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': String(options.autoCreateTopics ?? false),
    'num.partitions': String(options.partitions ?? 1),
    'log.cleaner.enable': 'false',
    'controlled.shutdown.enable': 'false',
    // A killed broker may come back as soon as its old session is over.
    'broker.session.timeout.ms': '1500',
    'broker.heartbeat.interval.ms': '300',
    ...Object.fromEntries(own),
    ...options.properties,
  };
  return Object.entries(all)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

export class Kafka {
  readonly bootstrap: string;
  /** Of the extra listeners, by name. */
  readonly ports: Readonly<Record<string, number>>;
  readonly #folder: string;
  readonly #classPath: string;
  #java: ChildProcess | null = null;
  #watcher: ChildProcess | null = null;
  #onExit: (() => void) | null = null;

  constructor(
    bootstrap: string,
    folder: string,
    classPath: string,
    ports: Readonly<Record<string, number>> = {},
  ) {
    this.bootstrap = bootstrap;
    this.ports = ports;
    this.#folder = folder;
    this.#classPath = classPath;
  }

  /** Process id of the broker; undefined while it is down or not ours. */
  get pid(): number | undefined {
    return this.#java?.pid;
  }

  async format(clusterId: string, more: readonly string[]): Promise<void> {
    const properties = join(this.#folder, 'server.properties');
    const args = ['format', '-t', clusterId, '-c', properties, ...more];
    await run('java', [...javaOptions, '-cp', this.#classPath, 'kafka.tools.StorageTool', ...args]);
  }

  /** Starts it on the same ports and data; resolves when it answers Metadata. */
  async restart(): Promise<void> {
    if (this.#folder === '') throw new Error('a Kafka given by TIDEGATE_TEST_KAFKA is not ours');
    if (this.#java !== null) await this.#end('SIGTERM');
    const logFile = await open(join(this.#folder, 'kafka.log'), 'a');
    const properties = join(this.#folder, 'server.properties');
    const args = [...javaOptions, '-cp', this.#classPath, 'kafka.Kafka', properties];
    const java = spawn('java', args, { stdio: ['ignore', logFile.fd, logFile.fd] });
    await logFile.close();
    java.unref();
    this.#java = java;
    this.#guard(java);
    const until = Date.now() + startWithinMs;
    while (!(await client.answers(this.bootstrap))) {
      if (java.exitCode !== null || java.signalCode !== null || Date.now() > until) {
        const tail = await this.#logTail();
        await this.#end('SIGKILL');
        throw new Error(`Kafka did not start (${java.exitCode ?? java.signalCode}):\n${tail}`);
      }
      await new Promise((wake) => setTimeout(wake, answerPollMs));
    }
  }

  /** The broker must not outlive us, whatever ends us. */
  #guard(java: ChildProcess): void {
    const script = 'cat >/dev/null; kill -KILL "$1" 2>/dev/null; rm -rf -- "$2"';
    const args = ['-c', script, 'sh', String(java.pid), this.#folder];
    const watcher = spawn('sh', args, { stdio: ['pipe', 'ignore', 'ignore'] });
    watcher.unref();
    (watcher.stdin as unknown as { unref(): void }).unref();
    this.#watcher = watcher;
    this.#onExit = () => java.kill('SIGKILL');
    process.once('exit', this.#onExit);
  }

  async #logTail(): Promise<string> {
    const text = await readFile(join(this.#folder, 'kafka.log'), 'utf8').catch(() => '');
    return text.slice(-logTailBytes);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const java = this.#java;
    this.#java = null;
    if (java === null) return;
    this.#watcher?.kill('SIGKILL');
    if (this.#onExit !== null) process.removeListener('exit', this.#onExit);
    if (java.exitCode !== null || java.signalCode !== null) return;
    java.ref();
    const ended = new Promise<void>((resolve) => java.once('exit', () => resolve()));
    java.kill(signal);
    const late = setTimeout(() => java.kill('SIGKILL'), stopWithinMs);
    await ended;
    clearTimeout(late);
  }

  /** SIGKILL: the uplink is gone without a word. Data stay for `restart`. */
  async kill(): Promise<void> {
    if (this.#folder === '') throw new Error('a Kafka given by TIDEGATE_TEST_KAFKA is not ours');
    await this.#end('SIGKILL');
  }

  /** SIGSTOP and SIGCONT: connections stay open and nothing answers. */
  freeze(): void {
    this.#java?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#java?.kill('SIGCONT');
  }

  /** Ends it for good and removes its data. */
  async stop(): Promise<void> {
    if (this.#folder === '') return;
    await this.#end('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async createTopic(name: string, spec?: client.TopicSpec): Promise<void> {
    await client.createTopic(this.bootstrap, name, spec);
  }

  async setTopicConfig(name: string, key: string, value: string): Promise<void> {
    await client.setTopicConfig(this.bootstrap, name, key, value);
  }

  async addPartitions(name: string, count: number): Promise<void> {
    await client.addPartitions(this.bootstrap, name, count);
  }

  async listTopics(): Promise<string[]> {
    return await client.listTopics(this.bootstrap);
  }

  /** Everything the topics hold; see kafka-client.ts. */
  async consumeAll(
    topics: string[],
    options?: client.ConsumeOptions,
  ): Promise<client.ConsumedRecord[]> {
    const records: client.ConsumedRecord[] = [];
    await client.consumeEach(this.bootstrap, topics, (record) => records.push(record), options);
    return records;
  }

  /** The same without keeping records in memory. */
  async consumeEach(
    topics: string[],
    onRecord: (record: client.ConsumedRecord) => void,
    options?: client.ConsumeOptions,
  ): Promise<void> {
    await client.consumeEach(this.bootstrap, topics, onRecord, options);
  }
}

export async function startKafka(options: KafkaOptions = {}): Promise<Kafka> {
  const given = process.env.TIDEGATE_TEST_KAFKA;
  if (given !== undefined && given !== '') {
    if (options.listeners) throw new Error('TIDEGATE_TEST_KAFKA has no listeners of this test');
    return new Kafka(given, '', '');
  }
  const classPath = await kafkaClassPath();
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-kafka-'));
  const extra = Object.keys(options.listeners ?? {});
  const ports = await freePorts(2 + extra.length);
  const named = Object.fromEntries(extra.map((name, index) => [name, ports[2 + index] as number]));
  await writeFile(join(folder, 'server.properties'), serverProperties(folder, ports, options));
  const kafka = new Kafka(`127.0.0.1:${ports[0]}`, folder, classPath, named);
  try {
    const id = Buffer.from(folder.slice(-16).padStart(16, 'k')).toString('base64url');
    await kafka.format(id, options.format ?? []);
    if (options.down !== true) await kafka.restart();
  } catch (error) {
    await kafka.stop();
    throw error;
  }
  return kafka;
}
