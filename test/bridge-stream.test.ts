/**
 * Requests of REST Proxy's version 3 that stay open: each record is answered when it is on disk,
 * while the next are still to come. And the splitter that finds objects in pieces of any size.
 */
import assert from 'node:assert/strict';
import { type ClientRequest, request } from 'node:http';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ObjectSplitter } from '../agent/bridge/objects.ts';
import { eventually } from './support/agent.ts';
import { arriveWithinMs, BridgeRig, token } from './support/bridge-rig.ts';

let rig: BridgeRig;
before(async () => {
  rig = await BridgeRig.start();
});
after(() => rig.agent[Symbol.asyncDispose]());

interface Told {
  readonly error_code: number;
  readonly offset?: number;
  readonly message?: string;
}

/** A client that keeps its request open. */
class Stream {
  readonly #request: ClientRequest;
  status: number | null = null;
  ended = false;
  #text = '';

  constructor(topicName: string) {
    const path = `/v3/clusters/c/topics/${encodeURIComponent(topicName)}/records`;
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
    const options = { host: '127.0.0.1', port: rig.agent.httpPort, path, method: 'POST', headers };
    this.#request = request(options, (response) => {
      this.status = response.statusCode ?? 0;
      response.setEncoding('utf8').on('data', (chunk: string) => {
        this.#text += chunk;
      });
      response.once('close', () => {
        this.ended = true;
      });
    });
    this.#request.on('error', () => {
      this.ended = true;
    });
    this.#request.flushHeaders();
  }

  send(text: string): void {
    this.#request.write(text);
  }

  end(): void {
    this.#request.end();
  }

  get told(): Told[] {
    const lines = this.#text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Told);
  }
}

const record = (value: string): string =>
  JSON.stringify({ value: { type: 'STRING', data: value } });

test('each record of an open request is answered before the next is sent', async () => {
  const stream = new Stream('plant/s/1');
  for (let n = 1; n <= 5; n++) {
    stream.send(record(`streamed ${n}`));
    await eventually('it is answered', arriveWithinMs, () => stream.told.length === n);
  }
  assert.ok(!stream.ended);
  assert.ok(stream.told.every(({ error_code }) => error_code === 200));
  stream.end();
  await eventually('it ends', arriveWithinMs, () => stream.ended);
  await rig.arrived('out', 'streamed 5');
});

test('a record may come in pieces, and a bad one is answered in its place', async () => {
  const stream = new Stream('plant/s/2');
  const first = record('in "pieces" {');
  stream.send(first.slice(0, 20));
  stream.send(`${first.slice(20)}\n{"value":1} ${record('behind it')}`);
  stream.end();
  await eventually('it ends', arriveWithinMs, () => stream.ended);
  assert.deepEqual(
    stream.told.map(({ error_code }) => error_code),
    [200, 422, 200],
  );
  await rig.arrived('out', 'behind it');
});

test('a stream that breaks says so last; what was answered 200 is there', async () => {
  const stream = new Stream('plant/s/3');
  stream.send(record('before it broke'));
  await eventually('it is answered', arriveWithinMs, () => stream.told.length === 1);
  stream.send('no object');
  await eventually('it is refused', arriveWithinMs, () => stream.told.length === 2);
  assert.deepEqual([stream.status, stream.told[1]?.error_code], [200, 400]);
  stream.end();
  await eventually('it ends', arriveWithinMs, () => stream.ended);
  await rig.arrived('out', 'before it broke');
});

test('a stream that no route takes is refused whole, at its first record', async () => {
  const stream = new Stream('$SYS/x');
  stream.send(record('nowhere'));
  await eventually('it is refused', arriveWithinMs, () => stream.status === 404);
  stream.end();
});

test('streams of an agent that is killed lose nothing they were told to be stored', async () => {
  const streams = [1, 2, 3].map((n) => new Stream(`plant/s/kill/${n}`));
  for (let n = 0; n < 200; n++)
    for (const [i, stream] of streams.entries()) stream.send(record(`k ${i} ${n}`));
  await eventually('some are answered', arriveWithinMs, () =>
    streams.every(({ told }) => told.length > 20),
  );
  await rig.agent.kill();
  await eventually('they end', arriveWithinMs, () => streams.every(({ ended }) => ended));
  await rig.agent.start();
  await eventually('all of them are there', arriveWithinMs, () => {
    const there = new Set(rig.lines('out').map(({ value }) => value.toString()));
    return streams.every(({ told }, i) => told.every((_, n) => there.has(`k ${i} ${n}`)));
  });
});

test('objects come out of pieces of any size as they went in', () => {
  const objects = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 8 });
  fc.assert(
    fc.property(objects, fc.array(fc.integer({ min: 1, max: 9 })), (written, sizes) => {
      const bytes = Buffer.from(written.map((one) => ` ${JSON.stringify(one)}\n`).join(''));
      const splitter = new ObjectSplitter();
      const found: unknown[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % Math.max(1, sizes.length)] ?? 4;
        for (const object of splitter.push(bytes.subarray(at, at + size))) {
          found.push(JSON.parse(object.toString()));
        }
        at += size;
      }
      assert.deepEqual(found, JSON.parse(JSON.stringify(written)));
      assert.ok(splitter.isBetween);
    }),
  );
});
