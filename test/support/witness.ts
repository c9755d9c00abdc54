/**
 * What stands upstream, counted: a message may be several frames of the buffer (each has a ce_id of
 * its own), and a frame may arrive several times. The first is what QoS 2 forbids, the second what
 * delivery at least once allows.
 */

export class Witness {
  readonly #frames = new Map<string, Map<string, number>>();
  repeats = 0;
  frames = 0;

  see(message: string, frame: string): void {
    const of = this.#frames.get(message) ?? new Map<string, number>();
    const times = (of.get(frame) ?? 0) + 1;
    if (times > 1) this.repeats += 1;
    else this.frames += 1;
    this.#frames.set(message, of.set(frame, times));
  }

  /** Messages with more than one frame, with how many more. */
  *doubled(): Generator<{ device: string; number: number; more: number }> {
    for (const [message, { size }] of this.#frames) {
      const [device = '', number] = message.split(' ');
      if (size > 1) yield { device, number: Number(number), more: size - 1 };
    }
  }
}
