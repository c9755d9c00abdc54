/**
 * The body of SUBSCRIBE and UNSUBSCRIBE: Packet Identifier, properties (version 5), then at least
 * one Topic Filter, in SUBSCRIBE with its options [MQTT-3.8, MQTT-3.10].
 *
 * The broker behind and the local trie see no filter that the grammar does not know: some brokers
 * take `a/+b` and `a#`, each with a meaning of its own.
 */
import {
  FAULT_FIELD_LENGTH, FAULT_NONE, FAULT_REQUEST_IDENTIFIER, FAULT_SHARED_SUBSCRIPTION,
  FAULT_SUBSCRIPTION_EMPTY, FAULT_SUBSCRIPTION_OPTIONS, FAULT_SUBSCRIPTION_VALUE,
  FAULT_TOPIC_FILTER, FAULT_UTF8,
} from './fault';
import { SUBSCRIBE, packetBody, packetEnd, placeProperties, propertiesAt, propertiesLength }
  from './mqtt';
import { ALLOWED_SUBSCRIBE, ALLOWED_UNSUBSCRIBE, u16At } from './properties';
import { PLUS, SLASH, filterFault, levelEnd } from './topics';

const VERSION_5: i32 = 5;
const QOS_MASK: i32 = 3;
const NO_LOCAL: i32 = 4;
const RETAIN_HANDLING_SHIFT: i32 = 4;
const RESERVED_3: i32 = 0xfc;
const RESERVED_5: i32 = 0xc0;

const SHAR: u32 = 0x61687324; // '$sha'
const RE: u16 = 0x6572; // 're'
const SHARE_BYTES: i32 = 6;

function optionsFault(options: i32, version: i32, shared: bool): i32 {
  const reserved = version == VERSION_5 ? RESERVED_5 : RESERVED_3;
  if (options & reserved) return FAULT_SUBSCRIPTION_OPTIONS; // [MQTT-3.8.3-4], 5: [MQTT-3.8.3-5]
  if ((options & QOS_MASK) == 3) return FAULT_SUBSCRIPTION_VALUE; // [MQTT-3.8.3-4], 5: 3.8.3.1
  const handling = (options >> RETAIN_HANDLING_SHIFT) & 3;
  if (handling == 3) return FAULT_SUBSCRIPTION_VALUE; // 5: 3.8.3.1
  // 5: [MQTT-3.8.3-4]
  return shared && (options & NO_LOCAL) != 0 ? FAULT_SHARED_SUBSCRIPTION : FAULT_NONE;
}

/** The first level is `$share` and more levels follow: to version 5 a name and a filter. */
function isShared(at: i32, end: i32): bool {
  const to = levelEnd(at, end);
  if (to - at != SHARE_BYTES || to == end) return false;
  return load<u32>(at) == SHAR && load<u16>(at, 4) == RE;
}

/** A share's name at `at`, a slash, a Topic Filter. */
function sharedFault(at: i32, end: i32): i32 {
  const to = levelEnd(at, end);
  if (to == at) return FAULT_SHARED_SUBSCRIPTION; // [MQTT-4.8.2-1]
  // [MQTT-4.8.2-2]: no wildcard in the name (with `#` there it was no filter), a filter behind it.
  for (let i = at; i < to; i++) if (load<u8>(i) == PLUS) return FAULT_SHARED_SUBSCRIPTION;
  if (to == end) return FAULT_SHARED_SUBSCRIPTION;
  return to + 1 == end ? FAULT_SHARED_SUBSCRIPTION : FAULT_NONE;
}

function topicFilterFault(at: i32, end: i32, shared: bool): i32 {
  const found = filterFault(at, end - at);
  if (found == FAULT_UTF8) return FAULT_UTF8; // [MQTT-3.8.3-1], [MQTT-3.10.3-1]
  if (found != FAULT_NONE) return FAULT_TOPIC_FILTER; // [MQTT-4.7.1-1], [MQTT-4.7.3-1]
  return shared ? sharedFault(levelEnd(at, end) + 1, end) : FAULT_NONE;
}

/** @param type SUBSCRIBE or UNSUBSCRIBE, whose body is [packetBody, packetEnd) */
export function subscriptionFault(type: i32, version: i32): i32 {
  const end = packetEnd;
  let at = packetBody;
  if (end - at < 2) return FAULT_FIELD_LENGTH;
  if (u16At(at) == 0) return FAULT_REQUEST_IDENTIFIER; // [MQTT-2.3.1-1], 5: [MQTT-2.2.1-3]
  at += 2;
  if (version == VERSION_5) {
    const allowed = type == SUBSCRIBE ? ALLOWED_SUBSCRIBE : ALLOWED_UNSUBSCRIBE;
    const found = placeProperties(at, end, allowed);
    if (found != FAULT_NONE) return found;
    at = propertiesAt + propertiesLength;
  }
  // [MQTT-3.8.3-3], [MQTT-3.10.3-2], 5: [MQTT-3.8.3-2]
  if (at == end) return FAULT_SUBSCRIPTION_EMPTY;
  while (at < end) {
    if (end - at < 2) return FAULT_FIELD_LENGTH;
    const filter = at + 2;
    at = filter + u16At(at);
    if (at > end) return FAULT_FIELD_LENGTH;
    const shared = version == VERSION_5 && isShared(filter, at);
    let found = topicFilterFault(filter, at, shared);
    if (found != FAULT_NONE) return found;
    if (type != SUBSCRIBE) continue;
    if (at == end) return FAULT_FIELD_LENGTH;
    found = optionsFault(load<u8>(at++), version, shared);
    if (found != FAULT_NONE) return found;
  }
  return FAULT_NONE;
}
