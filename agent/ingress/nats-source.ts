/**
 * What both kinds of NATS source are made of, and what a message is to the path: its subject as a
 * Topic Name, its headers, and an event id where it brought one (`Nats-Msg-Id`, ADR-4).
 */
import type { Report } from '../events.ts';
import type { NatsMessage } from '../nats-client.ts';
import type { MessageForm } from './message-chunk.ts';
import { headerLinesOf } from './nats-lines.ts';
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

const messageIdName = 'nats-msg-id';

/** @param eventId of a message that brings none */
export function formOf(message: NatsMessage, eventId: string): MessageForm {
  const headers = headerLinesOf(message);
  // Header names of NATS tell cases apart; clients of MQTT bridges do not.
  const own = headers.find(([name]) => name.toLowerCase() === messageIdName)?.[1] ?? '';
  return {
    topicName: topicNameOf(message.subject),
    eventId: own === '' ? eventId : own,
    headers,
    payload: message.data,
  };
}
