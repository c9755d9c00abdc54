/**
 * The one place that writes log lines: pino as JSON, or pino-pretty (loaded then) on a terminal.
 *
 *   {"level":"warn","time":"2026-01-01T00:00:00.000Z","event":"laneRetrying","lane":"…","msg":"…"}
 *
 * Writing is asynchronous: a reader of the log that is slow or stopped must not stop the path. What
 * it leaves unread is bounded; beyond the bound lines are lost, the counters are not.
 */
import { createRequire } from 'node:module';
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino';
import { logBacklogBytes } from '../bounds.ts';
import { catalogue, type EventName, type Fields, type Level } from '../events.ts';

export interface LogOptions {
  readonly level: Level;
  readonly pretty: boolean;
  /** Where lines go; standard output unless said otherwise. */
  readonly destination?: DestinationStream | undefined;
}

export interface Log {
  write(name: EventName, fields: Fields, suppressed: number): void;
  /** Whether a line of this event would be written at all. */
  writes(name: EventName): boolean;
  level: Level;
  /** Everything written so far has left the process. */
  flush(): void;
}

const standardOutput = 1;

export function openLog(options: LogOptions): Log {
  const target = options.pretty
    ? { stream: prettyStream(options.destination), flush: () => {} }
    : plainStream(options.destination);
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    target.stream,
  );
  return {
    writes: (name) => logger.isLevelEnabled(catalogue[name].level),
    write(name, fields, suppressed) {
      const { level, text } = catalogue[name];
      const counted = suppressed === 0 ? fields : { ...fields, suppressed };
      logger[level]({ event: name, ...counted }, text);
    },
    get level() {
      return logger.level as Level;
    },
    set level(level) {
      logger.level = level;
    },
    flush: target.flush,
  };
}

interface Target {
  readonly stream: DestinationStream;
  flush(): void;
}

function plainStream(given: DestinationStream | undefined): Target {
  if (given) return { stream: given, flush: () => {} };
  const stream = destination({ fd: standardOutput, sync: false, maxLength: logBacklogBytes });
  // A reader that went away ends the log, not the agent.
  stream.on('error', () => {});
  return {
    stream,
    flush() {
      try {
        stream.flushSync();
      } catch {
        // The reader is gone; there is nobody to tell.
      }
    },
  };
}

type Pretty = (options: object) => DestinationStream;

function prettyStream(given: DestinationStream | undefined): DestinationStream {
  const pretty = createRequire(import.meta.url)('pino-pretty') as Pretty;
  return pretty({
    destination: given ?? standardOutput,
    sync: true,
    ignore: 'event',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
}
