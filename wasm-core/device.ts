/**
 * Who published: in the listener seat the connection's name (region NAME), in a source seat what
 * the host said names it: the Topic Name, a wildcard of the route, or a User Property. What is not
 * there (no such wildcard, no such property) leaves the Topic Name. The rule travels in the flags.
 */
import { NAME_OFFSET } from './layout';
import { deviceBytes, flags } from './call';
import { userProperty, valueAt, valueLength } from './properties';
import { LEVEL_REST, captureLevelOf } from './routes';

const RULE_SHIFT: i32 = 16;
const RULE_NAME: i32 = 0;
const RULE_PROPERTY: i32 = 2;
/** Behind it: the number of the wildcard. */
const RULE_CAPTURE: i32 = 2;
const SLASH: u8 = 0x2f;

/** Of the PUBLISH in hand. */
export let deviceAt: i32 = NAME_OFFSET;
export let deviceLength: i32 = 0;

/** True when the device differs from frame to frame. */
@inline
export function namedByFrame(): bool {
  return flags >> RULE_SHIFT != RULE_NAME;
}

export function nameDevice(
  route: i32, topicName: i32, topicNameBytes: i32, properties: i32, propertiesBytes: i32,
): void {
  const rule = flags >> RULE_SHIFT;
  if (rule == RULE_NAME) {
    deviceAt = NAME_OFFSET;
    deviceLength = deviceBytes;
    return;
  }
  deviceAt = topicName;
  deviceLength = topicNameBytes;
  if (rule == RULE_PROPERTY) {
    if (!userProperty(properties, properties + propertiesBytes, NAME_OFFSET, deviceBytes)) return;
    deviceAt = valueAt;
    deviceLength = valueLength;
  } else if (rule > RULE_CAPTURE) {
    const level = captureLevelOf(route, rule - RULE_CAPTURE - 1);
    if (level >= 0) nameLevel(level, topicName, topicName + topicNameBytes);
  }
}

function nameLevel(level: i32, at: i32, end: i32): void {
  for (let left = level & ~LEVEL_REST; left > 0; at++) {
    if (at >= end) return; // `#` that matched the parent level: nothing was captured
    if (load<u8>(at) == SLASH) left--;
  }
  let to = end;
  if (!(level & LEVEL_REST)) for (to = at; to < end && load<u8>(to) != SLASH; to++) {}
  if (to == at) return;
  deviceAt = at;
  deviceLength = to - at;
}
