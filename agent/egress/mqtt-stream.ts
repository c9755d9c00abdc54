/**
 * Stands between the socket and MQTT.js and keeps the flow of PUBLISHes to itself:
 *
 *   MQTT.js ──CONNECT, PINGREQ, DISCONNECT──▶ ┐
 *   upstream ─PUBLISH, PUBREL───────────────▶ ┴▶ socket
 *   MQTT.js ◀─everything else──────────────── ┬◀ socket
 *   upstream ◀PUBACK, PUBREC, PUBCOMP──────── ┘
 *
 * MQTT.js would copy every packet into a store of its own, send it again by its own rules, and not
 * heed the server's Receive Maximum. Packets of MQTT.js are written whole, so that ours never
 * stand within one.
 */
import { Duplex } from 'node:stream';
import { type AcknowledgementSink, AcknowledgementSplitter } from './mqtt-acknowledgements.ts';

type Done = (error?: Error | null) => void;

export class PublishStream extends Duplex {
  readonly #socket: Duplex;

  constructor(socket: Duplex, sink: AcknowledgementSink) {
    super();
    this.#socket = socket;
    const splitter = new AcknowledgementSplitter(sink);
    socket.on('data', (chunk: Buffer) => {
      // What the answers set free leaves in one write.
      socket.cork();
      for (const bytes of splitter.split(chunk)) if (!this.push(bytes)) socket.pause();
      socket.uncork();
    });
    socket.on('end', () => this.push(null));
  }

  /** Bytes that the operating system has not taken yet. */
  get backlogBytes(): number {
    return this.#socket.writableLength;
  }

  /** @param flushed called without an error once the operating system took them */
  publish(packet: Buffer, flushed?: (error?: Error | null) => void): void {
    this.#socket.write(packet, flushed);
  }

  /** What is published until `release` leaves in one write. */
  gather(): void {
    this.#socket.cork();
  }

  release(): void {
    this.#socket.uncork();
  }

  onceDrained(run: () => void): void {
    this.#socket.once('drain', run);
  }

  override _read(): void {
    this.#socket.resume();
  }

  /** Done at once: the pieces of one packet follow one another in one turn of the loop. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#socket.write(chunk);
    done();
  }

  override _final(done: Done): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#socket.destroy();
    done(error);
  }
}
