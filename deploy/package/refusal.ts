/**
 * Why no package is made: what is wrong and the remedy, two lines on standard error. Whatever else
 * is thrown is our own fault and keeps its stack.
 */
export class Refusal extends Error {
  readonly remedy: string;
  readonly exit: number;

  /** @param exit by sysexits: 64 usage, 65 bad input, 69 a tool or server is missing */
  constructor(what: string, remedy: string, exit = 65) {
    super(what);
    this.remedy = remedy;
    this.exit = exit;
  }
}

export const exitUsage = 64;
export const exitUnavailable = 69;
