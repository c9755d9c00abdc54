/**
 * What a device's fault is answered with: a code for each, one that the packet which carries it may
 * have, in the form of the version that the CONNECT named.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ingestFlags, loadCore, stops } from '../agent/frames/core.ts';
import { type FaultName, faults } from '../agent/frames/faults.ts';
import { reasonCodeOf, reasonCodes, returnCodeOf } from '../agent/frames/reason-codes.ts';
import { call } from './vectors/call.ts';

const lastOfDevice = 49;
const ofDevice = Object.entries(faults).filter(([, number]) => number <= lastOfDevice);

/** Tables 3-1 and 3-13: what a server may say in CONNACK and in DISCONNECT when it refuses. */
const inConnack = new Set([
  ...[0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c],
  ...[0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f],
]);
const inDisconnect = new Set([
  ...[0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f],
  ...[0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f],
  ...[0xa0, 0xa1, 0xa2],
]);

/** Closed without a word, as [MQTT-4.13.1-1] and 3.1.4 leave to the server. */
const unsaid = new Set(['remainingLength', 'disconnectReason', 'credentials']);

test('every fault of a device has a Reason Code that its packet may carry', () => {
  for (const [name, number] of ofDevice) {
    const [connect, open] = [reasonCodeOf(number, 'connect'), reasonCodeOf(number, 'open')];
    if (unsaid.has(name)) {
      assert.deepEqual([connect, open], [null, null], name);
      continue;
    }
    assert.ok(connect !== null && open !== null, name);
    assert.ok(inConnack.has(connect), `${name}: ${connect.toString(16)} in CONNACK`);
    assert.ok(inDisconnect.has(open), `${name}: ${open.toString(16)} in DISCONNECT`);
    for (const code of [connect, open]) assert.notEqual(code, reasonCodes.unspecifiedError, name);
  }
  assert.equal(reasonCodeOf(faults.argument, 'open'), reasonCodes.unspecifiedError);
  assert.equal(reasonCodeOf(200, 'connect'), reasonCodes.unspecifiedError);
});

test('where the standard names the code, it is that one', () => {
  const named: Partial<Record<FaultName, number>> = {
    packetFlags: 0x81, // [MQTT-2.1.3-1]
    utf8: 0x81, // [MQTT-1.5.4-1]
    qos: 0x81, // [MQTT-3.3.1-4]
    connectFlags: 0x81, // [MQTT-3.1.2-3]
    propertyNotAllowed: 0x81, // 2.2.2.2
    subscriptionOptions: 0x81, // [MQTT-3.8.3-5]
    connectRepeated: 0x82, // [MQTT-3.1.0-2]
    propertyRepeated: 0x82,
    topicNameEmpty: 0x82, // 3.3.2.1
    sharedSubscription: 0x82, // [MQTT-3.8.3-4]
    sessionExpiry: 0x82, // 3.14.2.2.2
    topicAlias: 0x94, // 3.3.2.3.4
    packetTooLarge: 0x95, // 3.1.2.11.4
  };
  for (const [name, code] of Object.entries(named)) {
    assert.equal(reasonCodeOf(faults[name as FaultName], 'open'), code, name);
  }
  assert.equal(reasonCodeOf(faults.protocolVersion, 'connect'), 0x84); // [MQTT-3.1.2-2]
  assert.equal(reasonCodeOf(faults.clientIdentifier, 'connect'), 0x85); // [MQTT-3.1.3-8]
});

test('3.1.1 knows two answers to a CONNECT; everything else just closes', () => {
  for (const [name, number] of ofDevice) {
    const expected = { protocolVersion: 1, clientIdentifier: 2 }[name] ?? null;
    assert.equal(returnCodeOf(number), expected, name);
  }
});

test('the version of a CONNECT is told as soon as it is read, whatever comes of it', () => {
  const core = loadCore();
  const connect = '100d00044d515454';
  const cases: [what: string, hex: string, version: number, stop: number][] = [
    ['3.1', '100f00064d514973647003000000000161', 3, stops.afterConnect],
    ['3.1.1', `${connect}0402003c000161`, 4, stops.afterConnect],
    ['5, whose flags are wrong', `${connect}0501003c00000161`, 5, stops.fault],
    ['a level that nobody knows', `${connect}0602003c000161`, 6, stops.fault],
    ['a bridge', `${connect}8402003c000161`, 0x84, stops.fault],
    ['a CONNECT that is not whole', `${connect}04`, 0, stops.partial],
    ['another protocol', '100d00044d5154550402003c000161', 0, stops.fault],
    ['a CONNECT that ends before its level', '100600044d515454', 0, stops.fault],
    ['no CONNECT', 'c000', 0, stops.fault],
  ];
  for (const [what, hex, version, stop] of cases) {
    call(core, Buffer.from(hex, 'hex'), { version: 0, flags: ingestFlags.first });
    assert.deepEqual([core.connectVersion(), core.stop()], [version, stop], what);
  }
});
