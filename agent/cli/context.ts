/**
 * What a command may touch of the process, handed in by main.ts, and how a command ends: with an
 * exit code, or by throwing a TidegateError, which names its own.
 */
import type { Environment } from '../config/types.ts';

export interface CliContext {
  readonly env: Environment;
  out(text: string | Uint8Array): void;
  err(text: string): void;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Takes over SIGINT and SIGTERM; aborted by the first of them. */
  stopSignal(): AbortSignal;
  /** Called at each SIGHUP from now on, and at once for one that came before (`run` only). */
  onReload(reload: () => void): void;
}

/** Runs what a command does and keeps its exit code. */
export type Perform = (work: () => Promise<number> | number) => Promise<void>;

export interface JsonOption {
  readonly json?: boolean;
}

export const jsonFlag = ['--json', 'write JSON, for programs'] as const;
