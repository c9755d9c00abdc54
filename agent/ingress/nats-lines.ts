/**
 * Header lines of a message, as they stand on the wire (ADR-4):
 *
 *   NATS/1.0[ status] CRLF *( name ":" value CRLF ) CRLF
 *
 * Read here and not by the library, which throws at names and values that servers let through, and
 * then reads nothing more of that connection: one such message would stop all behind it, each time
 * that it is delivered again. A line without a colon is a name without a value; white space around
 * a value is not part of it. In order, repeats too.
 */
import type { NatsMessage } from '../nats-client.ts';

export type HeaderLine = readonly [name: string, value: string];

const version = 'NATS/1.0';
const lineEnd = '\r\n';
const none: readonly HeaderLine[] = [];

export function headerLinesOf(message: NatsMessage): readonly HeaderLine[] {
  const { data } = message;
  const named = Buffer.byteLength(message.subject) + Buffer.byteLength(message.reply ?? '');
  // They stand before the payload, and what is not named is theirs.
  const bytes = message.size() - named - data.length;
  if (bytes < version.length || bytes > data.byteOffset) return none;
  const block = Buffer.from(data.buffer, data.byteOffset - bytes, bytes).toString();
  if (!block.startsWith(version)) return none;
  const lines: HeaderLine[] = [];
  for (const line of block.split(lineEnd).slice(1)) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    lines.push(colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).trim()]);
  }
  return lines;
}
