/**
 * Frame → NATS message: subjects, which must be the original ones where the frame came over NATS,
 * headers that no device can bend, and the bytes of both as the library reads them back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { headers } from 'nats';
import type { RouteTarget } from '../agent/buffer/protocol.ts';
import { judge } from '../agent/egress/nats-answers.ts';
import { encodeHeaders } from '../agent/egress/nats-headers.ts';
import { MissingSubjects } from '../agent/egress/nats-missing.ts';
import { Parcels } from '../agent/egress/nats-parcels.ts';
import { subjectOf } from '../agent/egress/nats-subject.ts';
import {
  type Binding,
  type EgressRecord,
  type Frame,
  type FrameProperties,
  RouteRenderer,
} from '../agent/egress/record.ts';
import { WindowSegment } from '../agent/egress/window.ts';
import { epoch, frameOf, routeOf } from './support/egress-rig.ts';

const segment = new WindowSegment(1, 10_000, 0, 0);
const overNats = 2;
const none: FrameProperties = { userProperties: [] };

function render(
  target: Partial<RouteTarget>,
  frame: Partial<Frame>,
  properties: FrameProperties | null = null,
  { from = '#', binding = 'nats' }: { from?: string; binding?: Binding } = {},
): EgressRecord {
  const route = { ...routeOf({ topic: '{topic}', ...target }), from };
  const renderer = new RouteRenderer(route, route.targets[0] as RouteTarget, {
    gateway: route.gateway,
    binding,
    properties: () => properties ?? none,
  });
  const bytes = new Uint8Array(properties === null ? 0 : 1);
  return renderer.render(frameOf({ number: 42, properties: bytes, ...frame }), epoch, segment, 0);
}

/** Name and value of each line, as they stand on the wire. */
function linesOf(record: EgressRecord): [string, string][] {
  const text = encodeHeaders(record).toString();
  assert.ok(text.startsWith('NATS/1.0\r\n') && text.endsWith('\r\n\r\n'), text);
  const lines = text.slice('NATS/1.0\r\n'.length, -'\r\n\r\n'.length).split('\r\n');
  return lines.map((line) => {
    const at = line.indexOf(': ');
    return [line.slice(0, at), line.slice(at + 2)];
  });
}

const headersOf = (record: EgressRecord) => Object.fromEntries(linesOf(record));
const subjectFor = (topicName: string, target = {}, from = '#') =>
  render(target, { topicName }, null, { from }).place;

test('a Topic Name becomes a subject level by level, and no two become one', () => {
  const known: [string, string][] = [
    ['plant/7/t', 'plant.7.t'],
    ['plant/v1.2/t', 'plant.v1%2E2.t'],
    ['a b/*/>/x*', 'a%20b.%2A.%3E.x%2A'],
    ['100%/ä', '100%25.ä'],
    ['/a//b/', '/.a./.b./'],
    ['a\u0085b', 'a%C2%85b'],
  ];
  for (const [topicName, subject] of known) {
    const { topic, fault } = subjectFor(topicName);
    assert.equal(topic, subject);
    assert.equal(fault, null, topicName);
  }
  const seen = new Map<string, string>();
  const anyLevel = fc.string({
    unit: fc.constantFrom('a', '.', '%', '*', ' ', '2', 'E'),
    maxLength: 4,
  });
  fc.assert(
    fc.property(fc.array(anyLevel, { minLength: 1, maxLength: 4 }), (levels) => {
      const topicName = levels.join('/');
      if (topicName === '') return;
      const { topic, fault } = subjectFor(topicName);
      assert.equal(fault, null, topicName);
      assert.equal(seen.get(topic) ?? topicName, topicName);
      seen.set(topic, topicName);
    }),
    { numRuns: 500 },
  );
});

/** As a source stores it. */
function topicNameOf(subject: string): string {
  const escaped = (token: string) =>
    token.replaceAll(/[%/+#]/g, (one) => encodeURIComponent(one).toUpperCase());
  return subject.split('.').map(escaped).join('/');
}

test('what came over NATS has its own subject again, in the topic and in ce_subject', () => {
  const token = fc.string({ unit: fc.constantFrom('a', '%', '/', '+', '#', '2', '5', 'F', 'ä') });
  fc.assert(
    fc.property(fc.array(token, { minLength: 1, maxLength: 4 }), (tokens) => {
      if (tokens.includes('')) return;
      const subject = tokens.join('.');
      assert.equal(subjectOf(topicNameOf(subject)), subject);
    }),
  );
  const topicName = topicNameOf('plant.a/b.50%25.x*y');
  const target = { topic: 'up.{1}.{device}' };
  const frame = { topicName, device: topicName, protocol: overNats };
  const record = render(target, frame, null, { from: 'plant/#' });
  assert.equal(record.place.topic, 'up.a/b.50%25.x*y.plant.a/b.50%25.x*y');
  assert.equal(record.place.fault, null);
  assert.equal(headersOf(record)['ce-subject'], 'plant.a/b.50%2525.x*y');
  for (const [binding, name] of [
    ['kafka', 'ce_subject'],
    ['mqtt', 'subject'],
    ['file', 'ce_subject'],
  ] as const) {
    const { place } = render({ topic: 't' }, frame, null, { binding });
    assert.equal(Object.fromEntries(place.headers)[name], 'plant.a/b.50%25.x*y', binding);
  }
});

test('one device on one Topic Name is told apart by how its frames came', () => {
  const route = { ...routeOf({ topic: '{topic}' }), from: '#' };
  const renderer = new RouteRenderer(route, route.targets[0] as RouteTarget, {
    gateway: 'gw1',
    binding: 'nats',
    properties: () => none,
  });
  for (let i = 0; i < 4; i++) {
    const protocol = 1 + (i % 2);
    const frame = frameOf({ topicName: 'a/b%2Fc', protocol });
    const { place } = renderer.render(frame, epoch, segment, i);
    assert.equal(place.topic, protocol === overNats ? 'a.b/c' : 'a.b%252Fc');
    const source = Object.fromEntries(place.headers)['ce-source'];
    assert.equal(source, protocol === overNats ? '//gw1/nats/d1' : '//gw1/mqtt/d1');
  }
});

test('a subject that NATS would not take is a dead letter, with the reason', () => {
  const wrong: [string, RegExp][] = [
    ['', /empty/],
    ['a.', /empty/],
    ['.a', /empty/],
    ['a..b', /empty/],
    ['a.*', /wildcard/],
    ['>', /wildcard/],
    ['a b', /white space/],
    ['a\tb', /white space/],
    ['x'.repeat(4_001), /longer than 4000/],
  ];
  for (const [topic, why] of wrong) {
    const { fault } = subjectFor('a/b', { topic });
    assert.equal(fault?.code, 'topicInvalid', topic);
    assert.match(fault?.detail ?? '', why);
  }
  assert.match(subjectFor('plant', { topic: 'a.{1}' }, 'plant/#').fault?.detail ?? '', /empty/);
  for (const topic of ['a', 'a.b', 'a*b.c>', 'A-_/.9', 'x'.repeat(4_000)]) {
    assert.equal(subjectFor('a/b', { topic }).fault, null, topic);
  }
});

test('no device gives orders to the server: $ at the front is for the config to say', () => {
  const order = { topicName: 'plant/$JS/API/STREAM/DELETE/S', device: '$SYS/x' };
  for (const topic of ['{1}', '{device}', '{1}.x']) {
    const { place } = render({ topic }, order, null, { from: 'plant/#' });
    assert.match(place.fault?.detail ?? '', /names? a subject of the server/, topic);
  }
  for (const topic of ['$KV.state.{1}', 'up.{1}']) {
    assert.equal(render({ topic }, order, null, { from: 'plant/#' }).place.fault, null, topic);
  }
  const { place } = render({}, { topicName: '$KV/state/x', protocol: overNats }, null, {
    from: '$KV/#',
  });
  assert.deepEqual([place.topic, place.fault], ['$KV.state.x', null]);
});

test('attributes are percent-encoded as the binding says', () => {
  const frame = { topicName: 'Euro € 😀/"5%"', device: 'd/ä', eventId: 'é 1' };
  const headers = headersOf(render({}, frame, { ...none, contentType: 'a/b; c="d"' }));
  assert.equal(headers['ce-subject'], 'Euro%20%E2%82%AC%20%F0%9F%98%80/%225%25%22');
  assert.equal(headers['ce-source'], '//gw1/mqtt/d%252F%25C3%25A4');
  assert.equal(headers['ce-id'], '%C3%A9%201');
  assert.equal(headers['Nats-Msg-Id'], headers['ce-id']);
  assert.equal(headers['ce-datacontenttype'], 'a/b;%20c=%22d%22');
  assert.equal(headers['content-type'], undefined);
});

const forging: FrameProperties = {
  userProperties: [
    ['unit', 'C'],
    ['unit', 'K'],
    ['CE-id', 'forged'],
    ['ce-\nx', 'forged'],
    ['nats-expected-stream', 'x'],
    ['Tidegate-Clock', 'forged'],
    ['Nats-Msg-Id', `gw1/${epoch}/42`],
    ['mqtt-response-topic', 'forged'],
    ['', 'nameless'],
    ['a:b c', '50%'],
    ['edge', ' 50% '],
    ['tidegate-via', 'gw0'],
  ],
  responseTopic: 'answers/d1',
};

test('what rides along cannot speak for the gateway or steer the server', () => {
  const lines = linesOf(render({}, {}, forging));
  assert.deepEqual(
    lines.slice(0, -4).filter(([name]) => !/^ce-(id|time)$/.test(name)),
    [
      ['Nats-Msg-Id', `gw1/${epoch}/42`],
      ['mqtt-response-topic', 'answers/d1'],
      ['unit', 'C'],
      ['unit', 'K'],
      ['mqtt-CE-id', 'forged'],
      ['mqtt-ce-%0Ax', 'forged'],
      ['mqtt-nats-expected-stream', 'x'],
      ['mqtt-Tidegate-Clock', 'forged'],
      ['mqtt-mqtt-response-topic', 'forged'],
      ['mqtt-', 'nameless'],
      ['a%3Ab%20c', '50%'],
      ['edge', '%2050%25%20'],
      ['tidegate-via', 'gw0,gw1'],
    ],
  );
  const fromNats = headersOf(render({}, { protocol: overNats }, forging));
  assert.equal(fromNats['source-nats-expected-stream'], 'x');
  const inKafka = render(
    {},
    { protocol: overNats },
    { userProperties: [['ce_id', 'x']] },
    { binding: 'kafka' },
  );
  assert.equal(Object.fromEntries(inKafka.headers)['source-ce_id'], 'x');
});

test('envelope: none leaves the id for the server, what came, and the way it took', () => {
  const lines = linesOf(render({ envelope: 'none', headers: { 'my line': 'a\nb' } }, {}, forging));
  const all = Object.fromEntries(lines);
  assert.equal(all['Nats-Msg-Id'], `gw1/${epoch}/42`);
  assert.equal(all['CE-id'], 'forged');
  assert.equal(all['mqtt-nats-expected-stream'], 'x');
  assert.equal(all['my%20line'], 'a%0Ab');
  assert.equal(all['tidegate-via'], 'gw0,gw1');
  assert.equal(all['ce-time'], undefined);
});

test('the targets of one upstream do not share a Nats-Msg-Id, those of two do', () => {
  const [first] = routeOf({ lane: 'a/at-least-once' }).targets as [RouteTarget];
  const targets = [
    first,
    { ...first, lane: 'b/at-least-once' as const },
    { ...first, lane: 'a/at-most-once' as const },
  ];
  const route = { ...routeOf(), targets };
  const ids = targets.map((target) => {
    const options = { gateway: 'gw1', binding: 'nats' as const, properties: () => none };
    const renderer = new RouteRenderer(route, target, options);
    return headersOf(renderer.render(frameOf({ number: 7 }), epoch, segment, 0))['Nats-Msg-Id'];
  });
  const id = `gw1/${epoch}/7`;
  assert.deepEqual(ids, [id, id, `${id}#2`]);
});

test('any name and value make header lines that the library takes as they are', () => {
  const anyText = fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed());
  fc.assert(
    fc.property(fc.array(fc.tuple(anyText, anyText), { maxLength: 4 }), (userProperties) => {
      const lines = linesOf(render({}, {}, { userProperties }));
      // Throws for a name or value that it would not send.
      const again = headers();
      for (const [name, value] of lines) again.append(name, value);
      for (const [name, value] of lines) assert.ok(again.values(name).includes(value), name);
      assert.equal(lines.filter(([name]) => /^nats-/i.test(name)).length, 1);
    }),
    { numRuns: 300 },
  );
});

test('an answer confirms only if it is a PubAck', () => {
  const of = (text: string) => judge({ data: Buffer.from(text) } as never, 's').kind;
  assert.equal(of('{"stream":"S","seq":1}'), 'confirmed');
  assert.equal(of('{"stream":"S","seq":1,"duplicate":true}'), 'confirmed');
  for (const text of ['', 'null', '1', '{}', '+ACK', '{"stream":"S"}', '{"seq":1}', '{"stream"']) {
    assert.equal(of(text), 'foreign', text);
  }
  const refused = (code: number, errCode: number) => {
    const error = { code, err_code: errCode, description: 'd' };
    const data = Buffer.from(JSON.stringify({ error, stream: 'S', seq: 0 }));
    const answer = judge({ data } as never, 's');
    assert.equal(answer.kind, 'refused');
    return answer.kind === 'refused' && answer.isFinal;
  };
  for (const [code, errCode] of [
    [503, 10_077],
    [503, 10_023],
    [500, 10_047],
    [400, 1],
  ] as const) {
    assert.equal(refused(code, errCode), false);
  }
  for (const errCode of [10_054, 10_097]) assert.equal(refused(400, errCode), true);
});

test('a subject is believed missing only after a while, and anew once a stream took it', () => {
  const missing = new MissingSubjects(100);
  assert.equal(missing.heard('a', 0), false);
  assert.equal(missing.heard('a', 99), false);
  assert.equal(missing.heard('b', 99), false);
  assert.equal(missing.heard('a', 100), true);
  missing.found('a');
  assert.equal(missing.heard('a', 200), false);
});

test('parcels that failed go again at their old places, whatever else happened', () => {
  const parcels = new Parcels();
  const records = Array.from({ length: 3_000 }, (_, i) => ({ timestampMs: i }) as EgressRecord);
  for (const record of records) parcels.add(record);
  const got: number[] = [];
  let round = 0;
  while (parcels.size > 0) {
    round += 1;
    for (let i = 0; i < 700; i++) parcels.take(0);
    const out = parcels.outNow();
    // Of those that are out, every third fails in a mixed order, and none that is after them waits.
    const failed = out.filter((_, i) => i % 3 === round % 3);
    for (const one of failed.toReversed()) parcels.fail(one);
    for (const one of out) {
      if (failed.includes(one)) continue;
      got.push(one.record.timestampMs);
      parcels.gone(one);
    }
    assert.equal(parcels.find(out[0]?.token ?? 0), null);
    parcels.reclaim();
    const next = parcels.take(0);
    if (failed.length > 0) assert.equal(next, failed[0]);
    parcels.allBack();
  }
  const all = records.map(({ timestampMs }) => timestampMs);
  assert.deepEqual(
    got.toSorted((a, b) => a - b),
    all,
  );
});

const overHttp = 3;
const cloudEvent = (...more: readonly (readonly [string, string])[]): FrameProperties => ({
  userProperties: [
    ['ce_specversion', '1.0'],
    ['ce_id', '1'],
    ['ce_source', '/erp'],
    ['ce_type', 'order'],
    ...more,
  ],
});
const ofService = (device: string, properties: FrameProperties) =>
  render({ envelope: 'cloudevents' }, { device, protocol: overHttp, eventId: '1' }, properties);

test('CloudEvents of services are told apart by device, source and id', () => {
  const ids = [
    ofService('erp', cloudEvent()),
    ofService('erp', cloudEvent()),
    ofService('mes', cloudEvent()),
    ofService('erp', { userProperties: [...cloudEvent().userProperties].reverse() }),
    ofService('erp', {
      userProperties: cloudEvent().userProperties.map(([name, value]) => {
        return [name, name === 'ce_source' ? '/mes' : value];
      }),
    }),
  ].map((record) => headersOf(record)['Nats-Msg-Id']);
  assert.equal(ids[0], ids[1]);
  assert.equal(ids[0], ids[3]);
  assert.equal(new Set(ids).size, 3);
  const headers = headersOf(ofService('erp', cloudEvent()));
  assert.deepEqual(
    [headers['ce-id'], headers['ce-source'], headers['ce-type']],
    ['1', '/erp', 'order'],
  );
});

test('no attribute of a service’s event writes a header of its own', () => {
  const bent = cloudEvent(['ce_x: 1\r\nNats-Rollup', 'all'], ['ce_ok', 'a\r\nNats-Rollup: all']);
  const names = linesOf(ofService('erp', bent)).map(([name]) => name);
  assert.ok(!names.some((name) => /^nats-rollup/i.test(name)), names.join(' '));
});
