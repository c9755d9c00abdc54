/**
 * What a person sees of the demo. On a terminal: a few lines redrawn in place (phases, rates, the
 * backlog as a sparkline). Elsewhere: one plain line when a phase begins, and one each second.
 * With --json nothing but the final object is printed.
 *
 * A view only draws what it is given; it measures nothing.
 */

export interface Sample {
  readonly seconds: number;
  readonly devicesConnected: number;
  readonly devices: number;
  readonly acknowledged: number;
  readonly acknowledgedPerSecond: number;
  readonly arrived: number;
  readonly arrivedPerSecond: number;
  /** Acknowledged to a device and not arrived upstream. */
  readonly backlog: number;
  readonly agentUp: boolean;
  readonly uplinkUp: boolean;
}

export interface View {
  phase(text: string): void;
  sample(sample: Sample): void;
  /** Leaves what was drawn standing and prints these lines below. */
  end(lines: readonly string[]): void;
  /** Gives the terminal back as it was, also after a failure; may be called twice. */
  close(): void;
}

/** Without wrapping, a narrow terminal cuts lines, and drawing over them stays right. */
const hideCursorNoWrap = '\x1b[?25l\x1b[?7l';
const showCursorWrap = '\x1b[?25h\x1b[?7h';
const bars = '▁▂▃▄▅▆▇█';
const sparklineWidth = 60;
const plainEverySeconds = 1;
const numberWidth = 9;

export function openView(how: 'terminal' | 'plain' | 'silent', title: string): View {
  if (how === 'terminal') return new TerminalView(title);
  if (how === 'plain') return new PlainView(title);
  const nothing = () => undefined;
  return { phase: nothing, sample: nothing, end: nothing, close: nothing };
}

/** The highest of each slice becomes one bar; the scale is the highest of all. */
export function sparkline(values: readonly number[], width: number): string {
  const highest = Math.max(1, ...values);
  const slots = Math.min(width, values.length);
  let line = '';
  for (let slot = 0; slot < slots; slot++) {
    const from = Math.floor((slot * values.length) / slots);
    const to = Math.max(from + 1, Math.floor(((slot + 1) * values.length) / slots));
    const level = Math.max(...values.slice(from, to)) / highest;
    line += bars[Math.min(bars.length - 1, Math.ceil(level * (bars.length - 1)))] ?? '';
  }
  return line;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function column(value: number): string {
  return count(value).padStart(numberWidth);
}

class TerminalView implements View {
  readonly #title: string;
  readonly #phases: { text: string; since: number }[] = [];
  readonly #backlog: number[] = [];
  #last: Sample | null = null;
  #drawn = 0;

  constructor(title: string) {
    this.#title = title;
    process.stdout.write(hideCursorNoWrap);
  }

  phase(text: string): void {
    this.#phases.push({ text, since: this.#last?.seconds ?? 0 });
    this.#draw(false);
  }

  sample(sample: Sample): void {
    this.#last = sample;
    this.#backlog.push(sample.backlog);
    this.#draw(false);
  }

  end(lines: readonly string[]): void {
    this.#draw(true);
    this.close();
    process.stdout.write(`\n${lines.join('\n')}\n`);
  }

  close(): void {
    process.stdout.write(showCursorWrap);
  }

  #draw(done: boolean): void {
    const lines = [`\x1b[1m${this.#title}\x1b[0m`, ''];
    this.#phases.forEach(({ text, since }, index) => {
      const running = index === this.#phases.length - 1 && !done;
      const mark = running ? '\x1b[33m▶\x1b[0m' : '\x1b[32m✓\x1b[0m';
      lines.push(` ${mark} ${since.toFixed(0).padStart(3)} s  ${text}`);
    });
    if (this.#last !== null) lines.push('', ...this.#figures(this.#last));
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : '';
    process.stdout.write(`${up}${lines.map((line) => `\x1b[2K${line}\n`).join('')}`);
    this.#drawn = lines.length;
  }

  #figures(sample: Sample): string[] {
    const agent = sample.agentUp ? '\x1b[32mup\x1b[0m' : '\x1b[31mdead\x1b[0m';
    const uplink = sample.uplinkUp ? '\x1b[32mup\x1b[0m' : '\x1b[31mcut\x1b[0m';
    return [
      ` devices ${sample.devicesConnected}/${sample.devices} · agent ${agent} · uplink ${uplink}`,
      ` acknowledged ${column(sample.acknowledged)} ${column(sample.acknowledgedPerSecond)}/s`,
      ` arrived      ${column(sample.arrived)} ${column(sample.arrivedPerSecond)}/s`,
      ` backlog      ${column(sample.backlog)}   ${sparkline(this.#backlog, sparklineWidth)}`,
    ];
  }
}

class PlainView implements View {
  #next = 0;

  constructor(title: string) {
    process.stdout.write(`${title}\n`);
  }

  phase(text: string): void {
    process.stdout.write(`-- ${text}\n`);
  }

  sample(sample: Sample): void {
    if (sample.seconds < this.#next) return;
    this.#next = sample.seconds + plainEverySeconds;
    const agent = sample.agentUp ? 'up' : 'dead';
    const uplink = sample.uplinkUp ? 'up' : 'cut';
    process.stdout.write(
      `${sample.seconds.toFixed(0).padStart(3)} s  acknowledged ${column(sample.acknowledged)}` +
        `  arrived ${column(sample.arrived)}  backlog ${column(sample.backlog)}` +
        `  agent ${agent}, uplink ${uplink}, devices ${sample.devicesConnected}\n`,
    );
  }

  end(lines: readonly string[]): void {
    process.stdout.write(`${lines.join('\n')}\n`);
  }

  close(): void {}
}
