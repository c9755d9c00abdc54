/**
 * TLS on both sides: the options that Node's tls takes, made of files that tls-files.ts reads and
 * judges. TLS 1.2 is the least (RFC 8996 deprecates what is older).
 *
 *   server   files ──read, judged──▶ options of the server
 *            files change ──read, judged──▶ good: `setSecureContext`, for new connections
 *                                      └──▶ bad: reported with the remedy, the old pair stays
 *   client   files are read at each connect, so that a renewed one is taken by itself
 *
 * A change is seen by comparing what `stat` says every few seconds: it sees an atomic rename, a
 * symbolic link turned elsewhere and a mount, all of which events of one inode miss. A change is
 * taken once it stood still from one look to the next, since the two files are not written at once.
 * What is bad stays watched: each further change is judged again.
 *
 * A renewed certificate that has ended already is refused while the present one has not. At start
 * an ended one is taken, and said: the clock of a gateway may be the one that is wrong.
 */
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  getCACertificates,
  type Server,
  type TlsOptions,
} from 'node:tls';
import { filesCheckEveryMs, tlsHandshakeWithinMs } from './bounds.ts';
import type { ClientTls, ServerTls } from './config/types.ts';
import { messageOf, TidegateError } from './errors.ts';
import type { Report } from './events.ts';
import { invalid, readAuthorities, readPair, signature, warnOfEnd } from './tls-files.ts';

const minVersion = 'TLSv1.2';

/** @throws TidegateError tlsFileUnreadable, tlsFileInvalid: names the key and the file */
export function serverTlsOptions(tls: ServerTls): TlsOptions {
  return {
    ...secureOptions(tls).options,
    requestCert: tls.clientCa !== null,
    // Without it a bad certificate counts as none: `authorized` of the socket says which.
    rejectUnauthorized: tls.requireClient,
    handshakeTimeout: tlsHandshakeWithinMs,
  };
}

function secureOptions(tls: ServerTls): { options: TlsOptions; endsMs: number } {
  const { cert, key, endsMs } = readPair(tls.certificate, tls.key);
  const ca = tls.clientCa === null ? {} : { ca: readAuthorities('clientCa', tls.clientCa) };
  const options = { cert, key, ...ca, minVersion } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    throw invalid('certificate', tls.certificate, messageOf(error), error);
  }
  return { options, endsMs };
}

/**
 * Takes changed files into a listening server and says why a connection got no TLS. Close it with
 * the server.
 */
export function watchServerTls(
  server: Server,
  tls: ServerTls,
  report: Report,
  everyMs: number = filesCheckEveryMs,
): { close(): void } {
  const files = [tls.certificate, tls.key, tls.clientCa].filter((file) => file !== null);
  // Before the files are read, so that no change falls in between.
  let judged = files.map(signature).join();
  let last = judged;
  let endsMs = readPair(tls.certificate, tls.key).endsMs;
  warnOfEnd(tls.certificate, endsMs, report);
  const reload = () => {
    const fresh = secureOptions(tls);
    if (fresh.endsMs < Date.now() && endsMs >= Date.now()) {
      const ended = `ended on ${new Date(fresh.endsMs).toISOString()}`;
      throw invalid('certificate', tls.certificate, ended);
    }
    server.setSecureContext(fresh.options);
    endsMs = fresh.endsMs;
    const ends = new Date(endsMs).toISOString();
    report('tlsReloaded', { file: tls.certificate, ends });
  };
  const timer = setInterval(() => {
    warnOfEnd(tls.certificate, endsMs, report);
    const now = files.map(signature).join();
    const stoodStill = now === last;
    last = now;
    if (now === judged || !stoodStill) return;
    judged = now;
    try {
      reload();
    } catch (error) {
      const ours = asOurs(error);
      report('tlsRefused', { code: ours.code, reason: ours.message, remedy: ours.remedy });
    }
  }, everyMs);
  timer.unref();
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    // What was wrong with a client's certificate stands on the socket: Node only hangs up.
    const reason = socket.authorizationError ?? error.code ?? 'handshake';
    report('connectionRefused', { peer: socket.remoteAddress ?? null, reason: `tls ${reason}` });
  });
  return { close: () => clearInterval(timer) };
}

function asOurs(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  return new TidegateError('internal', messageOf(error), { cause: error });
}

/**
 * For one connection to `host`: the name is checked against the certificate, and said to the other
 * side where it is one (RFC 6066, section 3: no address, no trailing dot).
 * @throws TidegateError tlsFileUnreadable, tlsFileInvalid
 */
export function clientTlsOptions(tls: ClientTls, host: string, report?: Report): ConnectionOptions {
  const name = (tls.serverName ?? host).replace(/\.$/, '');
  const options: ConnectionOptions = {
    minVersion,
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
  };
  if (isIP(name) === 0) options.servername = name;
  options.ca = tls.ca === null ? systemAuthorities() : readAuthorities('ca', tls.ca);
  if (tls.certificate !== null && tls.key !== null) {
    const { cert, key, endsMs } = readPair(tls.certificate, tls.key);
    if (report) warnOfEnd(tls.certificate, endsMs, report);
    Object.assign(options, { cert, key });
  }
  return options;
}

let systemTrusts: readonly string[] | null = null;

/**
 * Whom the system trusts, read once. Node by itself would trust the list it was built with; that
 * serves where the system has none.
 */
function systemAuthorities(): string[] {
  if (systemTrusts === null) {
    const system = getCACertificates('system');
    const extra = getCACertificates('extra');
    const chosen = system.length > 0 ? [...system, ...extra] : getCACertificates('default');
    systemTrusts = [...new Set(chosen)];
  }
  return [...systemTrusts];
}

const faults = {
  tlsUnknownCa:
    /^(UNABLE_TO_(VERIFY|GET)_|SELF_SIGNED_|DEPTH_ZERO_|CERT_(UNTRUSTED|SIGNATURE|REJECTED|CHAIN))/,
  tlsWrongName: /^(ERR_TLS_CERT_ALTNAME_|HOSTNAME_MISMATCH)/,
  tlsExpired: /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
  tlsTurnedAway: /^ERR_SSL_.*ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)/,
  tlsNotSpoken: /^(ERR_SSL_|EPROTO$)/,
} as const;

/**
 * What a failed TLS connection means, by Node's code of it or of what it was caused by; null when
 * it did not fail because of TLS.
 * @param where the other side, for the sentence
 */
export function tlsFault(error: unknown, where: string): TidegateError | null {
  let deepest: unknown = error;
  for (let depth = 0; depth < 8 && deepest instanceof Error; depth++) {
    const code = String((deepest as NodeJS.ErrnoException).code);
    for (const [ours, pattern] of Object.entries(faults)) {
      if (!pattern.test(code)) continue;
      // OpenSSL's own sentence has addresses and a line break in it; its reason is in words.
      const { reason } = deepest as { reason?: unknown };
      const said = typeof reason === 'string' ? reason : messageOf(deepest);
      const detail = `${where}: ${said} (${code})`;
      return new TidegateError(ours as keyof typeof faults, detail, { cause: error });
    }
    const { errors } = deepest as AggregateError;
    deepest = deepest.cause ?? errors?.at(-1);
  }
  return null;
}
