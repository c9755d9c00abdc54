/**
 * What a listener gives each of its connections: the broker behind it, who may come in and do what,
 * what is granted, and what is kept of sessions. Built once a listener by the composition root.
 */
import type { Duplex } from 'node:stream';
import type { TidegateError } from '../errors.ts';
import type { Grants } from './connect-packet.ts';
import type { LoginAnswer, LoginRequest } from './login.ts';
import type { Sessions } from './sessions.ts';
import type { Wills } from './wills.ts';

/** Allow rules as one listener asks them. */
export interface Access {
  /** Bit mask for the core: the rules that hold for this device's PUBLISHes. */
  groupsFor(device: string): number;
  mayPublish(device: string, topicName: string): boolean;
  maySubscribe(device: string, topicFilter: string): boolean;
}

/** What the core's faults mean to a device. */
export interface FaultAnswers {
  name(fault: number): string;
  /** Version 5, of CONNACK (`connect`) or DISCONNECT (`open`); null: closed without a word. */
  reasonCode(fault: number, phase: 'connect' | 'open'): number | null;
  /** CONNACK before version 5; null: the connection is closed without a word. */
  returnCode(fault: number): number | null;
  /** Protocol level of the CONNECT that was refused last; 0 when it had none. */
  connectVersion(): number;
}

export interface Seat {
  /** Names the listener in what is kept of sessions. */
  readonly scope: string;
  readonly embedded: boolean;
  readonly whenBrokerDown: 'refuse' | 'capture';
  readonly grants: Grants;
  /** A new connection to the broker behind. */
  openBroker(): Duplex;
  /** What an error of such a connection means. */
  brokerFault(error: Error): TidegateError;
  readonly login: (request: LoginRequest) => LoginAnswer | Promise<LoginAnswer>;
  readonly access: Access | null;
  readonly sessions: Sessions;
  readonly wills: Wills;
  readonly faults: FaultAnswers;
}
