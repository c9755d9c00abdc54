/**
 * Connections to NATS: lists of servers, those that a cluster tells of, what a refusal means, and a
 * link that is kept up and asks for nothing while it cannot be.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NatsClientConfig } from '../agent/config/types-nats.ts';
import { TidegateError } from '../agent/errors.ts';
import { connectNats, createNkey, nkeyFromPublic, nkeyFromSeed } from '../agent/nats-client.ts';
import { NatsLink } from '../agent/nats-link.ts';
import { eventually } from './support/agent.ts';
import { startNats } from './support/nats.ts';
import { freePorts } from './support/ports.ts';

const withinMs = 10_000;

function to(...ports: readonly number[]): NatsClientConfig {
  return {
    servers: ports.map((port) => ({ host: '127.0.0.1', port, tls: false })),
    ...{ name: 'test', username: null, password: null, token: null, nkey: null, creds: null },
    tls: { ca: null, certificate: null, key: null, serverName: null },
  };
}

const ignored = { ended: () => {} };

test('of a list of servers the first that answers is taken', async () => {
  await using server = await startNats();
  const [dead = 0, other = 0] = await freePorts(2);
  for (let round = 0; round < 4; round++) {
    const connection = await connectNats({ client: to(dead, server.port, other), ...ignored });
    assert.equal(connection.server, `127.0.0.1:${server.port}`);
    await connection.close();
  }
});

test('servers of the cluster are learnt, and found when those of the config are gone', async () => {
  const [one = 0, two = 0] = await freePorts(2);
  const cluster = (own: number, other: number): string[] => [
    `cluster { name: c, listen: 127.0.0.1:${own}, routes: [nats-route://127.0.0.1:${other}] }`,
  ];
  await using first = await startNats({ jetstream: false, lines: cluster(one, two) });
  await using second = await startNats({ jetstream: false, lines: cluster(two, one) });
  let server = '';
  const link = new NatsLink({
    ...{ client: to(first.port), connect: connectNats, random: () => 0.1, down: () => {} },
    up: (connection) => {
      server = connection.server;
    },
  });
  await eventually('the cluster has formed', withinMs, async () => {
    const connection = await connectNats({ client: to(first.port), ...ignored });
    const knows = connection.learnt.some(({ port }) => port === second.port);
    await connection.close();
    return knows;
  });
  link.open();
  await eventually('up at the first', withinMs, () => server.endsWith(`:${first.port}`));
  await first.kill();
  await eventually('up at the second', withinMs, () => server.endsWith(`:${second.port}`));
  await link.close();
});

test('a refusal says what it takes: hands, or time', async () => {
  await using server = await startNats({ lines: ['authorization { token: right }'] });
  const wrong = { ...to(server.port), token: 'wrong' };
  for (const [client, code] of [
    [wrong, 'upstreamUnauthorized'],
    [{ ...to(server.port), creds: '/nowhere.creds' }, 'natsKeyUnreadable'],
    [to((await freePorts(1))[0] ?? 0), 'upstreamUnreachable'],
  ] as const) {
    await assert.rejects(connectNats({ client, ...ignored }), (error) => {
      assert.ok(error instanceof TidegateError);
      assert.equal(error.code, code, error.message);
      assert.ok(!error.message.includes('wrong'), 'no secret in it');
      return true;
    });
  }
  const connection = await connectNats({ client: { ...wrong, token: 'right' }, ...ignored });
  await connection.close();
});

test('a key signs what its public key verifies, and nothing else does', () => {
  const key = createNkey();
  const bytes = Buffer.from('some bytes');
  const signature = nkeyFromSeed(`${key.seed}\n`).sign(bytes);
  assert.equal(nkeyFromPublic(key.publicKey).verify(bytes, signature), true);
  assert.equal(nkeyFromPublic(key.publicKey).verify(Buffer.from('other'), signature), false);
  assert.equal(nkeyFromPublic(createNkey().publicKey).verify(bytes, signature), false);
  assert.throws(() => nkeyFromSeed('nonsense'), { code: 'natsKeyInvalid' });
  assert.throws(() => nkeyFromPublic('nonsense'), { code: 'natsKeyInvalid' });
});
