/**
 * A message that a JetStream consumer delivered: where it stands in its stream, and the answers it
 * can be given. Its reply subject says it (ADR-15):
 *
 *   $JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERED.SEQUENCE.DELIVERY.TIME.PENDING[.TOKEN]
 */
import type { NatsMessage } from '../nats-client.ts';

const tokensOfOldForm = 9;
const prefixOfNewForm = 2;
const deliveredAt = 4;
const sequenceAt = 5;
const placeAt = 6;

export const answers = {
  ack: Buffer.from('+ACK'),
  /** In progress: the time for an acknowledgement begins anew. */
  working: Buffer.from('+WPI'),
  /** Deliver it again, now. */
  again: Buffer.from('-NAK'),
} as const;

export interface Delivered {
  readonly message: NatsMessage;
  readonly reply: string;
  /** In its stream. */
  readonly sequence: number;
  /** Among all deliveries of its consumer, repeats too: one more each time. */
  readonly place: number;
  /** Of the consumer that delivered it, as we count them: numbers of another one mean nothing. */
  readonly generation: number;
  readonly again: boolean;
  readonly atMs: number;
}

/** null: it is not from a consumer. */
export function deliveredOf(message: NatsMessage, generation: number): Delivered | null {
  const reply = message.reply ?? '';
  const tokens = reply.split('.');
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK' || tokens.length < tokensOfOldForm) return null;
  const from = tokens.length === tokensOfOldForm ? 0 : prefixOfNewForm;
  const sequence = Number(tokens[from + sequenceAt]);
  const again = Number(tokens[from + deliveredAt]) > 1;
  const place = Number(tokens[from + placeAt]);
  return { message, reply, sequence, place, generation, again, atMs: performance.now() };
}
