// SPDX-License-Identifier: MIT
//
// The verifiers of docs/integrate/verify, each run by its own language against the same passes, and what is none.

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ROOT, privateFolder, removeFolder } from '../fixtures/index.mjs';
import { vectors as made } from '../../docs/integrate/verify/vectors.mjs';

const FOLDER = join(ROOT, 'docs/integrate/verify');
const READERS = join(ROOT, 'test/recipes/verify');
const vectors = JSON.parse(readFileSync(join(FOLDER, 'vectors.json'), 'utf8'));
const all = [...vectors.accepted, ...vectors.refused];

let answer = { status: 200, body: JSON.stringify(vectors.jwks) };
let asked = 0;
const keys = createServer((request, response) => {
  asked++;
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
});
await new Promise((resolve) => keys.listen(0, '127.0.0.1', resolve));
after(() => keys.close());
const url = `http://127.0.0.1:${keys.address().port}/.well-known/jwks.json`;

const has = (command, args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;

// Each: the program that reads passes, or what is missing here.
const LANGUAGES = {
  node: () => ['node', [join(READERS, 'read.mjs')]],
  python: () => ['/usr/bin/python3', [join(READERS, 'read.py')]],
  php: () => ['php', ['-n', join(READERS, 'read.php')]],
  java: (folder) => {
    if (!has('javac', ['-version'])) return 'there is no javac here';
    const built = spawnSync('javac', ['-d', folder, join(FOLDER, 'Passes.java'), join(READERS, 'Read.java')], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    return ['java', ['-cp', folder, 'Read']];
  },
  go: (folder) => {
    const library = '/usr/share/gocode';
    if (!has('go', ['version']) || !has('test', ['-d', join(library, 'src/github.com/golang-jwt/jwt')])) return 'there is no Go with golang-jwt here';
    mkdirSync(join(folder, 'src/tiketi'), { recursive: true });
    // Debian's package of version 4 has no /v4 in its path.
    writeFileSync(join(folder, 'src/tiketi/passes.go'), readFileSync(join(FOLDER, 'passes.go'), 'utf8').replace('golang-jwt/jwt/v4"', 'golang-jwt/jwt"'));
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: `${folder}:${library}`, GOFLAGS: '' };
    const built = spawnSync('go', ['build', '-o', join(folder, 'read'), join(READERS, 'read.go')], { encoding: 'utf8', env });
    assert.equal(built.status, 0, built.stderr);
    return [join(folder, 'read'), []];
  },
};

// What it says of each line.
function read([command, args], lines, folder) {
  return new Promise((accept) => {
    const child = execFile(command, [...args, url, vectors.event, join(folder, 'keys.json')], { timeout: 60000 }, (error, stdout, stderr) => {
      accept({ code: error ? error.code ?? error.signal : 0, stderr, lines: stdout.split('\n').slice(0, -1) });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(`${lines.join('\n')}\n`);
  });
}

for (const [language, prepare] of Object.entries(LANGUAGES)) {
  test(`${language}: each pass of the vectors is accepted with its buyer and its end, and all else is refused; keys are fetched once`, async (t) => {
    const folder = privateFolder(`verify-${language}`);
    t.after(() => removeFolder(folder));
    const program = prepare(folder);
    if (typeof program === 'string') return t.skip(program);
    asked = 0;
    const { code, stderr, lines } = await read(program, all.map(({ token }) => token), folder);
    assert.equal(code, 0, stderr);
    const expected = all.map(({ name, buyer, expires }) => `${name}: ${buyer ? `yes ${expires} ${buyer}` : 'no'}`);
    assert.deepEqual(lines.map((line, i) => `${all[i]?.name}: ${line}`), expected);
    assert.equal(asked, 1, 'also names of keys that nobody knows ask once');

    answer = { status: 503, body: '{"title":"busy"}' };
    t.after(() => { answer = { status: 200, body: JSON.stringify(vectors.jwks) }; });
    const away = privateFolder(`verify-${language}`);
    t.after(() => removeFolder(away));
    const without = await read(program, [vectors.accepted[0].token], away);
    assert.ok(!without.lines.some((line) => line.startsWith('yes')), 'nobody is let in without keys');
    // Where the language throws, the program ends; in Go the answer is an error.
    if (language !== 'go') assert.notEqual(without.code, 0, 'and it can be told from a forged pass');
  });
}

test('each verifier has at most 60 lines', () => {
  const files = readdirSync(FOLDER).filter((name) => /^passes\./i.test(name));
  assert.equal(files.length, Object.keys(LANGUAGES).length);
  for (const file of files) {
    const lines = readFileSync(join(FOLDER, file), 'utf8').split('\n').length - 1;
    assert.ok(lines <= 60, `${file} has ${lines}`);
  }
});

test('the file of vectors is what its program writes, but for the signatures', () => {
  const bare = ({ event, jwks, pem, accepted, refused }) => JSON.stringify({
    event, jwks, pem,
    tokens: [...accepted, ...refused].map(({ name, token, ...rest }) => ({ name, ...rest, said: token.split('.').slice(0, 2), parts: token.split('.').length })),
  }, null, 1);
  assert.equal(bare(vectors), bare(made));
});
