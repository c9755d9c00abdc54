/**
 * The stored routes as one lane sees them: for a route id the renderers of those of its targets
 * that go this lane's way. Definitions come from the buffer, written with the frames, whatever the
 * config says by now.
 */
import type { LaneName, RouteDefinition } from '../buffer/protocol.ts';
import { messageOf } from '../errors.ts';
import { type RendererOptions, RouteRenderer } from './record.ts';

export type LaneRoute =
  | { readonly kind: 'targets'; readonly renderers: readonly RouteRenderer[] }
  /** No target of the route goes this lane's way. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly reason: string; readonly detail: string };

const routesKept = 4_096;

export class LaneRoutes {
  readonly #lane: LaneName;
  readonly #definition: (id: number) => RouteDefinition | undefined;
  readonly #options: Omit<RendererOptions, 'gateway'>;
  #routes = new Map<number, LaneRoute>();

  constructor(
    lane: LaneName,
    definition: (id: number) => RouteDefinition | undefined,
    options: Omit<RendererOptions, 'gateway'>,
  ) {
    this.#lane = lane;
    this.#definition = definition;
    this.#options = options;
  }

  of(id: number): LaneRoute {
    const known = this.#routes.get(id);
    if (known !== undefined) return known;
    if (this.#routes.size >= routesKept) this.#routes = new Map();
    const made = this.#compile(id);
    // What is missing may yet be written: never remembered.
    if (made.kind !== 'unreadable') this.#routes.set(id, made);
    return made;
  }

  /** Of `[routeId, frames]` of a segment, the frames that are this lane's. */
  framesIn(routes: readonly (readonly [routeId: number, frames: number])[]): number {
    let sum = 0;
    for (const [id, frames] of routes) if (this.of(id).kind !== 'none') sum += frames;
    return sum;
  }

  #compile(id: number): LaneRoute {
    const definition = this.#definition(id);
    if (definition === undefined) {
      const detail = `the buffer holds no route ${id}`;
      return { kind: 'unreadable', reason: 'routeUnknown', detail };
    }
    const targets = definition.targets.filter((target) => target.lane === this.#lane);
    if (targets.length === 0) return { kind: 'none' };
    try {
      const options = { ...this.#options, gateway: definition.gateway };
      const renderers = targets.map((target) => new RouteRenderer(definition, target, options));
      return { kind: 'targets', renderers };
    } catch (error) {
      return { kind: 'unreadable', reason: 'recordInvalid', detail: messageOf(error) };
    }
  }
}
