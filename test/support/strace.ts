/**
 * Reads what `strace -f -yy -o FILE` wrote, as calls with the place in the file where each began
 * and where it returned. A call that other threads interrupted in the file (`<unfinished ...>`,
 * later `<... name resumed>`) is joined again; its beginning and its end keep their own lines.
 *
 * Order in the file is the order in which the kernel's stops were seen, so `a.returned < b.began`
 * means that a had returned before b was entered.
 */

export interface Call {
  readonly pid: number;
  readonly name: string;
  /** Arguments as strace printed them. */
  readonly args: string;
  /** Line of the entry, and line of the return; the same unless interrupted. */
  readonly began: number;
  returned: number;
  /** null: never returned. */
  result: number | null;
}

const unfinishedMark = ' <unfinished ...>';
const linePattern = /^(\d+)\s+(?:\d+\.\d+ )?(.*)$/;
const resumedPattern = /^<\.\.\. (\w+) resumed>(.*)$/;
const callPattern = /^(\w+)\((.*)$/;
const resultPattern = /^(.*)\)\s+= (-?\d+|\?)/;

export function readCalls(trace: string): Call[] {
  const calls: Call[] = [];
  const open = new Map<string, { call: Call; index: number }>();
  trace.split('\n').forEach((line, at) => {
    const [, pid, rest] = linePattern.exec(line) ?? [];
    if (pid === undefined || rest === undefined) return;
    const resumed = resumedPattern.exec(rest);
    if (resumed !== null) {
      const key = `${pid} ${resumed[1]}`;
      const begun = open.get(key);
      if (begun === undefined) return;
      open.delete(key);
      const { args, result } = splitResult(resumed[2] ?? '');
      const whole = { ...begun.call, args: begun.call.args + args, returned: at, result };
      calls[begun.index] = whole;
      return;
    }
    const [, name, tail] = callPattern.exec(rest) ?? [];
    if (name === undefined || tail === undefined) return;
    if (tail.endsWith(unfinishedMark)) {
      const args = tail.slice(0, -unfinishedMark.length);
      const endless = Number.POSITIVE_INFINITY;
      const call: Call = {
        pid: Number(pid),
        name,
        args,
        began: at,
        returned: endless,
        result: null,
      };
      open.set(`${pid} ${name}`, { call, index: calls.length });
      calls.push(call);
      return;
    }
    calls.push({ pid: Number(pid), name, began: at, returned: at, ...splitResult(tail) });
  });
  return calls;
}

function splitResult(text: string): { args: string; result: number | null } {
  const [, args, result] = resultPattern.exec(text) ?? [];
  if (args === undefined || result === undefined || result === '?')
    return { args: text, result: null };
  return { args, result: Number(result) };
}

/** What `-yy` says the call's first argument is: a path or `TCP:[…]`. */
export function descriptorOf(call: Call): string {
  return /^\d+<((?:TCP[^[]*:\[[^\]]*\])|[^>]*)>/.exec(call.args)?.[1] ?? '';
}

/** The bytes of every string argument, joined. */
export function bytesOf(call: Call): Buffer {
  const parts: Buffer[] = [];
  for (const match of call.args.matchAll(/"((?:[^"\\]|\\.)*)"/gs))
    parts.push(unescapeC(match[1] ?? ''));
  return Buffer.concat(parts);
}

const named: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, a: 7, b: 8 };

function unescapeC(text: string): Buffer {
  const bytes: number[] = [];
  for (const [, octal, hex, letter, plain] of text.matchAll(
    /\\([0-7]{1,3})|\\x([0-9a-f]{2})|\\(.)|([^\\])/gs,
  )) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (letter !== undefined) bytes.push(named[letter] ?? letter.charCodeAt(0));
    else bytes.push((plain ?? '').charCodeAt(0));
  }
  return Buffer.from(bytes);
}

export interface Witness {
  readonly marker: string;
  readonly arrived: number;
  readonly written: number;
  readonly synced: { readonly began: number; readonly returned: number };
  readonly acknowledged: number;
}

const received = new Set(['read', 'readv', 'recvfrom', 'recvmsg']);
const sent = new Set(['write', 'writev', 'sendto', 'sendmsg']);
const stored = new Set(['pwrite64', 'pwritev', 'write', 'writev']);
const synced = new Set(['fdatasync', 'fsync']);

/**
 * The order of one publish: its bytes were read from a socket, then written to the WAL, then a sync
 * of the WAL was entered and returned 0, then the PUBACK was entered. Throws, saying which step was
 * not seen in time; a PUBACK that left before the sync returned is such a failure.
 */
export function witness(calls: readonly Call[], marker: string, puback: Buffer): Witness {
  const holds = (call: Call) => bytesOf(call).includes(marker);
  const isSocket = (call: Call) => descriptorOf(call).startsWith('TCP');
  const isWal = (call: Call) => descriptorOf(call).endsWith('-wal');
  const arrival = calls.find((call) => received.has(call.name) && isSocket(call) && holds(call));
  if (arrival === undefined) throw new Error(`${marker}: its arrival is not in the trace`);
  const socket = descriptorOf(arrival);
  const ack = calls.find(
    (call) =>
      sent.has(call.name) && descriptorOf(call) === socket && bytesOf(call).includes(puback),
  );
  if (ack === undefined) throw new Error(`${marker}: its PUBACK is not in the trace`);
  const write = calls.find((call) => stored.has(call.name) && isWal(call) && holds(call));
  if (write === undefined) throw new Error(`${marker}: its write to the WAL is not in the trace`);
  if (write.began < arrival.returned) throw new Error(`${marker}: written before it arrived`);
  const sync = calls.find(
    (call) =>
      synced.has(call.name) && isWal(call) && call.began > write.returned && call.result === 0,
  );
  if (sync === undefined) throw new Error(`${marker}: no sync of the WAL after its write`);
  if (sync.returned >= ack.began) {
    throw new Error(
      `${marker}: PUBACK entered on line ${ack.began + 1}, ` +
        `the sync of the WAL returned on line ${sync.returned + 1}`,
    );
  }
  return {
    marker,
    arrived: arrival.returned,
    written: write.returned,
    synced: { began: sync.began, returned: sync.returned },
    acknowledged: ack.began,
  };
}
