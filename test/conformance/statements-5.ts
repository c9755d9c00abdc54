/**
 * Statements of MQTT 5.0 (Appendix B) that bind a server, of all chapters; how many there are of
 * each section, and those that only a client can keep.
 */
import type { Sections, Statements } from './statement.ts';
import { connect5 } from './statements-5-connect.ts';
import { publish5 } from './statements-5-publish.ts';
import { rest5 } from './statements-5-rest.ts';

export const statements5: Statements = { ...connect5, ...publish5, ...rest5 };

/** There is no MQTT-2.2.1-1. */
export const absent5: readonly string[] = ['MQTT-2.2.1-1'];

export const sections5: Sections = {
  ...{ '1.5.4': 3, '1.5.5': 1, '1.5.7': 1, '2.1.3': 1, '2.2.1': 6, '2.2.2': 1 },
  ...{ '3.1.0': 2, '3.1.2': 30, '3.1.3': 12, '3.1.4': 6, '3.2.0': 2, '3.2.2': 22 },
  ...{ '3.3.1': 13, '3.3.2': 20, '3.3.4': 10 },
  ...{ '3.4.2': 3, '3.5.2': 3, '3.6.1': 1, '3.6.2': 3, '3.7.2': 3 },
  ...{ '3.8.1': 1, '3.8.3': 5, '3.8.4': 8, '3.9.2': 2, '3.9.3': 2 },
  ...{ '3.10.1': 1, '3.10.3': 2, '3.10.4': 6, '3.11.2': 2, '3.11.3': 2, '3.12.4': 1 },
  ...{ '3.14.0': 1, '3.14.1': 1, '3.14.2': 4, '3.14.4': 3, '3.15.1': 1, '3.15.2': 3 },
  ...{ '4.1.0': 2, '4.2.0': 1, '4.3.1': 1, '4.3.2': 5, '4.3.3': 13, '4.4.0': 2, '4.5.0': 2 },
  ...{ '4.6.0': 6, '4.7.0': 1, '4.7.1': 2, '4.7.2': 1, '4.7.3': 4, '4.8.2': 6, '4.9.0': 3 },
  ...{ '4.12.0': 7, '4.12.1': 2, '4.13.1': 1, '4.13.2': 1, '6.0.0': 4 },
};

/** What a client does, and a server cannot see or has nothing to answer to. */
export const clients5: readonly string[] = [
  'MQTT-3.1.2-20',
  'MQTT-3.1.2-21',
  'MQTT-3.2.2-4',
  'MQTT-3.2.2-5',
  'MQTT-3.2.2-11',
  'MQTT-3.2.2-14',
  'MQTT-3.2.2-21',
  'MQTT-3.3.2-10',
  'MQTT-3.3.4-8',
  'MQTT-4.5.0-2',
  'MQTT-4.6.0-1',
  'MQTT-4.6.0-2',
  'MQTT-4.6.0-3',
  'MQTT-4.6.0-4',
  'MQTT-4.12.0-3',
  'MQTT-6.0.0-3',
];
