/**
 * Keep Alive on the device's behalf [MQTT-3.1.2-22] [MQTT 5.0 section 3.1.2.10].
 *
 * Captured frames never reach the broker, which would time the device out: when the broker has
 * heard nothing for most of a Keep Alive and the device itself sent something within 1.5 × of it, a
 * PINGREQ is due in the device's place, and its PINGRESP is ours. A device that is silent past 1.5
 * × has expired. Time in which we do not read does not count against the device.
 */

const graceFactor = 1.5;
/** The broker must hear something before its own 1.0 × passes; ticks come each second. */
const pingFactor = 0.6;
const msPerSecond = 1000;

export class KeepAlive {
  #everyMs = 0;
  #deviceMs = 0;
  #brokerMs = 0;
  #reading = true;
  /** PINGREQs on their way to the broker, in order: true is ours. */
  readonly #pings: boolean[] = [];

  /** @param seconds 0 turns it off */
  start(seconds: number, nowMs: number): void {
    this.#everyMs = seconds * msPerSecond;
    this.#deviceMs = nowMs;
    this.#brokerMs = nowMs;
  }

  deviceSent(nowMs: number): void {
    this.#deviceMs = nowMs;
  }

  brokerGot(nowMs: number): void {
    this.#brokerMs = nowMs;
  }

  stoppedReading(): void {
    this.#reading = false;
  }

  readsAgain(nowMs: number): void {
    this.#reading = true;
    this.#deviceMs = nowMs;
  }

  devicePinged(): void {
    this.#pings.push(false);
  }

  pinged(nowMs: number): void {
    this.#pings.push(true);
    this.#brokerMs = nowMs;
  }

  /** A PINGRESP came: was it for ours, to be swallowed? */
  pingAnswered(): boolean {
    return this.#pings.shift() ?? false;
  }

  due(nowMs: number): 'nothing' | 'ping' | 'expired' {
    if (this.#everyMs === 0) return 'nothing';
    if (this.#reading && nowMs - this.#deviceMs > this.#everyMs * graceFactor) return 'expired';
    return nowMs - this.#brokerMs > this.#everyMs * pingFactor ? 'ping' : 'nothing';
  }
}
