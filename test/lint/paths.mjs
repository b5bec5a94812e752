// SPDX-License-Identifier: MIT
//
// The documents name what is there: README.md, CONTRIBUTING.md, CHANGELOG.md, SECURITY.md and docs/**/*.md. Checked are
//
//   [text](docs/x.md#part)     a link's file, and the heading it leads to
//   `src/queue/queue.c`        a path from the top of the tree; `src/queue/*.c` must match something
//   `queue/queue.h`, `join.lua`   the end of a path
//   `src/queue/queue.c:queue_join`   a path and a word that the file has
//   `make test-lua`            a target of the Makefile, also in a block of commands
//
// A name in which a letter stands for something (`test/integration/x.test.mjs`, `NNNN-title.md`, `test_<module>.c`)
// is no path: write such a name with <angle brackets>.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));

const MADE = new Set(['build', 'node_modules', '.git', '.run']);
function* walk(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (MADE.has(entry.name)) continue;
    const path = folder === '.' ? entry.name : `${folder}/${entry.name}`;
    yield path + (entry.isDirectory() ? '/' : '');
    if (entry.isDirectory()) yield* walk(path);
  }
}
const tree = [...walk('.')];
const tops = new Set(tree.filter((path) => /^[^/]+\/$/.test(path)).map((path) => path.slice(0, -1)));
const documents = tree.filter((path) => /^(README|CONTRIBUTING|CHANGELOG|SECURITY)\.md$|^docs\/.*\.md$/.test(path));
const targets = new Set([...readFileSync('Makefile', 'utf8').matchAll(/^([a-z][a-z-]*):(?!=)/gm)].map(([, name]) => name));

const problems = [];

// ---- links ----

// The name that a heading has as the target of a link.
const anchor = (heading) => heading.trim().toLowerCase().replace(/[`*]/g, '').replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
const anchorsOf = (path) => new Set([...readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading)));

function checkLink(document, target) {
  if (/^[a-z]+:/.test(target)) return undefined; // elsewhere
  const [path, part] = target.split('#');
  const file = path === '' ? document : normalize(join(dirname(document), decodeURIComponent(path)));
  if (!existsSync(file)) return `links to ${target}, which is not there`;
  if (part && file.endsWith('.md') && !anchorsOf(file).has(part)) return `links to ${target}: there is no such heading`;
  return undefined;
}

// ---- names ----

const SOURCE = /\.(?:c|h|lua|sql|mjs|js|sh|md|json|html|css|svg|ya?ml|awk|supp)$/;
const escaped = (text) => text.replace(/[.+?^$()|[\]\\]/g, '\\$&');

function checkName(name) {
  if (/[<>{}$…]|\s/.test(name)) return undefined;
  const [path, word] = name.replace(/^[A-Z_]+=/, '').replace(/[,.;]$/, '').replace(/\(\)$/, '').split(/:(?!\/)/);
  if (!/^[\w.@*/-]+$/.test(path) || path.startsWith('/') || path.startsWith('-')) return undefined;
  const top = path.split('/')[0];
  if (MADE.has(top)) return undefined;
  const whole = path.includes('/') && tops.has(top);
  if (!whole && !SOURCE.test(path)) return undefined;
  const pattern = new RegExp(`${whole ? '^' : '(?:^|/)'}${escaped(path).replaceAll('*', '[^/]*')}${path.endsWith('/') ? '' : '/?'}$`);
  const found = tree.filter((one) => pattern.test(one));
  if (found.length === 0) return `names ${name}, which is not there`;
  if (word && !/^\d+$/.test(word) && !found.some((one) => !one.endsWith('/') && new RegExp(`\\b${escaped(word)}\\b`).test(readFileSync(one, 'utf8')))) {
    return `names ${name}: ${found[0]} has no ${word}`;
  }
  return undefined;
}

function checkMake(command) {
  const words = command.split(/\s+/).slice(1);
  const names = words.filter((word) => /^[a-z][a-z-]*$/.test(word));
  for (const name of names) if (!targets.has(name)) return `says make ${name}; the Makefile has no such target`;
  return undefined;
}

// ---- the documents ----

for (const document of documents) {
  let fenced = false;
  readFileSync(document, 'utf8').split('\n').forEach((line, i) => {
    const say = (problem) => problem && problems.push(`${document}:${i + 1}: ${problem}`);
    if (/^\s*(```|~~~)/.test(line)) {
      fenced = !fenced;
    } else if (fenced) {
      const command = line.replace(/#.*$/, '').trim().replace(/^\$ /, '');
      if (command.startsWith('make')) say(checkMake(command.split(/\s*(?:&&|;|\|)\s*/)[0]));
      for (const word of command.split(/\s+/)) if (word.includes('/')) say(checkName(word));
    } else {
      for (const [, target] of line.matchAll(/\]\(([^)\s]+)\)/g)) say(checkLink(document, target));
      for (const [, code] of line.matchAll(/`([^`]+)`/g)) {
        if (/^make\b/.test(code)) say(checkMake(code));
        for (const word of code.split(/\s+/)) say(checkName(word));
      }
    }
  });
}
if (documents.length < 3) problems.push(`found ${documents.length} documents: this does not look where they are`);

for (const line of problems) console.log(line);
process.exitCode = problems.length > 0 ? 1 : 0;
