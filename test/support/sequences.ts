/**
 * Runs sequences over real sockets, many at a time, each on a connection and under a Client
 * Identifier of its own; tells which were not answered as they must be.
 */
import { connect as connectTcp } from 'node:net';
import { accepted, connect, type Sequence, text } from '../vectors/sequence.ts';
import { patient } from './patience.ts';

const atOnce = 24;
const withinMs = patient(4_000);
const ping = 'c000';
const pong = 'd000';
let clients = 0;

/** What is heard, in hex, and whether the other side has closed. */
class Ear {
  heard = '';
  closed = false;
  readonly #socket;
  #tell: () => void = () => {};

  constructor(port: number) {
    this.#socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.heard += chunk.toString('hex');
      this.#tell();
    });
    const closed = (): void => {
      this.closed = true;
      this.#tell();
    };
    this.#socket.on('end', closed).on('close', closed).on('error', closed);
  }

  say(hex: string): void {
    this.#socket.write(Buffer.from(hex, 'hex'));
  }

  /** @returns what is wrong, or null once everything heard is the pattern and no more */
  async hears(pattern: string, ends: boolean): Promise<string | null> {
    const whole = new RegExp(`^(?:${pattern})$`);
    const deadline = performance.now() + withinMs;
    const there = (): boolean => whole.test(this.heard) && (this.closed || !ends);
    while (!there() && !this.closed && performance.now() < deadline) await this.#more(deadline);
    if (there()) {
      this.heard = '';
      return null;
    }
    const state = this.closed ? 'closed' : 'open';
    return `heard ${this.heard || 'nothing'} and it is ${state}, not ${pattern || 'nothing'}`;
  }

  async #more(deadline: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(deadline - performance.now(), 0));
      this.#tell = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  end(): void {
    this.#socket.destroy();
  }
}

async function run(port: number, sequence: Sequence): Promise<string | null> {
  const { version, connected, steps, ends } = sequence;
  const ear = new Ear(port);
  try {
    if (connected) {
      clients += 1;
      ear.say(connect(version, '02', text(`sequence-${clients}`)));
      const wrong = await ear.hears(accepted, false);
      if (wrong !== null) return `CONNECT: ${wrong}`;
    }
    for (const [index, [send, hears]] of steps.entries()) {
      ear.say(send);
      const last = ends && index === steps.length - 1;
      const wrong = await ear.hears(hears, last);
      if (wrong !== null) return `${send}: ${wrong}`;
    }
    if (ends) return null;
    ear.say(ping);
    const wrong = await ear.hears(pong, false);
    return wrong === null ? null : `${steps.at(-1)?.[0]}, PINGREQ: ${wrong}`;
  } finally {
    ear.end();
  }
}

/** @returns a line for each that was not answered as it says */
export async function runSequences(port: number, all: readonly Sequence[]): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let sequence = all[next++]; sequence !== undefined; sequence = all[next++]) {
      const found = await run(port, sequence);
      if (found !== null) wrong.push(`${sequence.version}, ${sequence.name}: ${found}`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return wrong;
}
