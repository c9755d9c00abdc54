/**
 * Messages of a protocol that is not MQTT, as the host writes them one behind another into CHUNK.
 * Its client library has read them off the wire; what is left for the core is what it does with
 * every event: route, rate, append. All numbers little endian:
 *
 *   message, 32 + bytes: messageBytes u32 | topicNameBytes u16 | eventIdBytes u16
 *               | propertiesBytes u32 | payloadBytes u32 | keyBytes u16 | reserved u16
 *               | partition i32 (−1 none) | timestampMs f64 (0 none), then topicName, eventId,
 *               properties, payload, key
 *
 * Headers come as MQTT 5 User Properties (2.2.2.2), so that whoever reads frames knows one form.
 * Key, partition and timestamp are those that the publisher asks for; they win over the route's.
 * Refused: lengths that do not add up, a Topic Name that no filter could match.
 */
import {
  FAULT_FIELD_LENGTH, FAULT_NONE, FAULT_TOPIC_NAME_EMPTY, FAULT_TOPIC_NAME_WILDCARD, FAULT_UTF8,
} from './fault';
import { TEXT_MALFORMED, TEXT_PLAIN, textClass } from './utf8';

const MESSAGE_FIXED_BYTES: i32 = 32;

/** Of the last `readMessage`. */
export let messageEnd: i32 = 0;
export let messageNameAt: i32 = 0;
export let messageNameLength: i32 = 0;
export let eventIdAt: i32 = 0;
export let eventIdLength: i32 = 0;
export let messagePropertiesAt: i32 = 0;
export let messagePropertiesLength: i32 = 0;
export let messagePayloadAt: i32 = 0;
export let messagePayloadLength: i32 = 0;
export let keyAt: i32 = 0;
export let keyLength: i32 = 0;
export let partition: i32 = -1;
export let timestampMs: f64 = 0;

/** The message at `at`, which lies whole before `end`. */
export function readMessage(at: i32, end: i32): i32 {
  if (end - at < MESSAGE_FIXED_BYTES) return FAULT_FIELD_LENGTH;
  messageNameLength = <i32>load<u16>(at, 4);
  eventIdLength = <i32>load<u16>(at, 6);
  const propertiesBytes = load<u32>(at, 8);
  const payloadBytes = load<u32>(at, 12);
  keyLength = <i32>load<u16>(at, 16);
  partition = load<i32>(at, 20);
  timestampMs = load<f64>(at, 24);
  const whole: u64 =
    <u64>MESSAGE_FIXED_BYTES + messageNameLength + eventIdLength + keyLength +
    <u64>propertiesBytes + <u64>payloadBytes;
  if (whole != <u64>load<u32>(at) || whole > <u64>(end - at)) return FAULT_FIELD_LENGTH;
  messageNameAt = at + MESSAGE_FIXED_BYTES;
  eventIdAt = messageNameAt + messageNameLength;
  messagePropertiesAt = eventIdAt + eventIdLength;
  messagePropertiesLength = <i32>propertiesBytes;
  messagePayloadAt = messagePropertiesAt + messagePropertiesLength;
  messagePayloadLength = <i32>payloadBytes;
  keyAt = messagePayloadAt + messagePayloadLength;
  messageEnd = at + <i32>whole;
  if (messageNameLength == 0) return FAULT_TOPIC_NAME_EMPTY;
  const text = textClass(messageNameAt, messageNameLength);
  if (text == TEXT_MALFORMED) return FAULT_UTF8;
  return text == TEXT_PLAIN ? FAULT_NONE : FAULT_TOPIC_NAME_WILDCARD;
}
