/**
 * The buffer's gauges as metrics. They come from one snapshot of the buffer thread, so that in
 * every scrape, per lane, appended = Σ outcomes + backlog (promise 2).
 */
import type { BufferGauges, LaneGauge } from '../buffer/protocol.ts';
import { outcomes } from '../events.ts';
import type { Exposition, Sample } from './exposition.ts';

const msPerSecond = 1_000;

export function writeBufferMetrics(exposition: Exposition, gauges: BufferGauges): void {
  const sizes: [string, string, number][] = [
    ['buffer_used_bytes', 'What counts against buffer.bytes.', gauges.usedBytes],
    ['buffer_limit_bytes', 'buffer.bytes of the config.', gauges.limitBytes],
    ['buffer_file_bytes', 'Size of the database file.', gauges.fileBytes],
    ['buffer_wal_bytes', 'Size of the write-ahead log.', gauges.walBytes],
    ['buffer_segments', 'Segments kept.', gauges.segments],
    ['buffer_holding', '1 while acknowledgements wait for room.', gauges.holding === null ? 0 : 1],
    ['dead_letters', 'Dead letters kept.', gauges.deadLetters],
    ['dead_letter_bytes', 'Bytes of the dead letters kept.', gauges.deadLetterBytes],
  ];
  for (const [name, help, value] of sizes) exposition.gauge(`tidegate_${name}`, help, value);
  writeLanes(exposition, gauges.lanes);
}

function writeLanes(exposition: Exposition, lanes: readonly LaneGauge[]): void {
  const each = (value: (lane: LaneGauge) => number): Sample[] =>
    lanes.map((lane) => ({ labels: labelsOf(lane), value: value(lane) }));
  exposition.counter(
    'tidegate_lane_appended_frames_total',
    'Frames committed for this lane since its cursor was made.',
    each((lane) => lane.appendedFrames),
  );
  exposition.counter(
    'tidegate_lane_outcome_frames_total',
    'Frames its cursor passed, by outcome: appended = sum of these + backlog.',
    lanes.flatMap((lane) =>
      outcomes.map((outcome) => ({
        labels: { ...labelsOf(lane), outcome },
        value: lane.outcomes[outcome],
      })),
    ),
  );
  exposition.gauge(
    'tidegate_lane_backlog_frames',
    'Frames behind its cursor.',
    each((lane) => lane.backlogFrames),
  );
  exposition.gauge(
    'tidegate_lane_backlog_bytes',
    'Bytes of the segments behind its cursor.',
    each((lane) => lane.backlogBytes),
  );
  exposition.gauge(
    'tidegate_lane_backlog_age_seconds',
    'Lived time since the oldest frame behind its cursor was committed.',
    each((lane) => lane.backlogAgeMs / msPerSecond),
  );
  exposition.gauge(
    'tidegate_lane_configured',
    '0: the config no longer names it, but its cursor still pins segments.',
    each((lane) => (lane.configured ? 1 : 0)),
  );
}

function labelsOf(lane: LaneGauge): { lane: string; upstream: string } {
  return { lane: lane.lane, upstream: lane.upstream };
}
