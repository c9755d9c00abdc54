/**
 * A device on a raw socket (TCP or TLS) that connects to an agent of its own process, and says when
 * it was acknowledged, refused or closed. It never connects again by itself: what happens to its
 * one connection is what tests look at.
 */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { IConnackPacket, IConnectPacket, Packet } from 'mqtt-packet';
import { eventually } from './agent.ts';
import { RawDevice } from './rig.ts';

const withinMs = 15_000;

export interface DeviceOptions extends Partial<IConnectPacket> {
  /** Over TLS with these options. */
  readonly tls?: ConnectionOptions;
}

export class Device extends RawDevice {
  #lastId = 0;

  /** A connection that has not said anything. */
  static async open(port: number, { tls, protocolVersion }: DeviceOptions = {}): Promise<Device> {
    const address = { host: '127.0.0.1', port };
    const socket: Socket = tls ? connectTls({ ...address, ...tls }) : connectTcp(address);
    socket.setNoDelay(true);
    await once(socket, tls ? 'secureConnect' : 'connect');
    return new Device(socket, protocolVersion ?? 4);
  }

  /** @returns the device and what it was answered; it may have been refused */
  static async ask(port: number, clientId: string, options: DeviceOptions = {}) {
    const { tls: _, ...packet } = options;
    const device = await Device.open(port, options);
    device.send({
      ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 60, clean: true },
      ...{ clientId, ...packet },
    } as Packet);
    await eventually('an answer to CONNECT', withinMs, () => {
      return device.ended || device.count('connack') > 0;
    });
    const connack = device.packets.find(({ cmd }) => cmd === 'connack') as
      | IConnackPacket
      | undefined;
    return { device, code: connack?.reasonCode ?? connack?.returnCode ?? null };
  }

  static async connect(port: number, clientId: string, options: DeviceOptions = {}) {
    const { device, code } = await Device.ask(port, clientId, options);
    if (code !== 0) throw new Error(`${clientId} was refused: ${code}`);
    return device;
  }

  /** QoS 1; resolves with the reason code once it is acknowledged, with null if it ended before. */
  async publishAndWait(topic: string, payload: string): Promise<number | null> {
    const id = ++this.#lastId;
    this.publish(topic, payload, id);
    const answer = () => this.packets.find((p) => p.cmd === 'puback' && p.messageId === id);
    await eventually(`PUBACK ${id}`, withinMs, () => this.ended || answer() !== undefined);
    const puback = answer() as { reasonCode?: number } | undefined;
    return puback === undefined ? null : (puback.reasonCode ?? 0);
  }

  async closed(): Promise<void> {
    await eventually('the connection is closed', withinMs, () => this.ended);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The broker behind may have no subscriber (0x10), which is no refusal. */
export function isSuccess(code: number | null | undefined): boolean {
  const refusals = 0x80;
  return (code ?? refusals) < refusals;
}
