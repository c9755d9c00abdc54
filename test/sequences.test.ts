/**
 * The filter before a real Mosquitto, byte for byte: every malformed kind of every packet type of
 * 3.1, 3.1.1 and 5 is answered as the standard says, and everything well-formed is served. Twice:
 * where no route matches, so that all passes, and where one captures everything and local
 * subscribers get it too. The device cannot tell.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { Rig } from './support/rig.ts';
import { runSequences } from './support/sequences.ts';
import { type Sequence, type Version, versions } from './vectors/sequence.ts';
import { connectSequences } from './vectors/sequences-connect.ts';
import { propertySequences } from './vectors/sequences-properties.ts';
import { refusedSequences } from './vectors/sequences-refused.ts';
import { servedSequences } from './vectors/sequences-served.ts';

const names: Readonly<Record<Version, string>> = { 3: '3.1', 4: '3.1.1', 5: '5' };
const routes = { passed: 'nowhere/#', captured: '#' } as const;

for (const [how, from] of Object.entries(routes)) {
  let broker: Mosquitto;
  let rig: Rig;
  before(async () => {
    broker = await startMosquitto({ persistence: false });
    rig = await Rig.start({ broker: broker.port, routes: [{ from, local: true }] });
  });
  after(async () => {
    await rig[Symbol.asyncDispose]();
    await broker.stop();
  });

  const answered = (what: string, all: readonly Sequence[], version: Version): void => {
    const mine = all.filter((sequence) => sequence.version === version);
    if (mine.length === 0) return;
    test(`${names[version]}, ${how}: ${what}`, async () => {
      const wrong = await runSequences(rig.port, mine);
      assert.deepEqual(wrong, [], `\n${wrong.join('\n')}`);
    });
  };

  for (const version of versions) {
    answered('a CONNECT is taken or refused', connectSequences, version);
    answered('malformed packets are answered as the standard says', refusedSequences, version);
    answered('properties are taken or refused', propertySequences, version);
    answered('well-formed packets are served', servedSequences, version);
  }
}
