/**
 * Reads the fleet's bucket: a KV bucket is the stream `KV_<bucket>`, a key is the subject
 * `$KV.<bucket>.<key>`, and each entry is a message of it. Entries are asked for one by one
 * (DIRECT.GET where the stream allows it, which any replica answers, else STREAM.MSG.GET): a
 * consumer for each key of each gateway would cost the server 54 KiB and a heartbeat.
 */
import type { StoredMsg } from 'nats';
import { fleetHistory } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { NatsConnection, NatsMessage } from '../nats-client.ts';
import type { BucketEntry } from './history.ts';

type Query =
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string };

type Jetstream = Awaited<ReturnType<NatsConnection['manager']>> & {
  /** It is there; the library's interface leaves it out. */
  readonly direct: { getMessage(stream: string, query: Query): Promise<StoredMsg> };
};

const operationHeader = 'KV-Operation';
/** `stream not found` of the JetStream API. */
const streamMissing = 10_059;
const noMessage = '404';

export class Bucket {
  readonly #connection: NatsConnection;
  readonly #name: string;
  readonly #jetstream: Jetstream;
  readonly #direct: boolean;

  private constructor(
    connection: NatsConnection,
    name: string,
    jetstream: Jetstream,
    direct: boolean,
  ) {
    this.#connection = connection;
    this.#name = name;
    this.#jetstream = jetstream;
    this.#direct = direct;
  }

  /** Made where it is missing and that is allowed. @throws TidegateError fleetBucketMissing, … */
  static async open(connection: NatsConnection, name: string): Promise<Bucket> {
    const jetstream = (await connection.manager()) as Jetstream;
    try {
      const { config } = await jetstream.streams.info(streamOf(name));
      return new Bucket(connection, name, jetstream, config.allow_direct);
    } catch (error) {
      // Not allowed to ask is not missing: it is read as what we make would be.
      if (isMissing(error)) await make(connection, name);
      return new Bucket(connection, name, jetstream, true);
    }
  }

  async newest(key: string): Promise<BucketEntry | null> {
    return await this.#get({ last_by_subj: subjectOf(this.#name, key) });
  }

  /** Oldest first. */
  async history(key: string): Promise<BucketEntry[]> {
    const entries: BucketEntry[] = [];
    let seq = 1;
    while (entries.length <= fleetHistory) {
      const entry = await this.#get({ seq, next_by_subj: subjectOf(this.#name, key) });
      if (entry === null) break;
      entries.push(entry);
      seq = entry.sequence + 1;
    }
    return entries;
  }

  /** What is published under a key, before it is known to be stored. */
  hear(key: string, heard: (entry: string | null) => void): () => void {
    const subject = subjectOf(this.#name, key);
    const tell = ({ data, headers }: NatsMessage): void => heard(textOf(data, headers));
    const subscription = this.#connection.subscribe(subject, null, tell);
    return () => subscription.unsubscribe();
  }

  async #get(query: Query): Promise<BucketEntry | null> {
    const { direct, streams } = this.#jetstream;
    const stream = streamOf(this.#name);
    try {
      const found: StoredMsg = this.#direct
        ? await direct.getMessage(stream, query)
        : // The server takes `next_by_subj` here too; the library's type does not say so.
          await streams.getMessage(stream, query as Parameters<typeof streams.getMessage>[1]);
      return { sequence: found.seq, text: textOf(found.data, found.header) };
    } catch (error) {
      if (Object(error).code === noMessage && !isMissing(error)) return null;
      throw error;
    }
  }
}

function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

export function subjectOf(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

function textOf(body: Uint8Array, headers: NatsMessage['headers']): string | null {
  if ((headers?.get(operationHeader) ?? '') !== '') return null;
  return Buffer.from(body).toString('utf8');
}

function isMissing(error: unknown): boolean {
  return Object(Object(error).api_error).err_code === streamMissing;
}

async function make(connection: NatsConnection, name: string): Promise<void> {
  try {
    await connection.bucket(name, { history: fleetHistory });
  } catch (error) {
    throw new TidegateError('fleetBucketMissing', `${name}: ${messageOf(error)}`);
  }
}
