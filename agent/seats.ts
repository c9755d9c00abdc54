/**
 * The MQTT seats of a config: listeners, with what stands behind each and who may come in, and
 * sources. Made from the config, and changed with it: a seat whose part of the config is the same
 * stays, with its connections (`kept.ts`).
 */
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type Server as TlsServer } from 'node:tls';
import { closeWithinMs, partialPacketsBytes, topicAliasMaximum } from './bounds.ts';
import type { EmbeddedBroker } from './broker/embedded.ts';
import * as topicFilters from './config/topic-filter.ts';
import type { Config, Listener, MqttSourceConfig } from './config/types.ts';
import type { Report } from './events.ts';
import { deviceRules } from './frames/core.ts';
import { faultName } from './frames/faults.ts';
import type { PathCore } from './frames/path-core.ts';
import { reasonCodeOf, returnCodeOf } from './frames/reason-codes.ts';
import { AllowRules } from './ingress/allow.ts';
import { Login } from './ingress/login.ts';
import { MqttListener } from './ingress/mqtt-listener.ts';
import { MqttSource } from './ingress/mqtt-source.ts';
import { PartialBudget } from './ingress/partials.ts';
import type { Access, FaultAnswers } from './ingress/seat.ts';
import { Sessions } from './ingress/sessions.ts';
import { Wills } from './ingress/wills.ts';
import { Kept, type Part } from './kept.ts';
import type { Pipeline } from './pipeline.ts';
import { clientTlsOptions, serverTlsOptions, watchServerTls } from './tls.ts';

export interface SeatParts {
  readonly core: PathCore;
  readonly path: Pipeline;
  readonly report: Report;
  readonly connectionsChanged: (delta: number) => void;
}

interface ListenerPart extends Part {
  readonly listener: MqttListener;
  stop(): void;
}

interface SourcePart extends Part {
  readonly source: MqttSource;
}

export class Seats {
  readonly #parts: SeatParts;
  readonly #partials = new PartialBudget(partialPacketsBytes);
  readonly #listeners = new Kept<ListenerPart>();
  readonly #sources = new Kept<SourcePart>();
  readonly #sessions: Sessions;
  readonly #wills: Wills;
  #broker: EmbeddedBroker | null = null;

  /** @param stored session rows of the buffer: what earlier runs left */
  constructor(parts: SeatParts, stored: ConstructorParameters<typeof Sessions>[0]) {
    this.#parts = parts;
    this.#sessions = new Sessions(stored, parts.path);
    this.#wills = new Wills(parts.path);
    this.#wills.restore(stored);
  }

  /** Devices, and brokers of sources, that a limit or a full disk lets wait. */
  get held(): string[] {
    const devices = this.#listeners.parts.flatMap(({ listener }) => listener.heldDevices);
    const sources = this.#sources.parts.filter(({ source }) => source.held);
    return [...devices, ...sources.map(({ source }) => source.name)];
  }

  get sources(): { name: string; state: string; lastError: string | null }[] {
    return this.#sources.parts.map(({ source: { name, state, lastError } }) => {
      return { name, state, lastError };
    });
  }

  /** @throws TidegateError bindFailed, or what else hinders a seat; then nothing has changed */
  async change(config: Config): Promise<void> {
    const { listeners, sources } = config.mqtt;
    const allow = new AllowRules(listeners, topicFilters);
    this.#parts.core.installAllow(allow.filters);
    const rules = JSON.stringify(allow.filters);
    if (listeners.some(({ broker }) => broker === 'embedded')) await this.#openBroker();
    const wanted = new Map(
      listeners.map((listener, index) => {
        // A connection keeps the groups it was given: with other rules it has to come again.
        const key = JSON.stringify([listener, allow.isAsked(index) ? rules : null]);
        return [key, () => this.#openListener(listener, index, allow)];
      }),
    );
    await this.#listeners.change(wanted);
    await this.#sources.change(
      new Map(sources.map((source) => [JSON.stringify(source), () => this.#openSource(source)])),
    );
  }

  async #openBroker(): Promise<void> {
    if (this.#broker !== null) return;
    const { EmbeddedBroker } = await import('./broker/embedded.ts');
    const { core, report } = this.#parts;
    const changed = (filters: readonly string[]): void => core.setLocalFilters(filters);
    this.#broker = await EmbeddedBroker.open(changed, report);
  }

  async #openListener(config: Listener, index: number, allow: AllowRules): Promise<ListenerPart> {
    const { bind, websocket, whenBrokerDown, receiveMaximum, maxPacketSize, tls } = config;
    const { path, report, connectionsChanged } = this.#parts;
    const login = Login.of(config, report);
    const grants = { receiveMaximum, topicAliasMaximum, maxPacketBytes: maxPacketSize };
    const listener = new MqttListener({
      ...{ host: bind.host, port: bind.port, path, report, connectionsChanged },
      websocket: websocket ? (await import('./websocket.ts')).serveWebSocket : null,
      tls: tls === null ? null : serverTlsOptions(tls),
      partials: this.#partials,
      seat: {
        scope: `${bind.host}:${bind.port}`,
        embedded: config.broker === 'embedded',
        ...{ whenBrokerDown, grants },
        openBroker: () => this.#connectTo(config),
        login: (request) => login.answer(request),
        access: allow.isAsked(index) ? accessOf(allow, index) : null,
        sessions: this.#sessions,
        wills: this.#wills,
        faults: this.#faults(),
      },
    });
    await listener.listen();
    const watching =
      tls === null ? null : watchServerTls(listener.server as TlsServer, tls, report);
    return {
      listener,
      stop: () => listener.stop(),
      close: async () => {
        listener.stop();
        watching?.close();
        await listener.stopped(closeWithinMs);
        login.close();
      },
    };
  }

  #connectTo({ broker, brokerTls }: Listener): Duplex {
    if (broker !== 'embedded') {
      const { host, port, tls } = broker;
      const address = { host, port, noDelay: true, keepAlive: true };
      return tls
        ? connectTls({ ...address, ...clientTlsOptions(brokerTls, host) })
        : connectTcp(address);
    }
    if (this.#broker === null) throw new TypeError('an embedded listener opens its broker first');
    return this.#broker.connect();
  }

  async #openSource(config: MqttSourceConfig): Promise<SourcePart> {
    const { connectMqtt } = await import('./mqtt-client.ts');
    const { path, report } = this.#parts;
    const { host, port } = config.url;
    const name = `${config.clientId}@${host}:${port}`;
    const source = new MqttSource({
      ...{ config, name, path, report, faultName },
      session: this.#sessions.of(`source ${host}:${port}`, config.clientId),
      connect: connectMqtt,
      ...deviceOf(config.device),
      random: Math.random,
    });
    source.start();
    return {
      source,
      close: async () => {
        source.stop();
        await path.flush(closeWithinMs);
        await source.close();
      },
    };
  }

  #faults(): FaultAnswers {
    const { core } = this.#parts.core;
    return {
      name: faultName,
      reasonCode: reasonCodeOf,
      returnCode: returnCodeOf,
      connectVersion: () => core.connectVersion(),
    };
  }

  /** No more bytes are taken: what was taken can now be committed and acknowledged. */
  stop(): void {
    this.#wills.close();
    for (const { listener } of this.#listeners.parts) listener.stop();
    for (const { source } of this.#sources.parts) source.stop();
  }

  /** Everything taken is on disk. */
  async close(): Promise<void> {
    await Promise.all(this.#sources.parts.map(({ source }) => source.close()));
    await this.#listeners.change(new Map());
    await this.#broker?.close();
  }
}

function accessOf(allow: AllowRules, index: number): Access {
  return {
    groupsFor: (device) => allow.groupsFor(index, device),
    mayPublish: (device, topicName) => allow.mayPublish(index, device, topicName),
    maySubscribe: (device, filter) => allow.maySubscribe(index, device, filter),
  };
}

/** What names the device of an event from a source: the rule's number, and the name it needs. */
function deviceOf(written: string): { deviceRule: number; deviceName: Uint8Array } {
  const nothing = Buffer.alloc(0);
  if (written.startsWith('property:')) {
    const name = Buffer.from(written.slice('property:'.length));
    return { deviceRule: deviceRules.property, deviceName: name };
  }
  if (written === '{topic}') return { deviceRule: deviceRules.topicName, deviceName: nothing };
  return { deviceRule: deviceRules.capture + Number(written.slice(1, -1)), deviceName: nothing };
}
