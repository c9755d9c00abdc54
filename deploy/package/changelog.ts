/**
 * Debian's changelog from CHANGELOG.md: one entry a version, newest first, its points as they are.
 *
 * A version that is being built and has no heading of its own (`--version`, for tests of upgrades)
 * gets an entry on top. Dates of releases stand in the headings; what has none has the commit's.
 */
import { maintainer } from './control.ts';
import { debianVersion } from './options.ts';
import { wrap } from './wrap.ts';

const columnsMost = 74;

interface Entry {
  readonly version: string;
  readonly date: Date;
  readonly points: readonly string[];
}

const heading = /^## (?:\[)?(\d+\.\d+\.\d+[^\s:\]]*)\]?(?:[:\s-]+(\d{4}-\d\d-\d\d))?/;

/** @param text CHANGELOG.md */
export function debianChangelog(text: string, version: string, epoch: number): string {
  const now = new Date(epoch * 1000);
  const entries = entriesOf(text, now);
  const own = entries.find((entry) => entry.version === version);
  const top = own ?? { version, date: now, points: ['Built from the same sources.'] };
  return [top, ...entries.filter((entry) => entry !== own)].map(show).join('\n');
}

function entriesOf(text: string, now: Date): Entry[] {
  return text
    .split(/^(?=## )/m)
    .flatMap((section) => {
      const found = heading.exec(section);
      if (!found) return [];
      const points = section.split(/^- /m).slice(1);
      const [, version = '', date] = found;
      return [{ version, points, date: date === undefined ? now : new Date(`${date}T12:00Z`) }];
    })
    .filter(({ points }) => points.length > 0);
}

function show({ version, date, points }: Entry): string {
  const lines = points.map((point) => wrap(point, columnsMost).join('\n    '));
  const utc = date.toUTCString().replace('GMT', '+0000');
  return `tidegate (${debianVersion(version)}) stable; urgency=medium

  * ${lines.join('\n  * ')}

 -- ${maintainer}  ${utc}
`;
}
