/**
 * A TCP link to a server of a test that can be cut: what is on its way in either direction is lost,
 * both ends see a reset. A new connection goes through at once, unless the link is `down`.
 */
import { connect, createServer, type Socket } from 'node:net';

export interface TcpLink {
  readonly port: number;
  /** While true nobody comes through. */
  down: boolean;
  cut(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startLink(targetPort: number): Promise<TcpLink> {
  const sockets = new Set<Socket>();
  const link = { port: 0, down: false };
  const server = createServer({ noDelay: true }, (near) => {
    if (link.down) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ host: '127.0.0.1', port: targetPort, noDelay: true });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  return Object.assign(link, {
    port: (server.address() as { port: number }).port,
    cut,
    async [Symbol.asyncDispose]() {
      server.close();
      cut();
    },
  });
}
