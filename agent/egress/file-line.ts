/**
 * One record as a JSON line: `{topic, key, headers, value}`.
 *
 * Bytes that are not UTF-8 stand in `valueBase64` (`keyBase64`) instead: a line can always be
 * turned back into the record. A header name that occurs more than once has a list of values, and
 * a header of bytes is base64.
 */
import { isUtf8 } from 'node:buffer';
import type { Header } from './envelope.ts';
import type { EgressRecord } from './record.ts';

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function field(name: string, bytes: Uint8Array): string {
  if (isUtf8(bytes)) return `"${name}":${JSON.stringify(text(bytes))}`;
  return `"${name}Base64":"${base64(bytes)}"`;
}

function headersJson(lists: readonly (readonly Header[])[]): string {
  const all = new Map<string, string | string[]>();
  for (const list of lists) {
    for (const [name, bare] of list) {
      const value = typeof bare === 'string' ? bare : base64(bare);
      const known = all.get(name);
      if (known === undefined) all.set(name, value);
      else if (typeof known === 'string') all.set(name, [known, value]);
      else known.push(value);
    }
  }
  let json = '';
  for (const [name, value] of all) {
    json += `${json === '' ? '' : ','}${JSON.stringify(name)}:${JSON.stringify(value)}`;
  }
  return `{${json}}`;
}

/** With its line feed; JSON escapes those inside. */
export function jsonLine(record: EgressRecord): string {
  const topic = JSON.stringify(record.place.topic);
  const key = record.key === null ? '"key":null' : field('key', record.key);
  const headers = headersJson([record.place.headers, record.headers]);
  return `{"topic":${topic},${key},"headers":${headers},${field('value', record.value)}}\n`;
}
