/**
 * What a call is told about its connection: identifiers it has not released, its groups, its Client
 * Identifier. Against naive models, and that nothing of one connection is left for the next.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Core, ingestFlags, loadCore, row, rowWords, verdicts } from '../agent/frames/core.ts';
import { faults } from '../agent/frames/faults.ts';
import { PathCore } from '../agent/frames/path-core.ts';
import { type FrameView, SegmentReader } from '../agent/frames/segment-reader.ts';
import { seedOfRun } from './support/random.ts';
import { matches } from './support/topics.ts';
import { call } from './vectors/call.ts';
import { feed } from './vectors/vector.ts';

const seed = seedOfRun();
const runs = 2_000;
const { capture, captureQos2, allow, copyAll } = ingestFlags;
const identifierMax = 65_535;

function coreWithRoute(filter = '#'): Core {
  const core = loadCore();
  core.routeAdd(core.bytes.write(filter, core.SCRATCH_OFFSET), 7, 0, 0);
  return core;
}

function publish(topicName: string, qos = 0, identifier = 1): Buffer {
  const name = Buffer.from(topicName);
  const tail = qos > 0 ? [identifier >> 8, identifier & 0xff] : [];
  const head = [0x30 | (qos << 1), name.length + 2 + tail.length, 0, name.length];
  return Buffer.concat([Buffer.from(head), name, Buffer.from(tail)]);
}

const pubrel = (identifier: number): Buffer =>
  Buffer.of(0x62, 2, identifier >> 8, identifier & 0xff);

const verdictsOf = (core: Core, rows: number): number[] =>
  Array.from({ length: rows }, (_, index) => core.rows[index * rowWords + row.verdict] ?? -1);

test('QoS 2 under an identifier is a repeat until its PUBREL, as a naive set sees it', (t) => {
  t.diagnostic(`seed ${seed}`);
  const core = coreWithRoute();
  const identifiers = fc.constantFrom(1, 2, 7, 8, 9, 255, 256, identifierMax);
  const step = fc.tuple(fc.constantFrom('publish', 'release'), identifiers);
  fc.assert(
    fc.property(fc.uniqueArray(identifiers), fc.array(step, { maxLength: 30 }), (known, steps) => {
      const held = new Set(known);
      const expected = steps.map(([kind, identifier]) => {
        if (kind === 'release') {
          held.delete(identifier);
          return verdicts.pass;
        }
        const verdict = held.has(identifier) ? verdicts.repeat : verdicts.admit;
        held.add(identifier);
        return verdict;
      });
      const packets = steps.map(([kind, identifier]) =>
        kind === 'release' ? pubrel(identifier) : publish('t', 2, identifier),
      );
      const options = { version: 4, flags: captureQos2, seen: known };
      const { rows } = feed(core, packets, options);
      const whole = feed(core, [Buffer.concat(packets)], options);
      assert.deepEqual(
        rows.map(({ verdict }) => verdict),
        expected,
      );
      assert.deepEqual(whole.rows, rows);
    }),
    { seed, numRuns: runs },
  );
});

test('no identifier of one call is left for the next, whatever stopped it', () => {
  const core = coreWithRoute('t');
  core.limitAdd(0, 1, 0.001, 0, 40, 0, 0);
  const all = Array.from({ length: identifierMax }, (_, index) => index + 1);
  const chunk = Buffer.concat(all.slice(0, 30).map((identifier) => publish('t', 2, identifier)));
  const flags = capture | captureQos2;
  for (const [seen, more] of [
    [all, Buffer.alloc(0)],
    [[], Buffer.alloc(0)],
    [[900], Buffer.from('36', 'hex')],
    [[], Buffer.from('00', 'hex')],
  ] as const) {
    call(core, Buffer.concat([chunk, pubrel(3), more]), { flags, seen });
    for (const identifier of [1, 3, 30, 900, identifierMax]) {
      const packet = publish('free', 2, identifier);
      assert.equal(call(core, packet, { flags }), 1);
    }
    core.bucketsClear(0, 0);
    assert.equal(call(core, publish('t', 2, 17), { flags }), 1);
    assert.equal(core.rows[row.verdict], verdicts.admit);
    core.segmentReset();
    core.bucketsClear(0, 0);
  }
});

test('without capture every PUBLISH passes, whatever the routes say', () => {
  const core = coreWithRoute();
  for (const qos of [0, 1, 2]) {
    assert.equal(call(core, publish('t', qos), { flags: captureQos2 | copyAll, seen: [1] }), 1);
    assert.deepEqual([core.rows[row.verdict], core.rows[row.route]], [verdicts.pass, -1]);
  }
  assert.equal(core.segmentFrames(), 0);
});

test('what is held or dropped is not seen: it may come again', () => {
  for (const [over, first] of [
    [0, []],
    [1, [verdicts.drop]],
  ] as const) {
    const core = coreWithRoute();
    core.limitAdd(0, 1, 1, 0, 1, 0, over);
    const flags = capture | captureQos2;
    assert.equal(call(core, publish('t', 2, 5), { flags }), 1);
    const rows = call(core, publish('t', 2, 6), { flags });
    assert.deepEqual(verdictsOf(core, rows), first);
    assert.equal(call(core, publish('t', 2, 6), { flags, livedMs: 1_000 }), 1);
    assert.equal(core.rows[row.verdict], verdicts.admit);
  }
});

test('a repeat is not charged and not stored, and needs neither budget nor room', () => {
  const core = coreWithRoute();
  core.limitAdd(0, 0, 1, 0, 1, 0, 0);
  const options = { flags: capture | captureQos2, seen: [9], budget: 1 };
  const packets = [publish('t', 2, 9), publish('t', 2, 9), publish('t', 1, 1)];
  const rows = call(core, Buffer.concat([...packets, publish('t', 2, 9)]), options);
  const { repeat, admit } = verdicts;
  assert.deepEqual(verdictsOf(core, rows), [repeat, repeat, admit, repeat]);
  assert.equal(core.segmentFrames(), 1);
});

const levels = fc.constantFrom('a', 'b', 'dev', '{device}', 'x{device}', '+', '');
const allowFilters = fc
  .tuple(fc.array(levels, { maxLength: 4 }), fc.boolean())
  .map(([parts, all]) => (all ? [...parts, '#'] : parts).join('/'))
  .filter((filter) => filter !== '');
const rules = fc.array(
  fc.record({ filter: allowFilters, groups: fc.constantFrom(1, 2, 4, 5, 2 ** 31) }),
  { maxLength: 8 },
);
const topicNames = fc
  .array(fc.constantFrom('a', 'b', 'dev', '{device}', '', '$S'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'))
  .filter((name) => name !== '');

test('a PUBLISH is denied unless a rule of its groups matches, as a naive matcher sees it', (t) => {
  t.diagnostic(`seed ${seed}`);
  const path = new PathCore();
  const devices = fc.constantFrom('dev', 'a', '{device}', 'a/b', '');
  const groupsOf = fc.constantFrom(0, 1, 2, 3, 4, 2 ** 31, 2 ** 32 - 1);
  fc.assert(
    fc.property(rules, topicNames, devices, groupsOf, (given, name, device, groups) => {
      path.installAllow(given);
      const flags = allow | capture;
      assert.equal(call(path.core, publish(name), { flags, groups, device }), 1);
      const allowed = given.some(
        (rule) => (rule.groups & groups) !== 0 && matches(rule.filter, name, device),
      );
      const expected = allowed ? verdicts.pass : verdicts.deny;
      assert.equal(path.core.rows[row.verdict], expected, `${name} of ${device}`);
    }),
    { seed, numRuns: runs },
  );
});

test('the device’s own level is the device’s name byte for byte, in routes it is text', () => {
  const path = new PathCore();
  path.installAllow([{ filter: 'plant/{device}/#', groups: 1 }]);
  const options = { flags: allow | capture, groups: 1, device: 'dévice' };
  const of = (name: string): number | undefined => {
    call(path.core, publish(name), options);
    return path.core.rows[row.verdict];
  };
  for (const name of ['plant/dévice', 'plant/dévice/a/b']) assert.equal(of(name), verdicts.pass);
  for (const name of ['plant/device', 'plant/{device}', 'plant/dévic', 'dévice', 'plant//']) {
    assert.equal(of(name), verdicts.deny, name);
  }
  const core = coreWithRoute('plant/{device}');
  call(core, publish('plant/{device}'), { device: 'dévice' });
  assert.equal(core.rows[row.verdict], verdicts.admit);
  call(core, publish('plant/dévice'), { device: 'dévice' });
  assert.equal(core.rows[row.verdict], verdicts.pass);
});

test('allow rules that do not fit are refused by number, and denied is what is left', () => {
  const { core } = new PathCore();
  const add = (filter: string): number =>
    core.allowAdd(core.bytes.write(filter, core.SCRATCH_OFFSET), 1);
  assert.equal(add('a/+b'), -faults.topicFilterWildcard);
  assert.equal(add(''), -faults.topicFilterEmpty);
  let added = 0;
  while (add(`s/${added}`) === 0) added++;
  assert.ok(added > 5_000, `${added} filters fitted`);
  assert.equal(add(`s/${added}`), -faults.trieFull);
  core.allowClear();
  assert.equal(add('s'), 0);
  call(core, publish('s/1'), { flags: allow, groups: 1 });
  assert.equal(core.rows[row.verdict], verdicts.deny);
});

test('a frame tells the claimed Client Identifier where it is not the device', () => {
  const core = coreWithRoute();
  const reader = new SegmentReader(loadCore());
  for (const client of ['', 'c', 'a claimed identifier, longer than a word', 'ü'.repeat(32_000)]) {
    const chunks = [publish('t/1'), publish('t/2')];
    const { body } = feed(core, chunks, { version: 4, device: 'proven', client });
    const open = reader.open(body);
    assert.ok('frame' in open);
    for (const [index, name] of ['t/1', 't/2'].entries()) {
      const frame: FrameView = open.frame(index);
      const { device, topicName } = frame;
      assert.deepEqual([device, frame.client, topicName], ['proven', client || 'proven', name]);
      assert.equal(frame.trace, null);
    }
  }
});

test('copyAll is for what is captured on a local route, and for nothing else', () => {
  const core = loadCore();
  core.routeAdd(core.bytes.write('far/#', core.SCRATCH_OFFSET), 1, 0, 0);
  core.routeAdd(core.bytes.write('near/#', core.SCRATCH_OFFSET), 2, 0, 1);
  const local = (name: string, flags: number, qos = 0): boolean =>
    feed(core, [publish(name, qos)], { version: 4, flags }).rows[0]?.local ?? false;
  assert.deepEqual(
    ['far/x', 'near/x', 'no/x'].map((name) => local(name, copyAll)),
    [false, true, false],
  );
  assert.equal(local('near/x', 0), false, 'nobody subscribed');
  assert.equal(local('near/x', copyAll, 2), false, 'QoS 2 that passes is itself what goes there');
});
