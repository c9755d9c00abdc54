/**
 * The config of this gateway, as far as it comes from the fleet's bucket:
 *
 *   steady ──wanted differs──▶ check ──refused──▶ blamed, chosen anew
 *                                └──fits──▶ apply ──refused──▶ blamed, chosen anew
 *                                             └──▶ trial ──confirmWithin, no harm──▶ confirmed
 *                                                    ├──harm──▶ blamed, taken back ──▶ steady
 *                                                    └──another config──▶ its own trial
 *
 * What is gone back to is always the last that was confirmed. Whatever changes what runs (a SIGHUP
 * too) has its turn, so that two never meet. Blame is on disk before it is acted upon, and a trial
 * before it begins: a process that is killed starts with what was confirmed.
 */
import { fleetAttemptsMost } from '../bounds.ts';
import type { Config } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type { Choices } from './choices.ts';
import type { Blame } from './choose.ts';
import type { Health, HealthMemory, Usual } from './health.ts';
import type { BucketEntry } from './history.ts';
import type { Tolerance } from './judge.ts';
import {
  type CheckLayers,
  changedKeys,
  fit,
  isSame,
  type Layers,
  layersOf,
  shorten,
} from './layers.ts';
import type { Memory } from './memory.ts';
import type { LayerReport } from './report.ts';
import { hashOf } from './signed.ts';
import { Trial } from './trial.ts';

export interface FleetParts {
  readonly choices: Choices;
  readonly memory: Memory;
  readonly health: HealthMemory;
  readonly tolerance: Tolerance;
  /** The local file with these layers over it. */
  readonly check: CheckLayers;
  /** Another text in the place of the local file and all layers. */
  readonly checkWhole: (text: string) => Config | null;
  /** @throws it is refused whole, and nothing has changed */
  readonly apply: (config: Config, text: string) => Promise<void>;
  /** This is what an agent may start with when all else fails. */
  readonly confirmed: (text: string) => void;
  readonly turn: (work: () => Promise<void>) => Promise<void>;
  readonly look: () => Health;
  /** Resolves when the lanes have said whether they forward. */
  readonly settled: () => Promise<void>;
  readonly report: Report;
  /** All entries of these keys are needed. */
  readonly more: (keys: readonly string[]) => void;
  /** What `layers` or `hash` say may have changed. */
  readonly changed: () => void;
}

type State = 'steady' | 'taking-back' | 'closed';

export class Fleet {
  readonly #parts: FleetParts;
  #state: State = 'steady';
  #running: Layers;
  /** What runs, and what is gone back to, as whole texts. */
  #text: string;
  #goodText: string;
  #trial: Trial | null = null;
  /** Of `consider`: the last one sees all that those before it would. */
  #asked = 0;
  #applying = false;

  /** @param text what runs: the local file with the layers that memory calls good */
  constructor(parts: FleetParts, text: string) {
    this.#parts = parts;
    this.#running = parts.memory.good;
    this.#text = text;
    this.#goodText = text;
    parts.choices.wanted(this.#running);
  }

  get running(): Layers {
    return this.#running;
  }

  get hash(): string {
    return hashOf(this.#text);
  }

  get onTrial(): boolean {
    return this.#trial !== null;
  }

  get layers(): Record<string, LayerReport> {
    return this.#parts.choices.layers(this.#running, this.#trial?.changed ?? []);
  }

  /** @returns whether these are enough to know what is wanted */
  heard(key: string, entries: readonly BucketEntry[], isAll: boolean): boolean {
    return this.#parts.choices.heard(key, entries, isAll);
  }

  /** Brings what runs to what is wanted by now. */
  async consider(): Promise<void> {
    const { choices, settled, turn, changed } = this.#parts;
    this.#asked += 1;
    const mine = this.#asked;
    // What is well is not known before the lanes have had their time; a trial knows it already.
    if (this.#trial === null && !isSame(choices.wanted(this.#running), this.#running))
      await settled();
    await turn(async () => {
      if (mine !== this.#asked) return;
      let outcome: 'done' | 'blamed' = 'blamed';
      let tried: Layers | null = null;
      while (this.#state !== 'closed' && outcome === 'blamed') {
        const wanted = choices.wanted(this.#running);
        if (isSame(wanted, this.#running)) break;
        // There was nothing to blame: what runs goes on until something else is wanted.
        if (tried !== null && isSame(wanted, tried)) break;
        tried = wanted;
        outcome = await this.#bring(wanted);
      }
      changed();
    });
    const { short } = choices;
    if (short.length > 0) this.#parts.more(short);
  }

  async #bring(wanted: Layers): Promise<'done' | 'blamed'> {
    const { memory, check } = this.#parts;
    const changed = changedKeys(this.#running, wanted);
    // Not even checked: what a reference leads to may be gone, and what runs may not be valid anew.
    if (changed.length === 0) return this.#keepOn(wanted);
    const { checked, faults } = fit(this.#running, wanted, check);
    const { config, text } = checked;
    if (config === null) {
      for (const { key, reason } of faults) this.#blame([key], wanted, refusal(reason));
      return 'blamed';
    }
    if (text === this.#text) return this.#keepOn(wanted);
    const hash = hashOf(text);
    const remembered = memory.blame(hash);
    if (remembered !== null) {
      this.#blame(changed, wanted, refusal(`the same was refused before: ${remembered.reason}`));
      return 'blamed';
    }
    if (text === this.#goodText) return await this.#goBackTo(wanted, config, text);
    const before = memory.trial ?? null;
    if (memory.begin(hash) > fleetAttemptsMost) {
      memory.restore(null);
      const reason = `did not survive: the process ended ${fleetAttemptsMost} times on trial`;
      this.#blame(changed, wanted, { state: 'reverted', reason }, hash);
      this.#parts.report('fleetReverted', { layers: named(wanted), reason });
      return 'blamed';
    }
    const usual = this.#trial?.usual ?? this.#usual();
    const refused = await this.#apply(config, text);
    if (refused === null) {
      this.#begin(wanted, text, usual);
      return 'done';
    }
    memory.restore(before);
    if (refused.code === 'stopping') return 'done';
    this.#blame(changed, wanted, refusal(messageOf(refused)), hash);
    return 'blamed';
  }

  /** The whole is the same text: other revisions of it, and nothing to apply. */
  #keepOn(wanted: Layers): 'done' {
    const { memory, report } = this.#parts;
    this.#running = wanted;
    if (this.#trial === null) memory.confirm(wanted);
    else this.#trial.layers = wanted;
    report('fleetApplied', { layers: named(wanted), unchanged: true });
    return 'done';
  }

  /** What was confirmed needs no trial: whoever rolls back has no time for one. */
  async #goBackTo(wanted: Layers, config: Config, text: string): Promise<'done' | 'blamed'> {
    const { memory, report, confirmed } = this.#parts;
    const refused = await this.#apply(config, text);
    if (refused !== null) {
      if (refused.code !== 'stopping')
        report('fleetTakeBackFailed', { reason: messageOf(refused) });
      return 'done';
    }
    this.#trial = null;
    this.#running = wanted;
    this.#text = text;
    memory.confirm(wanted);
    confirmed(text);
    report('fleetApplied', { layers: named(wanted), confirmed: true });
    return 'done';
  }

  #begin(wanted: Layers, text: string, usual: Usual): void {
    const { memory, look, tolerance, report } = this.#parts;
    // What could not be taken back is gone all the same; this one has its own trial.
    if (this.#state === 'taking-back') this.#state = 'steady';
    this.#running = wanted;
    this.#text = text;
    const good = memory.good;
    this.#trial = new Trial({ layers: wanted, good, usual, start: look(), tolerance });
    report('fleetApplied', { layers: named(wanted), hash: hashOf(text) });
  }

  #usual(): Usual {
    return this.#parts.health.usual(this.#parts.look());
  }

  /** @returns why it was refused */
  async #apply(config: Config, text: string): Promise<TidegateError | null> {
    this.#applying = true;
    try {
      await this.#parts.apply(config, text);
      return null;
    } catch (error) {
      if (error instanceof TidegateError) return error;
      return new TidegateError('internal', messageOf(error), { cause: error });
    } finally {
      this.#applying = false;
    }
  }

  #blame(keys: readonly string[], layers: Layers, blame: Blame, whole?: string): void {
    const hashes = keys.flatMap((key) => layers.get(key)?.hash ?? []);
    const all = whole === undefined ? hashes : [...hashes, whole];
    this.#parts.memory.remember(all, { ...blame, reason: shorten(blame.reason) });
  }

  /** Once in a while: how does what is on trial do? */
  async tick(): Promise<void> {
    const { look, health } = this.#parts;
    const trial = this.#trial;
    if (this.#state === 'closed' || this.#applying) return;
    if (this.#state === 'taking-back') return await this.#takeBack(trial);
    if (trial === null) return health.add(look());
    const judgement = trial.look(look());
    if (judgement.kind === 'confirmed') this.#confirm(trial);
    if (judgement.kind === 'harm') await this.#harmed(trial, judgement.reason);
  }

  #confirm(trial: Trial): void {
    const { memory, health, confirmed, report, changed } = this.#parts;
    this.#trial = null;
    this.#goodText = this.#text;
    memory.confirm(trial.layers);
    confirmed(this.#text);
    health.clear();
    report('fleetConfirmed', { layers: named(trial.layers), hash: this.hash });
    changed();
  }

  async #harmed(trial: Trial, reason: string): Promise<void> {
    const blame: Blame = { state: 'reverted', reason };
    this.#blame(trial.changed, trial.layers, blame, this.hash);
    this.#parts.memory.restore(null);
    this.#parts.report('fleetReverted', { layers: named(trial.layers), reason });
    this.#state = 'taking-back';
    // It is said at once, also when taking back takes its time.
    this.#parts.choices.wanted(this.#running);
    this.#parts.changed();
    await this.#takeBack(trial);
  }

  /** Tried again at each tick until it is done: an address may be gone for a while. */
  async #takeBack(trial: Trial | null): Promise<void> {
    const { turn, report, changed, memory } = this.#parts;
    await turn(async () => {
      if (this.#state !== 'taking-back') return;
      // Another config came first.
      if (this.#trial !== trial) this.#state = 'steady';
      else {
        const whole = this.#good();
        if (whole === null) return;
        const refused = await this.#apply(whole.config, whole.text);
        if (refused !== null) report('fleetTakeBackFailed', { reason: messageOf(refused) });
        if (refused !== null || this.#isClosed()) return;
        this.#trial = null;
        this.#running = memory.good;
        this.#text = whole.text;
        this.#state = 'steady';
      }
      changed();
    });
    if (this.#state === 'steady') await this.consider();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** What is gone back to; the local file may have changed since it was confirmed. */
  #good(): { config: Config; text: string } | null {
    const { check, checkWhole, memory, report } = this.#parts;
    const { config, text } = check(layersOf(memory.good));
    if (config !== null) return { config, text };
    const whole = checkWhole(this.#goodText);
    if (whole !== null) return { config: whole, text: this.#goodText };
    report('fleetTakeBackFailed', { reason: 'what was confirmed is not valid any more' });
    return null;
  }

  /** A SIGHUP has put another local file under the same layers. */
  localChanged(text: string): void {
    const { check, memory } = this.#parts;
    this.#text = text;
    if (this.#trial === null) this.#goodText = text;
    else {
      const good = check(layersOf(memory.good));
      if (good.config !== null) this.#goodText = good.text;
    }
  }

  /** A stop in good order says nothing against what is on trial. */
  close(): void {
    if (this.#trial !== null) this.#parts.memory.restore(null);
    this.#state = 'closed';
  }
}

function refusal(reason: string): Blame {
  return { state: 'refused', reason };
}

function named(layers: Layers): string {
  return [...layers].map(([key, { revision }]) => `${key}@${revision}`).join(' ');
}
