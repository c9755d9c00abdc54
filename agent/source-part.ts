/**
 * One source of the config, put together: a part that a reload keeps, stops or opens (`kept.ts`),
 * whatever it speaks. It needs no address of this machine and waits for no server, so that nothing
 * of it can fail. Those of NATS are made in nats-source-part.ts.
 */
import type { MqttSourceConfig } from './config/types.ts';
import type { Report } from './events.ts';
import { deviceRules } from './frames/core.ts';
import { faultName } from './frames/faults.ts';
import { MqttSource } from './ingress/mqtt-source.ts';
import type { Sessions } from './ingress/sessions.ts';
import type { Part } from './kept.ts';
import type { Pipeline } from './pipeline.ts';

export interface SourceNeeds {
  readonly path: Pipeline;
  readonly report: Report;
  readonly sessions: Sessions;
  readonly gateway: string;
}

/** What a source is, seen from here. */
export interface AnySource {
  /** For people. */
  readonly name: string;
  readonly state: string;
  readonly lastError: string | null;
  readonly held: boolean;
  start(): void;
  /** Takes nothing more; what was taken is still committed and acknowledged until `close`. */
  stop(): void;
  close(): Promise<void>;
}

export class SourcePart implements Part {
  readonly source: AnySource;

  constructor(source: AnySource) {
    this.source = source;
  }

  async open(): Promise<void> {}

  release(): void {}

  begin(): void {
    this.source.start();
  }

  stop(): void {
    this.source.stop();
  }

  async close(): Promise<void> {
    this.source.stop();
    await this.source.close();
  }

  collides(): boolean {
    return false;
  }
}

export async function makeMqttSource(
  config: MqttSourceConfig,
  { path, report, sessions }: SourceNeeds,
): Promise<SourcePart> {
  const { connectMqtt } = await import('./mqtt-client.ts');
  const { host, port } = config.url;
  const name = `${config.clientId}@${host}:${port}`;
  const source = new MqttSource({
    ...{ config, name, path, report, faultName },
    session: sessions.of(`source ${host}:${port}`, config.clientId),
    connect: connectMqtt,
    ...deviceOf(config.device, 'property:'),
    random: Math.random,
  });
  return new SourcePart(source);
}

/**
 * What names the device of an event from a source: the rule's number, and the name it needs.
 * @param prefix of what names it in the headers of its protocol
 */
export function deviceOf(
  written: string,
  prefix: 'property:' | 'header:',
): { deviceRule: number; deviceName: Uint8Array } {
  const nothing = Buffer.alloc(0);
  if (written.startsWith(prefix)) {
    return {
      deviceRule: deviceRules.property,
      deviceName: Buffer.from(written.slice(prefix.length)),
    };
  }
  if (written === '{topic}') return { deviceRule: deviceRules.topicName, deviceName: nothing };
  return { deviceRule: deviceRules.capture + Number(written.slice(1, -1)), deviceName: nothing };
}
