/**
 * The way upstream, as the demo cuts it: either the stand-in in this process, or a proxy in front
 * of a Kafka that the user named. Both are cut for real: ports closed, connections reset. Of a real
 * Kafka only the way to it is cut; the server itself is never touched.
 */
import { TidegateError } from '../../errors.ts';
import { KafkaProxy } from './proxy.ts';
import { ReadBack } from './read-back.ts';
import { StandInKafka } from './stand-in.ts';
import type { WireRecord } from './wire.ts';

export interface Uplink {
  /** For the title. */
  readonly name: string;
  /** What a cut does, in words. */
  readonly cutMeans: string;
  /** `host:port` that the agent is given; known after `open`. */
  readonly broker: string;
  open(): Promise<void>;
  cut(): Promise<void>;
  restore(): Promise<void>;
  close(): Promise<void>;
}

export const kafkaTopic = 'tidegate-demo';
const portMax = 65_535;

export function standInUplink(onRecord: (record: WireRecord) => void): Uplink {
  const kafka = new StandInKafka(onRecord);
  return {
    name: 'a stand-in for Kafka (--kafka host:port takes a real one)',
    cutMeans: 'its port is closed, its connections are reset',
    get broker() {
      return `127.0.0.1:${kafka.port}`;
    },
    open: () => kafka.restore(),
    cut: () => kafka.cut(),
    restore: () => kafka.restore(),
    close: () => kafka.cut(),
  };
}

export function realUplink(address: string, onRecord: (record: WireRecord) => void): Uplink {
  const colon = address.lastIndexOf(':');
  const [host, port] = [address.slice(0, colon), Number(address.slice(colon + 1))];
  if (colon < 1 || !Number.isInteger(port) || port < 1 || port > portMax) {
    throw new TidegateError('usage', `--kafka takes host:port, not ${address}`);
  }
  const proxy = new KafkaProxy();
  const reader = new ReadBack({ host, port }, kafkaTopic, onRecord);
  let gate = 0;
  return {
    name: `Kafka at ${address}`,
    cutMeans: 'the proxy between the agent and Kafka is closed; Kafka itself is left alone',
    get broker() {
      return `127.0.0.1:${gate}`;
    },
    async open() {
      await reader.open();
      gate = await proxy.gateTo(host, port);
    },
    cut: () => proxy.cut(),
    restore: () => proxy.restore(),
    async close() {
      reader.close();
      await proxy.cut();
    },
  };
}
