/**
 * The body of SUBSCRIBE and UNSUBSCRIBE: Packet Identifier, properties (version 5), then at least
 * one Topic Filter, in SUBSCRIBE with its options [MQTT-3.8, MQTT-3.10].
 *
 * The broker behind and the local trie see no filter that the grammar does not know: some brokers
 * take `a/+b` and `a#`, each with a meaning of its own. Properties are measured here, not read.
 */
import { FAULT_FIELD_LENGTH, FAULT_NONE, FAULT_PACKET_IDENTIFIER, FAULT_SUBSCRIPTION_OPTIONS,
  FAULT_TOPIC_FILTER } from './fault';
import { packetBody, packetEnd, SUBSCRIBE } from './mqtt';
import { next, u16At, variableByte } from './properties';
import { filterFault } from './topics';

const VERSION_5: i32 = 5;
const QOS_MASK: i32 = 3;
const RETAIN_HANDLING_SHIFT: i32 = 4;
const RESERVED_3: i32 = 0xfc;
const RESERVED_5: i32 = 0xc0;

function optionsFault(options: i32, version: i32): i32 {
  const reserved = version == VERSION_5 ? RESERVED_5 : RESERVED_3;
  if (options & reserved) return FAULT_SUBSCRIPTION_OPTIONS; // [MQTT-3.8.3-4], 5: [MQTT-3.8.3-5]
  if ((options & QOS_MASK) == 3) return FAULT_SUBSCRIPTION_OPTIONS; // [MQTT-3.8.3-4]
  const handling = (options >> RETAIN_HANDLING_SHIFT) & 3;
  return handling == 3 ? FAULT_SUBSCRIPTION_OPTIONS : FAULT_NONE; // 5: 3.8.3.1
}

/** @param type SUBSCRIBE or UNSUBSCRIBE, whose body is [packetBody, packetEnd) */
export function subscriptionFault(type: i32, version: i32): i32 {
  const end = packetEnd;
  let at = packetBody;
  if (end - at < 2) return FAULT_FIELD_LENGTH;
  if (u16At(at) == 0) return FAULT_PACKET_IDENTIFIER; // [MQTT-2.3.1-1], 5: [MQTT-2.2.1-3]
  at += 2;
  if (version == VERSION_5) {
    const bytes = variableByte(at, end);
    if (bytes < 0 || bytes > end - next) return FAULT_FIELD_LENGTH;
    at = next + bytes;
  }
  if (at == end) return FAULT_FIELD_LENGTH; // [MQTT-3.8.3-3], [MQTT-3.10.3-2]
  while (at < end) {
    if (end - at < 2) return FAULT_FIELD_LENGTH;
    const bytes = u16At(at);
    const to = at + 2 + bytes;
    if (to > end) return FAULT_FIELD_LENGTH;
    if (filterFault(at + 2, bytes) != FAULT_NONE) return FAULT_TOPIC_FILTER; // [MQTT-4.7.1-2]
    at = to;
    if (type != SUBSCRIBE) continue;
    if (at == end) return FAULT_FIELD_LENGTH;
    const found = optionsFault(load<u8>(at++), version);
    if (found != FAULT_NONE) return found;
  }
  return FAULT_NONE;
}
