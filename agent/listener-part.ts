/**
 * One listener of the config, put together: the socket, who may come in, what stands behind it, its
 * certificates and password file. A part that a reload keeps, stops or opens (`kept.ts`).
 */
import type { Duplex } from 'node:stream';
import type { Server as TlsServer } from 'node:tls';
import { closeWithinMs, topicAliasMaximum } from './bounds.ts';
import { brokerFault, connectBroker } from './broker-connection.ts';
import type { Listener } from './config/types.ts';
import type { Report } from './events.ts';
import { faultName } from './frames/faults.ts';
import type { PathCore } from './frames/path-core.ts';
import { reasonCodeOf, returnCodeOf } from './frames/reason-codes.ts';
import type { AllowRules } from './ingress/allow.ts';
import { Login } from './ingress/login.ts';
import { MqttListener } from './ingress/mqtt-listener.ts';
import type { PartialBudget } from './ingress/partials.ts';
import type { Access, FaultAnswers, Seat } from './ingress/seat.ts';
import type { Sessions } from './ingress/sessions.ts';
import type { Wills } from './ingress/wills.ts';
import type { Part } from './kept.ts';
import type { Pipeline } from './pipeline.ts';
import { serverTlsOptions, watchServerTls } from './tls.ts';

export interface ListenerNeeds {
  readonly core: PathCore;
  readonly path: Pipeline;
  readonly report: Report;
  readonly connectionsChanged: (delta: number) => void;
  readonly partials: PartialBudget;
  readonly sessions: Sessions;
  readonly wills: Wills;
  /** A new connection to the embedded broker. */
  readonly connectEmbedded: () => Duplex;
}

/** The rules of all listeners, and which one this is; given anew by each config. */
export interface Rules {
  readonly allow: AllowRules;
  readonly index: number;
}

export class ListenerPart implements Part {
  readonly listener: MqttListener;
  readonly #bind: Listener['bind'];
  readonly #login: Login;
  readonly #watching: { close(): void } | null;
  #rules: Rules;

  private constructor(
    config: Listener,
    needs: ListenerNeeds,
    rules: Rules,
    websocket: ConstructorParameters<typeof MqttListener>[0]['websocket'],
  ) {
    const { bind, tls } = config;
    const { path, report, connectionsChanged, partials } = needs;
    this.#bind = bind;
    this.#rules = rules;
    const options = tls === null ? null : serverTlsOptions(tls);
    this.#login = Login.of(config, report);
    this.listener = new MqttListener({
      ...{ host: bind.host, port: bind.port, path, report, connectionsChanged, partials },
      ...{ websocket, tls: options, seat: this.#seat(config, needs) },
    });
    try {
      const { server } = this.listener;
      this.#watching = tls === null ? null : watchServerTls(server as TlsServer, tls, report);
    } catch (error) {
      this.listener.stop();
      this.#login.close();
      throw error;
    }
  }

  /** @throws TidegateError a file of it cannot be used */
  static async make(config: Listener, needs: ListenerNeeds, rules: Rules): Promise<ListenerPart> {
    const websocket = config.websocket ? (await import('./websocket.ts')).serveWebSocket : null;
    return new ListenerPart(config, needs, rules, websocket);
  }

  #seat(config: Listener, needs: ListenerNeeds): Seat {
    const { bind, broker, whenBrokerDown, receiveMaximum, maxPacketSize } = config;
    const { sessions, wills } = needs;
    const behind = broker === 'embedded' ? null : broker;
    return {
      scope: `${bind.host}:${bind.port}`,
      embedded: behind === null,
      whenBrokerDown,
      grants: { receiveMaximum, topicAliasMaximum, maxPacketBytes: maxPacketSize },
      openBroker: () =>
        behind === null ? needs.connectEmbedded() : connectBroker(behind, config.brokerTls),
      brokerFault: (error) => brokerFault(error, behind),
      login: (request) => this.#login.answer(request),
      access: config.allow.length > 0 ? this.#access() : null,
      ...{ sessions, wills, faults: faultsOf(needs.core) },
    };
  }

  #access(): Access {
    const rules = (): Rules => this.#rules;
    return {
      groupsFor: (device) => rules().allow.groupsFor(rules().index, device),
      mayPublish: (device, topicName) => rules().allow.mayPublish(rules().index, device, topicName),
      maySubscribe: (device, filter) => rules().allow.maySubscribe(rules().index, device, filter),
    };
  }

  /** The same rules for this listener, but the bits that stand for them may be others. */
  regroup(rules: Rules): void {
    this.#rules = rules;
    this.listener.regroup();
  }

  open(): Promise<void> {
    return this.listener.listen();
  }

  release(): void {
    this.listener.release();
  }

  begin(): void {
    this.listener.serve();
  }

  stop(): void {
    this.listener.stop();
  }

  async close(): Promise<void> {
    this.listener.stop();
    this.#watching?.close();
    await this.listener.stopped(closeWithinMs);
    this.#login.close();
  }

  collides(other: ListenerPart): boolean {
    return this.#bind.port !== 0 && this.#bind.port === other.#bind.port;
  }
}

function faultsOf({ core }: PathCore): FaultAnswers {
  return {
    name: faultName,
    reasonCode: reasonCodeOf,
    returnCode: returnCodeOf,
    connectVersion: () => core.connectVersion(),
  };
}
