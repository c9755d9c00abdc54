/**
 * What both kinds of NATS source are made of, and what a message is to the path: its subject as a
 * Topic Name, its headers, and an event id where it brought one (`Nats-Msg-Id`, ADR-4).
 */
import type { Report } from '../events.ts';
import type { NatsMessage } from '../nats-client.ts';
import type { MessageForm } from './message-chunk.ts';
import { topicNameOf } from './nats-subject.ts';
import type { Path } from './source.ts';

export interface NatsSourceParts {
  /** For people. */
  readonly name: string;
  readonly gateway: string;
  readonly path: Path;
  readonly report: Report;
  readonly faultName: (fault: number) => string;
  /** What the core makes of `device:`, and the name it looks for. */
  readonly deviceRule: number;
  readonly deviceName: Uint8Array;
  /** Resolves when it is done, or after a while: what was taken is committed meanwhile. */
  readonly settle: (done: () => boolean) => Promise<void>;
}

/** A NATS source of the config, whatever its kind. */
export interface NatsSource {
  readonly name: string;
  readonly state: string;
  readonly lastError: string | null;
  readonly held: boolean;
  start(): void;
  stop(): void;
  close(): Promise<void>;
}

export const messageIdHeader = 'Nats-Msg-Id';
const noHeaders: MessageForm['headers'] = [];

/** @param eventId of a message that brings none */
export function formOf(message: NatsMessage, eventId: string): MessageForm {
  const { subject, data, headers } = message;
  const topicName = topicNameOf(subject);
  if (headers === undefined) return { topicName, eventId, headers: noHeaders, payload: data };
  const lines: (readonly [string, string])[] = [];
  let own = '';
  for (const [name, values] of headers) {
    for (const value of values) lines.push([name, value]);
    // Header names of NATS tell cases apart; clients of MQTT bridges do not.
    if (own === '' && name.toLowerCase() === messageIdHeader.toLowerCase()) own = values[0] ?? '';
  }
  return { topicName, eventId: own === '' ? eventId : own, headers: lines, payload: data };
}
