/**
 * One secret from whoever runs a command: typed twice without echo on a terminal, else one line of
 * standard input. It is kept as bytes: a Password of MQTT is binary data, not text.
 */
import { TidegateError } from '../errors.ts';
import type { CliContext } from './context.ts';

const passwordBytesMost = 65_535;
const lineFeed = 0x0a;
const key = { interrupt: 0x03, end: 0x04, backspace: 0x08, enter: 0x0d, erase: 0x7f } as const;

/** @throws TidegateError passwordInvalid */
export async function readSecret(context: CliContext, twice: boolean): Promise<Buffer> {
  if (process.stdin.isTTY !== true) return judged(await readLine());
  process.stdin.setRawMode(true);
  try {
    const first = await typed(context, 'Password: ');
    if (twice && !first.equals(await typed(context, 'Again: '))) {
      throw new TidegateError('passwordInvalid', 'the two are not the same');
    }
    return judged(first);
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}

function judged(secret: Buffer): Buffer {
  if (secret.length === 0) throw new TidegateError('passwordInvalid', 'the password is empty');
  if (secret.length <= passwordBytesMost) return secret;
  throw new TidegateError('passwordInvalid', `${secret.length} bytes are too many for MQTT`);
}

async function readLine(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes(lineFeed) || length > passwordBytesMost) break;
  }
  const all = Buffer.concat(chunks);
  const end = all.indexOf(lineFeed);
  const line = end < 0 ? all : all.subarray(0, end);
  return line.at(-1) === key.enter ? line.subarray(0, -1) : line;
}

/** What is typed until Enter, on a terminal that was silenced before it was asked for. */
async function typed(context: CliContext, prompt: string): Promise<Buffer> {
  context.err(prompt);
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    let bytes: number[] = [];
    const take = (chunk: Buffer) => {
      for (const byte of chunk) {
        if (byte === key.enter || byte === lineFeed || byte === key.end) {
          process.stdin.off('data', take);
          resolve(Buffer.from(bytes));
          return;
        }
        if (byte === key.interrupt) {
          process.stdin.off('data', take);
          reject(new TidegateError('usage', 'interrupted'));
          return;
        }
        if (byte === key.backspace || byte === key.erase) bytes = withoutLast(bytes);
        else bytes.push(byte);
      }
    };
    process.stdin.on('data', take);
  });
  context.err('\n');
  return bytes;
}

/** Less one character, which in UTF-8 may be several bytes. */
function withoutLast(bytes: readonly number[]): number[] {
  return [...Buffer.from([...Buffer.from(bytes).toString()].slice(0, -1).join(''))];
}
