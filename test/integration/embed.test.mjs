// SPDX-License-Identifier: MIT
//
// src/embed.sh: a folder without files fails the build.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { privateFolder, removeFolder } from '../fixtures/process.mjs';

const tree = fileURLToPath(new URL('../../', import.meta.url));
let folder;

before(() => {
  folder = privateFolder('embed');
});

after(() => removeFolder(folder));

function copy() {
  for (const name of ['lua', 'sql', 'web', 'docs/openapi.json', 'src/embed.sh', 'src/queue/queue_keys.h']) {
    rmSync(join(folder, name), { recursive: true, force: true });
    cpSync(join(tree, name), join(folder, name), { recursive: true });
  }
}

test('every file of the folders is embedded', () => {
  copy();
  const text = execFileSync(join(folder, 'src/embed.sh'), { encoding: 'utf8', maxBuffer: 64 << 20 });
  for (const name of ['"join"', '"0001_initial.sql"', '"seat.sql"', '"openapi.json"']) assert.ok(text.includes(name), name);
});

for (const [name, said] of [['lua', /lua/], ['sql/migrations', /sql\/migrations/], ['sql/functions', /sql\/functions/], ['web', /web/]]) {
  test(`an empty ${name} fails the build`, () => {
    copy();
    rmSync(join(folder, name), { recursive: true });
    mkdirSync(join(folder, name));
    const { status, stderr } = spawnSync(join(folder, 'src/embed.sh'), { encoding: 'utf8', maxBuffer: 64 << 20 });
    assert.notEqual(status, 0);
    assert.match(stderr, said);
  });
}
