/**
 * The one machine of a scenario: its report, its devices and what arrived of them, the packages
 * that came with the disk. Each part of the life is a file that takes it.
 *
 * The ledger goes over the whole life: every part leaves it settled, so that a part that loses
 * something is the one that is told so.
 */
import assert from 'node:assert/strict';
import { Arrivals } from './arrivals.ts';
import { Devices } from './devices.ts';
import type { Detail, Report } from './report.ts';
import { must, run, until } from './system.ts';

export const configFile = '/etc/tidegate/tidegate.yaml';
export const state = '/var/lib/tidegate';
export const output = `${state}/out`;
export const bufferFile = `${state}/tidegate.db`;
const packages = '/mnt/packages';
const arriveWithinMs = 60_000;

/** What the host built: each named by what it is for. */
export type PackageName = 'first' | 'next' | 'narrow';

export class Machine {
  readonly report: Report;
  readonly devices: Devices;
  readonly #arrivals = new Arrivals(output);
  readonly #names: readonly string[];

  /** @param names of its devices: others than those of an earlier boot of this disk */
  constructor(report: Report, names: readonly string[]) {
    this.report = report;
    this.devices = new Devices(names);
    this.#names = names;
  }

  package(name: PackageName): string {
    return `${packages}/${name}.deb`;
  }

  /** The version that is written in the package. */
  async versionOf(name: PackageName): Promise<string> {
    return (await must('dpkg-deb', '--field', this.package(name), 'Version')).trim();
  }

  /** Publishes, waits until so many more are acknowledged, and until all of them are. */
  async load(count: number, perSecond: number, withinMs = arriveWithinMs): Promise<void> {
    this.devices.publish(perSecond);
    await this.devices.acknowledgedMore(count, withinMs);
    await this.devices.rest(withinMs);
  }

  /** Everything acknowledged has arrived; throws with the ledger when it has not. */
  async settled(): Promise<Detail> {
    const { ledger } = this.devices;
    // Those of an earlier boot are on the host's ledger.
    const arrive = (name: string, number: number): void => {
      if (this.#names.includes(name)) ledger.arrive(name, number);
    };
    const read = (): void => this.#arrivals.readOn(arrive);
    await until('what was acknowledged arrives', arriveWithinMs, async () => {
      read();
      return ledger.owed === 0;
    }).catch(() => undefined);
    const totals = ledger.totals();
    assert.ok(totals.holds, `the ledger does not hold: ${JSON.stringify(totals)}`);
    return { ...totals };
  }
}

export interface Installed {
  readonly code: number | null;
  readonly said: string;
  readonly seconds: number;
}

/** dpkg, so that nothing but the package decides; `answer` for changed conffiles. */
export async function dpkg(...args: readonly string[]): Promise<Installed> {
  const started = performance.now();
  const { code, said } = await run('dpkg', ...args);
  return { code, said, seconds: Math.round(performance.now() - started) / 1_000 };
}
