/**
 * Two ways to the dead letters of a buffer: through the agent that runs on it, or on the file
 * itself. The lock of the file decides: whoever gets it knows that no agent runs. Both ways do the
 * same, since both give a replayed frame a new place at the end of the log in the transaction that
 * deletes the letter.
 */
import { existsSync } from 'node:fs';
import { bufferDefaultBytes, bufferReserveBytes, deadLetterShare } from '../bounds.ts';
import type { BufferStart, DeadSelection, ReplayRequest } from '../buffer/protocol.ts';
import { TidegateError } from '../errors.ts';
import { catalogue, type Report } from '../events.ts';
import type { ReplayStep } from '../frames/replay.ts';
import { askAgent } from './ask.ts';
import type { CliContext } from './context.ts';
import { agentUrl, bufferPathOf, configOf, type LocateFlags } from './locate.ts';

export interface DeadWay {
  step(request: ReplayRequest): Promise<ReplayStep>;
  discard(selection: DeadSelection): Promise<number>;
  close(): Promise<void>;
}

/** A step may wait for a slow disk; a held buffer is refused at once. */
const stepWithinMs = 30_000;

export async function openDeadWay(flags: LocateFlags, context: CliContext): Promise<DeadWay> {
  if (flags.http !== undefined) return agentWay(await agentUrl(flags, context), null);
  const path = await bufferPathOf(flags, context);
  if (!existsSync(path)) throw new TidegateError('bufferCannotOpen', `there is no file ${path}`);
  try {
    return await fileWay(path, flags, context);
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== 'bufferLocked') throw error;
    const { readMeta } = await import('../buffer/meta.ts');
    return agentWay(await agentUrl(flags, context), readMeta(path, 'epoch') ?? null);
  }
}

/** @param epoch of the file that is meant: an agent on another one refuses */
function agentWay(url: string, epoch: string | null): DeadWay {
  const ask = (action: string, selection: DeadSelection, more: Record<string, unknown>) => {
    const { ids, lane, reason } = selection;
    const which = ids === null ? { all: '' } : { ids: ids.join(',') };
    const all = { ...which, lane, reason, epoch, ...more };
    const said = Object.entries(all).filter(([, value]) => value !== null);
    const query = new URLSearchParams();
    for (const [name, value] of said) query.append(name, String(value));
    const asked = { method: 'POST' as const, withinMs: stepWithinMs };
    return askAgent(`${url}/dead/${action}?${query}`, asked);
  };
  return {
    step: async ({ selection, route, after, upTo }) =>
      (await ask('replay', selection, { route, after, upTo })) as ReplayStep,
    discard: async (selection) =>
      ((await ask('discard', selection, {})) as { discarded: number }).discarded,
    close: async () => {},
  };
}

async function fileWay(path: string, flags: LocateFlags, context: CliContext): Promise<DeadWay> {
  const { openBuffer } = await import('../buffer/buffer.ts');
  const report: Report = (name, fields) => {
    const { level, text } = catalogue[name];
    if (level === 'error') context.err(`${text} ${JSON.stringify(fields)}\n`);
  };
  const buffer = await openBuffer(await startOf(path, flags, context), report);
  const { Replay } = await import('../frames/replay.ts');
  let { nextSequence: sequence, nextFrame: firstFrame } = buffer.opened;
  let [sent, committed] = [0, 0];
  buffer.onCommitted(({ commit }) => {
    committed = commit;
  });
  const replay = new Replay({
    epoch: buffer.opened.epoch,
    report,
    takeDead: (request) => buffer.takeDead(request),
    discardDead: (selection) => buffer.discardDead(selection),
    async insert(make, replayed) {
      const { livedMs } = buffer.opened;
      const segment = make({ sequence, firstFrame, createdMs: Date.now(), livedMs });
      sent += 1;
      buffer.append({ commit: sent, segment, sessions: [], replayed });
      // Answered behind the append: what is not committed by then waits for room.
      const { holding } = await buffer.stat();
      if (committed < sent) throw new TidegateError('bufferFull', `${path} holds: ${holding}`);
      sequence += 1;
      firstFrame += segment.frames;
    },
  });
  return {
    step: (request) => replay.step(request),
    discard: (selection) => replay.discard(selection),
    close: () => buffer.stop(),
  };
}

/** No lanes: those that are in the file stay as they are. Routes are needed for --route only. */
async function startOf(
  path: string,
  flags: LocateFlags & { readonly route?: string },
  context: CliContext,
): Promise<BufferStart> {
  const { readMeta } = await import('../buffer/meta.ts');
  const bytes = Number(readMeta(path, 'limitBytes') ?? bufferDefaultBytes);
  const deadLetterBytes = Math.floor(bytes * deadLetterShare);
  const room = { bytes, reserveBytes: bufferReserveBytes, deadLetterBytes };
  const ways = { whenFull: 'hold' as const, compression: 'none' as const };
  const options = { path, ...room, ...ways, ageMs: Number.MAX_SAFE_INTEGER };
  if (flags.route === undefined) return { options, lanes: [], routes: [] };
  const { routeDefinitionsOf } = await import('../config/derive.ts');
  return { options, lanes: [], routes: routeDefinitionsOf(await configOf(flags, context)) };
}
