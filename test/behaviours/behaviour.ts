/**
 * A behaviour is a conversation of several clients with one server, and what must be true of it.
 * It is told to whoever serves: Mosquitto alone, or the agent in front of it.
 */
import { type Asked, Party, type Version } from '../support/party.ts';

export class Talk {
  readonly port: number;
  readonly version: Version;
  /** Begins every Topic Name and Client Identifier: conversations do not hear one another. */
  readonly prefix: string;
  readonly #parties: Party[] = [];

  constructor(port: number, version: Version, prefix: string) {
    this.port = port;
    this.version = version;
    this.prefix = prefix;
  }

  get five(): boolean {
    return this.version === 5;
  }

  async party(name: string, asked: Asked = {}): Promise<Party> {
    const clientId = name === '' ? '' : `${this.prefix}-${name}`;
    const party = await Party.of(this.port, this.version, { clientId, ...asked });
    this.#parties.push(party);
    return party;
  }

  topic(name: string): string {
    return `${this.prefix}/${name}`;
  }

  /** A session that outlives its connection; `seconds`, and a clean start, only in version 5. */
  kept(clean: boolean, seconds = 600): Asked {
    if (!this.five) return { clean: false };
    return { clean, properties: { sessionExpiryInterval: seconds } };
  }

  async end(): Promise<void> {
    await Promise.all(this.#parties.map((party) => party.drop()));
  }
}

export interface Behaviour {
  readonly name: string;
  readonly versions: readonly Version[];
  readonly holds: (talk: Talk) => Promise<void>;
  /** What Mosquitto 2.0 alone does instead, where it does not do as the standard says. */
  readonly alone?: string;
}

export const both: readonly Version[] = [4, 5];
export const only5: readonly Version[] = [5];
