/**
 * The statements of MQTT 3.1.1 and 5.0 that bind a server, as a table: none is missing, each names
 * a test there is, and what the source cites is a statement of one of the two standards.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { limitBehaviours } from './behaviours/limits.ts';
import { messageBehaviours } from './behaviours/messages.ts';
import { propertyBehaviours } from './behaviours/properties.ts';
import { sessionBehaviours } from './behaviours/sessions.ts';
import { idsOf, type Sections, type Statements } from './conformance/statement.ts';
import { clients311, sections311, statements311 } from './conformance/statements-3.1.1-more.ts';
import { absent5, clients5, sections5, statements5 } from './conformance/statements-5.ts';
import { readSource, root, trackedPaths } from './support/source.ts';
import { connectVectors } from './vectors/connect.ts';
import { connectionVectors } from './vectors/connection.ts';
import { controlVectors } from './vectors/control.ts';
import { lengthVectors } from './vectors/lengths.ts';
import { packetVectors } from './vectors/packets.ts';
import { publishVectors } from './vectors/publish.ts';
import { publishFaults } from './vectors/publish-faults.ts';
import { connectSequences } from './vectors/sequences-connect.ts';
import { propertySequences } from './vectors/sequences-properties.ts';
import { refusedSequences } from './vectors/sequences-refused.ts';
import { servedSequences } from './vectors/sequences-served.ts';
import { subscribeVectors } from './vectors/subscribe.ts';

const idPattern = /\bMQTT-\d+\.\d+\.\d+-\d+\b/g;

interface Standard {
  readonly name: string;
  readonly statements: Statements;
  readonly sections: Sections;
  readonly clients: readonly string[];
  readonly absent: readonly string[];
}
const standards: readonly Standard[] = [
  {
    name: '3.1.1',
    statements: statements311,
    sections: sections311,
    clients: clients311,
    absent: [],
  },
  { name: '5', statements: statements5, sections: sections5, clients: clients5, absent: absent5 },
];

const generated: readonly { readonly name: string }[] = [
  ...[publishVectors, publishFaults, connectVectors, packetVectors, connectionVectors],
  ...[controlVectors, subscribeVectors, lengthVectors],
  ...[connectSequences, propertySequences, refusedSequences, servedSequences],
  ...[messageBehaviours, sessionBehaviours, propertyBehaviours, limitBehaviours],
].flat();

/** Titles as they stand in the test files, within any quotes. */
function titles(): Set<string> {
  const folder = join(root, 'test');
  const found = new Set(generated.map(({ name }) => name));
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.test.ts'))) {
    if (file === 'conformance.test.ts') continue;
    const source = readFileSync(join(folder, file), 'utf8');
    for (const [, title = ''] of source.matchAll(/'((?:[^'\\\n]|\\.)+)'/g)) found.add(title);
  }
  return found;
}

for (const { name, statements, sections, clients, absent } of standards) {
  test(`MQTT ${name}: every statement for servers stands in the table, and no other`, () => {
    const all = idsOf(sections).filter((id) => !absent.includes(id));
    assert.equal(new Set(all).size, all.length);
    const held = Object.keys(statements);
    assert.deepEqual(
      held.filter((id) => clients.includes(id)),
      [],
    );
    assert.deepEqual(new Set([...held, ...clients]), new Set(all));
  });

  test(`MQTT ${name}: each statement names a test that there is`, () => {
    const known = titles();
    const missing = Object.entries(statements).filter(([, held]) => !known.has(held.test));
    assert.deepEqual(
      missing.map(([id, held]) => `${id}: ${held.test}`),
      [],
    );
    for (const [id, { by, what }] of Object.entries(statements)) {
      assert.equal(by === 'broker', what !== undefined, `${id} says what the broker does`);
    }
  });
}

test('what the source cites is a statement of one of the standards', () => {
  const known = new Set(standards.flatMap(({ sections }) => idsOf(sections)));
  const wrong = trackedPaths()
    .filter((path) => /^(wasm-core|agent)\/.*\.ts$/.test(path))
    .map((path) => readSource(path))
    .flatMap(({ path, lines }) =>
      lines.flatMap((line, at) =>
        [...line.matchAll(idPattern)]
          .filter(([id]) => !known.has(id))
          .map(([id]) => `${path}:${at + 1} ${id}`),
      ),
    );
  assert.deepEqual(wrong, []);
});
