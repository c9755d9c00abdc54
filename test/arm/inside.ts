/**
 * Runs one test file in this process, an emulated one, and tells each test as a line of JSON. Names
 * behind the file's are tests not to run.
 */
import { run } from 'node:test';
import { told } from './told.ts';

const [file = '', ...notRun] = process.argv.slice(2);
const exactly = (name: string) => new RegExp(`^${name.replace(/[^\w ]/g, '\\$&')}$`);
const events = run({ files: [file], isolation: 'none', testSkipPatterns: notRun.map(exactly) });
for await (const { type, data } of events) {
  if (type !== 'test:pass' && type !== 'test:fail') continue;
  const { name, skip, details } = data;
  const error = type === 'test:fail' ? String(details.error.cause ?? details.error) : null;
  const seen = { name, skip: skip === undefined ? null : String(skip), error };
  process.stdout.write(`${told}${JSON.stringify(seen)}\n`);
}
// What a failed test left open must not keep it.
process.exit();
