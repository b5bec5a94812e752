// SPDX-License-Identifier: MIT
//
// make install into a folder, and what runs from there: programs, man pages, completion, unit, user, settings; make
// uninstall takes all of it away.

import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { after, before, test } from 'node:test';
import { BIN, Postgres, ROOT, Redis, Server, privateFolder, runTiketi } from '../fixtures/index.mjs';

const run = promisify(execFile);
const root = privateFolder('install');
const usr = (...parts) => join(root, 'usr', ...parts);
const bin = usr('bin/tiketi');
// Of the variant that is tested; none of the caller's make.
const variant = [`CC=${process.env.TIKETI_OUT?.includes('clang') ? 'clang' : 'gcc'}`, `SAN=${process.env.TIKETI_SAN ?? ''}`];
const make = (target, ...args) => run('make', ['-C', ROOT, '--no-print-directory', target, `DESTDIR=${root}`, ...variant, ...args], { env: { PATH: process.env.PATH, HOME: root, ASAN_OPTIONS: 'detect_leaks=0' }, maxBuffer: 64 << 20 });
const read = (path) => readFileSync(path, 'utf8');

function files(folder, below = '') {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(folder, join(below, entry.name)) : [join(below, entry.name)]));
}

// Without libraries' noise: what the command prints on either stream, and its exit code.
async function outcome(command, ...args) {
  try {
    const { stdout, stderr } = await run(command, args, { env: { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' } });
    return { code: 0, text: stdout + stderr };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return { code: error.code, text: error.stdout + error.stderr };
  }
}

let commands;
before(async () => {
  await make('install', 'PREFIX=/usr');
  commands = [...(await runTiketi(['--help'], {}, { bin })).stdout.matchAll(/^ {2}([a-z-]+) {2}/gm)].map(([, name]) => name);
});

let redis, postgres, server;
after(async () => {
  await server?.stop();
  await redis?.stop();
  await postgres?.stop();
});

test('the installed program serves, and finds the programs beside it', async () => {
  const version = (await runTiketi(['--version'])).stdout;
  assert.equal((await runTiketi(['--version'], {}, { bin })).stdout, version);
  for (const name of ['crowd', 'ctl', 'provider', 'proxy', 'simulate']) {
    assert.equal((await runTiketi([name, '--version'], {}, { bin })).stdout, version.replace('tiketi', `tiketi ${name}`));
  }
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  const database = await postgres.createDatabase();
  await runTiketi(['migrate'], { DATABASE_URL: database.url }, { bin });
  server = await Server.start({ redis, database, bin });
  assert.equal((await server.get('/readyz?deep=1')).status, 200);
});

test('nothing is outside of /usr, and nobody else may write it', () => {
  assert.deepEqual(readdirSync(root), ['usr']);
  for (const file of files(root)) {
    const stat = lstatSync(join(root, file));
    if (!stat.isSymbolicLink()) assert.equal(stat.mode & 0o777, file.startsWith('usr/bin/') ? 0o755 : 0o644, file);
  }
});

test('every command has a man page with all that --help says, and mandoc finds no fault', async () => {
  assert.ok(commands.length >= 12);
  const pages = readdirSync(usr('share/man/man1')).sort();
  assert.deepEqual(pages, ['tiketi.1', ...commands.map((name) => `tiketi-${name}.1`)].sort());
  const { code, text } = await outcome('mandoc', '-T', 'lint', '-W', 'warning', ...pages.map((page) => usr('share/man/man1', page)), usr('share/man/man5/tiketi.ini.5'));
  // What a page refers to is not installed on this machine.
  assert.deepEqual([code, text.split('\n').filter((line) => line && !/referenced manual not found/.test(line))], [0, []]);
  const render = async (page) => execFileSync('mandoc', ['-T', 'utf8', '-O', 'width=500', page], { encoding: 'utf8' }).replace(/.[\b]/g, '').replace(/\s+/g, ' ');
  const plain = (line) => line.replace(/`/g, '').replace(/…/g, '...').replace(/\s+/g, ' ').trim();
  for (const name of commands) {
    const page = await render(usr(`share/man/man1/tiketi-${name}.1`));
    const { stdout } = await runTiketi([name, '--help'], {}, { bin });
    // The settings have a page of their own; the usage and the exit codes of ctl have another form.
    const lines = stdout.split('\nA setting is given')[0].replace(/\n\nExit codes:[^]*$/, '').split('\n').slice(1).map(plain);
    for (const line of lines) if (line) assert.ok(page.includes(line), `tiketi-${name}(1) lacks: ${line}\n${page}`);
  }
  const page = await render(usr('share/man/man5/tiketi.ini.5'));
  const names = [...(await runTiketi(['serve', '--help'], {}, { bin })).stdout.matchAll(/^ {2}([A-Z][A-Z0-9_]+)\s/gm)].map(([, name]) => name);
  assert.ok(names.length > 60);
  for (const name of names) assert.ok(page.includes(` ${name} `), name);
});

test('bash and zsh read the completion', async () => {
  const bash = usr('share/bash-completion/completions');
  assert.deepEqual(readdirSync(bash).sort(), ['tiketi', 'tiketi-crowd', 'tiketi-ctl', 'tiketi-provider', 'tiketi-proxy', 'tiketi-simulate']);
  const complete = `PATH=${usr('bin')}:$PATH; source ${bash}/tiketi-crowd; COMP_WORDS=(tiketi console-); COMP_CWORD=1; _tiketi; echo "\${COMPREPLY[@]}"`;
  assert.deepEqual(await outcome('bash', '--norc', '-c', complete), { code: 0, text: 'console-link console-revoke\n' });
  // zsh loads the file by the name of its function; what it would offer is printed here.
  const load = (words) => `PATH=${usr('bin')}:$PATH; fpath=(${usr('share/zsh/site-functions')}); autoload -Uz _tiketi
    compadd() { print -r -- "$@" }; _files() { print files }; _describe() { print -r -- \${\${(P)2}%%:*} }
    words=(${words}); CURRENT=$#words; _tiketi; _tiketi`;
  const zsh = async (words) => {
    const { code, text } = await outcome('zsh', '-f', '-c', load(words));
    const [first, ...again] = text.trim().split('\n');
    assert.deepEqual([code, again], [0, [first]], text); // the first call defines the function
    return first;
  };
  assert.match(await zsh("tiketi ''"), /^-- serve .*migrate .* ctl proxy$/);
  assert.match(await zsh("tiketi serve ''"), /^-- --roles --check-config/);
  assert.match(await zsh("tiketi serve --roles ''"), /^-- api gateway processor$/);
  assert.match(await zsh("tiketi serve --set ''"), /^-S\s+-- QUEUE_THRESHOLD= /);
  assert.equal(await zsh("tiketi migrate --config ''"), 'files');
  assert.match(await zsh("tiketi ctl ''"), /^login logout events .* completion$/);
  assert.match(await zsh("tiketi-ctl top concert -"), /^-- --every --once/);
});

test('the unit can be read by systemd, and is exposed as little as it can be', async () => {
  const unit = usr('lib/systemd/system/tiketi.service');
  assert.match(read(unit), /^ExecStart=\/usr\/bin\/tiketi serve$/m);
  mkdirSync(join(root, 'bin'));
  writeFileSync(join(root, 'bin/kill'), '', { mode: 0o755 }); // the system's own
  const { code, text } = await outcome('systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', `--root=${root}`, 'tiketi.service');
  assert.deepEqual([code, text.split('\n').filter((line) => /tiketi/.test(line))], [0, []]);
  const security = await outcome('systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=13', unit);
  assert.equal(security.code, 0, security.text);
  assert.match(security.text, /Overall exposure level for tiketi.service: (0\.\d|1\.[0-3]) OK/);
});

test('the package depends on what no linker shows, as the image has it', () => {
  const [, unseen] = /^unseen='(.+)'$/m.exec(read(join(ROOT, 'src/runtime_packages.sh')));
  const [, depends] = /^Depends: ([^]*?)\n\S/m.exec(read(join(ROOT, 'debian/control')));
  for (const name of unseen.split(' ')) assert.ok(depends.split(/,\s*/).includes(name), name);
});

test('the user is a system user of its own', async () => {
  mkdirSync(join(root, 'etc'));
  await run('systemd-sysusers', [`--root=${root}`, usr('lib/sysusers.d/tiketi.conf')]);
  assert.match(read(join(root, 'etc/passwd')), /^tiketi:!?[*x]?:(\d{1,3}):(\d{1,3}):tiketi waiting room:\/:\/usr\/sbin\/nologin$/m);
});

test('the example of the settings names settings, and as it is nothing is set', async () => {
  const example = read(usr('share/doc/tiketi/examples/tiketi.ini'));
  const config = join(root, 'tiketi.ini');
  const names = [...example.matchAll(/^#([a-z_]+) = (.+)$/gm)].map(([, name]) => name);
  assert.ok(names.length > 15 && new Set(names).size === names.length);
  const check = async (text) => {
    writeFileSync(config, text, { mode: 0o600 });
    return (await runTiketi(['serve', '--check-config', '--config', config], { TIKETI_TEST_HOOKS: null, ...Object.fromEntries(names.map((name) => [name.toUpperCase(), null])) }, { bin, expect: null })).stdout;
  };
  const unset = await check(example);
  for (const name of ['REDIS_URL', 'DATABASE_URL', 'TICKET_KEYS']) assert.match(unset, new RegExp(`problem +${name}: must be set`));
  assert.doesNotMatch(await check(example.replace(/^#([a-z_]+ = )/gm, '$1').replace(/<[^>]+>/g, () => randomBytes(32).toString('hex'))), /no setting has this name|line \d+/);
});

test('the documents are there, and their links lead to documents', () => {
  const doc = usr('share/doc/tiketi');
  for (const name of ['README.md', 'LICENSE', 'licenses-of-pages.txt', 'docs/operations.md', 'docs/openapi.json', 'monitoring/rules/tiketi.rules.yaml']) assert.ok(existsSync(join(doc, name)), name);
  const broken = [];
  for (const file of files(doc).filter((name) => name.endsWith('.md'))) {
    for (const [, target] of read(join(doc, file)).matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)) {
      if (!/screenshots|\.\.\/test\/bench/.test(target) && !existsSync(join(doc, file, '..', target))) broken.push(`${file}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('make uninstall removes what was installed, and nothing else', async () => {
  writeFileSync(usr('bin/other'), '');
  await server?.stop();
  await make('uninstall', 'PREFIX=/usr');
  assert.deepEqual(files(usr()), ['bin/other']);
  assert.ok(!existsSync(usr('share/doc/tiketi')));
});

test('another prefix is in force everywhere; one that is no path is refused', async () => {
  const script = (target, env) => run(join(ROOT, 'src/install.sh'), [target], { env: { PATH: process.env.PATH, DESTDIR: root, PROGRAMS: ['', '-crowd', '-ctl', '-provider', '-proxy', '-simulate'].map((name) => BIN + name).join(' '), ...env } });
  const opt = { PREFIX: '/opt/tiketi/', UNITDIR: '/etc/systemd/system', ZSHDIR: 'none' };
  await script('install', opt);
  assert.match(read(join(root, 'etc/systemd/system/tiketi.service')), /^ExecStart=\/opt\/tiketi\/bin\/tiketi serve$/m);
  assert.match(read(join(root, 'opt/tiketi/share/man/man1/tiketi.1')), /^\.Pa \/opt\/tiketi\/share\/doc\/tiketi :$/m);
  assert.ok(existsSync(join(root, 'opt/tiketi/bin/tiketi')) && !existsSync(join(root, 'opt/tiketi/share/zsh')));
  await script('uninstall', opt);
  assert.deepEqual(files(join(root, 'opt')), []);
  await assert.rejects(script('install', { PREFIX: 'opt' }), /PREFIX must be a path from \//);
});
