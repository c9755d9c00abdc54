/**
 * PEM files of TLS: read, parsed, a key matched with its certificate. What is wrong names the key
 * of the config and the file; the end of a certificate is warned of ahead, once a day.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { certificateWarnAheadMs, certificateWarnEveryMs, pemFileBytes } from './bounds.ts';
import { messageOf, TidegateError } from './errors.ts';
import type { Report } from './events.ts';

const pemCertificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const msPerDay = 86_400_000;
/** When a file was last warned of, however often it is read. */
const warnedAtMs = new Map<string, number>();

export interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Unix time, ms. */
  readonly endsMs: number;
}

/** @throws TidegateError tlsFileUnreadable, tlsFileInvalid */
export function readPair(certificate: string, keyFile: string): Pair {
  const cert = readPem('certificate', certificate);
  const key = readPem('key', keyFile);
  const [leaf] = parseCertificates('certificate', certificate, cert);
  let matches: boolean;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw invalid('key', keyFile, `is no private key (${messageOf(error)})`, error);
  }
  if (!matches) throw invalid('key', keyFile, `is not the key of ${certificate}`);
  return { cert, key, endsMs: Date.parse(leaf.validTo) };
}

export function readAuthorities(key: string, file: string): Buffer {
  const bytes = readPem(key, file);
  parseCertificates(key, file, bytes);
  return bytes;
}

type Certificates = readonly [X509Certificate, ...X509Certificate[]];

function parseCertificates(key: string, file: string, bytes: Buffer): Certificates {
  try {
    const found = bytes.toString('latin1').match(pemCertificate) ?? [];
    const [first, ...rest] = found.map((each) => new X509Certificate(each));
    if (first !== undefined) return [first, ...rest];
  } catch (error) {
    throw invalid(
      key,
      file,
      `holds a certificate that cannot be read (${messageOf(error)})`,
      error,
    );
  }
  throw invalid(key, file, 'holds no PEM certificate');
}

function readPem(key: string, file: string): Buffer {
  let bytes: Buffer;
  try {
    if (statSync(file).size > pemFileBytes) throw invalid(key, file, 'is too large for a PEM file');
    bytes = readFileSync(file);
  } catch (error) {
    if (error instanceof TidegateError) throw error;
    const reason = (error as NodeJS.ErrnoException).code ?? messageOf(error);
    const detail = `tls.${key}: ${file} cannot be read (${reason})`;
    throw new TidegateError('tlsFileUnreadable', detail, { cause: error });
  }
  return bytes;
}

export function invalid(key: string, file: string, wrong: string, cause?: unknown): TidegateError {
  return new TidegateError('tlsFileInvalid', `tls.${key}: ${file} ${wrong}`, { cause });
}

/** What changes when a file, or what its name leads to, does. */
export function signature(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${file} ${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return `${file} ${(error as NodeJS.ErrnoException).code}`;
  }
}

export function warnOfEnd(file: string, endsMs: number, report: Report): void {
  const nowMs = Date.now();
  if (endsMs - nowMs > certificateWarnAheadMs) {
    warnedAtMs.delete(file);
    return;
  }
  if (nowMs - (warnedAtMs.get(file) ?? 0) < certificateWarnEveryMs) return;
  warnedAtMs.set(file, nowMs);
  const days = Math.floor((endsMs - nowMs) / msPerDay);
  const fields = { file, ends: new Date(endsMs).toISOString(), days };
  report(endsMs < nowMs ? 'tlsExpired' : 'tlsExpiring', fields);
}
