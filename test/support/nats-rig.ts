/**
 * A NATS source in one process: the real client, core and path, at a real nats-server, in front of
 * a disk whose COMMIT the test lets happen.
 */
import type { Limit } from '../../agent/config/types.ts';
import type { NatsSourceConfig } from '../../agent/config/types-nats.ts';
import type { EventName, Fields } from '../../agent/events.ts';
import { PathCore } from '../../agent/frames/path-core.ts';
import { systemClock } from '../../agent/ingress/clock.ts';
import { HoldQueue } from '../../agent/ingress/hold-queue.ts';
import { Sessions } from '../../agent/ingress/sessions.ts';
import { makeNatsSource } from '../../agent/nats-source-part.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import type { SourcePart } from '../../agent/source-part.ts';
import { fullRoute, HeldDisk } from './rig.ts';

const plain = { ca: null, certificate: null, key: null, serverName: null };

export interface NatsRigOptions {
  readonly port: number;
  readonly limits?: readonly Limit[];
  readonly held?: boolean;
  readonly gateway?: string;
  /** Keys of the source; with `stream` it is one. */
  readonly source?: Readonly<Record<string, unknown>>;
}

export class NatsRig {
  readonly disk: HeldDisk;
  readonly path: Pipeline;
  readonly core: PathCore;
  readonly part: SourcePart;
  readonly events: { name: EventName; fields: Fields }[];

  private constructor(disk: HeldDisk, path: Pipeline, core: PathCore, part: SourcePart) {
    this.disk = disk;
    this.path = path;
    this.core = core;
    this.part = part;
    this.events = [];
  }

  static async start(options: NatsRigOptions): Promise<NatsRig> {
    const { port, limits = [], held = false, gateway = 'rig', source = {} } = options;
    const disk = new HeldDisk(held, []);
    const core = new PathCore();
    const route = fullRoute({ name: 'plant', limits }, 0);
    core.installRoutes([route], [1]);
    const path = new Pipeline({
      ...{ core, buffer: disk, holds: new HoldQueue(), clock: systemClock(0) },
      ...{ telemetry: { frames: () => {} }, commitEveryMs: 0 },
    });
    const config = {
      ...{ servers: [{ host: '127.0.0.1', port, tls: false }], name: 'rig', tls: plain },
      ...{ username: null, password: null, token: null, nkey: null, creds: null },
      ...{ device: '{topic}', maxMessageSize: 256 * 1_024, subjects: ['plant.>'] },
      ...('stream' in source
        ? { kind: 'stream', durable: `tidegate-${gateway}`, acks: 'auto', from: 'oldest' }
        : { kind: 'core', queue: null }),
      ...source,
    } as NatsSourceConfig;
    const events: { name: EventName; fields: Fields }[] = [];
    const part = await makeNatsSource(config, {
      ...{ path, gateway },
      sessions: new Sessions([], path),
      report: (name, fields = {}) => events.push({ name, fields }),
    });
    const rig = new NatsRig(disk, path, core, part);
    Object.assign(rig, { events });
    part.begin();
    return rig;
  }

  count(name: EventName): number {
    return this.events.filter((event) => event.name === name).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disk.held = false;
    this.disk.release();
    this.part.stop();
    await this.part.close();
  }
}
