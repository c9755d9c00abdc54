/**
 * Devices with a Will, for the tests of Wills: what they ask for, and each seat that keeps it. The
 * embedded broker speaks MQTT 3.1.1 only.
 */
import type { IConnectPacket } from 'mqtt-packet';
import { Rig, type RigOptions } from './rig.ts';

/** Where a Will of these tests goes; the default route of a rig captures it. */
export const willTopic = 'plant/1/gone';

/** CONNECT with a Will of QoS 1 and RETAIN 1, into a session that outlives the connection. */
export function withWill(protocolVersion: 4 | 5, delaySeconds = 0): Partial<IConnectPacket> {
  const will = { topic: willTopic, payload: Buffer.from('gone'), qos: 1, retain: true } as const;
  if (protocolVersion === 4) return { protocolVersion, clean: false, will };
  return {
    ...{ protocolVersion, clean: false, properties: { sessionExpiryInterval: 600 } },
    will: { ...will, properties: { willDelayInterval: delaySeconds } },
  };
}

export const willSeats = [
  ['Mosquitto behind', 4],
  ['Mosquitto behind', 5],
  ['embedded broker', 4],
] as const;

/** @param port of the Mosquitto */
export function willRig(
  seat: (typeof willSeats)[number][0],
  port: number,
  options: RigOptions = {},
): Promise<Rig> {
  if (seat === 'embedded broker') return Rig.start(options);
  return Rig.start({ broker: port, routes: [{ local: false }], ...options });
}
