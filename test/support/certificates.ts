/**
 * Certificates for tests, made by the openssl command in a temporary folder: a CA and what it
 * signs. Keys are P-256, which is quick to make. The folder is the caller's, to remove.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CertificateSpec {
  readonly commonName?: string;
  /** As openssl writes them: `DNS:localhost,IP:127.0.0.1,URI:urn:x,email:a@b`. */
  readonly altNames?: string;
  /** Default 365; less than 1 is a certificate that has ended. */
  readonly days?: number;
}

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

const dayMs = 86_400_000;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** `20260101000000Z`. */
function asn1Time(ms: number): string {
  return `${new Date(ms).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
}

export class Authority {
  readonly certificate: string;
  readonly #key: string;
  readonly #folder: string;

  constructor(folder: string, name = 'ca') {
    this.#folder = folder;
    this.certificate = join(folder, `${name}.pem`);
    this.#key = join(folder, `${name}.key`);
    openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', this.#key, '-out', this.certificate, '-days', '365', '-subj', `/CN=${name}`],
    );
  }

  /** Writes NAME.pem and NAME.key, over what was there. */
  sign(name: string, spec: CertificateSpec = {}): CertificateFiles {
    const { commonName, altNames, days = 365 } = spec;
    // RFC 5280, section 4.1.2.6: critical where the subject is empty.
    const names = commonName === undefined && altNames ? `critical,${altNames}` : altNames;
    const path = (ending: string) => join(this.#folder, `${name}.${ending}`);
    const files = { certificate: path('pem'), key: path('key') };
    openssl(
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-keyout', files.key, '-out', path('csr')],
      ...['-subj', commonName === undefined ? '/' : `/CN=${commonName}`],
    );
    const database = path('db');
    const serial = path('serial');
    writeFileSync(database, '');
    if (!existsSync(serial))
      writeFileSync(serial, `${Date.now().toString(16).padStart(12, '0')}\n`);
    writeFileSync(path('cnf'), configOf(database, serial, this.#folder, names));
    const now = Date.now();
    openssl(
      ...['ca', '-batch', '-config', path('cnf'), '-cert', this.certificate],
      ...['-keyfile', this.#key, '-in', path('csr'), '-out', files.certificate, '-notext'],
      ...['-startdate', asn1Time(now - 30 * dayMs), '-enddate', asn1Time(now + days * dayMs)],
    );
    return files;
  }
}

function configOf(database: string, serial: string, folder: string, altNames?: string): string {
  return `[ca]
default_ca = own
[own]
database = ${database}
serial = ${serial}
new_certs_dir = ${folder}
default_md = sha256
policy = any
unique_subject = no
x509_extensions = ends
[any]
commonName = optional
[ends]
basicConstraints = CA:FALSE
${altNames === undefined ? '' : `subjectAltName = ${altNames}`}
`;
}
