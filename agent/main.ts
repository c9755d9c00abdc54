#!/usr/bin/env -S node --single-threaded-gc --no-allocation-site-pretenuring --max-semi-space-size=1 --expose-gc
/**
 * argv and signals in, exit code out. The version of Node is checked before anything native is
 * loaded: better-sqlite3 crashes an old Node with a segmentation fault instead of a sentence.
 *
 * The first SIGTERM or SIGINT asks a running command to stop, the second ends the process at once:
 * nothing that was acknowledged is lost by that. SIGHUP would end the process by itself: for `run`
 * it is taken over before anything is loaded. The flags are explained in heap-flags.ts.
 */

const nodeLeast = { major: 24, minor: 6 } as const;
const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;
/** The shell's convention for a process that a signal ended. */
const signalExitBase = 128;
const outputWithinMs = 5_000;

function nodeIsTooOld(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major !== nodeLeast.major) return major < nodeLeast.major;
  return minor < nodeLeast.minor;
}

function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(signalExitBase + signalNumbers[signal]);
      controller.abort(signal);
    });
  }
  return controller.signal;
}

let hungUp = false;
let reload: (() => void) | null = null;

function takeHangup(): void {
  process.on('SIGHUP', () => {
    hungUp = true;
    reload?.();
  });
}

function onReload(asked: () => void): void {
  reload = asked;
  if (hungUp) asked();
}

async function main(): Promise<number> {
  if (process.argv.includes('run')) takeHangup();
  const { exitCodes, remedyOf } = await import('./errors.ts');
  if (nodeIsTooOld()) {
    const least = `${nodeLeast.major}.${nodeLeast.minor}`;
    const found = `this is Node ${process.versions.node}, tidegate needs ${least} or later`;
    process.stderr.write(`tidegate: ${found}\n    ${remedyOf('nodeTooOld')}\n`);
    return exitCodes.unavailable;
  }
  process.on('uncaughtException', (error) => {
    process.stderr.write(`tidegate: ${error.stack ?? error}\n    ${remedyOf('internal')}\n`);
    process.exit(exitCodes.ourFault);
  });
  // Who reads our output may leave early (| head).
  process.stdout.on('error', () => {});
  const { runProgram } = await import('./cli/program.ts');
  return runProgram(process.argv.slice(2), {
    env: process.env,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true,
    stopSignal,
    onReload,
  });
}

/** All of a long answer, also to a reader that is slower than we are; not to one that is stuck. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, outputWithinMs).unref();
    stream.write('', () => resolve());
  });
}

const code = await main();
await Promise.all([written(process.stdout), written(process.stderr)]);
process.exit(code);
