/**
 * The system-call filter of the unit holds: an agent (AgentUnderTest, in every-seat.ts) with
 * all in use asks for no call that it does not list, but for those that have another way; and
 * confined by that filter, and by that of address families, it does all of it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { confined } from './support/confined.ts';
import { EverySeat } from './support/every-seat.ts';
import { NotifiedService } from './support/service.ts';
import { readCalls } from './support/strace.ts';
import { allowedCalls, allowedFamilies } from './support/unit-file.ts';

/** Asked for, refused, and not missed: libuv and V8 then take another way, SQLite is not root. */
const refusedWell: Readonly<Record<string, string>> = {
  io_uring_setup: 'libuv goes on with epoll_ctl',
  io_uring_enter: 'only after io_uring_setup',
  pkey_alloc: 'V8 goes on without protection keys',
  pkey_mprotect: 'only after pkey_alloc',
  pkey_free: 'only after pkey_alloc',
  fchown: 'SQLite gives files their owner only as root',
};
/** glibc asks the kernel for its addresses; without an answer it asks DNS for both kinds. */
const familiesRefusedWell = ['AF_NETLINK'];

const folder = mkdtempSync(join(tmpdir(), 'tidegate-calls-'));
let servers: EverySeat;
before(async () => {
  servers = await EverySeat.start();
});
after(async () => {
  await servers?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test('the agent makes no system call that the unit’s filter does not list', async (t) => {
  const file = join(folder, 'trace');
  using manager = NotifiedService.atPath();
  await servers.walk(manager, ['strace', '-f', '-qq', '-s', '0', '-e', 'signal=none', '-o', file]);
  const calls = readCalls(readFileSync(file, 'utf8'));
  const allowed = allowedCalls();
  const made = new Set(calls.map(({ name }) => name));
  t.diagnostic(`${calls.length} calls of ${made.size} kinds; the filter lists ${allowed.size}`);
  const outside = [...made].filter((name) => !allowed.has(name)).toSorted();
  t.diagnostic(`refused: ${outside.join(' ')}`);
  assert.deepEqual(
    outside.filter((name) => refusedWell[name] === undefined),
    [],
    'not in SystemCallFilter=',
  );
  const sockets = calls.filter(({ name }) => name === 'socket');
  const asked = new Set(sockets.map(({ args }) => /^(AF_\w+)/.exec(args)?.[1] ?? args));
  const families = allowedFamilies();
  assert.deepEqual(
    [...asked].filter((name) => !families.has(name) && !familiesRefusedWell.includes(name)),
    [],
    'not in RestrictAddressFamilies=',
  );
});

test('confined by the unit’s filters, it does all that it does without them', async () => {
  using manager = NotifiedService.atPath();
  const status = await servers.walk(manager, confined);
  assert.ok(status.includes('Seccomp:\t2'), 'a filter is in force');
  assert.ok(status.includes('NoNewPrivs:\t1'));
});
