/**
 * A strict reader of the Prometheus text format 0.0.4, written from its grammar and not from the
 * writer under test: families in one piece, HELP before TYPE, no sample twice, counters `_total`.
 */
import assert from 'node:assert/strict';

export interface Family {
  type: string;
  help: string;
  samples: { name: string; labels: Record<string, string>; value: number }[];
}

/** Reads by the grammar, labels character by character; throws on anything else. */
export function parseExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line must end');
  const families = new Map<string, Family>();
  let current = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line);
    if (comment) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') {
        assert.ok(!families.has(name), `${name} stands twice`);
        families.set(name, { type: '', help: rest, samples: [] });
        current = name;
      } else {
        assert.equal(name, current);
        assert.match(rest, /^(counter|gauge|histogram)$/);
        (families.get(name) as Family).type = rest;
      }
      continue;
    }
    const family = families.get(current);
    assert.ok(family, `sample before its family: ${line}`);
    const sample = parseSample(line);
    const suffix = sample.name.slice(current.length);
    const allowed = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    assert.ok(sample.name.startsWith(current) && allowed.includes(suffix), line);
    if (family.type === 'counter') assert.ok(current.endsWith('_total') && sample.value >= 0, line);
    const same = JSON.stringify([sample.name, sample.labels]);
    const others = family.samples.map((each) => JSON.stringify([each.name, each.labels]));
    assert.ok(!others.includes(same), `twice: ${line}`);
    family.samples.push(sample);
  }
  return families;
}

function parseSample(line: string): Family['samples'][number] {
  const name = /^[a-zA-Z_:][a-zA-Z0-9_:]*/.exec(line)?.[0] ?? '';
  let at = name.length;
  const labels: Record<string, string> = {};
  if (line[at] === '{') {
    at += 1;
    while (line[at] !== '}') {
      const label = /^[a-zA-Z_]\w*(?==")/.exec(line.slice(at))?.[0];
      assert.ok(label, `label expected at ${at}: ${line}`);
      at += label.length + 2;
      let value = '';
      for (; line[at] !== '"'; at++) {
        assert.ok(at < line.length, line);
        if (line[at] === '\\') value += line[++at] === 'n' ? '\n' : line[at];
        else value += line[at];
      }
      labels[label] = value;
      at += 1;
      if (line[at] === ',') at += 1;
    }
    at += 1;
  }
  assert.equal(line[at], ' ', line);
  const number = line.slice(at + 1);
  assert.match(number, /^([+-]Inf|NaN|-?\d+(\.\d+)?(e[+-]\d+)?)$/, line);
  return { name, labels, value: Number(number.replace('Inf', 'Infinity')) };
}
