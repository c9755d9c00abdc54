/**
 * How `tidegate size` looks: a table and sentences for people, exact numbers with the unit in their
 * names for programs.
 */
import { bufferReserveBytes, deadLetterShare, MIB, segmentRegionBytes } from '../bounds.ts';
import type { Config } from '../config/types.ts';
import { showDuration, showSize } from '../config/units.ts';
import { roughDuration, roughSize } from './figures.ts';
import type { AtCommitEvery, Sized } from './size.ts';
import { type Cell, table } from './table.ts';

const msPerSecond = 1_000;
const percent = 100;
/** Beside `buffer.bytes`: the reserve, and what is on its way when the buffer is found full. */
const besideBufferBytes = bufferReserveBytes + Math.ceil((2 * segmentRegionBytes) / MIB) * MIB;

/** @param source of the config; null: none was named */
export function showSized(sized: Sized, config: Config, source: string | null): string {
  const { chosen, choices, seconds } = sized;
  const columns = ['COMMIT EVERY', 'COMMITS/S', 'MESSAGES EACH', 'BYTES A MESSAGE'];
  const inAll = [
    `AFTER ${during(seconds)}`,
    'BUFFER.BYTES',
    'WRITTEN A DAY',
    'BYTES A PAYLOAD BYTE',
  ];
  const rows = choices.map((choice) =>
    choiceRow(choice, choice.commitEveryMs === chosen.commitEveryMs),
  );
  return [
    `${loadOf(sized)}\n`,
    table([[...columns, ...inAll], ...rows]),
    toWrite(sized),
    present(sized, config, source),
    ...packingOf(config),
    ...lanesOf(sized),
    ...ageOf(sized, config),
  ].join('\n');
}

function loadOf({ load }: Sized): string {
  const { messagesPerSecond, payloadBytes, namesBytes, syncMs } = load;
  const rate = `${rounded(messagesPerSecond)} messages/s of ${showSize(payloadBytes)}`;
  const names = `names of ${showSize(namesBytes)}`;
  return `${rate}, ${names}, a commit takes the disk ${showDuration(syncMs)}`;
}

function choiceRow(choice: AtCommitEvery, isChosen: boolean): Cell[] {
  const { commitEveryMs, cost, backlogBytes, neededBytes } = choice;
  return [
    `${isChosen ? '*' : ' '} ${showDuration(commitEveryMs)}`,
    rounded(cost.commitsPerSecond),
    rounded(cost.messagesPerCommit),
    Math.round(cost.fileBytesPerMessage),
    roughSize(backlogBytes),
    showSize(neededBytes),
    roughSize(Math.round(cost.writtenBytesPerDay)),
    rounded(cost.writtenPerPayloadByte),
  ];
}

function toWrite({ chosen, seconds }: Sized): string {
  const bytes = showSize(chosen.neededBytes);
  const share = `${deadLetterShare * percent} %`;
  const beside = showSize(besideBufferBytes);
  return (
    `For ${during(seconds)} write\n    buffer: { bytes: ${bytes} }\n` +
    `of which dead letters may take ${share}. The disk needs ${beside} more, for the reserve.\n`
  );
}

function present(sized: Sized, { buffer }: Config, source: string | null): string {
  const { lastsSeconds, lastsLeastSeconds } = sized.chosen;
  const where = source === null ? 'the default' : `in ${source}`;
  const then = { hold: 'devices wait', dropOldest: 'the oldest events are lost' }[buffer.whenFull];
  return (
    `buffer.bytes ${showSize(buffer.bytes)} (${where}) lasts ${during(lastsSeconds)}, ` +
    `${during(lastsLeastSeconds)} when dead letters have their share;\n` +
    `then ${then} (whenFull: ${buffer.whenFull}).\n`
  );
}

/** How far payloads pack is known to whoever has them: what is said holds for those that do not. */
function packingOf({ buffer }: Config): string[] {
  if (buffer.compression === 'none') return [];
  const way = `buffer.compression ${buffer.compression}`;
  return [`${way} is not counted: commits of many messages will take less than this.\n`];
}

/** Only where one of them gives up before the buffer is full. */
function lanesOf({ lanes }: Sized): string[] {
  if (lanes.every(({ lastsSeconds }) => lastsSeconds === null)) return [];
  const rows = lanes.map(({ lane, over, lastsSeconds }): Cell[] => {
    const then = over === 'hold' ? 'devices wait' : 'its oldest events are lost for it';
    return [lane, lastsSeconds === null ? 'as the buffer' : during(lastsSeconds), then];
  });
  return [table([['LANE', 'LASTS', 'THEN (lag.over)'], ...rows])];
}

function ageOf({ seconds }: Sized, { buffer }: Config): string[] {
  if (buffer.whenFull !== 'dropOldest' || buffer.ageMs >= seconds * msPerSecond) return [];
  return [`But buffer.age ${showDuration(buffer.ageMs)} drops events before that: raise it too.\n`];
}

function during(seconds: number): string {
  return roughDuration(seconds * msPerSecond).replace(/ 0[hms]$/, '');
}

/** Three figures, where there are more behind the point. */
function rounded(value: number): number {
  const figures = 3;
  return value >= 10 ** (figures - 1) ? Math.round(value) : Number(value.toPrecision(figures));
}

export function sizeDocument(sized: Sized, { buffer }: Config): unknown {
  const { load, seconds, walBytes, deadLetterBytes, chosen, choices, lanes } = sized;
  const { bytes, whenFull, compression } = buffer;
  const { commitEveryMs: _, ...rest } = load;
  return {
    load: { ...rest, seconds },
    ...flat(chosen),
    diskBytes: chosen.neededBytes + besideBufferBytes,
    reserveBytes: bufferReserveBytes,
    present: { bytes, whenFull, compression, deadLetterBytes, walBytes },
    compressionCounted: false,
    lanes,
    choices: choices.map(flat),
  };
}

function flat({ cost, ...rest }: AtCommitEvery): Record<string, unknown> {
  return { ...rest, ...cost };
}
