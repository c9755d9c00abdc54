/**
 * The core's border: what it imports and exports, what it promises about its memory, and that every
 * number which stands on both sides of it is the same on both.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  chunkRegionBytes,
  limitBuckets,
  limitsMax,
  maxPacketSizeCeilingBytes,
  routesMax,
  segmentRegionBytes,
  topicNameBytes,
} from '../agent/bounds.ts';
import { placeNames } from '../agent/frames/abi.ts';
import { limitOver, limitPer, loadCore, row, rowWords } from '../agent/frames/core.ts';
import { faults } from '../agent/frames/faults.ts';
import { call } from './vectors/call.ts';

interface Wasm {
  readonly Module: {
    new (bytes: Uint8Array): object;
    imports(module: object): unknown[];
    exports(module: object): { name: string; kind: string }[];
  };
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: Wasm };
const root = new URL('../', import.meta.url);
const wasm = readFileSync(new URL('wasm-core/build/core.wasm', root));
const pageBytes = 65_536;
const nothing = new Uint8Array(0);

const calls = [
  'allowClear',
  'allowAdd',
  'routesClear',
  'routeAdd',
  'routeFor',
  'limitAdd',
  'routesRenew',
  'limitClaim',
  'limitsSettle',
  'limitKeep',
  'localClear',
  'localAdd',
  'bucketsClear',
  'ingest',
  'connectVersion',
  'consumed',
  'stop',
  'needed',
  'waitMs',
  'heldLimit',
  'heldShared',
  'fault',
  'aliasWanted',
  'segmentFrames',
  'segmentBytes',
  'seal',
  'segmentReset',
  'verify',
  'crc32c',
  'overflows',
];

async function constantsOf(file: string): Promise<Record<string, number>> {
  const names = await import(new URL(`wasm-core/${file}`, root).href);
  return { ...names } as Record<string, number>;
}

/** PACKET_TOO_LARGE → packetTooLarge */
function camel(name: string): string {
  return name.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

test('the core imports nothing and exports the ABI and nothing else', () => {
  const module = new WebAssembly.Module(wasm);
  assert.deepEqual(WebAssembly.Module.imports(module), []);
  const exported = WebAssembly.Module.exports(module).map(({ name }) => name);
  assert.deepEqual(exported.toSorted(), ['memory', ...calls, ...placeNames].toSorted());
});

test('the memory is fixed: as large at start as it may ever be', () => {
  const { bytes } = loadCore();
  const options = JSON.parse(readFileSync(new URL('asconfig.json', root), 'utf8')).options;
  assert.equal(options.initialMemory, options.maximumMemory);
  assert.equal(options.importMemory, false);
  assert.equal(bytes.length, options.initialMemory * pageBytes);
  // Section 5 (memory) of the module itself: one memory, flag 1 (it has a maximum), min = max.
  const pages = options.initialMemory as number;
  const section = Buffer.from([5, 4, 1, 1, pages, pages]);
  assert.ok(pages < 128 && wasm.includes(section), 'the module’s memory has minimum = maximum');
});

test('the memory map holds every region, in order, apart from each other', async () => {
  const map = await constantsOf('layout.ts');
  const at = (name: string): number => map[name] ?? Number.NaN;
  const regions: [name: string, offset: number, bytes: number][] = [
    ['crc', at('CRC_OFFSET'), at('CRC_BYTES')],
    ['routes', at('ROUTES_OFFSET'), at('ROUTES_MAX') * at('ROUTE_BYTES')],
    ['limits', at('LIMITS_OFFSET'), at('LIMITS_MAX') * at('LIMIT_BYTES')],
    ['counts', at('COUNTS_OFFSET'), at('ROUTES_MAX') * 4],
    ['aliases', at('ALIASES_OFFSET'), at('ALIASES_MAX') * at('ALIAS_BYTES')],
    ['stack', at('STACK_OFFSET'), at('NODES_MAX') * at('STACK_ENTRY_BYTES')],
    ['route trie', at('ROUTE_TRIE'), at('TRIE_BYTES')],
    ['local trie', at('LOCAL_TRIE'), at('TRIE_BYTES')],
    ['allow trie', at('ALLOW_TRIE'), at('TRIE_BYTES')],
    ['buckets', at('BUCKETS_OFFSET'), at('BUCKETS_MAX') * at('BUCKET_BYTES')],
    ['seen bits', at('SEEN_BITS_OFFSET'), at('SEEN_BITS_BYTES')],
    ['name', at('NAME_OFFSET'), at('NAME_BYTES')],
    ['client', at('CLIENT_OFFSET'), at('CLIENT_BYTES')],
    ['seen', at('SEEN_OFFSET'), at('SEEN_BYTES')],
    ['scratch', at('SCRATCH_OFFSET'), at('SCRATCH_BYTES')],
    ['table', at('TABLE_OFFSET'), at('TABLE_ROWS') * at('ROW_BYTES')],
    ['chunk', at('CHUNK_OFFSET'), at('CHUNK_BYTES') + at('SLACK_BYTES')],
    ['segment', at('SEGMENT_OFFSET'), at('SEGMENT_BYTES') + at('SLACK_BYTES')],
  ];
  let end = pageBytes; // the compiler's own
  for (const [name, offset, bytes] of regions) {
    assert.ok(bytes > 0 && offset >= end, `${name} begins behind what stands before it`);
    assert.equal(offset % 8, 0, `${name} is aligned`);
    end = offset + bytes;
  }
  assert.equal(at('MEMORY_END'), end);
  assert.ok(end <= loadCore().bytes.length);
});

test('layout.ts, bounds.ts and the exported places agree', async () => {
  const map = await constantsOf('layout.ts');
  const core = loadCore();
  for (const name of placeNames) assert.equal(core[name], map[name], name);
  assert.equal(core.CHUNK_BYTES, chunkRegionBytes);
  assert.equal(core.SEGMENT_BYTES, segmentRegionBytes);
  assert.equal(core.ROW_BYTES, rowWords * 4);
  assert.equal(map.ROUTES_MAX, routesMax);
  assert.equal(map.LIMITS_MAX, limitsMax);
  assert.equal(map.BUCKETS_MAX, limitBuckets);
  assert.equal(map.STRING_MAX, topicNameBytes);
  const header = 64;
  // The device's name, the Client Identifier, and a Topic Name that only an alias stands for.
  const largestFrame = header + maxPacketSizeCeilingBytes + 3 * topicNameBytes;
  assert.ok(header + largestFrame < core.SEGMENT_BYTES, 'the largest frame fits an empty segment');
  const words = Object.entries(map).filter(([name]) => /^ROW_(?!BYTES)/.test(name));
  const named = words.map(([name, word]) => [camel(name.slice('ROW_'.length)), word]);
  assert.deepEqual(Object.fromEntries(named), row);
});

test('every fault has the same number and name inside and outside', async () => {
  const inside = Object.entries(await constantsOf('fault.ts'))
    .map(([name, number]) => [camel(name.slice('FAULT_'.length)), number] as const)
    .filter(([name]) => name !== 'none');
  assert.deepEqual(Object.fromEntries(inside), faults);
  assert.equal(new Set(inside.map(([, number]) => number)).size, inside.length);
});

test('arguments that do not fit are a fault, never a read outside', () => {
  const core = loadCore();
  for (const bytes of [core.CHUNK_BYTES + 1, -1]) {
    assert.equal(call(core, nothing, { lengths: { bytes } }), 0);
    assert.equal(core.fault(), faults.argument);
  }
  for (const bytes of [65_536, -1]) {
    for (const region of ['name', 'client', 'alias']) {
      assert.equal(call(core, nothing, { lengths: { [region]: bytes } }), 0);
      assert.equal(core.fault(), faults.argument, region);
    }
  }
  for (const seenIdentifiers of [65_537, -1]) {
    assert.equal(call(core, nothing, { seenIdentifiers }), 0);
    assert.equal(core.fault(), faults.argument, 'seen');
  }
  for (const bytes of [-1, 65_536]) {
    assert.equal(core.routeAdd(bytes, 1, 0, 0), -faults.argument);
    assert.equal(core.allowAdd(bytes, 1), -faults.argument);
  }
  for (const bytes of [-1, 0, 63, core.SEGMENT_BYTES + 1, 2 ** 31 - 1]) {
    assert.equal(core.verify(bytes), faults.segmentLength);
  }
});

test('whatever the Topic Alias, nothing but what a call may write is written', async () => {
  const map = await constantsOf('layout.ts');
  const core = loadCore();
  core.routeAdd(core.bytes.write('plant/+/#', core.SCRATCH_OFFSET), 1, 0, 0);
  const [from, to] = [map.ROUTE_TRIE ?? 0, core.NAME_OFFSET];
  const before = core.crc32c(from, to - from);
  for (const alias of [1, 255, 256, 257, 40_000, 65_535]) {
    const packet = Buffer.from('30090003612f6203230000', 'hex');
    packet.writeUInt16BE(alias, packet.length - 2);
    assert.equal(call(core, packet, { version: 5 }), 1);
    assert.equal(core.crc32c(from, to - from), before, `alias ${alias}`);
  }
});

test('limits and routes that make no sense are refused by number', () => {
  const core = loadCore();
  const filter = core.bytes.write('a', core.SCRATCH_OFFSET);
  const route = core.routeAdd(filter, 1, 0, 0);
  const add = (
    at: number,
    per: number,
    messages: number,
    bytes: number,
    burst: number,
    burstBytes: number,
    over: number,
  ): number => core.limitAdd(at, per, messages, bytes, burst, burstBytes, over);
  assert.equal(add(1, 0, 1, 0, 1, 0, 0), -faults.routeUnknown);
  assert.equal(add(-1, 0, 1, 0, 1, 0, 0), -faults.routeUnknown);
  const invalid = [
    add(route, 4, 1, 0, 1, 0, 0),
    add(route, 0, 1, 0, 1, 0, 3),
    add(route, 0, 0, 0, 1, 1, 0),
    add(route, 0, -1, 0, 1, 0, 0),
    add(route, 0, Number.NaN, 0, 1, 0, 0),
    add(route, 0, 1, 0, 0, 0, 0),
    add(route, 0, Number.POSITIVE_INFINITY, 0, 1, 0, 0),
    add(route, 0, 0, 5, 0, Number.NaN, 0),
  ];
  for (const made of invalid) assert.equal(made, -faults.limitInvalid);
  for (let i = 0; i < limitsMax; i++) {
    assert.equal(add(route, limitPer.device, 1, 0, 1, 0, limitOver.hold), i);
  }
  assert.equal(add(route, 0, 1, 0, 1, 0, 0), -faults.limitsFull);
  for (let i = 1; i < routesMax; i++) assert.equal(core.routeAdd(filter, i, 0, 0), i);
  assert.equal(core.routeAdd(filter, 9, 0, 0), -faults.routesFull);
  core.routesClear();
  assert.equal(core.routeAdd(filter, 9, 0, 0), 0, 'after routesClear there is room again');
});
