/**
 * One call of `ingest`, its arguments by name: what a test does not name has the value that changes
 * nothing. Regions are filled from what is named; lengths can be given as they are, to lie.
 */
import { type Core, ingestFlags } from '../../agent/frames/core.ts';

const anyAlias = 65_535;

export interface CallOptions {
  readonly device?: string;
  readonly client?: string;
  readonly version?: number;
  readonly flags?: number;
  /** The Topic Name that the first packet's Topic Alias stands for. */
  readonly alias?: Uint8Array | undefined;
  readonly aliasMaximum?: number;
  readonly maxPacket?: number;
  readonly seen?: Iterable<number>;
  readonly groups?: number;
  readonly arrivalMs?: number;
  readonly livedMs?: number;
  readonly budget?: number;
  readonly lengths?: { bytes?: number; name?: number; client?: number; alias?: number };
  readonly seenIdentifiers?: number;
}

/** @returns rows written */
export function call(core: Core, chunk: Uint8Array, options: CallOptions = {}): number {
  core.memory.set(chunk, core.CHUNK_OFFSET);
  if (options.alias) core.memory.set(options.alias, core.SCRATCH_OFFSET);
  const seen = [...(options.seen ?? [])];
  core.seen.set(seen);
  const { lengths } = options;
  return core.ingest(
    lengths?.bytes ?? chunk.length,
    lengths?.name ?? core.bytes.write(options.device ?? '', core.NAME_OFFSET),
    lengths?.client ?? core.bytes.write(options.client ?? '', core.CLIENT_OFFSET),
    options.version ?? 4,
    options.flags ?? ingestFlags.capture,
    lengths?.alias ?? options.alias?.length ?? 0,
    options.aliasMaximum ?? anyAlias,
    options.maxPacket ?? 1 << 18,
    options.seenIdentifiers ?? seen.length,
    options.groups ?? 0,
    options.arrivalMs ?? 0,
    options.livedMs ?? 0,
    options.budget ?? 1_000_000,
  );
}
