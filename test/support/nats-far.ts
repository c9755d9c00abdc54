/**
 * The far side of a NATS connection, scripted: speaks the client protocol and leaves it to the test
 * when, and how, each message is answered. For what a real server does not do on request.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface Published {
  readonly subject: string;
  readonly reply: string;
  readonly messageId: string;
  readonly value: string;
  /** Which connection it came on, from 1. */
  readonly connection: number;
  /** As JetStream answers, or somebody else. */
  answer(text: string): void;
}

const lineEnd = '\r\n';
const headerLine = /^HPUB (\S+) (\S+) (\d+) (\d+)$/;

export const pubAck = '{"stream":"S","seq":1}';
export const notNow = JSON.stringify({
  error: { code: 503, err_code: 10_077, description: 'not now' },
  stream: 'S',
  seq: 0,
});

export class FarNats {
  readonly published: Published[] = [];
  connections = 0;
  /** False: PING is not answered, once a client is connected. */
  answersPing = true;
  readonly #server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  readonly #sockets = new Set<Socket>();

  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    const connection = ++this.connections;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    const facts = { server_id: 'far', version: '2.9.10', proto: 1, headers: true };
    socket.write(`INFO ${JSON.stringify({ ...facts, max_payload: 1_048_576 })}${lineEnd}`);
    let unread = Buffer.alloc(0);
    let sid = '';
    let isGreeted = false;
    const line = (text: string) => {
      if (text.startsWith('SUB ')) sid = text.split(' ').at(-1) ?? '';
      if (text === 'PING' && (this.answersPing || !isGreeted)) socket.write(`PONG${lineEnd}`);
      if (text === 'PING') isGreeted = true;
    };
    socket.on('data', (bytes) => {
      unread = Buffer.concat([unread, bytes]);
      for (;;) {
        const end = unread.indexOf(lineEnd);
        if (end < 0) return;
        const text = unread.toString('latin1', 0, end);
        const from = end + lineEnd.length;
        const [, subject, reply, headerBytes, allBytes] = headerLine.exec(text) ?? [];
        if (subject === undefined || reply === undefined) {
          unread = unread.subarray(from);
          line(text);
          continue;
        }
        const to = from + Number(allBytes);
        if (unread.length < to + lineEnd.length) return;
        const headers = unread.toString('utf8', from, from + Number(headerBytes));
        this.published.push({
          ...{ subject, reply, connection },
          messageId: /Nats-Msg-Id: (.*)\r/.exec(headers)?.[1] ?? '',
          value: unread.toString('utf8', from + Number(headerBytes), to),
          answer: (answer) => {
            const length = Buffer.byteLength(answer);
            socket.write(`MSG ${reply} ${sid} ${length}${lineEnd}${answer}${lineEnd}`);
          },
        });
        unread = unread.subarray(to + lineEnd.length);
      }
    });
  }
}
