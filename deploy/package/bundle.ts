/**
 * The agent as a package carries it: JavaScript, put together by Rolldown into a few files.
 *
 *   agent/main.js, buffer/thread.js, egress-thread.js, …    where processes and threads begin
 *   agent/<room>-<hash>.js                                  a room, or what is loaded when asked
 *
 * Why not one file for each source: a module is memory on a small box, and the way to it is time.
 * What nobody calls is left out, and so are comments and blanks; names stay as they are, so that a
 * stack trace reads. `npm run footprint` measures both.
 *
 * Every module of ours finds its neighbours on disk (SQL, core.wasm, package.json, thread entries)
 * from where it stood: `import.meta.url` and `import.meta.filename` are rewritten.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type OutputChunk, type Plugin, rolldown } from 'rolldown';

const root = join(import.meta.dirname, '..', '..');
const entries = {
  main: 'agent/main.ts',
  'buffer/thread': 'agent/buffer/thread.ts',
  'egress-thread': 'agent/egress-thread.ts',
  'egress-run': 'agent/egress-run.ts',
};
/** Native, with files of their own, or loaded by name: they stay packages in node_modules. */
export const keptPackages = [
  'pino-pretty',
  'better-sqlite3',
  'koffi',
  '@node-rs/crc32',
  '@platformatic/wasm-utils',
];
const besides = [
  'agent/buffer/schema.sql',
  'agent/buffer/schema-2.sql',
  'agent/buffer/schema-3.sql',
  'wasm-core/build/core.wasm',
  'package.json',
];

const ofPino = `pino|pino-std-serializers|@pinojs/redact|sonic-boom|thread-stream|atomic-sleep|
quick-format-unescaped|on-exit-leak-free|safe-stable-stringify|real-require`.replaceAll('\n', '');

/** Rooms that a thread loads whole, each one file; all else is split where it is asked for. */
const rooms: readonly (readonly [string, RegExp])[] = [
  ['ground', /\/agent\/(errors|events|bounds)\.ts$|builtin:/],
  ['frames', /\/agent\/frames\/|@assemblyscript\/loader/],
  ['buffer', /\/agent\/buffer\/(?!thread)/],
  ['config', /\/agent\/config\/(?!json-schema)|\/node_modules\/(yaml|valibot)\//],
  ['ingress', /\/agent\/ingress\/(?!nats-|message-)/],
  ['telemetry', new RegExp(`/agent/telemetry/|/node_modules/(${ofPino})/`)],
];

/** Where a module of ours stood: files lie in agent/, whatever they hold. */
const standsWhereItStood: Plugin = {
  name: 'stands where it stood',
  transform(code, id) {
    const path = relative(join(root, 'agent'), id);
    if (!id.endsWith('.ts') || path.startsWith('..') || !code.includes('import.meta.')) return null;
    const url = `new URL(${JSON.stringify(`./${path.replace(/\.ts$/, '.js')}`)}, import.meta.url)`;
    return code
      .replaceAll('import.meta.url', `${url}.href`)
      .replaceAll('import.meta.filename', `${url}.pathname`);
  },
};

/**
 * An ES import of a module of Node's reads every property that it exports, and some of them load
 * half of Node: `import 'node:http'` alone costs 13 MiB, for the sake of WebSocket and fetch. Here
 * a module of Node's is loaded when something of it is first used.
 */
const builtin = '\0builtin:';
const builtinsAsTheyAre: Plugin = {
  name: 'builtins as they are',
  resolveId(source, importer) {
    // The bundler's own few lines come before all others.
    if (!source.startsWith('node:') || importer?.includes('rolldown/runtime')) return null;
    return { id: builtin + source };
  },
  load(id) {
    if (!id.startsWith(builtin)) return null;
    return { code: loadedWhenUsed(id.slice(builtin.length)), moduleSideEffects: false };
  },
};

/** CommonJS. What is itself a function (events, stream, assert) is asked for at once. */
function loadedWhenUsed(name: string): string {
  const found: unknown = process.getBuiltinModule(name);
  const load = `process.getBuiltinModule(${JSON.stringify(name)})`;
  if (typeof found !== 'object' || found === null) return `module.exports = ${load};`;
  const getters = Object.keys(found).map((key) => `get ${key}() { return load().${key}; }`);
  return `let loaded; const load = () => (loaded ??= ${load});
module.exports = { ${getters.join(', ')} };`;
}

/** @returns what is in which file */
export async function bundle(outDir: string): Promise<readonly OutputChunk[]> {
  rmSync(join(outDir, 'agent'), { recursive: true, force: true });
  const build = await rolldown({
    cwd: root,
    input: entries,
    platform: 'node',
    external: keptPackages,
    plugins: [builtinsAsTheyAre, standsWhereItStood],
    treeshake: { moduleSideEffects: [{ test: /@platformatic\/kafka/, sideEffects: false }] },
    preserveEntrySignatures: 'allow-extension',
  });
  const groups = rooms.map(([name, test]) => ({ name, test }));
  const { output } = await build.write({
    dir: join(outDir, 'agent'),
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    codeSplitting: { groups, includeDependenciesRecursively: false },
    comments: { legal: false },
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  });
  await build.close();
  for (const path of besides) {
    mkdirSync(dirname(join(outDir, path)), { recursive: true });
    copyFileSync(join(root, path), join(outDir, path));
  }
  const chunks = output.filter((file) => file.type === 'chunk');
  assertOneWay(chunks);
  return chunks;
}

/** Files that import each other in a circle would run before what they need. */
function assertOneWay(chunks: readonly OutputChunk[]): void {
  const left = new Map(chunks.map(({ fileName, imports }) => [fileName, imports]));
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [name, imports] of left) {
      if (!imports.some((needed) => left.has(needed))) left.delete(name);
    }
  }
  if (left.size === 0) return;
  throw new Error(`these files import one another, see \`rooms\`: ${[...left.keys()].join(', ')}`);
}
