/**
 * The ledger: what devices sent, what was acknowledged to them, what arrived upstream; and whether
 * the promises hold between the three. Pure: it knows neither MQTT nor Kafka, so that the demo and
 * the ledger tests share it.
 *
 * Each device numbers its messages 1, 2, 3, … A message is its device and its number.
 *   promise 1   acknowledged ⊆ arrived                                → `lost` is empty
 *   promise 3   first arrivals of one device stand in rising numbers   → `outOfOrder` is 0
 *   and nothing arrives that was never sent                            → `unknown` is 0
 * Repeats are counted (`repeats`), never forbidden: at-least-once allows them, within a bound that
 * the caller knows.
 */

interface Account {
  sent: number;
  /** Index is the message number. */
  readonly acknowledged: Set<number>;
  readonly arrived: Set<number>;
  highestArrived: number;
  repeats: number;
  outOfOrder: number;
  unknown: number;
}

export interface LedgerTotals {
  readonly devices: number;
  /** Distinct messages, repeats of the device not counted. */
  readonly sent: number;
  readonly acknowledged: number;
  /** Distinct messages. */
  readonly arrived: number;
  /** Arrivals beyond the first of each message. */
  readonly repeats: number;
  readonly outOfOrder: number;
  readonly unknown: number;
  readonly lost: number;
  /** The first few, as `device #number`. */
  readonly lostExamples: readonly string[];
  readonly holds: boolean;
}

const examplesShown = 5;

export class Ledger {
  readonly #accounts = new Map<string, Account>();
  #acknowledged = 0;
  #arrived = 0;
  #owed = 0;

  #account(device: string): Account {
    let account = this.#accounts.get(device);
    if (account === undefined) {
      account = {
        sent: 0,
        acknowledged: new Set(),
        arrived: new Set(),
        highestArrived: 0,
        repeats: 0,
        outOfOrder: 0,
        unknown: 0,
      };
      this.#accounts.set(device, account);
    }
    return account;
  }

  /** The next number of this device; call it just before the bytes are handed to the socket. */
  nextNumber(device: string): number {
    const account = this.#account(device);
    account.sent += 1;
    return account.sent;
  }

  acknowledge(device: string, number: number): void {
    const account = this.#account(device);
    if (account.acknowledged.has(number)) return;
    account.acknowledged.add(number);
    this.#acknowledged += 1;
    if (!account.arrived.has(number)) this.#owed += 1;
  }

  arrive(device: string, number: number): void {
    const account = this.#account(device);
    if (number < 1 || number > account.sent) {
      account.unknown += 1;
      return;
    }
    if (account.arrived.has(number)) {
      account.repeats += 1;
      return;
    }
    account.arrived.add(number);
    this.#arrived += 1;
    if (account.acknowledged.has(number)) this.#owed -= 1;
    if (number < account.highestArrived) account.outOfOrder += 1;
    else account.highestArrived = number;
  }

  /** Distinct messages acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Distinct messages arrived so far. */
  get arrived(): number {
    return this.#arrived;
  }

  /** Acknowledged and not arrived: the backlog as it looks from outside. */
  get owed(): number {
    return this.#owed;
  }

  totals(): LedgerTotals {
    const sum = { sent: 0, repeats: 0, outOfOrder: 0, unknown: 0, lost: 0 };
    const lostExamples: string[] = [];
    for (const [device, account] of this.#accounts) {
      sum.sent += account.sent;
      sum.repeats += account.repeats;
      sum.outOfOrder += account.outOfOrder;
      sum.unknown += account.unknown;
      for (const number of account.acknowledged) {
        if (account.arrived.has(number)) continue;
        sum.lost += 1;
        if (lostExamples.length < examplesShown) lostExamples.push(`${device} #${number}`);
      }
    }
    return {
      devices: this.#accounts.size,
      acknowledged: this.#acknowledged,
      arrived: this.#arrived,
      ...sum,
      lostExamples,
      holds: sum.lost === 0 && sum.outOfOrder === 0 && sum.unknown === 0 && sum.sent > 0,
    };
  }
}
