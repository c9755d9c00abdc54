/**
 * The source of one frame: a Will, published on behalf of a device that is gone. It takes the path
 * like every PUBLISH (routes, limits, commit); `taken` is called in the turn in which the frame is
 * in the open batch, so that what the caller records then is in the same commit.
 */
import { PlainSource } from './plain-source.ts';
import type { CapturedFrame, Path, Phase, Served, Source } from './source.ts';

const oneFrame = 1;

export interface Deceased {
  readonly device: string;
  readonly client: string;
  readonly version: number;
}

export class WillSource extends PlainSource implements Source {
  readonly #path: Path;
  readonly #bytes: Buffer;
  readonly #taken: () => void;
  readonly name: Uint8Array;
  readonly client: Uint8Array;
  readonly version: number;
  readonly phase: Phase = 'open';
  readonly deviceRule = 0;
  readonly deviceName: string;

  constructor(path: Path, deceased: Deceased, bytes: Buffer, taken: () => void) {
    super();
    this.#path = path;
    this.#bytes = bytes;
    this.#taken = taken;
    this.deviceName = deceased.device;
    this.name = Buffer.from(deceased.device);
    this.client = Buffer.from(deceased.client);
    this.version = deceased.version;
  }

  begin(): void {
    this.wake();
  }

  wake(): Served {
    for (;;) {
      const { consumed, reason } = this.#path.take(this, this.#bytes, oneFrame);
      if (consumed > 0 || reason === 'fault') {
        // No route wants it any more, or it is in the open batch: either way its row goes.
        this.#taken();
        return 'served';
      }
      if (reason === 'held' || reason === 'segmentFull') return 'held';
    }
  }

  published(_frame: CapturedFrame): void {}
  captured(_frame: CapturedFrame): void {}
  committed(_commit: number): void {}
}
