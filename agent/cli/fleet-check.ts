/**
 * Is a config good, where it will stand? A layer is judged as gateways will run it: over a local
 * part, with the wider layers that are in the bucket, and once more in every narrower combination
 * that the bucket and the reports show.
 *
 * What only the gateways have (their environment variables, their files) is not missing here: such
 * a reference is taken as given and told once as a warning.
 */
import type { CheckedLayers } from '../config/check.ts';
import type { Layer } from '../config/layers.ts';
import type { Environment, Problem } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import { fleetKey, gatewayKey, groupKey, keysOf } from '../fleet/report.ts';
import { plural } from './figures.ts';
import type { Stored } from './fleet-bucket.ts';
import type { FleetReports } from './fleet-reports.ts';

const combinationsMost = 256;
const problemsShown = 40;

export interface CheckParts {
  readonly key: string;
  readonly pushed: Layer;
  /** A real local file; null: the least there is. */
  readonly base: Layer | null;
  readonly latest: ReadonlyMap<string, Stored>;
  readonly reports: FleetReports;
  /** Public nkey, for the local part. */
  readonly signer: string;
  readonly env: Environment;
}

interface Combination {
  readonly gateway: string;
  readonly groups: readonly string[];
  readonly keys: readonly string[];
}

export interface FleetChecked {
  readonly checked: number;
  /** More than were checked. */
  readonly combinations: number;
  /** Of the pushed text, wherever it stands. */
  readonly warnings: readonly Problem[];
  /** Keys in the bucket whose value no gateway takes, and why. */
  readonly passedOver: readonly string[];
}

export class FleetRefused extends TidegateError {
  readonly problems: readonly Problem[];

  constructor(message: string, problems: readonly Problem[]) {
    super('configInvalid', message);
    this.problems = problems;
  }
}

/** @throws FleetRefused */
export async function checkFleet(parts: CheckParts): Promise<FleetChecked> {
  const { checkLayers, showProblem } = await import('../config/check.ts');
  const all = combinationsOf(parts);
  const checked = all.slice(0, combinationsMost);
  const refused: Problem[] = [];
  const shown: string[] = [];
  let warnings: readonly Problem[] | null = null;
  for (const combination of checked) {
    const { local, central } = layersOf(parts, combination);
    const found = judge(checkLayers(local, central, parts.env));
    const fresh = found.errors.filter((one) => !refused.some((other) => isSame(one, other)));
    if (fresh.length > 0) shown.push(headingOf(combination, local, central));
    refused.push(...fresh);
    shown.push(...fresh.map(showProblem));
    warnings = inBoth(warnings, found.warnings);
  }
  if (parts.base === null && refused.some(({ message }) => ofTheLocalFile.test(message))) {
    shown.push('Upstreams that stand in the gateways’ own files: name one such file with --base.');
  }
  if (refused.length > 0) throw new FleetRefused(cut(shown, refused.length), refused);
  const passedOver = [...parts.latest.values()].flatMap(({ key, fault, trusted }) => {
    if (fault !== null) return [`${key}: ${fault}`];
    return trusted === false ? [`${key}: its signer is not trusted`] : [];
  });
  const ours = (warnings ?? []).filter(({ source }) => source === parts.pushed.source);
  return { checked: checked.length, combinations: all.length, warnings: ours, passedOver };
}

function cut(lines: readonly string[], problems: number): string {
  const text = `${plural(problems, 'error')}, nothing was pushed`;
  const more = lines.length - problemsShown;
  const shown = lines.slice(0, problemsShown).join('\n');
  return `${text}\n${shown}${more > 0 ? `\nand ${more} more` : ''}`;
}

function isSame(a: Problem, b: Problem): boolean {
  return a.source === b.source && a.line === b.line && a.key === b.key && a.message === b.message;
}

/** What every combination warns of: in some, an upstream without a route is meant. */
function inBoth(before: readonly Problem[] | null, now: readonly Problem[]): readonly Problem[] {
  return before === null ? now : before.filter((one) => now.some((other) => isSame(one, other)));
}

const ofTheLocalFile = /^there is no upstream /;
const ofTheGateway = /^the environment variable \w+ is not set$|^\S.* cannot be read \(E[A-Z]+\)$/;

function judge({ problems, config }: CheckedLayers): { errors: Problem[]; warnings: Problem[] } {
  const isError = ({ severity }: Problem) => severity === 'error';
  const elsewhere = problems.filter((one) => isError(one) && ofTheGateway.test(one.message));
  const errors = problems.filter((one) => isError(one) && !elsewhere.includes(one));
  const warnings = problems.filter((one) => !isError(one));
  const given = elsewhere.map((one) => ({
    ...one,
    severity: 'warning' as const,
    message: `${one.message} here`,
    remedy: 'Each gateway that takes this config must have it.',
  }));
  if (config === null && problems.every((one) => !isError(one))) {
    throw new TidegateError('internal', 'a config was refused without a reason');
  }
  return { errors, warnings: [...given, ...warnings] };
}

/** The pushed layer with the wider ones first, then what is narrower. */
function combinationsOf({ key, latest, reports }: CheckParts): Combination[] {
  const found = new Map<string, Combination>();
  const isThere = (one: string) => one === key || isGood(latest.get(one));
  const add = (gateway: string, groups: readonly string[]): void => {
    const keys = keysOf(gateway, groups).filter(isThere);
    const sign = keys.join(' ');
    if (keys.includes(key) && !found.has(sign)) found.set(sign, { gateway, groups, keys });
  };
  const [kind, name = ''] = key.split('.', 2);
  const reported = (gateway: string) => reports.heard.get(gateway)?.report.groups ?? [];
  if (key === fleetKey) add(nobody, []);
  else if (kind === 'group') add(nobody, [name]);
  else add(name, reported(name));
  for (const other of latest.keys()) {
    const [kind, name = ''] = other.split('.', 2);
    if (other === groupKey(name)) add(nobody, [name]);
    else if (kind === 'gateway' && other === gatewayKey(name)) add(name, reported(name));
  }
  for (const { report } of reports.heard.values()) add(report.gateway, report.groups);
  return [...found.values()];
}

const nobody = 'check';

function isGood(stored: Stored | undefined): boolean {
  return stored !== undefined && stored.signed !== null && stored.trusted !== false;
}

function layersOf(
  { key, pushed, base, latest, signer }: CheckParts,
  { gateway, groups, keys }: Combination,
): { local: Layer; central: Layer[] } {
  const named = groups.length > 0 ? { groups } : {};
  const fleet = { servers: ['nats://127.0.0.1:4222'], trust: [signer], ...named };
  const least = { source: 'the local part', text: JSON.stringify({ gateway, fleet }) };
  const central = keys.flatMap((one) => {
    if (one === key) return [pushed];
    const signed = latest.get(one)?.signed;
    return signed ? [{ source: `${one}@${signed.revision}`, text: signed.config }] : [];
  });
  return { local: base ?? least, central };
}

function headingOf({ gateway }: Combination, local: Layer, central: readonly Layer[]): string {
  const sources = [local, ...central].map(({ source }) => source).join(' + ');
  return gateway === nobody ? `as ${sources}:` : `as the gateway ${gateway} would run ${sources}:`;
}
