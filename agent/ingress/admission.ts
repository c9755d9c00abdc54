/**
 * Who may come in: a CONNECT that the core has checked → the device's name, or why not, with the
 * answer of each version. The broker behind is asked afterwards, with the CONNECT as it came.
 */
import type { ConnectPacket } from './connect-packet.ts';
import type { CertificateNames, LoginAnswer } from './login.ts';
import type { Seat } from './seat.ts';

export interface Refusal {
  readonly admitted: false;
  readonly reason: string;
  /** CONNACK of version 5 [MQTT 5.0 section 3.2.2.2]. */
  readonly reasonCode: number;
  /** CONNACK before it [MQTT 3.1.1 section 3.2.2.3]. */
  readonly returnCode: number;
}

export type Admission = { readonly admitted: true; readonly device: string } | Refusal;

export const refusals = {
  busy: { reason: 'busy', reasonCode: 0x89, returnCode: 3 },
  brokerDown: { reason: 'brokerDown', reasonCode: 0x88, returnCode: 3 },
  willNotAllowed: { reason: 'willNotAllowed', reasonCode: 0x87, returnCode: 5 },
} as const;

export function admit(
  seat: Seat,
  connect: ConnectPacket,
  certificate: CertificateNames | null,
): Admission | Promise<Admission> {
  const { clientId, username, password } = connect;
  const answer = seat.login({ clientId, username, password, certificate });
  const judge = (login: LoginAnswer): Admission => judgeWill(seat, connect, login);
  return answer instanceof Promise ? answer.then(judge) : judge(answer);
}

/** A Will is a PUBLISH to come: the same rules are asked of its Topic Name. */
function judgeWill(seat: Seat, { will }: ConnectPacket, login: LoginAnswer): Admission {
  if (!login.admitted || will === null || seat.access === null) return login;
  if (seat.access.mayPublish(login.device, will.topicName)) return login;
  return { admitted: false, ...refusals.willNotAllowed };
}
