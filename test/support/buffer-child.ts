/**
 * A process with nothing but a buffer, to be killed, starved of disk, or lied to by its disk. It
 * appends without pause, two at a time, and with each segment it puts a session row, as QoS 2 does;
 * behind it goes a batch without a segment that releases an older one. It prints one line for each
 * thing it is told:
 *
 *   opened SEQUENCE …      of the session rows it found
 *   committed SEQUENCE     after the buffer said so: a segment and its row
 *   released SEQUENCE      a row is gone
 *   event NAME             of the buffer
 *   failed CODE            then it exits with the code's exit status
 *
 * Standard input: `pass` advances the lane over all that is committed, `stop` stops it. A body is
 * the same for the same sequence, so that the test knows it without being told.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openBuffer } from '../../agent/buffer/buffer.ts';
import type { BufferOptions, BufferToEgress, EgressToBuffer } from '../../agent/buffer/protocol.ts';
import { TidegateError } from '../../agent/errors.ts';
import { bodyOf, childLane, childSession, framesEach, rowsKept } from './buffer-body.ts';
import { routeTo } from './buffer-rig.ts';

const inFlight = 2;
const [text = '{}', size = '1024'] = process.argv.slice(2);
const options = JSON.parse(text) as BufferOptions;
const bodyBytes = Number(size);

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function end(error: unknown): never {
  const known = error instanceof TidegateError ? error : new TidegateError('internal', `${error}`);
  say(`failed ${known.code}`);
  process.exit(known.exit);
}

const routes = [routeTo('all', [childLane.lane])];
const start = { options, lanes: [childLane], routes };
const buffer = await openBuffer(start, (name) => say(`event ${name}`)).catch(end);
buffer.onFailed(end);
const egress = buffer.connectEgress([childLane.lane]);
const { opened } = buffer;
let sequence = opened.nextSequence;
let firstFrame = opened.nextFrame;
let lastCommitted = sequence - 1;
let commit = 0;
/** What a batch without a segment released. */
const releases = new Map<number, number>();
let position = { segment: 0, frame: 0 };
let generation = 1;

egress.on('message', (message: BufferToEgress) => {
  if (message.kind !== 'cursor') return;
  position = message.position;
  generation = message.generation;
});

function appendNext(): void {
  const routesUsed: [number, number][] = [[opened.routeIds[0] ?? 0, framesEach]];
  const times = { createdMs: Date.now(), livedMs: opened.livedMs + performance.now() };
  const body = bodyOf(sequence, bodyBytes);
  const place = { sequence, firstFrame, frames: framesEach };
  const segment = { ...place, ...times, body, routes: routesUsed };
  buffer.append({
    commit: ++commit,
    segment,
    sessions: [{ op: 'put', ...childSession(sequence) }],
  });
  if (sequence >= rowsKept) release(sequence - rowsKept);
  sequence += 1;
  firstFrame += framesEach;
}

function release(sequence: number): void {
  releases.set(++commit, sequence);
  const { body: _, ...row } = childSession(sequence);
  buffer.append({ commit, segment: null, sessions: [{ op: 'delete', ...row }] });
}

function pass(): void {
  const to = { segment: lastCommitted + 1, frame: 0 };
  const confirmed = (to.segment - position.segment) * framesEach;
  position = to;
  const what = { lane: childLane.lane, generation, to, outcomes: { confirmed } };
  const advance: EgressToBuffer = {
    ...{ kind: 'advance', id: 1, ...what, buried: [], damaged: [], now: true },
  };
  egress.postMessage(advance);
}

buffer.onCommitted((committed) => {
  if (committed.sequence === null) {
    say(`released ${releases.get(committed.commit)}`);
    releases.delete(committed.commit);
    return;
  }
  lastCommitted = committed.sequence;
  say(`committed ${committed.sequence}`);
  appendNext();
});
const found = opened.sessions.map((row) => row.id).sort((a, b) => a - b);
say(`opened ${found.join(' ')}`);
for (const left of found) if (left < sequence - rowsKept) release(left);
for (let i = 0; i < inFlight; i++) appendNext();

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'pass') pass();
  if (line === 'stop') void buffer.stop().then(() => process.exit(0));
});
