/**
 * A fleet of devices with sessions (`session-device.ts`), its load, and what happened to it: each
 * sends numbered messages and writes into the ledger what was acknowledged to it.
 */
import {
  type DeviceOptions,
  type FleetTerms,
  SessionDevice,
  type Tally,
} from './session-device.ts';

const tickMs = 5;

export interface SessionFleetOptions extends FleetTerms {
  readonly devices: readonly DeviceOptions[];
  /** Messages a second of all devices together. */
  readonly perSecond: number;
}

export class SessionFleet {
  readonly options: SessionFleetOptions;
  readonly #devices: readonly SessionDevice[];
  readonly tally: Tally = {
    ...{ resent: 0, renewed: 0, sessionsLost: 0, refusals: 0, drops: 0 },
    strays: [],
  };
  #timer: NodeJS.Timeout | null = null;

  constructor(options: SessionFleetOptions) {
    this.options = options;
    this.#devices = options.devices.map((each) => new SessionDevice(each, options, this.tally));
  }

  get inFlight(): number {
    return this.#devices.reduce((sum, device) => sum + device.inFlight, 0);
  }

  get up(): number {
    return this.#devices.filter(({ state }) => state === 'up').length;
  }

  /** QoS of a device, and how often one of its messages was published as a new one. */
  of(name: string, number: number): { qos: 1 | 2; renewals: number } {
    const device = this.#devices.find(({ options }) => options.name === name);
    if (device === undefined) throw new Error(`no device ${name}`);
    return { qos: device.options.qos, renewals: device.renewals.get(number) ?? 0 };
  }

  connect(): void {
    for (const device of this.#devices) device.connect();
  }

  publish(): void {
    const began = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      const target = ((performance.now() - began) / 1000) * this.options.perSecond;
      for (; due < target; due++) this.#devices[due % this.#devices.length]?.publish();
    }, tickMs);
  }

  pausePublishing(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  close(): void {
    this.pausePublishing();
    for (const device of this.#devices) device.stop();
  }
}
