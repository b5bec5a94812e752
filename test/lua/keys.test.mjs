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
    const own = OWN_KEYS.includes(name.replace('.lua', '')) ? ['KEYS[1]'] : [];
    assert.deepEqual([...source.matchAll(/KEYS\[\d+\]/g)].map(([key]) => key), own, `lua/${name}`);
  }
  assert.deepEqual(KEY_NAMES.filter((key) => !used.has(key)), []);
});

// ---- commands: lua/probe.lua lists them ----

const sources = (folder) => readdirSync(new URL(folder, root), { recursive: true }).filter((name) => /\.(lua|c)$/.test(name)).map((name) => [`${folder}${name}`, text(`${folder}${name}`)]);
const probed = [...text('lua/probe.lua').matchAll(/^ {4}\['(.+?)(?::\{probe\})?'\] = '([A-Z ]+)',/gm)].map(([, key, commands]) => [key, commands.split(' ')]);
const commands = new Set(probed.flatMap(([, list]) => list));
// Part of the greeting itself, so that a connection without them never comes up; AUTH and HELLO are everybody's.
const greeting = ['SELECT', 'SCRIPT'];
const optional = ['INFO', 'CLIENT'];
// In a cluster alone; the probe tries those of the channels.
const clustered = ['CLUSTER', 'ASKING', 'SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE'];

test('the probe tries every command that lua/ and src/ use, and no other', () => {
  assert.deepEqual(probed.map(([key]) => key).sort(), [...KEYS, ...OWN_KEYS, 'events', 'the channel', 'no key'].sort());
  const used = new Set(['EVAL', 'EVALSHA']);
  for (const [name, source] of sources('lua/')) {
    for (const [, command, key] of source.replace(/--.*/g, '').matchAll(/\bp?call\('([A-Z]+)'(?:, '[A-Z]+')?(?:, (K_[A-Z_]+))?/g)) {
      used.add(command);
      if (key) assert.ok(probed.some(([name_, list]) => name_ === KEYS[KEY_NAMES.indexOf(key)] && list.includes(command)), `${name}: ${command} on ${key} is not probed`);
    }
  }
  for (const folder of ['src/net/', 'src/queue/', 'src/api/', 'src/gateway/', 'src/processor/', 'src/selling/']) {
    for (const [, source] of sources(folder).filter(([name]) => /redis|queue|catalog/.test(name))) {
      const plain = source.replace(/\/\*[\s\S]*?\*\//g, '');
      for (const [, list] of plain.matchAll(/(?:LINK_GREET|redis_args_add|redis_format_arg|command|argv\[\] =)([^;]*);/g)) {
        for (const [, word] of list.matchAll(/"([A-Z]{3,})"/g)) used.add(word);
      }
    }
  }
  for (const word of ['AUTH', 'HELLO', ...greeting, ...optional, ...clustered, 'SLOTS', 'SETNAME', 'LOAD']) used.delete(word);
  assert.deepEqual([...used].sort(), [...commands].sort());
});

test('docs/operations.md has an ACL with exactly these commands and keys', () => {
  const [, line] = /^(ACL SETUSER tiketi .*)$/m.exec(text('docs/operations.md'));
  const words = line.split(' ').slice(3);
  const allowed = words.filter((word) => word.startsWith('+')).map((word) => word.slice(1).split('|')[0].toUpperCase());
  assert.deepEqual(allowed.sort(), [...commands, ...greeting, ...optional].sort());
  const keys = words.filter((word) => word.startsWith('~')).map((word) => word.slice(1));
  const all = [...KEYS, ...OWN_KEYS].map((key) => `${key}:{e}`);
  const covers = (pattern, key) => new RegExp(`^${pattern.replace(/[*]/g, '.*')}$`).test(key);
  for (const key of [...all, 'events']) assert.ok(keys.some((pattern) => covers(pattern, key)), `${key} is not covered`);
  for (const pattern of keys) assert.ok([...all, 'events'].some((key) => covers(pattern, key)), `~${pattern} covers no key`);
  assert.deepEqual(words.filter((word) => word.startsWith('&')), ['&tiketi:0:queue-events']);
});

test('docs/operations.md says what the user of a cluster needs besides', () => {
  const [, line] = /^(ACL SETUSER tiketi \+cluster.*)$/m.exec(text('docs/operations.md'));
  const words = line.split(' ').slice(3);
  const allowed = words.filter((word) => word.startsWith('+')).map((word) => word.slice(1).split('|')[0].toUpperCase());
  assert.deepEqual([...new Set(allowed)].sort(), [...clustered].sort());
  assert.deepEqual(words.filter((word) => word.startsWith('+cluster')), ['+cluster|slots', '+cluster|info']);
  assert.deepEqual(words.filter((word) => word.startsWith('&')), ['&tiketi:0:queue-events:*']);
});
