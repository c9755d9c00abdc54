/**
 * The buffer thread: the writer, wired to its messages. Owns the timers (a cursor waits for a
 * commit at most `cursorDelayMs`; a tick twice a second) and the ports of the egress threads. No
 * decision about the log is made here.
 */
import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import { cursorDelayMs, trimSegmentsPerCommit } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import { giveBackMemory } from '../heap-flags.ts';
import type { Effects } from './effects.ts';
import type {
  BufferStart,
  BufferToEgress,
  EgressToBuffer,
  FromBuffer,
  Guest,
  GuestModule,
  LaneName,
  ToBuffer,
} from './protocol.ts';
import { Writer } from './writer.ts';

const tickEveryMs = 500;
/** Between steps of trimming while there is much of it: appends come in between. */
const tidyDelayMs = 5;
/**
 * A few segments that every lane has passed go with the next append, which costs the flash nothing;
 * a commit for them alone is made when none came for so long.
 */
const tidyFewAfterMs = 10_000;

if (!parentPort) throw new TidegateError('internal', 'the buffer thread is started as a worker');
const main: MessagePort = parentPort;
const egressOf = new Map<LaneName, MessagePort>();
const egressPorts = new Set<MessagePort>();
const connectedOnce = new Set<LaneName>();
let cursorTimer: NodeJS.Timeout | null = null;
let tidyTimer: NodeJS.Timeout | null = null;
let commitsShown = -1;

const effects: Effects = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  report: (name, fields = {}) => say({ kind: 'event', name, fields }),
  committed: (append, commitSeconds) => {
    const { commit, segment } = append;
    const sequence = segment?.sequence ?? null;
    const bytes = segment?.body.byteLength ?? 0;
    say({ kind: 'committed', commit, sequence, commitSeconds, bytes });
    if (sequence === null) return;
    const wake: BufferToEgress = { kind: 'committed', lastSequence: sequence };
    for (const port of egressPorts) port.postMessage(wake);
  },
  discarded: (id, letters) => say({ kind: 'deadDiscarded', id, letters }),
  configured: (id, routeIds) => say({ kind: 'configured', id, routeIds }),
  advanced: (lane, id) => tell(lane, { kind: 'advanced', lane, id }),
  jumped: (lane, generation, position) =>
    tell(lane, { kind: 'cursor', lane, generation, position }),
  failed: (error) => sayFailed(error),
};

const writer = open();
if (writer) run(writer);
else main.close();

function open(): Writer | null {
  try {
    return new Writer(workerData as BufferStart, effects);
  } catch (error) {
    sayFailed(error);
    return null;
  }
}

function run(writer: Writer): void {
  const { nextSequence, nextFrame } = writer.state;
  const { epoch } = writer;
  const routeIds = writer.routeIds();
  const livedMs = writer.livedMs();
  const sessions = writer.sessions();
  say({ kind: 'opened', epoch, nextSequence, nextFrame, livedMs, routeIds, sessions });
  const ticking = setInterval(() => guard(() => tick(writer)), tickEveryMs);
  main.on('message', (message: ToBuffer) => {
    guard(() => {
      if (message.kind === 'append') writer.append(message);
      else if (message.kind === 'egress') connect(writer, message.port, message.lanes);
      else if (message.kind === 'meta') writer.putMeta(message.key, message.value);
      else if (message.kind === 'guest') void host(message);
      else if (message.kind === 'calm') giveBackMemory();
      else if (message.kind === 'stop') stop(writer, ticking);
      else answer(writer, message);
    });
  });
}

/** It is given time between our messages, and ends when its port does. */
async function host({ module, start, port }: Guest): Promise<void> {
  try {
    const { serve } = (await import(module)) as GuestModule;
    await serve(start, port);
  } catch (error) {
    sayFailed(error);
  }
}

function answer(writer: Writer, asked: Extract<ToBuffer, { id: number }>): void {
  const { id, kind } = asked;
  if (kind === 'stat') say({ kind, id, stat: writer.stat() });
  else if (kind === 'takeDead') {
    say({ kind: 'deadTaken', id, taken: writer.takeDead(asked.request) });
  } else if (kind === 'discardDead') writer.discardDead(asked);
  else writer.configure(asked);
}

/** The newest port of a lane wins: what an older one still says of it goes unheard. */
function connect(writer: Writer, port: MessagePort, lanes: readonly LaneName[]): void {
  egressPorts.add(port);
  port.on('message', (advance: EgressToBuffer) => {
    guard(() => {
      if (egressOf.get(advance.lane) === port) advanceLane(writer, advance);
    });
  });
  port.on('close', () => leave(port));
  for (const lane of lanes) {
    const older = egressOf.get(lane);
    if (older) drain(writer, older);
    if (connectedOnce.has(lane)) writer.reconnect(lane);
    connectedOnce.add(lane);
    egressOf.set(lane, port);
    const found = writer.state.lanes.get(lane);
    if (!found) throw new TidegateError('internal', `lane ${lane} is not in the buffer's config`);
    const { generation, position } = found;
    tell(lane, { kind: 'cursor', lane, generation, position });
  }
  const lastSequence = writer.state.nextSequence - 1;
  port.postMessage({ kind: 'committed', lastSequence } satisfies BufferToEgress);
}

function leave(port: MessagePort): void {
  egressPorts.delete(port);
  for (const [lane, its] of egressOf) if (its === port) egressOf.delete(lane);
}

function advanceLane(writer: Writer, advance: EgressToBuffer): void {
  if (!writer.advance(advance) || cursorTimer) return;
  cursorTimer = setTimeout(() => {
    cursorTimer = null;
    guard(() => writer.flush());
    tidySoon(writer);
  }, cursorDelayMs);
}

function tidySoon(writer: Writer): void {
  if (tidyTimer) return;
  tidyTimer = setTimeout(
    () => {
      tidyTimer = null;
      guard(() => {
        if (writer.tidy()) tidySoon(writer);
      });
    },
    writer.trimmable < trimSegmentsPerCommit ? tidyFewAfterMs : tidyDelayMs,
  );
}

function tick(writer: Writer): void {
  writer.tick();
  tidySoon(writer);
  const lanes = [...writer.state.lanes.values()];
  const ageing = lanes.some((lane) => lane.backlogFrames > 0);
  if (writer.commits === commitsShown && writer.mode === 'running' && !ageing) return;
  commitsShown = writer.commits;
  say({ kind: 'gauges', gauges: writer.gauges() });
}

function stop(writer: Writer, ticking: NodeJS.Timeout): void {
  clearInterval(ticking);
  if (cursorTimer) clearTimeout(cursorTimer);
  if (tidyTimer) clearTimeout(tidyTimer);
  for (const port of egressPorts) drain(writer, port);
  writer.stop();
  for (const port of egressPorts) port.close();
  say({ kind: 'stopped' });
  main.close();
}

/** What egress said before us may still lie in its port. */
function drain(writer: Writer, port: MessagePort): void {
  for (;;) {
    const next = receiveMessageOnPort(port) as { message: EgressToBuffer } | undefined;
    if (!next) return;
    if (egressOf.get(next.message.lane) === port) writer.advance(next.message);
  }
}

/** An error nobody foresaw ends the writing, not the process: main decides what follows. */
function guard(action: () => void): void {
  try {
    action();
  } catch (error) {
    sayFailed(error);
  }
}

function sayFailed(error: unknown): void {
  const code = error instanceof TidegateError ? error.code : 'bufferFailed';
  say({ kind: 'failed', code, message: messageOf(error) });
}

function say(message: FromBuffer): void {
  main.postMessage(message);
}

function tell(lane: LaneName, message: BufferToEgress): void {
  egressOf.get(lane)?.postMessage(message);
}
