/**
 * What `systemd-analyze security --offline=true` says of a unit file: its exposure (0 to 10, less
 * is better), and each setting that adds to it. Nothing is judged here; the tool of the machine is
 * asked, so that a figure can be had again by anybody with the same systemd.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';

export interface Finding {
  /** As systemd-analyze names it, e.g. `PrivateNetwork=`. */
  readonly setting: string;
  readonly description: string;
  /** Rounded up to a tenth by the tool; their sum is more than the unit's. */
  readonly exposure: number;
}

export interface Assessment {
  readonly unit: string;
  readonly path: string;
  readonly exposure: number;
  /** The largest first. */
  readonly findings: readonly Finding[];
}

/** What a person can do something about; anything else is a defect. */
export class CannotAssess extends Error {}

const tool = 'systemd-analyze';
const overall = /Overall exposure level for [^:]+: (\d+\.\d+)/;

interface ToolRow {
  readonly name: string;
  readonly description: string | null;
  readonly exposure: string | null;
}

/** @throws CannotAssess there is no such unit, or no tool that could say */
export function assess(path: string): Assessment {
  const unit = basename(path);
  if (!existsSync(path)) {
    const name = unit.replace(/\.service$/, '');
    throw new CannotAssess(`there is no ${path}: install ${name} (apt-get install ${name})`);
  }
  const exposure = overall.exec(ask(path))?.[1];
  if (exposure === undefined) throw new CannotAssess(`${tool} says no exposure of ${path}`);
  const rows = JSON.parse(ask('--json=short', path)) as ToolRow[];
  const findings = rows
    .map(({ name, description, exposure }) => ({
      ...{ setting: name, description: description ?? '' },
      exposure: Number(exposure ?? 0),
    }))
    .filter((finding) => finding.exposure > 0)
    .sort((one, other) => other.exposure - one.exposure);
  return { unit, path, exposure: Number(exposure), findings };
}

/** Of the systemd that judges: `252.39`. */
export function toolVersion(): string {
  return /\((\S+?)-/.exec(run(['--version']))?.[1] ?? 'unknown';
}

function ask(...args: readonly string[]): string {
  return run(['security', '--offline=true', '--no-pager', ...args]);
}

function run(args: readonly string[]): string {
  const { error, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8' });
  if (error) {
    throw new CannotAssess(
      `${tool} does not run (${error.message}): install systemd, 252 or later`,
    );
  }
  if (stdout === '') throw new CannotAssess(`${tool} ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}
