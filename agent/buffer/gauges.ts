/**
 * The buffer as others see it: gauges (pushed twice a second) and stat (asked for). Made of running
 * sums; the only thing asked of the disk is the age of the segment each cursor stands at.
 */
import type { Fill } from './capacity.ts';
import { pragmaNumber, type Sqlite } from './database.ts';
import { type LaneState, type LogState, laneGauge } from './log-state.ts';
import type { BufferGauges, BufferStat } from './protocol.ts';
import { countSessions } from './sessions.ts';
import { readMeta, type Statements } from './statements.ts';

export interface GaugeView {
  readonly state: LogState;
  readonly sql: Pick<Statements, 'heads'>;
  readonly livedMs: number;
  readonly fill: Fill;
}

export function gaugesOf(
  view: GaugeView,
  limitBytes: number,
  holding: string | null,
): BufferGauges {
  const { state, fill } = view;
  const lanes = [...state.lanes.values()].map((lane) => laneGauge(lane, ageMs(view, lane)));
  return {
    usedBytes: fill.usedBytes,
    limitBytes,
    fileBytes: fill.fileBytes,
    walBytes: fill.walBytes,
    deadLetters: state.deadLetters,
    deadLetterBytes: state.deadLetterBytes,
    segments: state.segments,
    holding,
    lanes,
  };
}

export type Facts = Pick<BufferStat, 'epoch' | 'layoutVersion' | 'sessions'>;

export function factsOf(db: Sqlite): Facts {
  const layoutVersion = pragmaNumber(db, 'user_version');
  return { epoch: readMeta(db, 'epoch') ?? '', layoutVersion, sessions: countSessions(db) };
}

export function statOf(gauges: BufferGauges, state: LogState, facts: Facts): BufferStat {
  const { firstSequence, nextSequence, nextFrame, damagedSegments } = state;
  return { ...gauges, ...facts, firstSequence, nextSequence, nextFrame, damagedSegments };
}

function ageMs(view: GaugeView, lane: LaneState): number {
  if (lane.backlogFrames === 0) return 0;
  const [oldest] = view.sql.heads(lane.position.segment, view.state.nextSequence - 1, 1);
  return oldest ? Math.max(0, view.livedMs - oldest.livedMs) : 0;
}
