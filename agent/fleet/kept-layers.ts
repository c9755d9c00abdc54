/**
 * What a gateway keeps of its fleet in the buffer's meta table under the key `fleet`: the layers
 * that were confirmed, as they were signed, and what it must remember over restarts.
 */
export interface KeptFleet {
  readonly format: 1;
  /** Signed text by key, from wide to narrow. */
  readonly layers: Readonly<Record<string, string>>;
  /** The highest revision that was seen, by key. */
  readonly seen: Readonly<Record<string, number>>;
  readonly refused: readonly {
    readonly hash: string;
    readonly reason: string;
    readonly at: string;
    /** reverted: it ran and did harm. */
    readonly state?: 'refused' | 'reverted';
  }[];
  readonly seenHashes?: Readonly<Record<string, string>>;
  /** The config that is being watched, and how often it was begun. */
  readonly trial?: { readonly hash: string; readonly attempts: number } | null;
}

const none: KeptFleet = { format: 1, layers: {}, seen: {}, refused: [] };

/** What cannot be read is as if nothing was kept: a gateway starts all the same. */
export function readKept(text: string | undefined): KeptFleet {
  if (text === undefined) return none;
  let kept: Partial<KeptFleet> | null;
  try {
    kept = JSON.parse(text);
  } catch {
    return none;
  }
  const { format, layers, seen, refused } = Object(kept) as Partial<KeptFleet>;
  const isWhole = format === 1 && isMap(layers) && isMap(seen) && Array.isArray(refused);
  return isWhole ? (kept as KeptFleet) : none;
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
