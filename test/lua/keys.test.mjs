// SPDX-License-Identifier: MIT
//
// src/queue/queue_keys.h lists the Redis keys: the documentation and the scripts use these and no others.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { KEYS, KEY_NAMES, OWN_KEYS } from './room.mjs';

const root = new URL('../../', import.meta.url);
const text = (path) => readFileSync(new URL(path, root), 'utf8');
const scripts = readdirSync(new URL('lua/', root)).filter((name) => name.endsWith('.lua'));

test('docs/redis-keys.md lists exactly these keys, in this order', () => {
  const doc = text('docs/redis-keys.md');
  const rows = [...doc.matchAll(/^\| (\d+|-) \| `([a-z:]+):\{id\}` \|/gm)].map(([, number, key]) => [number, key]);
  assert.deepEqual(rows, [...KEYS.map((key, i) => [String(i + 1), key]), ...OWN_KEYS.map((key) => ['-', key])]);
  const [, events] = /QUEUE_EVENTS_KEY "(\w+)"/.exec(text('src/queue/queue_keys.h'));
  assert.match(doc, new RegExp(`^\\| - \\| \`${events}\` \\|`, 'm'));
  for (const [, key] of doc.matchAll(/`([a-z:]+):\{id\}`/g)) assert.ok([...KEYS, ...OWN_KEYS].includes(key), `${key} is in no list`);
});

test('scripts use each key by its name, and no other', () => {
  const used = new Set();
  for (const name of scripts) {
    const source = text(`lua/${name}`).replace(/--.*/g, '');
    for (const [key] of source.matchAll(/\bK_[A-Z_]+/g)) {
      assert.ok(KEY_NAMES.includes(key), `lua/${name}: ${key} is in no list`);
      used.add(key);
    }
    const own = OWN_KEYS.includes(name.replace('.lua', ''));
    assert.deepEqual([...source.matchAll(/KEYS\[\d+\]/g)].map(([key]) => key), own ? ['KEYS[1]'] : [], `lua/${name}`);
  }
  assert.deepEqual(KEY_NAMES.filter((key) => !used.has(key)), []);
});
