// SPDX-License-Identifier: MIT
//
// The source archive of a release (make dist): it builds with a compiler, make and the libraries alone. There is no
// esbuild, brotli, Node.js or npm, and nothing that could fetch them.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { after, test } from 'node:test';
import { privateFolder, removeFolder } from '../fixtures/process.mjs';

const run = promisify(execFile);
const tree = fileURLToPath(new URL('../../', import.meta.url));
const folder = privateFolder('archive');
after(() => removeFolder(folder));

const MISSING = /^(esbuild|brotli|node|nodejs|npm|npx|curl|wget|git|apt-get|sudo)$/;

// A folder for PATH with every command of this machine but those.
function commands() {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const name of readdirSync('/usr/bin')) if (!MISSING.test(name)) symlinkSync(join('/usr/bin', name), join(bin, name));
  return bin;
}

test('the archive has the built pages: it builds and runs without esbuild and without any registry', { skip: !existsSync(join(tree, '.git')) && 'this is no clone' }, async (t) => {
  const archive = execFileSync(join(tree, 'src/dist.sh'), { encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', join(tree, archive), '-C', folder]);
  const [name] = readdirSync(folder);
  const source = join(folder, name);
  const env = { PATH: commands(), HOME: folder, LC_ALL: 'C' };
  const make = (...parts) => run('make', ['-C', source, '-j2', 'CFLAGS=-O0 -g0', ...parts], { env, maxBuffer: 64 << 20 });
  await make('build/tiketi');
  const { stdout } = await run(join(source, 'build/tiketi'), ['routes'], { env });
  assert.match(stdout, /POST/);
  const commit = execFileSync('git', ['-C', tree, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).slice(0, 12);
  assert.match((await run(join(source, 'build/tiketi'), ['--version'], { env })).stdout, new RegExp(`^tiketi \\d+\\.\\d+\\.\\d+ \\(${commit}\\)\n$`));
  const embedded = readFileSync(join(source, 'build/gen/embed.c'), 'utf8');
  for (const file of ['wait.en.js', 'buy.ja.js', 'wait.css', 'seats_worker.js']) assert.match(embedded, new RegExp(`"${file.replaceAll('.', '\\.')}".*_br,`), file);

  // Whoever changes a page there is told what is needed for it.
  appendFileSync(join(source, 'web/home.css'), '\n');
  await assert.rejects(make('build/gen/embed.c'), /esbuild is missing/);
  t.diagnostic(`${(readFileSync(join(tree, archive)).length / 1024).toFixed(0)} KiB`);
});
