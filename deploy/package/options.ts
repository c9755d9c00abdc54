/**
 * The command line of `npm run package`, read whole or refused whole.
 *
 * A version is semantic (`1.2.3`, `1.2.3-rc.1`). Debian sorts a hyphen differently and a tilde as
 * we mean it, so a pre-release is written `1.2.3~rc.1` in the .deb and in every file name.
 */
import { parseArgs } from 'node:util';
import { exitUsage, Refusal } from './refusal.ts';
import { type Target, targets } from './target.ts';

export interface Options {
  readonly targets: readonly Target[];
  readonly out: string;
  /** Null: as package.json says. */
  readonly version: string | null;
  readonly json: boolean;
}

export const usage = `Usage: npm run package -- [options]

Makes tidegate_<version>_<arch>.deb and tidegate-<version>-linux-<arch>.tar.xz: the agent as
JavaScript, its core, its dependencies and a Node runtime, for one or both architectures, on either.

Options:
  --arch <amd64|arm64>  only this one; both without it
  --out <folder>        where they are put (default: dist)
  --version <version>   another version than package.json's, as for a test of upgrades
  --json                what was made, as JSON, for programs
  --help                this help

The same commit gives the same bytes; SOURCE_DATE_EPOCH overrides the time of the commit.

Examples:
  $ npm run package
  $ npm run package -- --arch arm64 --out /tmp/out
  $ npm run package -- --arch amd64 --version 0.2.0 --json
`;

const seeHelp = 'npm run package -- --help shows what it takes.';
const semantic = /^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?(\+[0-9A-Za-z.]+)?$/;

/** @returns null when help was asked for */
export function readOptions(args: readonly string[]): Options | null {
  const { arch, out, version, json, help } = valuesOf(args);
  if (help) return null;
  const chosen = targets.filter(({ debian }) => arch === undefined || debian === arch);
  if (chosen.length === 0) {
    const known = targets.map(({ debian }) => debian).join(' or ');
    throw new Refusal(`--arch ${arch}: there is ${known}`, seeHelp, exitUsage);
  }
  if (version !== undefined && !semantic.test(version)) {
    const why = `--version ${version}: it is not like 1.2.3 or 1.2.3-rc.1`;
    throw new Refusal(why, seeHelp, exitUsage);
  }
  if (out === '') throw new Refusal('--out is empty', 'Name a folder.', exitUsage);
  return { targets: chosen, out, version: version ?? null, json };
}

/** As Debian, and all our file names, write a semantic version. */
export function debianVersion(version: string): string {
  return version.replace('-', '~');
}

function valuesOf(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        arch: { type: 'string' },
        out: { type: 'string', default: 'dist' },
        version: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), seeHelp, exitUsage);
  }
}
