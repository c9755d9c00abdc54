/**
 * What an operator takes of the config from deploy/: the example with every key, and the JSON
 * Schema that editors read. Both say what the schema says, or a test fails.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkText } from '../agent/config/check.ts';
import { jsonSchemaText } from '../agent/config/json-schema.ts';

const deploy = (name: string) => fileURLToPath(new URL(`../deploy/${name}`, import.meta.url));

test('the example config is valid without a warning', () => {
  const text = readFileSync(deploy('tidegate.example.yaml'), 'utf8');
  const secrets = {
    PLANT_BROKER_PASSWORD: 'a',
    KAFKA_PASSWORD: 'b',
    HEADQUARTERS_PASSWORD: 'c',
    MESH_PASSWORD: 'd',
    ERP_TOKEN: 'a-token-of-the-example',
  };
  assert.deepEqual(checkText(text, 'example', secrets).problems, []);
});

test('the example config has every key of this version', () => {
  const text = readFileSync(deploy('tidegate.example.yaml'), 'utf8');
  const keys = new Set<string>();
  const collect = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [name, inner] of Object.entries(node)) {
      if (name === 'properties') for (const key of Object.keys(inner)) keys.add(key);
      collect(inner);
    }
  };
  collect(JSON.parse(jsonSchemaText()));
  assert.ok(keys.size > 80, `${keys.size} keys found`);
  const missing = [...keys].filter((key) => !new RegExp(`\\b${key}:`).test(text));
  assert.deepEqual(missing, []);
});

test('deploy/tidegate.schema.json is what the schema says (npm run schema writes it)', () => {
  assert.equal(readFileSync(deploy('tidegate.schema.json'), 'utf8'), jsonSchemaText());
});

interface Node {
  description?: string;
  properties?: Record<string, Node>;
  items?: Node;
  anyOf?: Node[];
  additionalProperties?: Node | boolean;
  'x-change'?: string;
}

test('every key has prose, and every leaf says whether a change is hot or cold', () => {
  const bare: string[] = [];
  const visit = (node: Node, path: string): void => {
    const inner = [...(node.anyOf ?? [])];
    if (node.items) inner.push(node.items);
    if (typeof node.additionalProperties === 'object') inner.push(node.additionalProperties);
    for (const each of inner) if (each.properties) visit(each, path);
    for (const [key, property] of Object.entries(node.properties ?? {})) {
      const here = `${path}.${key}`;
      if (!property.description) bare.push(`${here}: no prose`);
      const isLeaf = !/"(properties|items|anyOf|\$ref)"/.test(JSON.stringify(property));
      if (isLeaf && !/hot|cold/.test(property['x-change'] ?? ''))
        bare.push(`${here}: hot or cold?`);
      visit(property, here);
    }
  };
  visit(JSON.parse(jsonSchemaText()) as Node, '');
  assert.deepEqual(bare, []);
});
