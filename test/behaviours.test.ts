/**
 * Behaviours a device may rely on, as conversations, each held three times: with Mosquitto alone as
 * the control, with the agent before it where no route matches, and with the agent where one route
 * captures everything and local subscribers get it too. The three must not differ.
 */
import { after, before, describe, test } from 'node:test';
import { type Behaviour, Talk } from './behaviours/behaviour.ts';
import { limitBehaviours } from './behaviours/limits.ts';
import { messageBehaviours } from './behaviours/messages.ts';
import { propertyBehaviours } from './behaviours/properties.ts';
import { sessionBehaviours } from './behaviours/sessions.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { Rig } from './support/rig.ts';

const behaviours: readonly Behaviour[] = [
  ...messageBehaviours,
  ...sessionBehaviours,
  ...propertyBehaviours,
  ...limitBehaviours,
];
const lines = ['max_packet_size 20000', 'max_keepalive 60'];
const servers = { 'Mosquitto alone': null, passed: 'nowhere/#', captured: '#' } as const;
const atOnce = 12;

for (const [server, from] of Object.entries(servers)) {
  describe(server, { concurrency: atOnce }, () => {
    let broker: Mosquitto;
    let rig: Rig | null = null;
    before(async () => {
      broker = await startMosquitto({ persistence: false, lines });
      if (from === null) return;
      rig = await Rig.start({ broker: broker.port, routes: [{ from, local: true }] });
    });
    after(async () => {
      await rig?.[Symbol.asyncDispose]();
      await broker.stop();
    });
    let number = 0;
    const held = behaviours.filter(({ alone }) => from !== null || alone === undefined);
    for (const { name, versions, holds } of held) {
      for (const version of versions) {
        test(`${name} (MQTT ${version === 4 ? '3.1.1' : '5'})`, async () => {
          number += 1;
          const talk = new Talk(rig?.port ?? broker.port, version, `talk${number}`);
          try {
            await holds(talk);
          } finally {
            await talk.end();
          }
        });
      }
    }
  });
}
