/**
 * What the demo is played on: a ledger, devices, an uplink, an agent in a folder of its own, a
 * view. Setting it up starts nothing but the uplink; striking it stops all that was started, and
 * keeps the folder only where there is something to look at in it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentChild, freePort } from './child.ts';
import { Devices, readPayload } from './devices.ts';
import { Ledger } from './ledger.ts';
import { kafkaTopic, realUplink, standInUplink, type Uplink } from './uplink.ts';
import { openView, type View } from './view.ts';
import type { WireRecord } from './wire.ts';

export const deviceCount = 50;
/** Shapes the drain so that a person sees it; a real config may leave it out. */
export const drainPerSecond = 6_000;

export interface Stage {
  readonly seconds: number;
  readonly ledger: Ledger;
  readonly devices: Devices;
  readonly uplink: Uplink;
  readonly agent: AgentChild;
  readonly view: View;
  readonly directory: string;
  readonly mqttPort: number;
  uplinkUp: boolean;
  kills: number;
  acknowledgedWhileCut: number;
  backlogPeak: number;
}

/** @param kafka `host:port`, or undefined for the stand-in */
export async function setTheStage(
  kafka: string | undefined,
  seconds: number,
  how: 'terminal' | 'plain' | 'silent',
): Promise<Stage> {
  const run = Math.random().toString(36).slice(2, 10);
  const ledger = new Ledger();
  const onRecord = (record: WireRecord) => {
    const message = readPayload(record.value, run);
    if (message !== null) ledger.arrive(message.device, message.number);
  };
  const uplink = kafka === undefined ? standInUplink(onRecord) : realUplink(kafka, onRecord);
  await uplink.open();
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-demo-'));
  const mqttPort = await freePort();
  const config = join(directory, 'tidegate.yaml');
  writeFileSync(config, configText(mqttPort, await freePort(), uplink.broker, directory));
  const title = `tidegate demo · ${deviceCount} MQTT devices → agent → ${uplink.name}`;
  return {
    seconds,
    ledger,
    devices: new Devices(ledger, run),
    uplink,
    agent: new AgentChild(directory, config, mqttPort),
    view: openView(how, title),
    directory,
    mqttPort,
    uplinkUp: true,
    kills: 0,
    acknowledgedWhileCut: 0,
    backlogPeak: 0,
  };
}

function configText(mqtt: number, http: number, broker: string, directory: string): string {
  return `gateway: demo-gw
mqtt:
  listeners:
    - bind: 127.0.0.1:${mqtt}
      broker: embedded
routes:
  - name: telemetry
    from: plant/+/+/telemetry
    to: { upstream: cloud, topic: ${kafkaTopic}, key: '{device}', delivery: at-least-once }
upstreams:
  cloud:
    kafka: { brokers: ['${broker}'], compression: zstd, acks: all, createTopics: true }
    drain: { messages: ${drainPerSecond}/s }
buffer: { path: '${join(directory, 'tidegate.db')}', bytes: 1GiB }
http: { bind: 127.0.0.1:${http} }
log: { level: info }
`;
}

/** Takes everything down; the folder stays when there is something to look at in it. */
export async function strike(stage: Stage, keepFolder: boolean): Promise<void> {
  await stage.devices.close();
  await stage.agent.end('SIGTERM');
  await stage.uplink.close();
  if (!keepFolder) rmSync(stage.directory, { recursive: true, force: true });
}
