/**
 * Opens the network connections of one MQTT upstream, and knows when the server must forget what
 * it has of us and when it must not.
 *
 * Only QoS 2 needs a session: with it a reconnect goes on where the last connection broke off, and
 * nothing arrives twice. It begins clean with each process: the Packet Identifiers of one before us
 * would make the server take new messages for old ones and swallow them. QoS 0 and 1 begin clean
 * each time and leave nothing behind.
 */
import type { MqttUpstreamConfig } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import type { ConnectMqtt, MqttConnection, MqttConnectOptions } from '../mqtt-client.ts';
import type { AcknowledgementSink } from './mqtt-acknowledgements.ts';
import { PublishStream } from './mqtt-stream.ts';

export interface Online {
  readonly connection: MqttConnection;
  readonly stream: PublishStream;
  readonly sinceMs: number;
}

export interface MqttSessionParts {
  readonly connect: ConnectMqtt;
  /** An at-most-once lane sends nothing again: it needs no session. */
  readonly once: boolean;
  readonly acknowledgements: AcknowledgementSink;
  readonly ended: MqttConnectOptions['ended'];
}

/** How long the server keeps a QoS 2 session while we are away. */
const sessionMs = 86_400_000;

export class MqttSession {
  readonly #config: MqttUpstreamConfig;
  readonly #parts: MqttSessionParts;
  readonly #isKept: boolean;
  /** The server knows nothing of this process yet, or must not. */
  #isFresh = true;
  /** A connection that was made across `forget` is void. */
  #era = 0;

  constructor(config: MqttUpstreamConfig, parts: MqttSessionParts) {
    this.#config = config;
    this.#parts = parts;
    this.#isKept = config.qos === 2 && !parts.once;
  }

  /** @throws TidegateError upstream… */
  async open(): Promise<Online> {
    const era = this.#era;
    const streams: PublishStream[] = [];
    const connection = await this.#parts.connect({
      ...(await this.#beginning()),
      client: this.#config,
      sessionExpiryMs: this.#isKept ? sessionMs : 0,
      stream: (socket) => {
        const stream = new PublishStream(socket, this.#parts.acknowledgements);
        streams.push(stream);
        return stream;
      },
      ended: (error, reasonCode) => {
        if (era === this.#era) this.#parts.ended(error, reasonCode);
      },
    });
    if (era !== this.#era) {
      connection.destroy();
      throw new TidegateError('upstreamUnreachable', 'the connection is no longer wanted');
    }
    await this.#suits(connection);
    this.#isFresh = false;
    const [stream] = streams as [PublishStream];
    return { connection, stream, sinceMs: performance.now() };
  }

  /** The next connection begins clean; one on its way is given up. */
  forget(): void {
    this.#era += 1;
    this.#isFresh = true;
  }

  async #beginning(): Promise<{ readonly cleanStart: boolean }> {
    if (!this.#isKept) return { cleanStart: true };
    if (!this.#isFresh) return { cleanStart: false };
    if (this.#config.version === 5) return { cleanStart: true };
    // A Clean Session of 3.1.1 also ends clean [MQTT-3.1.2-6]: it takes two connections.
    const wiping = await this.#parts.connect({
      client: this.#config,
      cleanStart: true,
      sessionExpiryMs: 0,
      ended: () => undefined,
    });
    await wiping.close();
    return { cleanStart: false };
  }

  /** [MQTT-3.2.2-11] */
  async #suits(connection: MqttConnection): Promise<void> {
    const { maximumQos } = connection.server;
    if (maximumQos >= this.#config.qos) return;
    await connection.close(0);
    const detail = `the server takes QoS ${maximumQos}, the config says ${this.#config.qos}`;
    throw new TidegateError('upstreamUnsuited', detail);
  }
}
