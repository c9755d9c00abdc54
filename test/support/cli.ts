/**
 * The command line as a process: its exit code and what it said. And a few events published by a
 * device, for commands to work on.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function tidegate(directory: string, ...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { cwd: directory });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (said.out += String(chunk)));
  child.stderr.on('data', (chunk) => (said.err += String(chunk)));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...said })));
}

/** Each is acknowledged, and so on disk. */
export async function publish(
  port: number,
  clientId: string,
  events: readonly (readonly [topicName: string, payload: string | Buffer])[],
): Promise<void> {
  const device = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId, protocolVersion: 4 });
  for (const [topicName, payload] of events) {
    await device.publishAsync(topicName, payload, { qos: 1 });
  }
  await device.endAsync();
}
