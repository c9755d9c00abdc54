/**
 * The HTTP port as a part that a reload keeps or moves (`../kept.ts`): the new address is taken
 * before anything else changes, and the old one is left last.
 */
import type { Config } from '../config/types.ts';
import type { Part } from '../kept.ts';
import { type HttpPort, type HttpSources, openHttp } from '../telemetry/http.ts';

type Bind = NonNullable<Config['http']>['bind'];

export class HttpPart implements Part {
  readonly #bind: Bind;
  readonly #sources: HttpSources;
  #port: HttpPort | null = null;

  constructor(bind: Bind, sources: HttpSources) {
    this.#bind = bind;
    this.#sources = sources;
  }

  async open(): Promise<void> {
    this.#port = await openHttp(this.#bind, this.#sources);
  }

  release(): void {
    void this.close();
  }

  begin(): void {}

  stop(): void {}

  async close(): Promise<void> {
    const port = this.#port;
    this.#port = null;
    await port?.close();
  }

  collides(other: HttpPart): boolean {
    return this.#bind.port !== 0 && this.#bind.port === other.#bind.port;
  }
}
