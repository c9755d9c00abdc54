/**
 * Who a device is, decided once per connection before a byte of it passes.
 *
 *   identity: certificate  the client certificate is the log-in: its CN, else the first name of its
 *                          SAN (DNS, URI, e-mail); User Name and Password are not asked
 *   users                  User Name and Password must be right, whatever else there is
 *   neither                everyone is admitted
 *
 * As Mosquitto does with `use_identity_as_username`, and as Common Names are used in practice,
 * although RFC 6125 prefers the SAN for servers: a device is told from others by the name it was
 * issued for, which is mostly its CN. A certificate with two CNs names nobody.
 *
 * An empty Client Identifier stays empty here: the filter gives it a name of its own.
 */
import type { TLSSocket } from 'node:tls';
import type { Listener } from '../config/types.ts';
import type { Report } from '../events.ts';
import { PasswordCheck } from './password-check.ts';
import { UserFile } from './user-file.ts';

export interface CertificateNames {
  readonly commonName: string | null;
  /** DNS, URI and e-mail names of the SAN, in their order. */
  readonly altNames: readonly string[];
}

export interface LoginRequest {
  readonly clientId: string;
  readonly username: string | null;
  readonly password: Uint8Array | null;
  readonly certificate: CertificateNames | null;
}

export type LoginAnswer =
  | { readonly admitted: true; readonly device: string }
  | {
      readonly admitted: false;
      readonly reason: string;
      /** Reason Code of version 5 [MQTT 5.0 table 3-1]. */
      readonly reasonCode: number;
      /** Return code of 3.1.1 [MQTT 3.1.1 table 3.1]. */
      readonly returnCode: number;
    };

const refuse = (reason: string, reasonCode: number, returnCode: number): LoginAnswer => ({
  admitted: false,
  reason,
  reasonCode,
  returnCode,
});
/** The reasons say nothing of which part was wrong. */
const badPassword = refuse('badUserNameOrPassword', 0x86, 4);
const notAuthorized = refuse('noNameInCertificate', 0x87, 5);
const busy = refuse('loginBusy', 0x89, 3);

/** scrypt runs are bounded for the whole process. */
const sharedCheck = new PasswordCheck();

export class Login {
  readonly #identity: Listener['identity'];
  readonly #file: UserFile | null;
  readonly #check: PasswordCheck;

  private constructor(identity: Listener['identity'], file: UserFile | null, check: PasswordCheck) {
    this.#identity = identity;
    this.#file = file;
    this.#check = check;
  }

  /** @throws TidegateError usersUnreadable, usersInvalid */
  static of(
    listener: Pick<Listener, 'identity' | 'users'>,
    report: Report,
    check: PasswordCheck = sharedCheck,
    lookEveryMs?: number,
  ): Login {
    const { identity, users } = listener;
    const isAsked = users !== null && identity !== 'certificate';
    return new Login(identity, isAsked ? new UserFile(users, report, lookEveryMs) : null, check);
  }

  /** At once when nothing has to be computed. */
  answer(request: LoginRequest): LoginAnswer | Promise<LoginAnswer> {
    const { clientId, username, password, certificate } = request;
    if (this.#identity === 'certificate') return byCertificate(certificate);
    if (this.#file === null) return { admitted: true, device: clientId };
    if (username === null || username === '' || password === null) return badPassword;
    const device = this.#identity === 'username' ? username : clientId;
    const answer = this.#check.answer(this.#file.users, username, password);
    if (typeof answer === 'string') return worded(answer, device);
    return answer.then(
      (found) => worded(found, device),
      // scrypt itself failed, for want of memory: nobody is admitted by that.
      () => busy,
    );
  }

  close(): void {
    this.#file?.close();
  }
}

function worded(answer: 'right' | 'wrong' | 'busy', device: string): LoginAnswer {
  if (answer === 'right') return { admitted: true, device };
  return answer === 'busy' ? busy : badPassword;
}

function byCertificate(names: CertificateNames | null): LoginAnswer {
  const device = names?.commonName ?? names?.altNames[0];
  // [MQTT-1.5.4-2]: no name of MQTT has NUL, and none of ours a control character.
  if (device === undefined || device === '' || /\p{Cc}/u.test(device)) return notAuthorized;
  return { admitted: true, device };
}

/** The names of a verified client certificate; null: there is none, or it was not verified. */
export function certificateNames(socket: TLSSocket): CertificateNames | null {
  if (!socket.authorized) return null;
  const { subject, subjectaltname } = socket.getPeerCertificate();
  // Two CNs come as a list.
  const commonName: unknown = subject?.CN;
  if (Array.isArray(commonName)) return { commonName: null, altNames: [] };
  return {
    commonName: typeof commonName === 'string' ? commonName : null,
    altNames: readAltNames(subjectaltname ?? ''),
  };
}

const altNameKinds = new Set(['DNS', 'URI', 'email']);

/**
 * Node writes `DNS:a, URI:b`, and a name with a comma or a quote in it as a JSON string, so that
 * one name cannot pass for two (CVE-2021-44532).
 */
export function readAltNames(written: string): string[] {
  const names: string[] = [];
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  while (entry.lastIndex < written.length) {
    const match = entry.exec(written);
    // What is not understood names nobody.
    if (match === null) return [];
    const [, kind = '', value = ''] = match;
    if (!altNameKinds.has(kind)) continue;
    const name = value.startsWith('"') ? unquoted(value) : value;
    if (name === null) return [];
    names.push(name);
  }
  return names;
}

function unquoted(value: string): string | null {
  try {
    return String(JSON.parse(value));
  } catch {
    return null;
  }
}
