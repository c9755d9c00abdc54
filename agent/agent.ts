/**
 * The composition root: builds the rooms in the order that bytes travel backwards (what a room needs
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
import { bufferOptionsOf, lanesOf, routeDefinitionsOf } from './config/derive.ts';
import type { Config } from './config/types.ts';
import { EgressThreads } from './egress/threads.ts';
import { TidegateError } from './errors.ts';
import type { Report } from './events.ts';
import { type Core, loadCore } from './frames/core.ts';
import { faultName } from './frames/faults.ts';
import { installRoutes } from './frames/routes.ts';
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

/** @throws TidegateError bindFailed, bufferLocked and the other reasons not to start */
export async function startAgent(
  config: Config,
  configText: string,
  report: Report,
  telemetry: Telemetry,
): Promise<Agent> {
  const lanes = lanesOf(config);
  const options = bufferOptionsOf(config);
  const definitions = routeDefinitionsOf(config);
  const buffer = await openBuffer({ options, lanes, routes: definitions }, report);
  const halted = new Promise<TidegateError>((resolve) => buffer.onFailed(resolve));
  telemetry.gaugesSource = () => buffer.gauges();
  telemetry.refresh = async () => void (await buffer.stat());
  buffer.onCommitTimed((seconds, bytes) => telemetry.commit(seconds, bytes));

  const core = loadCore();
  installRoutes(core, config.routes, buffer.opened.routeIds);
  const egress = new EgressThreads({
    config,
    lanes,
    buffer,
    report,
    changed: (states) => telemetry.setLaneStates(states),
  });
  const broker = await EmbeddedBroker.open((filters) => core.setLocalFilters(filters), report);
  const path = openPath(config, core, buffer, telemetry);
  const listeners = await openListeners(config, path, broker, report, telemetry).catch(
    async (error) => {
      await closeAll([], path, broker, egress, buffer);
      throw error;
    },
  );
  buffer.meta('config', configText);
  telemetry.ready = true;
  report('agentReady', { gateway: config.gateway });
  return {
    halted,
    pause: (upstream) => egress.pause(upstream),
    resume: (upstream) => egress.resume(upstream),
    stop: async () => {
      telemetry.ready = false;
      report('agentStopping', {});
      await closeAll(listeners, path, broker, egress, buffer);
      report('agentStopped', {});
    },
  };
}

function openPath(config: Config, core: Core, buffer: BufferPort, telemetry: Telemetry): Pipeline {
  return new Pipeline({
    core,
    buffer,
    telemetry,
    holds: new HoldQueue(),
    clock: systemClock(buffer.opened.livedMs),
    commitEveryMs: config.buffer.commitEveryMs,
    routeIds: buffer.opened.routeIds,
  });
}

async function openListeners(
  config: Config,
  path: Pipeline,
  broker: EmbeddedBroker,
  report: Report,
  telemetry: Telemetry,
): Promise<MqttListener[]> {
  const partials = new PartialBudget(partialPacketsBytes);
  const listeners: MqttListener[] = [];
  try {
    for (const { bind, maxPacketSize } of config.mqtt.listeners) {
      const listener = new MqttListener({
        host: bind.host,
        port: bind.port,
        maxPacketBytes: maxPacketSize,
        path,
        partials,
        report,
        faultName,
        openBroker: () => broker.connect(),
        connectionsChanged: (delta) => telemetry.connections(delta),
      });
      listeners.push(listener);
      await listener.listen();
    }
  } catch (error) {
    for (const listener of listeners) listener.stop();
    throw error;
  }
  return listeners;
}

async function closeAll(
  listeners: readonly MqttListener[],
  path: Pipeline,
  broker: EmbeddedBroker,
  egress: EgressThreads,
  buffer: BufferPort,
): Promise<void> {
  for (const listener of listeners) listener.stop();
  await path.flush();
  await broker.close();
  await egress.stop();
  await buffer.stop();
}
