/**
 * The egress threads, seen from the main one: one for Kafka, one for all other upstreams, each
 * started only when the config uses it, each within its memory bound. It keeps the last state of
 * every lane, and passes the operator's pause and resume on.
 */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { egressThreadOldGenerationMib, threadYoungGenerationMib } from '../bounds.ts';
import type { LaneName, LaneSpec } from '../buffer/protocol.ts';
import type { Config, UpstreamConfig } from '../config/types.ts';
import type { Report } from '../events.ts';
import type { LaneState } from './lane-state.ts';
import type { EgressStart, FromEgress, ToEgress } from './thread-protocol.ts';

/** A thread that does not stop within this is ended. */
const stopThreadMs = 2_000;

export interface EgressParts {
  readonly config: Config;
  readonly lanes: readonly LaneSpec[];
  readonly buffer: { connectEgress(lanes: readonly LaneName[]): MessagePort };
  readonly report: Report;
  readonly changed: (states: readonly LaneState[]) => void;
}
