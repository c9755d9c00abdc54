/**
 * Stands in for a broker that is away, where a listener says `whenBrokerDown: capture`: it accepts
 * the device (which the agent has authenticated), answers its PINGREQs, and refuses what only a
 * broker can do. What routes capture never reaches it. The filter writes whole packets, one a call.
 *
 * SUBSCRIBE, UNSUBSCRIBE: refused each; PUBLISH that no route captures: refused in version 5, ends
 * the connection before it, since 3.1.1 knows no other "no" [MQTT-3.3.5-2].
 */
import { Duplex } from 'node:stream';
import { PacketWalk, packetOf, propertiesOf, u16Of } from './packet-walk.ts';

const version5 = 5;
const typeShift = 4;
const types = { connect: 1, publish: 3, pubrel: 6, subscribe: 8, unsubscribe: 10, pingreq: 12 };
const disconnectType = 14;
const implementationSpecific = 0x83;
const failure = 0x80;
const qosMask = 3;
/** Retain Available 0; Session Expiry Interval 0: nothing is kept of this session. */
const connackProperties = [Buffer.from([0x25, 0]), Buffer.from([0x11, 0, 0, 0, 0])];

export class AbsentBroker extends Duplex {
  #version = 0;

  override _read(): void {}

  override _final(done: () => void): void {
    this.push(null);
    done();
  }

  override _write(packet: Buffer, _encoding: string, done: () => void): void {
    const type = (packet[0] as number) >> typeShift;
    if (type === types.connect) this.#connect(packet);
    else if (type === types.publish) this.#publish(packet);
    else if (type === types.pubrel) this.push(packetOf(0x70, this.#identifier(packet)));
    else if (type === types.subscribe) this.#subscribe(packet, 0x90, true);
    else if (type === types.unsubscribe) this.#subscribe(packet, 0xb0, false);
    else if (type === types.pingreq) this.push(Buffer.from([0xd0, 0]));
    else if (type === disconnectType) this.push(null);
    done();
  }

  #connect(packet: Buffer): void {
    const walk = new PacketWalk(packet);
    walk.text();
    this.#version = walk.u8();
    const properties = this.#version === version5 ? [propertiesOf(connackProperties)] : [];
    this.push(packetOf(0x20, Buffer.from([0, 0]), ...properties));
  }

  #publish(packet: Buffer): void {
    const qos = ((packet[0] as number) >> 1) & qosMask;
    if (qos === 0) return;
    if (this.#version !== version5) {
      this.push(null);
      return;
    }
    const walk = new PacketWalk(packet);
    walk.binary();
    const reason = Buffer.from([implementationSpecific]);
    this.push(packetOf(qos === 1 ? 0x40 : 0x50, u16Of(walk.u16()), reason));
  }

  /** One "no" for each Topic Filter; UNSUBACK before version 5 has none. */
  #subscribe(packet: Buffer, firstByte: number, withOptions: boolean): void {
    const walk = new PacketWalk(packet);
    const packetId = walk.u16();
    const five = this.#version === version5;
    if (five) walk.properties();
    const codes: number[] = [];
    while (!walk.ended) {
      walk.binary();
      if (withOptions) walk.u8();
      codes.push(five ? implementationSpecific : failure);
    }
    const said = five || withOptions ? Buffer.from(codes) : Buffer.alloc(0);
    const head = five ? [propertiesOf([])] : [];
    this.push(packetOf(firstByte, u16Of(packetId), ...head, said));
  }

  #identifier(packet: Buffer): Buffer {
    return u16Of(new PacketWalk(packet).u16());
  }
}
