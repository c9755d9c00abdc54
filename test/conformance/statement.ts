/**
 * How a normative statement of a standard is held: by the core (what bytes may say), by the filter
 * (what is answered, when, and what it keeps), or by the broker behind, where the filter only has
 * to pass it on untouched. Each names a test: of a test file by its title, a vector or a sequence
 * of `test/vectors` or a behaviour of `test/behaviours` by its name. It fails when the statement
 * does not hold; what is the broker's is seen in it, or at least its packets pass there.
 */
export interface Statement {
  readonly by: 'core' | 'filter' | 'broker';
  readonly test: string;
  /** What the broker behind has to do, in our words. */
  readonly what?: string;
}

/** By their id, without brackets. */
export type Statements = Readonly<Record<string, Statement>>;

export function core(test: string): Statement {
  return { by: 'core', test };
}

export function filter(test: string): Statement {
  return { by: 'filter', test };
}

export function broker(what: string, test: string): Statement {
  return { by: 'broker', test, what };
}

/** `3.1.2: 30` stands for `MQTT-3.1.2-1` to `MQTT-3.1.2-30`. */
export type Sections = Readonly<Record<string, number>>;

export function idsOf(sections: Sections): string[] {
  return Object.entries(sections).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, index) => `MQTT-${section}-${index + 1}`),
  );
}
