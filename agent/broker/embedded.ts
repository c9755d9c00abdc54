/**
 * The embedded broker, behind the same byte stream as an external one. It is aedes for now (MQTT
 * 3.1.1); the session layer of our own takes this seam. What it adds to the library: the Topic
 * Filters that local subscribers hold are told to the core before SUBACK leaves, so that captured
 * frames are copied to it only where a subscription may match.
 *
 * It refuses nothing by itself: the filter in front checks what devices send.
 */
import { type Duplex, duplexPair } from 'node:stream';
import { Aedes, type Client } from 'aedes';
import { topicNameBytes } from '../bounds.ts';
import { messageOf } from '../errors.ts';
import type { Report } from '../events.ts';

/** All Topic Filters that somebody holds, after each change. */
export type LocalFilters = (filters: readonly string[]) => void;

export class EmbeddedBroker {
  readonly #broker: Aedes;
  /** Topic Filters by Client Identifier: a session may outlive its connection. */
  readonly #held = new Map<string, Set<string>>();
  readonly #changed: LocalFilters;

  private constructor(broker: Aedes, changed: LocalFilters, report: Report) {
    this.#broker = broker;
    this.#changed = changed;
    broker.authorizeSubscribe = (client, subscription, done) => {
      this.#hold(client, subscription.topic);
      done(null, subscription);
    };
    broker.on('unsubscribe', (filters, client) => this.#release(client, filters));
    broker.on('clientError', (client, error) => {
      report('connectionClosed', { device: client.id, reason: messageOf(error) });
    });
    broker.on('connectionError', (_client, error) => {
      report('connectionClosed', { reason: messageOf(error) });
    });
  }

  static async open(changed: LocalFilters, report: Report): Promise<EmbeddedBroker> {
    const broker = await Aedes.createBroker({ maxClientsIdLength: topicNameBytes });
    return new EmbeddedBroker(broker, changed, report);
  }

  /** A new connection to it, seen from the filter's side. */
  connect(): Duplex {
    const [ours, brokers] = duplexPair();
    this.#broker.handle(brokers);
    return ours;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#broker.close(() => resolve()));
  }

  #hold(client: Client, filter: string): void {
    const filters = this.#held.get(client.id) ?? new Set<string>();
    this.#held.set(client.id, filters.add(filter));
    this.#tell();
  }

  #release(client: Client, released: readonly string[]): void {
    const filters = this.#held.get(client.id);
    if (filters === undefined) return;
    for (const filter of released) filters.delete(filter);
    if (filters.size === 0) this.#held.delete(client.id);
    this.#tell();
  }

  #tell(): void {
    const all = new Set<string>();
    for (const filters of this.#held.values()) for (const filter of filters) all.add(filter);
    this.#changed([...all]);
  }
}
