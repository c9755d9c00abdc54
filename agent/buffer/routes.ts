/**
 * Stored routes: what a frame's route id stands for.
 *
 * Ids are given at open, in memory; a row is written in the commit of the first segment that uses
 * its id, so that an unused route leaves no trace. The same definition always has the same id, and
 * a changed one gets a new id: frames keep what was decided at ingest. Rows are not deleted: they
 * are few, and a segment or dead letter may refer to them.
 */
import { TidegateError } from '../errors.ts';
import type { LaneName, RouteDefinition, RouteTarget } from './protocol.ts';

export interface RouteRow {
  readonly id: number;
  readonly name: string;
  readonly definition: string;
}

interface KnownRoute {
  readonly row: RouteRow;
  readonly lanes: ReadonlySet<LaneName>;
  stored: boolean;
}

/** [route id, frames] of one segment. */
export type RouteFrames = readonly (readonly [routeId: number, frames: number])[];

export class Routes {
  readonly #byId = new Map<number, KnownRoute>();
  readonly #idOf = new Map<string, number>();
  #nextId = 1;

  constructor(rows: readonly RouteRow[]) {
    for (const row of rows) this.#add(row, true);
  }

  /** The id of a definition; a new one is only reserved. */
  reserve(definition: RouteDefinition): number {
    const text = canonical(definition);
    const known = this.#idOf.get(text);
    if (known !== undefined) return known;
    const row = { id: this.#nextId, name: definition.name, definition: text };
    this.#add(row, false);
    return row.id;
  }

  /** Rows that must be written with a segment of these routes. */
  unstored(used: RouteFrames): RouteRow[] {
    return used.map(([id]) => this.#known(id)).flatMap((known) => (known.stored ? [] : known.row));
  }

  markStored(rows: readonly RouteRow[]): void {
    for (const row of rows) this.#known(row.id).stored = true;
  }

  definition(id: number): RouteDefinition | undefined {
    const known = this.#byId.get(id);
    return known && parseDefinition(known.row.definition);
  }

  /** Frames of a segment that have a target in this lane. A route that is lost has none. */
  targeted(used: RouteFrames, lane: LaneName): number {
    let frames = 0;
    for (const [id, count] of used) {
      if (this.#byId.get(id)?.lanes.has(lane)) frames += count;
    }
    return frames;
  }

  #known(id: number): KnownRoute {
    const known = this.#byId.get(id);
    if (!known) throw new TidegateError('internal', `route id ${id} was never given out`);
    return known;
  }

  #add(row: RouteRow, stored: boolean): void {
    const targets = parseDefinition(row.definition).targets;
    const lanes = new Set(targets.map((target) => target.lane));
    this.#byId.set(row.id, { row, lanes, stored });
    this.#idOf.set(row.definition, row.id);
    this.#nextId = Math.max(this.#nextId, row.id + 1);
  }
}

export function parseDefinition(text: string): RouteDefinition {
  return JSON.parse(text) as RouteDefinition;
}

/** Equal definitions give equal text, whatever order their keys were written in. */
function canonical(definition: RouteDefinition): string {
  const { name, from, gateway } = definition;
  return JSON.stringify({ name, from, gateway, targets: definition.targets.map(canonicalTarget) });
}

function canonicalTarget(target: RouteTarget): RouteTarget {
  const { lane, topic, key, envelope, unknownTopic } = target;
  const headers = Object.fromEntries(Object.entries(target.headers).sort());
  return { lane, topic, key, envelope, headers, unknownTopic };
}
