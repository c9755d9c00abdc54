/**
 * A frame as a segment holds it, written by hand from the layout in `wasm-core/segment.ts`: for
 * tests that need dead letters without the path in front of them.
 */

const fixedBytes = 64;
const mqtt = 1;
const expiryNone = 0xffffffff;

export interface RawFrame {
  readonly device: string;
  readonly topicName: string;
  readonly payload: string | Uint8Array;
  readonly routeId?: number;
  readonly buryReason?: number;
}

export function rawFrame({ device, topicName, payload, routeId, buryReason }: RawFrame): Buffer {
  const parts = [Buffer.from(device), Buffer.from(topicName), Buffer.from(payload)] as const;
  const head = Buffer.alloc(fixedBytes);
  head.writeUInt32LE(fixedBytes + Buffer.concat(parts).length, 0);
  head.writeUInt32LE(routeId ?? 1, 4);
  head[8] = mqtt;
  head[9] = 1; // QoS
  head[10] = buryReason ?? 0;
  head.writeDoubleLE(Date.UTC(2026, 4, 1), 12);
  head.writeUInt32LE(expiryNone, 28);
  head.writeUInt16LE(parts[0].length, 32);
  head.writeUInt16LE(parts[1].length, 34);
  head.writeUInt32LE(parts[2].length, 40);
  head.writeInt32LE(-1, 52);
  return Buffer.concat([head, ...parts]);
}
