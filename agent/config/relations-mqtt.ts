/**
 * What must hold in a listener: who is the device, who may do what, what stands behind whom.
 *
 * - a captured PUBLISH never meets the external broker's access rules: the listener has allow rules
 *   of its own, or says `publishAcl: none`
 * - an identity other than the Client Identifier is one that was proven here
 * - a rule that tells devices apart rests on a name that was proven, or a warning says so
 *
 * Sources are in relations-sources.ts.
 */
import { allowPatternsMax } from '../bounds.ts';
import { type Complain, type DraftMap, listOf, mapOf, textOf } from './draft.ts';
import { filtersAt, relateSource } from './relations-sources.ts';
import type { KeyPath } from './types.ts';

const warning = { severity: 'warning' } as const;
const devicePlace = '{device}';
const everyDevice = '*';

export function relateMqtt(draft: DraftMap, complain: Complain): void {
  const mqtt = mapOf(draft.mqtt);
  for (const [index, listener] of listOf(mqtt.listeners).entries()) {
    const path = ['mqtt', 'listeners', index];
    relateIdentity(mapOf(listener), path, complain);
    relateBroker(mapOf(listener), path, complain);
    relateAllow(mapOf(listener), path, complain);
  }
  relatePatterns(mqtt, complain);
  for (const [index, source] of listOf(mqtt.sources).entries()) {
    const path = ['mqtt', 'sources', index];
    relateSource(mapOf(source), path, draft, complain);
  }
}

function relateIdentity(listener: DraftMap, path: KeyPath, complain: Complain): void {
  const tls = mapOf(listener.tls);
  const here = [...path, 'identity'];
  if (listener.identity === 'username' && listener.users === undefined) {
    const message = 'a User Name that nobody proves names no device';
    complain(here, message, 'Add users: FILE (tidegate password FILE NAME writes it).');
  }
  if (listener.identity === 'certificate' && (!tls.clientCa || tls.requireClient !== true)) {
    const message = 'without a client certificate there is no identity in it';
    complain(here, message, 'Add tls.clientCa and tls.requireClient: true.');
  }
  if (listener.identity === 'certificate' && listener.users !== undefined) {
    const message = 'is not asked where the certificate is the log-in';
    const remedy = 'Take it out, or say identity: username to ask for both.';
    complain([...path, 'users'], message, remedy, warning);
  }
  if (tls.requireClient === true && tls.clientCa === undefined) {
    const message = 'there is nothing to check the certificates of clients with';
    complain([...path, 'tls', 'requireClient'], message, 'Add clientCa: FILE beside it.');
  }
}

/** Whether the agent itself can tell who a device is. */
function authenticates(listener: DraftMap): boolean {
  return listener.users !== undefined || mapOf(listener.tls).requireClient === true;
}

function relateBroker(listener: DraftMap, path: KeyPath, complain: Complain): void {
  const external = typeof listener.broker === 'object';
  const hasRules = listOf(listener.allow).length > 0;
  if (external && !hasRules && listener.publishAcl !== 'none') {
    complain(
      [...path, 'broker'],
      'captured events never meet the access rules of the broker behind, and there are none here',
      'Add allow rules, or say publishAcl: none if every device may publish everything.',
    );
  }
  if (hasRules && listener.publishAcl === 'none') {
    const message = 'is said beside allow rules, which are asked of every PUBLISH';
    complain([...path, 'publishAcl'], message, 'Take one of the two out.', warning);
  }
  if (listener.whenBrokerDown !== 'capture') return;
  const here = [...path, 'whenBrokerDown'];
  if (!external) {
    const message = 'the embedded broker is never away';
    complain(here, message, 'Take it out, or name an external broker.', warning);
  } else if (!authenticates(listener)) {
    const message = 'while the broker is away nobody here can tell who a device is';
    complain(here, message, 'Add users: FILE, or tls.clientCa with requireClient: true.');
  }
}

function relateAllow(listener: DraftMap, path: KeyPath, complain: Complain): void {
  const rules = listOf(listener.allow).map(mapOf);
  for (const [index, { publish, subscribe }] of rules.entries()) {
    const here = [...path, 'allow', index];
    if (publish === undefined && subscribe === undefined) {
      complain(here, 'allows nothing', 'Add publish: or subscribe: with Topic Filters.');
    }
    relatePlaces(publish, [...here, 'publish'], complain);
    relatePlaces(subscribe, [...here, 'subscribe'], complain);
  }
  const first = rules.findIndex(tellsDevicesApart);
  if (first < 0 || listener.identity !== 'clientId') return;
  const message = 'tells devices apart by the Client Identifier, which anyone may claim';
  const remedy = 'Say identity: username (with users), or identity: certificate.';
  complain([...path, 'allow', first], message, remedy, warning);
}

function tellsDevicesApart({ device, publish, subscribe }: DraftMap): boolean {
  if (device !== undefined && device !== everyDevice) return true;
  return JSON.stringify([publish, subscribe]).includes(devicePlace);
}

function relatePlaces(filters: unknown, path: KeyPath, complain: Complain): void {
  for (const { written, here } of filtersAt(filters, path)) {
    const levels = written.split('/');
    const bad = levels.find((level) => level.includes(devicePlace) && level !== devicePlace);
    if (bad === undefined) continue;
    const message = `${bad} is only partly ${devicePlace}`;
    complain(here, message, `Let ${devicePlace} be a whole level.`);
  }
}

/** Each device pattern of a listener with publish rules is one bit of a connection's mask. */
function relatePatterns(mqtt: DraftMap, complain: Complain): void {
  const patterns = new Set<string>();
  for (const [index, listener] of listOf(mqtt.listeners).entries()) {
    for (const [place, rule] of listOf(mapOf(listener).allow).entries()) {
      const { device, publish } = mapOf(rule);
      if (publish === undefined) continue;
      patterns.add(`${index} ${textOf(device)}`);
      if (patterns.size <= allowPatternsMax) continue;
      const message = `is one device pattern with publish rules more than ${allowPatternsMax}`;
      const remedy = 'Let one pattern (*) serve several devices; {device} keeps them apart.';
      complain(['mqtt', 'listeners', index, 'allow', place], message, remedy);
      return;
    }
  }
}
