/**
 * What a UTF-8 string of MQTT should not have (1.5.4: control characters, noncharacters; NUL it
 * must not), since a server may call the packet malformed, and how a User Property says it all the
 * same: percent-encoded as UTF-8, together with `%`, as on the way to NATS.
 */
import { percent } from './nats-subject.ts';

export const mqttUnsaid = /[\p{Cc}\p{Noncharacter_Code_Point}]/u;
const encoded = /[\p{Cc}\p{Noncharacter_Code_Point}%]/gu;

/** A string that can be said stays as it is. */
export function mqttSaid(text: string): string {
  return mqttUnsaid.test(text) ? text.replaceAll(encoded, percent) : text;
}
