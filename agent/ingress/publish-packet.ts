/**
 * PUBLISH packets that the seats write or write anew [MQTT-3.3]: one whose Topic Alias the broker
 * behind does not know gets its Topic Name back, and a Will becomes a PUBLISH of its own.
 */
import type { Will } from './connect-packet.ts';
import { binaryOf, PacketWalk, packetOf, propertiesOf, u16Of } from './packet-walk.ts';

const publishType = 3;
const typeShift = 4;
const qosShift = 1;
const retainBit = 1;
const version5 = 5;
/** A Will needs some identifier; nobody is asked about it. */
const willPacketId = 1;

/** The packet with `topicName` in the place of its empty one [MQTT-3.3.2-12]. */
export function withTopicName(packet: Buffer, topicName: Uint8Array): Buffer {
  const walk = new PacketWalk(packet);
  walk.binary();
  return packetOf(packet[0] as number, binaryOf(topicName), walk.bytes.subarray(walk.at));
}

/** @param version 4 or 5: how the device said it */
export function willPublish(will: Will, version: number): Buffer {
  const bits = (will.qos << qosShift) | (will.retain ? retainBit : 0);
  const parts = [binaryOf(Buffer.from(will.topicName))];
  if (will.qos > 0) parts.push(u16Of(willPacketId));
  if (version === version5) parts.push(propertiesOf(will.properties));
  return packetOf((publishType << typeShift) | bits, ...parts, will.payload);
}
