// SPDX-License-Identifier: MIT
//
// The image that the Dockerfile makes, without a registry and without a container engine: buildah builds it in a chroot, on
// a Debian 13 that mmdebstrap made and that has the name of the Dockerfile's base. Then it serves a crowd from there, as
// user 10001, without capabilities, on a file system that cannot be written to. `make image-check`; needs root, 3 GB below
// TMPDIR while it runs, and five minutes.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import {
  Child, Organizer, Postgres, Redis, ROOT, SECRETS, Server, environment, freePort, privateFolder, removeFolder, runTiketi, waitUntil,
} from '../fixtures/index.mjs';

const BUYERS = 1000;
const IMAGE = 'tiketi:check';
const DOC = '/usr/share/doc/tiketi';

const work = privateFolder('image');
const tool = `buildah --root ${join(work, 'storage')} --runroot ${join(work, 'run')} --storage-driver vfs`;
const run = async (command, args, { env, ...options } = {}) => {
  try {
    return (await promisify(execFile)(command, args, { maxBuffer: 64 << 20, cwd: ROOT, env: { ...process.env, BUILDAH_ISOLATION: 'chroot', ...env }, ...options })).stdout.trim();
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}: ${error.message}\n${(error.stdout ?? '').slice(-3000)}${(error.stderr ?? '').slice(-3000)}`);
  }
};
const buildah = (...args) => run('buildah', [...tool.split(' ').slice(1), ...args]);
const build = (...args) => run(join(ROOT, 'src/image.sh'), args, { env: { IMAGE_TOOL: tool, IMAGE, IMAGE_ARGS: '--pull-never' } });

// What the Dockerfile says, and the root of the image.
let base;
let config;
let root;
let container;
let revision;

before(async () => {
  base = /^ARG BASE=(\S+)$/m.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))[1];
  const archive = join(work, 'base.tar');
  await run(join(ROOT, 'test/image/base.sh'), [archive]);
  const scratch = await buildah('from', 'scratch');
  await buildah('add', scratch, archive, '/');
  await buildah('commit', '--rm', scratch, `docker.io/library/${base}`);
  revision = await run('git', ['rev-parse', 'HEAD']);
  assert.equal(await build('build'), IMAGE);
  config = JSON.parse(await buildah('inspect', '--type', 'image', IMAGE)).Docker.config;
  container = await buildah('from', '--pull-never', IMAGE);
  root = await buildah('mount', container);
}, { timeout: 1200000 });
after(async () => {
  if (container) await buildah('rm', container);
  removeFolder(work);
});

// Runs a command in the image, as it would run there.
const enter = join(ROOT, 'test/image/enter.sh');
const inside = (args, options = {}) => run(enter, [root, ...args], { env: { ...SECRETS, ...options.env } });
const packages = async () => (await run('dpkg-query', ['--admindir', join(root, 'var/lib/dpkg'), '-W', '-f', '${Package} ${Version} ${Architecture}\n'])).split('\n');

test('it says what it is, and how it is run', async () => {
  assert.equal(config.User, '10001:10001');
  assert.deepEqual([config.Entrypoint, config.Cmd], [['/usr/bin/tiketi'], ['serve']]);
  assert.deepEqual(Object.keys(config.ExposedPorts).sort(), ['8080/tcp', '8081/tcp']);
  assert.deepEqual(config.Healthcheck.Test, ['CMD', '/usr/bin/tiketi', 'probe', '--timeout', '4s']);
  const [version] = (await run(join(ROOT, 'src/version.sh'), [])).split(' ');
  const label = (name) => config.Labels[`org.opencontainers.image.${name}`];
  assert.deepEqual([label('title'), label('version'), label('revision'), label('licenses'), label('base.name')], ['tiketi', version, revision, 'MIT', base]);
  assert.ok(Date.parse(label('created')) > 0, label('created'));
  assert.equal(await inside(['/usr/bin/tiketi', '--version']), `tiketi ${version} (${revision.slice(0, 12)})`);
  for (const [path, what] of [['LICENSE', /MIT License/], ['licenses-of-pages.txt', /jsqr/]]) assert.match(readFileSync(join(root, DOC, path), 'utf8'), what);
});

test('its user is nobody else, may nothing, and cannot write', async () => {
  assert.equal(await inside(['id', '-u']), '10001');
  assert.match(await inside(['sh', '-c', 'grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status']), /^CapEff:\s*0+\nCapBnd:\s*0+\nNoNewPrivs:\s*1$/);
  for (const path of ['/tmp', '/var/tmp', '/usr/bin', '/etc', '/run']) await assert.rejects(inside(['touch', `${path}/x`]), /Read-only file system|Permission denied/, path);
  await assert.rejects(inside(['touch', '/tmp/x']), /Read-only file system/);
  assert.equal(await run('find', [root, '-xdev', '-perm', '/6000', '-type', 'f']), '', 'no program gives its caller other rights');
});

test('nothing in it builds or fetches, and what is loaded at run time is there', async (t) => {
  const installed = (await packages()).map((line) => line.split(' ')[0]);
  const tools = /^(gcc|g\+\+|cpp|clang|binutils|make|dpkg-dev|nodejs|npm|esbuild|git|curl|wget|python3|.*-dev)(-|$)(?!\d+-base$|base$)/;
  assert.deepEqual(installed.filter((name) => tools.test(name)), []);
  for (const command of ['cc', 'gcc', 'ld', 'as', 'make', 'node', 'npm', 'git', 'curl', 'wget', 'python3']) {
    assert.ok(!['bin', 'sbin', 'usr/bin', 'usr/local/bin'].some((folder) => existsSync(join(root, folder, command))), command);
  }
  for (const name of readFileSync(join(root, DOC, 'packages'), 'utf8').trim().split('\n')) assert.ok(installed.includes(name), name);
  assert.ok(installed.includes('libwebsockets-evlib-uv') && installed.includes('ca-certificates'));
  const programs = readdirSync(join(root, 'usr/bin')).filter((name) => /^tiketi/.test(name)).sort();
  assert.deepEqual(programs, ['tiketi', 'tiketi-crowd', 'tiketi-ctl', 'tiketi-provider', 'tiketi-proxy', 'tiketi-simulate']);
  for (const program of programs) {
    assert.doesNotMatch(await inside(['ldd', `/usr/bin/${program}`]), /not found/);
    assert.match(await inside([`/usr/bin/${program}`, '--help']), /^Usage: tiketi/);
  }
  for (const folder of ['var/lib/apt/lists', 'src', 'out']) assert.deepEqual(existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : [], [], folder);
  const bytes = async (...paths) => Number((await run('du', ['-sxb', ...paths])).split('\n').reduce((sum, line) => sum + parseInt(line, 10), 0));
  const whole = await bytes(root);
  t.diagnostic(`the image: ${(whole / 1e6).toFixed(0)} MB, ${installed.length} packages; its programs: ${(await bytes(...programs.map((name) => join(root, 'usr/bin', name))) / 1e6).toFixed(1)} MB`);
  assert.ok(whole < 400e6, String(whole));
});

test('its bill of materials lists every package, and what the pages bundle', async (t) => {
  const sbom = JSON.parse(readFileSync(join(ROOT, await build('sbom')), 'utf8'));
  assert.equal(sbom.spdxVersion, 'SPDX-2.3');
  assert.match(sbom.creationInfo.created, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  const ids = sbom.packages.map(({ SPDXID }) => SPDXID);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^SPDXRef-[A-Za-z0-9.-]+$/);
  const purls = sbom.packages.map(({ externalRefs }) => externalRefs[0].referenceLocator);
  const debian = purls.map((purl) => /^pkg:deb\/debian\/(.+)@(.+)\?arch=(.+)&distro=debian-13$/.exec(purl)).filter(Boolean)
    .map(([, ...parts]) => parts.map(decodeURIComponent).join(' '));
  assert.deepEqual(debian.sort(), (await packages()).sort());
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.deepEqual(purls.filter((purl) => purl.startsWith('pkg:npm/')).sort(), Object.entries(dependencies).map(([name, version]) => `pkg:npm/${name}@${version}`).sort());
  assert.match(purls[0], /^pkg:generic\/tiketi@[\d.]+\?vcs_revision=[0-9a-f]{12}$/);
  const related = sbom.relationships.map(({ relatedSpdxElement }) => relatedSpdxElement);
  assert.deepEqual(related.sort(), ids.sort());
  t.diagnostic(`${debian.length} Debian packages`);
});

test(`it migrates, serves and rehearses a crowd of ${BUYERS}, and drains`, async (t) => {
  const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  t.after(() => Promise.all([redis.stop(), postgres.stop()]));
  const database = await postgres.createDatabase();
  const tiketi = '/usr/bin/tiketi';
  await runTiketi([root, tiketi, 'migrate'], { DATABASE_URL: database.url }, { bin: enter });
  const server = await Server.start({ redis, database, launcher: [enter, root], bin: tiketi, env: { TIKETI_TEST_HOOKS: null } });
  t.after(() => server.stop());
  const health = () => runTiketi([root, ...config.Healthcheck.Test.slice(1)], { HTTP_PORT: server.port }, { bin: enter, expect: null });
  assert.equal((await health()).code, 0);

  const port = await freePort();
  const provider = new Child(enter, [root, tiketi, 'provider', '--port', port, '--webhook-url', `${server.url}/api/payments/webhook`].map(String), { env: environment({}) });
  t.after(() => provider.end());
  await waitUntil(() => provider.output.includes('listening on'), 10000, 'the provider');
  const event = await new Organizer(server).sale({ threshold: 100, grid: { rows: 30, seatsPerRow: 20 } });
  await waitUntil(() => redis.cli('EXISTS', `free:{${event.id}}`).then(Number), 15000, 'the count of free seats');
  const crowd = await runTiketi([root, tiketi, 'crowd', '--users', BUYERS, '--event', event.id, '--provider', `http://127.0.0.1:${port}`, '--arrive', '2s', '--buy', '0.8', '--abandon', '0.2', '--think', '100ms..500ms', '--max-time', '3m'].map(String),
    { HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' }, { bin: enter, timeoutMs: 240000, expect: null });
  t.diagnostic(crowd.stdout);
  assert.equal(crowd.code, 0, crowd.stdout + crowd.stderr);
  assert.match(crowd.stdout, /Every promise was kept\.\n$/);
  const [{ sold }] = await database.query("SELECT count(*)::int AS sold FROM reservations WHERE status = 'confirmed'");
  assert.ok(sold > BUYERS / 4, String(sold));
  assert.doesNotMatch(server.output, /Read-only file system|Permission denied/);
  await server.stop();
  assert.equal((await health()).code, 1);
});
