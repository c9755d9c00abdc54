/**
 * Reads the Prometheus text of /metrics, and the equation of promise 2 from it:
 * per lane, appended = Σ outcomes + backlog.
 */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type Samples = readonly Sample[];

const names = {
  appended: 'tidegate_lane_appended_frames_total',
  outcomes: 'tidegate_lane_outcome_frames_total',
  backlog: 'tidegate_lane_backlog_frames',
} as const;

export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/.exec(line);
    if (match === null) continue;
    const labels: Record<string, string> = {};
    for (const pair of (match[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[pair[1] ?? ''] = (pair[2] ?? '').replaceAll('\\"', '"').replaceAll('\\\\', '\\');
    }
    samples.push({ name: match[1] ?? '', labels, value: Number(match[3]) });
  }
  return samples;
}

export function total(samples: Samples, name: string, labels: Record<string, string> = {}): number {
  return samples
    .filter((sample) => sample.name === name)
    .filter((sample) =>
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    )
    .reduce((sum, sample) => sum + sample.value, 0);
}

export interface LaneBalance {
  readonly lane: string;
  readonly appended: number;
  readonly outcomes: number;
  readonly backlog: number;
}

/** One entry a lane; throws when a metric of the equation is missing. */
export function laneBalances(samples: Samples): LaneBalance[] {
  const lanes = new Set<string>();
  for (const { name, labels } of samples) {
    if (name === names.appended && labels.lane !== undefined) lanes.add(labels.lane);
  }
  if (lanes.size === 0) throw new Error(`/metrics has no ${names.appended}{lane=…}`);
  for (const name of Object.values(names)) {
    if (!samples.some((sample) => sample.name === name)) throw new Error(`/metrics has no ${name}`);
  }
  return [...lanes].map((lane) => ({
    lane,
    appended: total(samples, names.appended, { lane }),
    outcomes: total(samples, names.outcomes, { lane }),
    backlog: total(samples, names.backlog, { lane }),
  }));
}
