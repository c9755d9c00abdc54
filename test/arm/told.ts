/**
 * What `inside.ts`, emulated, tells `suite.ts` of each test. A file of its own, for importing
 * `inside.ts` runs it.
 */

/** Before each line, for tests print lines of their own. */
export const told = '@ ';

export interface Told {
  readonly name: string;
  /** Why the test skipped itself. */
  readonly skip: string | null;
  readonly error: string | null;
}
