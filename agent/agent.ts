/**
 * The composition root: builds the rooms against the way that bytes travel (what a room needs
 * stands before it), and takes them down in the order that bytes travel.
 *
 *   buffer → core and routes → egress threads → broker → path → listeners → ready
 *   stop: listeners take no more bytes → commit and acknowledge → listeners close → egress → buffer
 *
 * It starts with everything down (promise 5): nothing here waits for an upstream.
 */
import { partialPacketsBytes } from './bounds.ts';
import { EmbeddedBroker } from './broker/embedded.ts';
import { type BufferPort, openBuffer } from './buffer/buffer.ts';
import type { Appender } from './buffer/protocol.ts';
import { bufferOptionsOf, lanesOf, routeDefinitionsOf } from './config/derive.ts';
import { lastGoodKey } from './config/load.ts';
import type { Config } from './config/types.ts';
import { EgressThreads } from './egress/threads.ts';
import type { TidegateError } from './errors.ts';
import type { Report } from './events.ts';
import { faultName } from './frames/faults.ts';
import { PathCore } from './frames/path-core.ts';
import { systemClock } from './ingress/clock.ts';
import { HoldQueue } from './ingress/hold-queue.ts';
import { MqttListener } from './ingress/mqtt-listener.ts';
import { PartialBudget } from './ingress/partials.ts';
import { Pipeline } from './pipeline.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

export interface Agent {
  stop(): Promise<void>;
  /** Resolves when the agent cannot go on; the process must end with the error's exit code. */
  readonly halted: Promise<TidegateError>;
  pause(upstream: string): boolean;
  resume(upstream: string): boolean;
}

interface Rooms {
  readonly buffer: BufferPort;
  readonly egress: EgressThreads;
  readonly broker: EmbeddedBroker;
  readonly path: Pipeline;
  readonly listeners: MqttListener[];
}

/** @throws TidegateError bindFailed, bufferLocked and the other reasons not to start */
export async function startAgent(
  config: Config,
  configText: string,
  report: Report,
  telemetry: Telemetry,
): Promise<Agent> {
  const halted = Promise.withResolvers<TidegateError>();
  const lanes = lanesOf(config);
  const start = { options: bufferOptionsOf(config), lanes, routes: routeDefinitionsOf(config) };
  const buffer = await openBuffer(start, report);
  buffer.onFailed(halted.resolve);
  telemetry.gaugesSource = () => buffer.gauges();
  telemetry.refresh = async () => {
    await buffer.stat();
  };
  const core = new PathCore();
  core.installRoutes(config.routes, buffer.opened.routeIds);
  const egress = new EgressThreads({
    config,
    lanes,
    report,
    connectBuffer: (names) => buffer.connectEgress(names),
    changed: (states) => telemetry.setLaneStates(states),
    failed: halted.resolve,
  });
  const broker = await EmbeddedBroker.open((filters) => core.setLocalFilters(filters), report);
  const path = openPath(config, core, buffer, telemetry);
  const rooms: Rooms = { buffer, egress, broker, path, listeners: [] };
  try {
    await openListeners(config, rooms, report, telemetry);
  } catch (error) {
    await close(rooms, config.stopWithinMs);
    throw error;
  }
  buffer.putMeta(lastGoodKey, configText);
  telemetry.ready = true;
  report('agentReady', { gateway: config.gateway });
  return {
    halted: halted.promise,
    pause: (upstream) => egress.command('pause', upstream),
    resume: (upstream) => egress.command('resume', upstream),
    stop: async () => {
      telemetry.ready = false;
      report('agentStopping', {});
      await close(rooms, config.stopWithinMs);
      report('agentStopped', {});
    },
  };
}

function openPath(
  config: Config,
  core: PathCore,
  buffer: BufferPort,
  telemetry: Telemetry,
): Pipeline {
  const appender: Appender = {
    opened: buffer.opened,
    append: (segment) => buffer.append(segment),
    onCommitted: (tell) => {
      buffer.onCommitted(({ sequence, commitSeconds, bytes }) => {
        telemetry.commit(commitSeconds, bytes);
        const frames = core.core.overflows();
        if (frames > 0) telemetry.report('limitOverflow', { frames });
        tell(sequence);
      });
    },
  };
  return new Pipeline({
    core,
    buffer: appender,
    telemetry,
    holds: new HoldQueue(),
    clock: systemClock(buffer.opened.livedMs),
    commitEveryMs: config.buffer.commitEveryMs,
  });
}

async function openListeners(
  config: Config,
  rooms: Rooms,
  report: Report,
  telemetry: Telemetry,
): Promise<void> {
  const partials = new PartialBudget(partialPacketsBytes);
  for (const { bind, maxPacketSize } of config.mqtt.listeners) {
    const listener = new MqttListener({
      host: bind.host,
      port: bind.port,
      maxPacketBytes: maxPacketSize,
      path: rooms.path,
      partials,
      report,
      faultName,
      openBroker: () => rooms.broker.connect(),
      connectionsChanged: (delta) => telemetry.connections(delta),
    });
    await listener.listen();
    rooms.listeners.push(listener);
  }
}

/** In the order that bytes travel; never waits for an upstream. */
async function close(rooms: Rooms, withinMs: number): Promise<void> {
  for (const listener of rooms.listeners) listener.stop();
  await rooms.path.flush(withinMs);
  await rooms.broker.close();
  await rooms.egress.stop();
  await rooms.buffer.stop();
}
