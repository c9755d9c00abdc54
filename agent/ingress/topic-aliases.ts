/**
 * Topic Aliases of one device [MQTT-3.3.2.3.4]. The broker behind never depends on them: what the
 * device maps in a captured PUBLISH never reaches it, so that a PUBLISH that passes with an alias
 * alone gets its Topic Name back. Bounded by the Topic Alias Maximum that was granted.
 */
export class TopicAliases {
  readonly #names = new Map<number, Uint8Array>();
  /** Topic Names kept. */
  bytes = 0;

  get(alias: number): Uint8Array | undefined {
    return this.#names.get(alias);
  }

  /** @param topicName copied: it is a view of what comes and goes */
  learn(alias: number, topicName: Uint8Array): void {
    const known = this.#names.get(alias);
    if (known !== undefined && Buffer.compare(known, topicName) === 0) return;
    this.bytes += topicName.length - (known?.length ?? 0);
    this.#names.set(alias, Uint8Array.from(topicName));
  }
}
