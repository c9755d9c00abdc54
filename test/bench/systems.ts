/**
 * What is measured: tidegate on its two roads, and Mosquitto beside it. A system is started fresh
 * for every round, on the same disk, and measured the same way; what its configuration is stands
 * here and in the printed table, because a figure without it means nothing.
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { AgentUnderTest } from '../support/agent.ts';
import { type Kafka, startKafka } from '../support/kafka.ts';
import { laneBalances, total } from '../support/metrics.ts';
import { startMosquitto } from '../support/mosquitto.ts';
import { cpuMicros, peakRssKib, writtenBytes } from '../support/process.ts';
import type { Load, Measured } from './generator-clock.ts';

export interface Shape {
  readonly connections: number;
  readonly inFlight: number;
  readonly payloadBytes: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** Folder on the disk that is measured. */
  readonly directory: string;
}

export interface Figures {
  readonly messagesPerSecond: number;
  readonly cpuMicrosPerMessage: number;
  readonly peakRssMiB: number;
  readonly pubackMsP50: number;
  readonly pubackMsP99: number;
  /** null: the system has no such thing. */
  readonly messagesPerCommit: number | null;
  readonly commits: number | null;
  readonly diskBytesPerPayloadByte: number;
  readonly messages: number;
}

export interface System {
  readonly name: string;
  readonly setting: string;
  round(shape: Shape): Promise<Figures>;
}

export interface Workload {
  readonly name: string;
  readonly about: string;
  readonly systems: readonly System[];
  /** Before the first round and after the last. */
  open?(): Promise<void>;
  close?(): Promise<void>;
}

const generator = fileURLToPath(new URL('./generator.ts', import.meta.url));
const httpGenerator = fileURLToPath(new URL('./http-generator.ts', import.meta.url));
const kibPerMib = 1024;
const commitsMetric = 'tidegate_commits_total';
const drainWithinMs = 120_000;
const drainPollMs = 100;
const unreachable = '127.0.0.1:1';
const route = { name: 'telemetry', from: 'bench/#' };
const kafkaTopic = 'bench';
const kafkaPartitions = 8;

/** @param records over HTTP, so many in a request; 0: over MQTT */
async function generate(shape: Shape, port: number, pid: number, records = 0): Promise<Measured> {
  const { connections, inFlight, payloadBytes, warmUpSeconds, seconds } = shape;
  const load: Load = { port, pid, connections, inFlight, payloadBytes, warmUpSeconds, seconds };
  const run = promisify(execFile);
  const [script, more] = records > 0 ? [httpGenerator, { ...load, records }] : [generator, load];
  const { stdout } = await run(process.execPath, [script, JSON.stringify(more)]);
  return JSON.parse(stdout) as Measured;
}

function figures(measured: Measured, shape: Shape, commits: number | null): Figures {
  const { acknowledged, seconds } = measured;
  return {
    messagesPerSecond: acknowledged / seconds,
    cpuMicrosPerMessage: measured.cpuMicros / acknowledged,
    peakRssMiB: measured.peakRssKib / kibPerMib,
    pubackMsP50: measured.pubackMsP50,
    pubackMsP99: measured.pubackMsP99,
    messagesPerCommit: commits === null ? null : acknowledged / commits,
    commits,
    diskBytesPerPayloadByte: measured.writtenBytes / (acknowledged * shape.payloadBytes),
    messages: acknowledged,
  };
}

async function commitsOf(agent: AgentUnderTest): Promise<number> {
  return total(await agent.metrics(), commitsMetric);
}

function agentOn(broker: string, directory: string): Promise<AgentUnderTest> {
  return AgentUnderTest.start({
    parent: directory,
    http: { bridge: {} },
    routes: [{ ...route, to: { upstream: 'cloud', topic: kafkaTopic } }],
    upstreams: {
      cloud: { kafka: { brokers: [broker], createTopics: true }, lag: { bytes: '8GiB' } },
    },
    extra: { buffer: { path: './tidegate.db', bytes: '8GiB' }, log: { level: 'warn' } },
  });
}

/** @param records over HTTP, so many in a request; 0: over MQTT */
function alone(name: string, setting: string, records = 0): System {
  return {
    ...{ name, setting },
    async round(shape) {
      await using agent = await agentOn(unreachable, shape.directory);
      const before = await commitsOf(agent);
      const port = records > 0 ? agent.httpPort : agent.mqttPort;
      const measured = await generate(shape, port, agent.pid, records);
      const commits = (await commitsOf(agent)) - before;
      // Commits were counted over the warm-up too: scale them to the measured part.
      const part = measured.acknowledged / measured.acknowledgedInAll;
      return figures(measured, shape, Math.round(commits * part));
    },
  };
}

const tidegateAlone = alone(
  'tidegate',
  'COMMIT with fsync before each PUBACK; its Kafka is not there, all stays in the buffer',
);
const oneInFlight: System = {
  ...tidegateAlone,
  name: 'mqtt',
  setting: 'one QoS 1 message in flight on each connection',
  round: (shape) => tidegateAlone.round({ ...shape, inFlight: 1 }),
};
const overHttp = 'REST Proxy version 2, one request in flight on each connection';
const batch = 100;

const mosquitto: System = {
  name: 'mosquitto',
  setting: 'persistence true, else as packaged; no subscriber: it acknowledges and stores nothing',
  async round(shape) {
    const server = await startMosquitto({ parent: shape.directory });
    try {
      return figures(await generate(shape, server.port, server.pid), shape, null);
    } finally {
      await server.stop();
    }
  },
};

async function drained(agent: AgentUnderTest): Promise<void> {
  const deadline = performance.now() + drainWithinMs;
  while (laneBalances(await agent.metrics()).some((lane) => lane.backlog > 0)) {
    if (performance.now() > deadline) throw new Error('the backlog did not drain');
    await sleep(drainPollMs);
  }
}

function tidegateToKafka(kafka: () => Kafka): System {
  return {
    name: 'tidegate',
    setting: 'acks=all, idempotent, zstd, CloudEvents; measured until the backlog is 0',
    async round(shape) {
      await using agent = await agentOn(kafka().bootstrap, shape.directory);
      const warmUp = { ...shape, warmUpSeconds: 0, seconds: shape.warmUpSeconds };
      if (shape.warmUpSeconds > 0) await generate(warmUp, agent.mqttPort, agent.pid);
      await drained(agent);
      const began = { at: performance.now(), commits: await commitsOf(agent), ...usage(agent) };
      const load = { ...shape, warmUpSeconds: 0 };
      const measured = await generate(load, agent.mqttPort, agent.pid);
      await drained(agent);
      const ended = usage(agent);
      const whole: Measured = {
        ...measured,
        acknowledged: measured.acknowledgedInAll,
        seconds: (performance.now() - began.at) / 1000,
        cpuMicros: ended.cpu - began.cpu,
        writtenBytes: ended.written - began.written,
        peakRssKib: peakRssKib(agent.pid),
      };
      return figures(whole, shape, (await commitsOf(agent)) - began.commits);
    },
  };
}

function usage(agent: AgentUnderTest): { cpu: number; written: number } {
  return { cpu: cpuMicros(agent.pid), written: writtenBytes(agent.pid) };
}

export function workloads(): Workload[] {
  let kafka: Kafka | null = null;
  const running = () => {
    if (kafka === null) throw new Error('Kafka is not up');
    return kafka;
  };
  return [
    {
      name: 'pipelined',
      about: 'devices that keep many QoS 1 messages in flight; ingest alone',
      systems: [tidegateAlone, mosquitto],
    },
    {
      name: 'http',
      about: 'services that wait for each answer, beside devices that do; ingest alone',
      systems: [
        oneInFlight,
        alone('http', `${overHttp}, one record each`, 1),
        alone('http batches', `${overHttp}, ${batch} records each`, batch),
      ],
    },
    {
      name: 'endToEnd',
      about: 'the same devices, through to a real Kafka',
      systems: [tidegateToKafka(running)],
      async open() {
        kafka = await startKafka({ partitions: kafkaPartitions });
      },
      async close() {
        await kafka?.stop();
      },
    },
  ];
}
