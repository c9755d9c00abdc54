/**
 * One source of the config, put together: a part that a reload keeps, stops or opens (`kept.ts`).
 * It needs no address of this machine and waits for no broker, so that nothing of it can fail.
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
}

export class SourcePart implements Part {
  readonly source: MqttSource;

  private constructor(source: MqttSource) {
    this.source = source;
  }

  static async make(config: MqttSourceConfig, needs: SourceNeeds): Promise<SourcePart> {
    const { connectMqtt } = await import('./mqtt-client.ts');
    const { path, report, sessions } = needs;
    const { host, port } = config.url;
    const name = `${config.clientId}@${host}:${port}`;
    const source = new MqttSource({
      ...{ config, name, path, report, faultName },
      session: sessions.of(`source ${host}:${port}`, config.clientId),
      connect: connectMqtt,
      ...deviceOf(config.device),
      random: Math.random,
    });
    return new SourcePart(source);
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

/** What names the device of an event from a source: the rule's number, and the name it needs. */
function deviceOf(written: string): { deviceRule: number; deviceName: Uint8Array } {
  const nothing = Buffer.alloc(0);
  if (written.startsWith('property:')) {
    const name = Buffer.from(written.slice('property:'.length));
    return { deviceRule: deviceRules.property, deviceName: name };
  }
  if (written === '{topic}') return { deviceRule: deviceRules.topicName, deviceName: nothing };
  return { deviceRule: deviceRules.capture + Number(written.slice(1, -1)), deviceName: nothing };
}
