/**
 * The core's numbers as names: what the path and the seats speak of.
 * Other rooms import the types alone; only the path turns numbers into names.
 */
import { stops, verdicts } from './core.ts';

export type StopName = keyof typeof stops;
export type VerdictName = keyof typeof verdicts;

/** By number: the tables in core.ts count from 0 in their order. */
export const stopNames = Object.keys(stops) as StopName[];
export const verdictNames = Object.keys(verdicts) as VerdictName[];
