// SPDX-License-Identifier: MIT
//
// tiketi plan: docs/capacity.md shows what it prints, and its figures are those of docs/performance.md.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, runTiketi } from '../fixtures/index.mjs';

const doc = (name) => readFileSync(join(ROOT, 'docs', name), 'utf8');
const plan = async (args, options) => (await runTiketi(['plan', ...args.map(String)], {}, options));
const figures = async () => (await plan(['--buyers', 1, '--figures'])).stdout.split('\n').flatMap((line) => {
  const [, name, value, unit, source] = /^(.+?) {2,}([\d.]+) (.+?)\t(.+)$/.exec(line) ?? [];
  return name ? [{ name, value: Number(value), unit, source }] : [];
});

// A value of the page, in the unit of the figure.
const FACTORS = { 'µs': 1, ms: 1000, B: 1, kB: 1000, MB: 1e6, '/s': 1, '% of a core': 1 };
function measured(row) {
  const cells = doc('performance.md').split('\n').map((line) => line.split('|').map((cell) => cell.trim())).find((line) => line[1] === row);
  assert.ok(cells, `docs/performance.md has no row "${row}"`);
  const [, number, unit] = /^([\d.,]+) ?(.*)$/.exec(cells[3]);
  assert.ok(unit in FACTORS, `${row}: unit ${unit}`);
  return Number(number.replaceAll(',', '')) * FACTORS[unit];
}

test('each figure is that of its row of performance.md, rounded to the safe side', async () => {
  const all = await figures();
  const rows = new Set(doc('performance.md').split('\n').map((line) => line.split('|')[1]?.trim()));
  let compared = 0;
  for (const { name, value, unit, source } of all) {
    if (!rows.has(source)) {
      const [, file, part] = /^(\S+\.md)(?:, "(.+)")?$/.exec(source) ?? assert.fail(`${name}: "${source}" is neither a row nor a document`);
      if (part) assert.ok(doc(file).includes(part), `docs/${file} has no "${part}"`);
      if (file !== 'performance.md') continue;
      // Of its row, the size that the second column names.
      const [, bytes] = new RegExp(`^\\| ${part} \\| [^|]*\\b(\\d+) bytes`, 'm').exec(doc(file)) ?? assert.fail(`${part}: no number of bytes`);
      assert.ok(value >= Number(bytes) && value <= Number(bytes) * 1.2, `${name}: ${value}, performance.md says ${bytes}`);
      compared++;
      continue;
    }
    const page = measured(source);
    compared++;
    // A benchmark of the same machine varies by a tenth, on a busy one by more; beyond that, and somebody should look at the table.
    if (unit === '/s') assert.ok(value <= page * 1.3 && value >= page / 2, `${name}: ${value}, performance.md says ${page}`);
    else assert.ok(value >= page / 1.3 && value <= page * 2, `${name}: ${value}, performance.md says ${page}`);
  }
  assert.ok(compared >= 10, `${compared} figures are measured`);
});

test('capacity.md shows what it prints, and all figures', async () => {
  const page = doc('capacity.md');
  const [, args, shown] = /^\$ tiketi plan (.*)\n([^]*?)^```$/m.exec(page);
  assert.equal((await plan(args.split(' '))).stdout, shown);
  const table = page.split('\n').filter((line) => /^\| .* \| [\d.]+ \S.* \|/.test(line)).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  assert.deepEqual(table, (await figures()).map(({ name, value, unit, source }) => [name, `${value} ${unit}`, source]));
});

test('as JSON it says the same, and it warns of what is too small', async () => {
  const { stdout } = await plan(['--buyers', 100000, '--arrive', '5s', '--threshold', 2000, '--seats', 20000, '--json']);
  const numbers = JSON.parse(stdout);
  assert.deepEqual([numbers.arrivalsPerSecond, numbers.waiting, numbers.apiPods, numbers.gatewayPods, numbers.maxConnections], [20000, 98000, 4, 4, 163]);
  const million = (await plan(['--buyers', 1000000, '--arrive', '5s'])).stdout;
  assert.match(million, /^! Redis' one core is busy for 5\.6 s with an arrival of 5\.0 s/m);
  assert.match((await plan(['--buyers', 1000000, '--direct'])).stdout, /^! \d+ connections cost PostgreSQL .*PgBouncer/m);
  assert.match((await plan(['--buyers', 50000, '--threshold', 20000, '--seats', 20000])).stdout, /^! 4000 holds a second/m);
  assert.doesNotMatch((await plan(['--buyers', 1000])).stdout, /^!/m);
});

test('what is missing or wrong is named', async () => {
  const refuses = async (args, pattern) => assert.match((await plan(args, { expect: 64 })).stderr, pattern);
  await refuses([], /--buyers/);
  await refuses(['--buyers', 0], /--buyers/);
  await refuses(['--buyers', 10, '--load', 0], /--load/);
  await refuses(['--buyers', 10, '--load', 2], /--load/);
  await refuses(['--buyers', 10, '--files', 100], /--files/);
  await refuses(['--buyers', 10, '--arrive', 'soon'], /--arrive/);
});
