/**
 * Free ports of 127.0.0.1 for servers that must be told their port before they start.
 *
 * They are drawn from below the range the system gives to outgoing connections: a client that tries
 * a port of that range while its server is down can be given that very port, and then either talks
 * to itself or keeps the server from binding. The ports of one call are bound together and then
 * released; if another process takes one before the server does, the server says so.
 */
import { createServer, type Server } from 'node:net';

/** Below net.ipv4.ip_local_port_range (32768 by default), above what services are known by. */
const lowest = 15_000;
const highest = 32_000;
const attemptsMax = 200;

export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  for (let attempt = 0; ports.length < count; attempt++) {
    if (attempt > attemptsMax) throw new Error(`no free port between ${lowest} and ${highest}`);
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    const server = await bound(port);
    if (server === null) continue;
    servers.push(server);
    ports.push(port);
  }
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

async function bound(port: number): Promise<Server | null> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => resolve(null));
    server.listen({ host: '127.0.0.1', port }, () => resolve(server));
  });
}
