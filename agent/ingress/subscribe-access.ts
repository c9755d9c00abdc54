/**
 * Allow rules at SUBSCRIBE: Topic Filters that no rule covers are taken out before the broker sees
 * the packet, and stand as refused in the SUBACK that the device gets [MQTT-3.8.4-6]
 * [MQTT-3.9.3-1].
 */
import { binaryOf, PacketWalk, packetOf, propertiesOf, u16Of } from './packet-walk.ts';

const version5 = 5;
const notAuthorized = 0x87;
const failure = 0x80;
const subackFirstByte = 0x90;

export interface Asked {
  /** What the broker gets; null: nothing. */
  readonly forward: Buffer | null;
  /** What the device gets at once. */
  readonly answer: Buffer | null;
}

export class SubscribeAccess {
  /** By Packet Identifier: which of its filters were taken out. */
  readonly #pending = new Map<number, readonly boolean[]>();

  /** @param packet SUBSCRIBE, checked by the core */
  ask(packet: Buffer, version: number, may: (topicFilter: string) => boolean): Asked {
    const walk = new PacketWalk(packet);
    const packetId = walk.u16();
    const properties = version === version5 ? walk.properties().map(({ bytes }) => bytes) : [];
    const denied: boolean[] = [];
    const kept: Buffer[] = [];
    while (!walk.ended) {
      const filter = walk.binary();
      const options = walk.u8();
      const isDenied = !may(filter.toString());
      denied.push(isDenied);
      if (!isDenied) kept.push(binaryOf(filter), Buffer.from([options]));
    }
    if (!denied.includes(true)) return { forward: packet, answer: null };
    const head = version === version5 ? [propertiesOf(properties)] : [];
    if (kept.length === 0) {
      return {
        forward: null,
        answer: suback(
          packetId,
          version,
          denied.map(() => refused(version)),
        ),
      };
    }
    this.#pending.set(packetId, denied);
    const forward = packetOf(packet[0] as number, u16Of(packetId), ...head, ...kept);
    return { forward, answer: null };
  }

  /** @returns the SUBACK as the device is to see it */
  suback(packet: Buffer, packetId: number, version: number): Buffer {
    const denied = this.#pending.get(packetId);
    if (denied === undefined) return packet;
    this.#pending.delete(packetId);
    const walk = new PacketWalk(packet);
    walk.u16();
    const properties = version === version5 ? walk.properties().map(({ bytes }) => bytes) : [];
    const codes = denied.map((isDenied) => (isDenied || walk.ended ? refused(version) : walk.u8()));
    return suback(packetId, version, codes, properties);
  }
}

function refused(version: number): number {
  return version === version5 ? notAuthorized : failure;
}

function suback(
  packetId: number,
  version: number,
  codes: readonly number[],
  properties: readonly Buffer[] = [],
): Buffer {
  const head = version === version5 ? [propertiesOf(properties)] : [];
  return packetOf(subackFirstByte, u16Of(packetId), ...head, Buffer.from(codes));
}
