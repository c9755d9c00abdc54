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

export function readKept(text: string | undefined): KeptFleet {
  const none: KeptFleet = { format: 1, layers: {}, seen: {}, refused: [] };
  return text === undefined ? none : (JSON.parse(text) as KeptFleet);
}
