/**
 * The bridge, put together: what a request publishes goes through the path as a source of its own
 * (`ingress/request-source.ts`), once for a key that it names (`ingress/request-keys.ts`). Loaded
 * when the config has a bridge.
 */
import { bridgeStoredWithinMs, maxPacketSizeDefaultBytes } from './bounds.ts';
import type { Publish } from './bridge/bridge.ts';
import type { SessionRow } from './buffer/protocol.ts';
import type { Report } from './events.ts';
import { faultName } from './frames/faults.ts';
import { MessageChunk } from './ingress/message-chunk.ts';
import { RequestKeys } from './ingress/request-keys.ts';
import { RequestSource } from './ingress/request-source.ts';
import type { Path } from './ingress/source.ts';

export interface BridgeNeeds {
  readonly path: Path;
  readonly report: Report;
  /** Session rows that an earlier run left. */
  readonly stored: readonly SessionRow[];
  /** Lived time, ms. */
  readonly lived: () => number;
}

export function publisherOn(
  { path, report, stored, lived }: BridgeNeeds,
  storedWithinMs = bridgeStoredWithinMs,
): Publish {
  const chunk = new MessageChunk();
  const parts = {
    ...{ path, report, faultName, storedWithinMs },
    maxMessageBytes: maxPacketSizeDefaultBytes,
  };
  const keys = new RequestKeys(stored, lived, (change) => void path.record(change, null));
  return async (device, messages, once) => {
    const known = once === null ? null : keys.find(device, once);
    if (known !== null) return known;
    const key = once === null ? null : keys.begin(device, once);
    return await new RequestSource(parts, chunk, device, messages, key).take();
  };
}
