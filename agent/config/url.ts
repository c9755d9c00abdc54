/**
 * Addresses of MQTT servers as URLs:
 *
 *   url     = scheme "://" ( hostname | IPv4 | "[" IPv6 "]" ) [ ":" port ] [ path ]
 *   scheme  = "mqtt" | "mqtts" | "ws" | "wss"
 *
 * Ports default to 1883, 8883, 80 and 443; only ws and wss have a path (default /mqtt). User names
 * and passwords in it are refused: they have keys of their own, where a reference can stand. So is
 * port 0, which a listener may take and nobody can reach.
 */
import { nearest } from './nearest.ts';
import type { MqttUrl } from './types.ts';
import { type Read, readAddress } from './units.ts';

const schemes: Readonly<Record<string, Pick<MqttUrl, 'tls' | 'websocket'> & { port: number }>> = {
  mqtt: { tls: false, websocket: false, port: 1883 },
  mqtts: { tls: true, websocket: false, port: 8883 },
  ws: { tls: false, websocket: true, port: 80 },
  wss: { tls: true, websocket: true, port: 443 },
};
export const mqttUrlPattern = '^(?:mqtts?|wss?)://\\S+$';
const defaultPath = '/mqtt';
const remedy = 'Write scheme://host:port, as in mqtt://127.0.0.1:1884 or mqtts://broker:8883.';
const credentialsRemedy = 'Write username and password as keys of their own.';

export function readMqttUrl(value: unknown): Read<MqttUrl> {
  const match = typeof value === 'string' && /^([a-z]+):\/\/([^/\s]*)(\/\S*)?$/.exec(value);
  if (!match) return { wrong: 'is not the URL of an MQTT server', remedy };
  const [, name = '', written = '', path = ''] = match;
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined;
  if (!scheme) {
    const near = nearest(name, Object.keys(schemes));
    return {
      wrong: `has the unknown scheme ${name}`,
      remedy: near === null ? remedy : `Did you mean ${near}://?`,
    };
  }
  if (written.includes('@')) {
    return { wrong: 'holds a user name or password', remedy: credentialsRemedy };
  }
  // A colon behind the brackets of an IPv6 address, or any where there are none.
  const hasPort = /\]:|^[^[]*:/.test(written);
  const address = readAddress(hasPort ? written : `${written}:${scheme.port}`);
  if ('wrong' in address) return { wrong: address.wrong, remedy };
  const { host, port } = address.value;
  if (port === 0) return { wrong: 'has port 0, which nobody can reach', remedy };
  const { tls, websocket } = scheme;
  if (websocket) {
    return { value: { host, port, tls, websocket, path: path === '' ? defaultPath : path } };
  }
  if (path !== '' && path !== '/') {
    return { wrong: 'has a path, which only ws:// and wss:// have', remedy };
  }
  return { value: { host, port, tls, websocket, path: defaultPath } };
}

/** What stands behind a listener is reached over TCP or TLS. */
export function readBrokerUrl(value: unknown): Read<MqttUrl> {
  if (value === 'embeded' || value === 'internal') {
    return { wrong: 'is not a broker', remedy: 'Did you mean embedded?' };
  }
  const url = readMqttUrl(value);
  if ('wrong' in url) {
    return { wrong: url.wrong, remedy: 'Write embedded, or mqtt://host:port of a broker.' };
  }
  if (!url.value.websocket) return url;
  return {
    wrong: 'is a WebSocket address',
    remedy: 'Write the broker’s mqtt:// or mqtts:// port.',
  };
}

export function showMqttUrl({ tls, websocket, host, port, path }: MqttUrl): string {
  const scheme = websocket ? 'ws' : 'mqtt';
  const shown = host.includes(':') ? `[${host}]` : host;
  return `${scheme}${tls ? 's' : ''}://${shown}:${port}${websocket ? path : ''}`;
}
