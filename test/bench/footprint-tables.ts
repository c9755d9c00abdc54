/**
 * The figures of the footprint as tables for people, each beside its target, and what the wear
 * means for an SD card's years: the card's size × its rated cycles, by what is written in a day.
 * Flash controllers write more than they are told (their own amplification, here 2) and wear
 * levelling is not perfect: years are an order of size, not a promise.
 */
import type { BoxFigures, Footprint, MemoryFigures, WearFigures } from './footprint.ts';

const idleTargetMib = { files: 85, kafka: 130 } as const;
const loadedTargetMib = 160;
const readyTargetMs = 1_500;
const gib = 1024 ** 3;
const daysPerYear = 365;
const controllerWrites = 2;
const mostYears = 100;
/** Rated program/erase cycles: consumer TLC about 1,000; an industrial pSLC card about 20,000. */
const cards = [
  { name: '32 GB consumer card', bytes: 32e9, cycles: 1_000 },
  { name: '8 GB industrial pSLC', bytes: 8e9, cycles: 20_000 },
] as const;

export function tables(found: Footprint): string {
  return [
    ...(found.memory.length > 0 ? memoryTable(found.memory) : []),
    ...(found.box === null ? [] : boxTable(found.box)),
    ...(found.wear.length > 0 ? wearTable(found.wear) : []),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function memoryTable(memory: readonly MemoryFigures[]): string[] {
  return [
    '',
    '| upstream | start to ready | RSS at rest | peak RSS at 5,000 messages/s | acknowledged/s |',
    '|---|---:|---:|---:|---:|',
    ...memory.map(({ upstream, readyMs, idleMib, loadedMib, perSecond }) => {
      const ready = `${(readyMs / 1000).toFixed(2)} s ${met(readyMs, readyTargetMs)} 1.5`;
      const idle = against(idleMib, idleTargetMib[upstream]);
      const loaded = against(loadedMib, loadedTargetMib);
      return `| ${upstream} | ${ready} | ${idle} | ${loaded} | ${Math.round(perSecond)} |`;
    }),
  ];
}

function against(mib: number, target: number): string {
  return `${mib.toFixed(0)} MiB ${met(mib, target)} ${target}`;
}

function met(value: number, target: number): string {
  return value <= target ? '≤' : '> (missed)';
}

function boxTable(box: BoxFigures | string): string[] {
  if (typeof box === 'string') return ['', `No small box: ${box}`];
  const { readyMs, peakMib, perSecond, kills } = box;
  return [
    '',
    `In 192 MiB and half a core, Kafka as upstream: ready after ${(readyMs / 1000).toFixed(2)} s,`,
    `${Math.round(perSecond)} messages/s acknowledged of 5,000 asked for, peak RSS ` +
      `${peakMib.toFixed(0)} MiB, ended for memory ${kills} times.`,
  ];
}

function wearTable(wear: readonly WearFigures[]): string[] {
  const knobs = 'messages/s | commitEvery | compression';
  const names = cards.map(({ name }) => `years of a ${name}`).join(' | ');
  return [
    '',
    `| ${knobs} | written a payload byte | written a day | ${names} |`,
    `|---:|---:|---|---:|---:|${cards.map(() => '---:|').join('')}`,
    ...wear.map(({ perSecond, commitEvery, compression, writtenPerByte, writtenPerDay }) => {
      const years = cards.map(({ bytes, cycles }) => {
        const lasts = (bytes * cycles) / (writtenPerDay * controllerWrites * daysPerYear);
        return lasts > mostYears ? `> ${mostYears}` : lasts.toFixed(lasts < 10 ? 1 : 0);
      });
      const day = `${(writtenPerDay / gib).toFixed(1)} GiB`;
      const figures = [
        perSecond,
        commitEvery,
        compression,
        writtenPerByte.toFixed(1),
        day,
        ...years,
      ];
      return `| ${figures.join(' | ')} |`;
    }),
  ];
}
