/**
 * The source seat in one process: the real MQTT client and filter, core and path, in front of a
 * disk whose COMMIT the test lets happen, at a broker whose every answer the test decides.
 */
import type { SessionRow } from '../../agent/buffer/protocol.ts';
import type { Limit } from '../../agent/config/types.ts';
import type { EventName, Fields } from '../../agent/events.ts';
import { deviceRules } from '../../agent/frames/core.ts';
import { faultName } from '../../agent/frames/faults.ts';
import { PathCore } from '../../agent/frames/path-core.ts';
import { systemClock } from '../../agent/ingress/clock.ts';
import { HoldQueue } from '../../agent/ingress/hold-queue.ts';
import { MqttSource } from '../../agent/ingress/mqtt-source.ts';
import { Sessions } from '../../agent/ingress/sessions.ts';
import { connectMqtt } from '../../agent/mqtt-client.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { fullRoute, HeldDisk } from './rig.ts';

export interface SourceRigOptions {
  /** Of the broker. */
  readonly port: number;
  readonly version?: 4 | 5;
  readonly qos?: 0 | 1 | 2;
  readonly keepAliveMs?: number;
  readonly limits?: readonly Limit[];
  readonly held?: boolean;
  readonly left?: readonly SessionRow[];
  /** How long it stays away from a broker that it lost; not at all unless given. */
  readonly random?: () => number;
}

export class SourceRig {
  readonly disk: HeldDisk;
  readonly path: Pipeline;
  readonly source: MqttSource;
  readonly events: { name: EventName; fields: Fields }[] = [];

  constructor(options: SourceRigOptions) {
    const { port, version = 5, qos = 2, keepAliveMs = 60_000, limits = [] } = options;
    this.disk = new HeldDisk(options.held ?? false, options.left ?? []);
    const core = new PathCore();
    const route = fullRoute({ name: 'plant', limits }, 0);
    core.installRoutes([route], [1]);
    this.path = new Pipeline({
      ...{ core, buffer: this.disk, holds: new HoldQueue(), clock: systemClock(0) },
      ...{ telemetry: { frames: () => {} }, commitEveryMs: 0 },
    });
    const clientId = 'agent';
    const plain = { ca: null, certificate: null, key: null, serverName: null };
    this.source = new MqttSource({
      config: {
        url: { host: '127.0.0.1', port, tls: false, websocket: false, path: '' },
        ...{ version, clientId, username: null, password: null, tls: plain, keepAliveMs },
        ...{ subscribe: ['plant/#'], qos, device: '{topic}', sessionExpiryMs: 600_000 },
        ...{ receiveMaximum: 1_024, maxPacketSize: 256 * 1_024 },
      },
      ...{ name: 'rig', path: this.path, faultName, connect: connectMqtt },
      report: (name, fields = {}) => this.events.push({ name, fields }),
      session: new Sessions(this.disk.opened.sessions, this.path).of('source rig', clientId),
      deviceRule: deviceRules.topicName,
      deviceName: Buffer.alloc(0),
      random: options.random ?? (() => 0),
    });
    this.source.start();
  }

  count(name: EventName): number {
    return this.events.filter((event) => event.name === name).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disk.held = false;
    this.disk.release();
    this.source.stop();
    await this.source.close();
  }
}
