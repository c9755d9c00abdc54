/**
 * Password files and what a log-in costs: a flood is bounded, known devices pass it at once, a name
 * that nobody has costs what others do; a file is what `tidegate password` writes, else refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TidegateError } from '../agent/errors.ts';
import { type CheckBounds, PasswordCheck } from '../agent/ingress/password-check.ts';
import { nameFault, readUsers, writeUser } from '../agent/ingress/password-file.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`password-check seed ${seed}`);
fc.configureGlobal({ seed });

const cheap = { ln: 4, r: 1, p: 1 };
const wide: CheckBounds = { computing: 2, waiting: 64, remembered: 100, rememberedMs: 60_000 };
const bytes = (text: string) => Buffer.from(text);

test('a name that nobody has costs the same scrypt run as one that exists', async () => {
  const users = readUsers(await writeUser('anna', bytes('hush'), cheap), 'x');
  for (const name of ['anna', 'nobody']) {
    const check = new PasswordCheck({ ...wide, computing: 1, waiting: 0 });
    const first = check.answer(users, name, bytes('wrong'));
    assert.equal(check.answer(users, 'anna', bytes('hush')), 'busy', name);
    assert.equal(await first, 'wrong');
  }
});

test('a flood of log-ins is bounded, and devices that are known pass it at once', async () => {
  const users = readUsers(await writeUser('anna', bytes('hush'), cheap), 'x');
  const check = new PasswordCheck({ ...wide, computing: 2, waiting: 3 });
  assert.equal(await check.answer(users, 'anna', bytes('hush')), 'right');
  const flood = Array.from({ length: 20 }, (_, i) => check.answer(users, `n${i}`, bytes('x')));
  assert.equal(flood.filter((answer) => answer === 'busy').length, 15);
  assert.equal(check.answer(users, 'anna', bytes('hush')), 'right');
  assert.deepEqual(await Promise.all(flood.slice(0, 5)), Array(5).fill('wrong'));
  const again = Array.from({ length: 6 }, () => check.answer(users, 'anna', bytes('y')));
  assert.equal(again.filter((answer) => answer === 'busy').length, 1, 'every place came back');
  await Promise.all(again);
});

test('what is remembered is bounded in number and time', async () => {
  const lines = ['a', 'b', 'c'].map((name) => writeUser(name, bytes(name), cheap));
  const users = readUsers((await Promise.all(lines)).join('\n'), 'x');
  const check = new PasswordCheck({ ...wide, remembered: 2, rememberedMs: 50 });
  const isKnown = (name: string) => check.answer(users, name, bytes(name)) === 'right';
  for (const name of ['a', 'b', 'c']) await check.answer(users, name, bytes(name));
  assert.deepEqual(['b', 'c'].map(isKnown), [true, true]);
  assert.equal(isKnown('a'), false);
  await new Promise((wake) => setTimeout(wake, 80));
  assert.equal(isKnown('c'), false);
});

test('what users() reads is what tidegate password writes', async () => {
  const name = fc.string({ minLength: 1, maxLength: 9, unit: 'grapheme' });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(
        name.filter((each) => nameFault(each) === null),
        { maxLength: 4 },
      ),
      fc.uint8Array({ minLength: 1, maxLength: 20 }),
      async (names, password) => {
        const lines = await Promise.all(names.map((each) => writeUser(each, password, cheap)));
        const users = readUsers(`# c\r\n${lines.join('\r\n')}\n`, 'x');
        assert.deepEqual([...users.keys()], names);
        const check = new PasswordCheck();
        for (const each of names) assert.equal(await check.answer(users, each, password), 'right');
      },
    ),
    { numRuns: 50 },
  );
});

test('a bad line is named with its file and number, and none is taken', async () => {
  const good = await writeUser('anna', bytes('hush'), cheap);
  const [, hash = ''] = good.split(/:(.*)/s);
  const bad: [string, RegExp][] = [
    [`${good}\nbert`, /^f:2: there is no : behind a name/],
    [`\n\n:${hash}`, /^f:3: the name is empty/],
    [`${good}\n${good}`, /^f:2: anna stands there twice/],
    [' anna:x', /^f:1: the name begins or ends with a space/],
    ['a\tb:x', /control character/],
    [`anna:${hash.replace('ln=4', 'ln=25')}`, /would cost more than/],
    [`anna:${hash.replace('ln=4', 'ln=17')}`.replace('r=1', 'r=16'), /would cost more than/],
    [`anna:${hash.replace('ln=4', 'ln=0')}`, /or nothing/],
    ['anna:$scrypt$ln=4,r=1,p=1$AAAA$AAAA', /the hash has 3 bytes/],
    ['anna:$7$101$salt$hash', /stands no \$scrypt/],
  ];
  for (const [text, message] of bad) {
    assert.throws(
      () => readUsers(text, 'f'),
      (error) => {
        assert.ok(error instanceof TidegateError && error.code === 'usersInvalid');
        assert.match(error.message, message);
        return true;
      },
    );
  }
});
