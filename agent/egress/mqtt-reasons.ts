/**
 * What the server said of one PUBLISH, by Reason Code of PUBACK and PUBREC (MQTT 5, section
 * 3.4.2.1), and what follows:
 *
 *   confirmed  it took it; nobody subscribed (0x10) is no fault
 *   retry      the same record again, later: nothing is wrong with it
 *   halt       the lane stops until an operator resumes it
 *   bury       this record will never be taken as it is
 *
 * A code that is not named is tried again: a record is never given up on a guess. MQTT 3.1.1 has no
 * way to refuse a PUBLISH: a server that will not have it closes the connection, or takes it and
 * throws it away.
 */
import { type ErrorClass, type ErrorCode, TidegateError } from '../errors.ts';

interface Reason {
  readonly name: string;
  readonly code: ErrorCode;
}

const lowestFault = 0x80;
const reasons: Readonly<Record<number, Reason>> = {
  128: { name: 'Unspecified error', code: 'upstreamRejected' },
  131: { name: 'Implementation specific error', code: 'upstreamRejected' },
  135: { name: 'Not authorized', code: 'upstreamUnauthorized' },
  144: { name: 'Topic Name invalid', code: 'topicInvalid' },
  145: { name: 'Packet Identifier in use', code: 'upstreamRejected' },
  149: { name: 'Packet too large', code: 'recordTooLarge' },
  151: { name: 'Quota exceeded', code: 'upstreamRejected' },
  153: { name: 'Payload format invalid', code: 'recordInvalid' },
};

export interface Verdict {
  readonly class: Exclude<ErrorClass, 'refuse'>;
  readonly error: TidegateError;
}

/** @returns null: confirmed */
export function judge(reasonCode: number, topicName: string): Verdict | null {
  if (reasonCode < lowestFault) return null;
  const reason = reasons[reasonCode];
  const shown = `0x${reasonCode.toString(16)}`;
  const detail = `${topicName}: the server answered ${reason?.name ?? 'Reason Code'} (${shown})`;
  const error = new TidegateError(reason?.code ?? 'upstreamRejected', detail);
  return { class: error.class === 'refuse' ? 'retry' : error.class, error };
}

/** A server that ends the connection over one record says so with one of these. */
export function blamesRecord(reasonCode: number | null): boolean {
  return reasonCode !== null && reasons[reasonCode] !== undefined && judgedBuried(reasonCode);
}

function judgedBuried(reasonCode: number): boolean {
  return judge(reasonCode, '')?.class === 'bury';
}
