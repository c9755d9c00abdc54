/**
 * `tidegate demo` does what the README says: devices, an outage, two kills, and exit 0 only when
 * the ledger holds; with the stand-in, and with a real Kafka behind the proxy that it cuts.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startKafka } from './support/kafka.ts';

const main = fileURLToPath(new URL('../agent/main.ts', import.meta.url));
const seconds = '10';
const withinMs = 120_000;

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function demo(...args: string[]): Promise<Run> {
  const child = spawn(process.execPath, [main, 'demo', '--seconds', seconds, ...args], {
    timeout: withinMs,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
}

function holds({ code, out, err }: Run): string {
  assert.equal(code, 0, `${out}\n${err}`);
  const result = JSON.parse(out) as Record<string, unknown>;
  assert.equal(result.holds, true, out);
  assert.equal(result.kills, 2, out);
  assert.ok(Number(result.acknowledgedWhileCut) > 0, out);
  assert.equal(result.acknowledged, result.arrived, out);
  return out.trim();
}

test('the demo needs no Kafka, survives its outage and its kills, and exits 0', async (t) => {
  t.diagnostic(holds(await demo('--json')));
});

test('the demo does the same against a real Kafka', async (t) => {
  const kafka = await startKafka({ partitions: 4 });
  try {
    t.diagnostic(holds(await demo('--json', '--kafka', kafka.bootstrap)));
  } finally {
    await kafka.stop();
  }
});

test('off a terminal the demo prints plain lines: phases, figures, the ledger', async () => {
  const { code, out, err } = await demo();
  assert.equal(code, 0, `${out}\n${err}`);
  assert.doesNotMatch(out, new RegExp(String.fromCharCode(0x1b)), 'no escape sequences');
  assert.match(out, /^-- the uplink is cut/m);
  assert.match(out, /^-- the agent is killed \(SIGKILL\)/m);
  assert.match(out, /the ledger holds: every acknowledged message arrived\./);
});

test('the demo refuses a length it cannot play, as usage', async () => {
  const child = spawn(process.execPath, [main, 'demo', '--seconds', '1']);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  assert.equal(code, 64);
});
