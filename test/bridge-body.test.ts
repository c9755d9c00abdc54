/**
 * What a request may take of memory: the budget of bodies by itself. That real requests are bounded
 * by it is shown in bridge.test.ts.
 */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { bridgeBodiesBytes, bridgeBodiesOfDeviceBytes } from '../agent/bounds.ts';
import { BridgeRefusal } from '../agent/bridge/answer.ts';
import { BodyBudget, type Lease } from '../agent/bridge/body.ts';

const isRefusal = (error: unknown) => error instanceof BridgeRefusal && error.status === 503;

/** The connection of an answer that is being written. */
class Connection extends EventEmitter {
  closed = false;

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

function written(lease: Lease): Connection {
  const connection = new Connection();
  lease.giveBackLater(connection as unknown as ServerResponse);
  return connection;
}

test('one device cannot take the room of all', () => {
  const budget = new BodyBudget();
  const first = budget.lease('a');
  first.take(bridgeBodiesOfDeviceBytes);
  assert.throws(() => budget.lease('a').take(1), isRefusal);
  budget.lease('b').take(bridgeBodiesBytes - bridgeBodiesOfDeviceBytes);
  assert.throws(() => budget.lease('c').take(1), isRefusal);
  written(first).close();
  budget.lease('a').take(bridgeBodiesOfDeviceBytes);
});

test('room is given back when the answer is written, not before', () => {
  const budget = new BodyBudget();
  const lease = budget.lease('a');
  lease.take(bridgeBodiesOfDeviceBytes);
  const connection = written(lease);
  assert.throws(() => budget.lease('a').take(1), isRefusal);
  connection.close();
  connection.close();
  budget.lease('a').take(bridgeBodiesOfDeviceBytes);
  assert.throws(() => budget.lease('a').take(1), isRefusal);
});
