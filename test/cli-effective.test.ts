/**
 * `tidegate check --effective`: every value with the layer it comes from, layers as files or as the
 * gateway keeps them, and what is refused on the way.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { tidegate } from './support/cli.ts';

const directory = mkdtempSync(join(tmpdir(), 'tidegate-effective-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const trust = 'UDXRE74PRHIG7HGIZKICL4ODNKSIBSMGB6VCO6HZHXY4XKTNXA3CRKWQ';

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const local = write(
  'local.yaml',
  `gateway: gw1
fleet: { servers: nats://127.0.0.1, trust: ${trust}, groups: [line-a], token: hidden }
buffer: { path: ${directory}/none.db }
`,
);
const fleet = write(
  'fleet.yaml',
  `routes: [{ name: a, from: 'a/#', to: { upstream: out } }]
upstreams: { out: { file: { directory: ./out } } }
log: { level: warn }
`,
);
const group = write('group.yaml', 'log: { level: debug }\n');

test('each value stands with its layer and line, whatever the order of --layer', async () => {
  const layers = ['--layer', `group.line-a=${group}`, '--layer', `fleet.default=${fleet}`];
  const { code, out } = await tidegate(directory, 'check', '--effective', ...layers, local);
  assert.equal(code, 0, out);
  assert.match(out, /^gateway: gw1 +# .*local\.yaml:1$/m);
  assert.match(out, /^routes\[0\]\.name: a +# fleet\.default:1$/m);
  assert.match(out, /^log\.level: debug +# group\.line-a:1$/m);
  assert.match(out, /local\.yaml ← fleet\.default ← group\.line-a: valid$/m);
  assert.ok(!out.includes('hidden'));
  const json = await tidegate(directory, 'check', '--effective', '--json', ...layers, local);
  const shown = JSON.parse(json.out);
  assert.equal(shown.valid, true);
  assert.ok(shown.origins.some(({ key }: { key: string }) => key === 'log.level'));
});

test('a layer of another gateway, and one that is no pair, are usage errors', async () => {
  for (const [layer, message] of [
    [`group.other=${group}`, /the layers of this gateway are fleet\.default, group\.line-a/],
    ['nonsense', /write KEY=FILE/],
  ] as const) {
    const { code, err } = await tidegate(
      directory,
      'check',
      '--effective',
      '--layer',
      layer,
      local,
    );
    assert.equal(code, 64);
    assert.match(err, message);
  }
  const without = await tidegate(directory, 'check', '--layer', `fleet.default=${fleet}`, local);
  assert.equal(without.code, 64);
});

test('a bad layer is refused by its name and line, with exit 78', async () => {
  const bad = write('bad.yaml', '\nlog: { level: loud }\n');
  const { code, out } = await tidegate(
    directory,
    'check',
    '--effective',
    '--layer',
    `fleet.default=${bad}`,
    local,
  );
  assert.equal(code, 78);
  assert.match(out, /^fleet\.default:2:\d+: error: log\.level: loud is not one of/m);
});

test('without a fleet part the file alone is shown', async () => {
  const alone = write('alone.yaml', `http: off\n${'routes: []\nupstreams: {}\n'}`);
  const { code, out } = await tidegate(directory, 'check', '--effective', alone);
  assert.equal(code, 0);
  assert.match(out, /^http: off +# .*alone\.yaml:1$/m);
});
