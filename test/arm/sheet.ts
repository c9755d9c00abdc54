/**
 * What was looked for and whether it was seen, in order; each is told when it is known. A step that
 * throws is told as not seen, and the next is done all the same: one fault must not hide the rest.
 */
export interface Step {
  readonly sentence: string;
  readonly seen: boolean;
  readonly seconds: number;
  /** What was seen, or why it was not. */
  readonly detail: string;
}

const msPerSecond = 1_000;

export class Sheet {
  readonly steps: Step[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  get unseen(): Step[] {
    return this.steps.filter(({ seen }) => !seen);
  }

  /** @param look returns what was seen, throws when it was not */
  async look(sentence: string, look: () => Promise<string>): Promise<void> {
    const began = performance.now();
    let [seen, detail] = [true, ''];
    try {
      detail = await look();
    } catch (error) {
      seen = false;
      detail = error instanceof Error ? error.message : String(error);
    }
    const seconds = Math.round((performance.now() - began) / msPerSecond);
    this.steps.push({ sentence, seen, seconds, detail });
    this.#say(`${seen ? 'seen    ' : 'NOT SEEN'} ${`${seconds}`.padStart(4)} s  ${sentence}`);
    if (detail !== '') this.#say(detail.replaceAll(/^/gm, '                  '));
  }
}
