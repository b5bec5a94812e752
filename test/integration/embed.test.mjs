// SPDX-License-Identifier: MIT
//
// src/web.sh and src/embed.sh: a folder without files fails the build; what the pages load is bundled.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { privateFolder, removeFolder } from '../fixtures/process.mjs';

const tree = fileURLToPath(new URL('../../', import.meta.url));
let folder;

before(() => {
  folder = privateFolder('embed');
  symlinkSync(join(tree, 'node_modules'), join(folder, 'node_modules'));
});

after(() => removeFolder(folder));

function copy() {
  for (const name of ['lua', 'sql', 'web', 'docs/openapi.json', 'docs/asyncapi.json', 'src/embed.sh', 'src/web.sh', 'src/packages.sh', 'package.json', 'package-lock.json', 'src/queue/queue_keys.h']) {
    rmSync(join(folder, name), { recursive: true, force: true });
    cpSync(join(tree, name), join(folder, name), { recursive: true });
  }
}

test('every file of the folders is embedded', () => {
  copy();
  const text = execFileSync('sh', ['-c', 'src/web.sh && src/embed.sh'], { cwd: folder, encoding: 'utf8', maxBuffer: 64 << 20 });
  for (const name of ['"join"', '"0001_initial.sql"', '"seat.sql"', '"openapi.json"', '"asyncapi.json"', '"wait.html"', '"wait.css"', '"seats_worker.js"']) assert.ok(text.includes(name), name);
});

// A script with a name for everything that decides: which keys it can name, and what is a page.
const PROBE = `import { plural, t } from './i18n.js';
document.title = [t('skip'), plural('ahead', 2), ...['paused', 'left'].map((state) => t(\`wait_\${state}_title\`))].join();
`;

test('a page\'s script has the messages that it can name, one file for each language; parts and messages are no files', () => {
  copy();
  writeFileSync(join(folder, 'web/probe.html'), '<p>');
  writeFileSync(join(folder, 'web/probe.js'), PROBE);
  writeFileSync(join(folder, 'web/probe.css'), '@import url("base.css");\n.probe { color: red; }\n');
  execFileSync('sh', ['-c', 'src/web.sh'], { cwd: folder });
  const built = (name) => readFileSync(join(folder, 'build/web', name), 'utf8');
  const messages = (language) => JSON.parse(readFileSync(join(tree, `web/messages/${language}.json`), 'utf8'));
  for (const language of ['en', 'ko', 'ja']) {
    const script = built(`probe.${language}.js`);
    for (const key of ['skip', 'ahead.other', 'wait_paused_title', 'wait_left_title']) assert.ok(script.includes(messages(language)[key]), `${language} ${key}`);
    for (const key of ['buy_best', 'wait_paused_lead']) assert.ok(!script.includes(messages(language)[key]), `${language} ${key}`);
  }
  assert.match(built('probe.css'), /--primary:.*\.probe\{color:red\}/s);
  for (const name of ['probe.en.js', 'probe.css', 'icon.svg']) {
    const packed = readFileSync(join(folder, 'build/web', `${name}.br`));
    assert.equal(brotliDecompressSync(packed).toString(), built(name), name);
    assert.equal(gunzipSync(readFileSync(join(folder, 'build/web', `${name}.gz`))).toString(), built(name), name);
  }
  for (const name of ['i18n.js', 'base.css', 'probe.js']) assert.equal(existsSync(join(folder, 'build/web', name)), false, name);
});

test('every file that a template asks for is built, and every style has that of all pages', () => {
  copy();
  execFileSync('sh', ['-c', 'src/web.sh'], { cwd: folder });
  const built = readdirSync(join(folder, 'build/web'));
  for (const template of built.filter((name) => name.endsWith('.html'))) {
    const text = readFileSync(join(folder, 'build/web', template), 'utf8');
    for (const [, name] of text.matchAll(/\{\{assets\}\}\/([^"]+)"/g)) {
      for (const language of ['en', 'ko', 'ja']) assert.ok(built.includes(name.replace('{{lang}}', language)), `${template}: ${name}`);
    }
  }
  const styles = built.filter((name) => name.endsWith('.css'));
  assert.ok(styles.length > 0);
  for (const name of styles) assert.match(readFileSync(join(folder, 'build/web', name), 'utf8'), /--primary:/, name);
});

test('a script that imports what is not there fails the build, and the built pages stay as they were', () => {
  copy();
  execFileSync('sh', ['-c', 'src/web.sh'], { cwd: folder });
  const before = readFileSync(join(folder, 'build/web/.sources'), 'utf8');
  writeFileSync(join(folder, 'web/probe.html'), '<p>');
  writeFileSync(join(folder, 'web/probe.js'), "import { nothing } from './dom.js';\nnothing();\n");
  const { status, stderr } = spawnSync('sh', ['-c', 'src/web.sh'], { cwd: folder, encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr, /nothing/);
  assert.equal(readFileSync(join(folder, 'build/web/.sources'), 'utf8'), before);
});

for (const [name, said] of [['lua', /lua/], ['sql/migrations', /sql\/migrations/], ['sql/functions', /sql\/functions/], ['web', /web/]]) {
  test(`an empty ${name} fails the build`, () => {
    copy();
    rmSync(join(folder, name), { recursive: true });
    mkdirSync(join(folder, name));
    const { status, stderr } = spawnSync('sh', ['-c', 'src/web.sh && src/embed.sh'], { cwd: folder, encoding: 'utf8', maxBuffer: 64 << 20 });
    assert.notEqual(status, 0);
    assert.match(stderr, said);
  });
}
