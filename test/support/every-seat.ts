/**
 * An agent with everything in use that asks something of the operating system, and a walk through
 * it: log-in with TLS, WebSocket, a broker behind, sources of MQTT and NATS, upstreams of every
 * kind, a service manager, a reload, a config of the fleet, the command line's questions. What it
 * is asked to do, it did: each step waits for its effect.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import type { NatsConnection } from 'nats';
import { AgentUnderTest, eventually } from './agent.ts';
import { Authority } from './certificates.ts';
import { tidegate } from './command.ts';
import { Device } from './device.ts';
import { readLines } from './files.ts';
import { operator, Writer } from './gateway-rig.ts';
import { type Kafka, startKafka } from './kafka.ts';
import { type Mosquitto, startMosquitto } from './mosquitto.ts';
import { type NatsServer, startNats } from './nats.ts';
import { freePorts } from './ports.ts';
import type { NotifiedService } from './service.ts';

const withinMs = 40_000;
const password = 'of the pump';

export class EverySeat {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tidegate-every-seat-'));
  readonly #ca = new Authority(this.#folder);
  readonly #users = join(this.#folder, 'users');
  #kafka!: Kafka;
  #nats!: NatsServer;
  #broker!: Mosquitto;
  #client!: NatsConnection;

  static async start(): Promise<EverySeat> {
    const servers = new EverySeat();
    const started = [
      startKafka({ autoCreateTopics: true }),
      startNats(),
      startMosquitto(),
    ] as const;
    [servers.#kafka, servers.#nats, servers.#broker] = await Promise.all(started);
    servers.#client = await servers.#nats.connect();
    const manager = await servers.#client.jetstreamManager();
    await manager.streams.add({ name: 'MESH', subjects: ['mesh.>'] });
    await manager.streams.add({ name: 'HALL', subjects: ['hall.>'] });
    const { code, err } = await tidegate(['password', servers.#users, 'pump'], `${password}\n`);
    assert.equal(code, 0, err);
    return servers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    await Promise.all([this.#kafka.stop(), this.#nats.stop(), this.#broker.stop()]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Starts it, has it do everything, and stops it.
   * @param wrap put in front of its command
   * @returns lines of its /proc/PID/status while it ran
   */
  async walk(manager: NotifiedService, wrap: readonly string[]): Promise<string[]> {
    await using agent = await this.#prepare(manager, wrap);
    const [webPort = 0, brokerPort = 0] = await freePorts(2);
    agent.edit(({ mqtt: { listeners } }) => {
      listeners.push({ bind: `127.0.0.1:${webPort}`, websocket: true });
      const broker = `mqtt://127.0.0.1:${this.#broker.port}`;
      listeners.push({ bind: `127.0.0.1:${brokerPort}`, broker, publishAcl: 'none' });
    });
    await agent.start();
    const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8').split('\n');
    await this.#publish(agent, webPort, brokerPort);
    await this.#reconfigure(agent);
    const http = `127.0.0.1:${agent.httpPort}`;
    assert.equal((await tidegate(['status', '--http', http, '--json'])).code, 0);
    assert.equal((await tidegate(['upstream', 'pause', 'out', '--http', http])).code, 0);
    await manager.until('READY, two reloads', ({ states }) => states.length >= 5);
    assert.equal(await agent.stop(), 0, agent.logTail());
    manager.read();
    assert.equal(manager.states.at(-1), 'STOPPING');
    assert.deepEqual(agent.events('serviceUntold', 'unexpected', 'threadSlow'), []);
    return status;
  }

  async #prepare(manager: NotifiedService, wrap: readonly string[]): Promise<AgentUnderTest> {
    const server = this.#ca.sign('server', { altNames: 'DNS:localhost,IP:127.0.0.1' });
    const kafka = { brokers: [this.#kafka.bootstrap], createTopics: true, compression: 'zstd' };
    return await AgentUnderTest.prepare({
      routes: [
        { name: 'hall', from: 'hall/#', to: { upstream: 'out' } },
        {
          name: 'all',
          from: 'plant/#',
          limits: [{ per: 'device', messages: '1000/s' }],
          to: [
            { upstream: 'out' },
            { upstream: 'cloud', topic: 'events' },
            { upstream: 'mesh', topic: 'mesh.{topic}' },
            { upstream: 'head', topic: 'head/{topic}' },
          ],
        },
      ],
      upstreams: {
        out: { file: { directory: './out', rotateBytes: '64KiB' } },
        cloud: { kafka },
        mesh: { nats: { servers: this.#nats.url } },
        head: { mqtt: { url: `mqtt://127.0.0.1:${this.#broker.port}` } },
      },
      listener: { tls: server, users: this.#users },
      sources: [{ url: `mqtt://127.0.0.1:${this.#broker.port}`, subscribe: ['hall/#'] }],
      extra: {
        nats: {
          sources: [{ servers: this.#nats.url, subjects: ['hall.>'], stream: 'HALL' }],
        },
        fleet: { servers: [this.#nats.url], trust: operator.publicKey, confirmWithin: '1s' },
      },
      env: manager.environment(30_000),
      wrap,
    });
  }

  async #publish(agent: AgentUnderTest, webPort: number, brokerPort: number): Promise<void> {
    const tls = { ca: [readFileSync(this.#ca.certificate, 'utf8')] };
    const login = { username: 'pump', password: Buffer.from(password), tls };
    const pump = await Device.connect(agent.mqttPort, 'pump', login);
    // More than one file of the upstream holds.
    const large = 'x'.repeat(10_000);
    for (let n = 0; n < 20; n++) assert.equal(await pump.publishAndWait('plant/pump', large), 0);
    const web = mqtt.connect(`ws://127.0.0.1:${webPort}/mqtt`, { clientId: 'web' });
    await web.publishAsync('plant/web', 'x', { qos: 2 });
    const behind = await Device.connect(brokerPort, 'behind');
    assert.equal(await behind.publishAndWait('plant/behind', 'x'), 0);
    const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${this.#broker.port}`);
    await eventually('from every seat to the files', withinMs, async () => {
      await other.publishAsync('hall/mqtt', 'x', { qos: 1 });
      await this.#client.jetstream().publish('hall.nats', 'x');
      const topics = new Set(readLines(join(agent.directory, 'out')).map(({ topic }) => topic));
      return ['plant/pump', 'plant/web', 'plant/behind', 'hall/mqtt', 'hall.nats'].every(
        (each) => topics.has(each.replaceAll('.', '/')) || topics.has(each),
      );
    });
    await Promise.all([web.endAsync(), other.endAsync()]);
    const lanes = async () =>
      (await agent.metrics()).filter(({ name }) => name.endsWith('lane_backlog_frames'));
    await eventually('every upstream has all', withinMs, async () => {
      return (await lanes()).every(({ value }) => value === 0);
    });
    pump.close();
    behind.close();
  }

  async #reconfigure(agent: AgentUnderTest): Promise<void> {
    const [port] = await freePorts(1);
    const told = await agent.reload((config) => {
      config.mqtt.listeners.push({ bind: `127.0.0.1:${port}` });
    });
    assert.equal(told.event, 'configReloaded', JSON.stringify(told));
    const writer = await Writer.connect(this.#nats);
    await writer.push('fleet.default', Date.now(), { log: { level: 'debug' } });
    await eventually(
      'the fleet’s config',
      withinMs,
      () => agent.events('fleetConfirmed').length > 0,
    );
    await writer.close();
  }
}
