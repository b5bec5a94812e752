// SPDX-License-Identifier: MIT
//
// The Debian package (make deb) in a Debian of its own, made from the package sources of this machine: it is installed,
// serves as its user from its settings file, runs under a real systemd with all the limits of its unit, is upgraded, removed
// and purged. `make deb-check` runs this.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { after, before, test } from 'node:test';
import { Child, Postgres, ROOT, Redis, Server, exchange, freePort, privateFolder, waitUntil } from '../fixtures/index.mjs';
import { stall, threads } from '../fixtures/manager.mjs';

const run = promisify(execFile);
const built = join(ROOT, 'build/deb');
const debs = existsSync(built) ? readdirSync(built).filter((name) => /^tiketi_.*\.deb$/.test(name)) : [];
const isRoot = process.getuid() === 0;
const skip = !isRoot ? 'a chroot needs root' : debs.length !== 1 ? 'make deb has not been run' : false;

const root = privateFolder('deb');
const at = (path) => join(root, path);
const ini = '/etc/tiketi/tiketi.ini';
const inside = async (...command) => (await run('chroot', [root, ...command], { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' }, maxBuffer: 64 << 20 })).stdout;

// The sources of packages of this machine, whatever their form.
function sources() {
  const folder = '/etc/apt/sources.list.d';
  const all = ['/etc/apt/sources.list', ...(existsSync(folder) ? readdirSync(folder).filter((name) => /\.(list|sources)$/.test(name)).map((name) => join(folder, name)) : [])];
  return all.filter((path) => existsSync(path) && /^(deb |Types:.*\bdeb\b)/m.test(readFileSync(path, 'utf8')));
}

let redis, postgres, database, server, systemd;
before(async () => {
  if (skip) return;
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.createDatabase();
  // Downloads need a user that may enter the folder.
  await run('chmod', ['755', root]);
  await run('mmdebstrap', ['--variant=minbase', '--skip=cleanup/apt/lists', `--customize-hook=copy-in ${join(built, debs[0])} /`,
    `--customize-hook=chroot "$1" apt-get install -y --no-install-recommends /${debs[0]}`, '', root, ...sources()], { maxBuffer: 64 << 20 });
}, { timeout: 600000 });
after(async () => {
  await server?.stop();
  await systemd?.end();
  await redis?.stop();
  await postgres?.stop();
});

test('it brings a user, settings that only this user reads, and a service that is off', { skip }, async () => {
  assert.match(await inside('getent', 'passwd', 'tiketi'), /^tiketi:[^:]*:\d{1,3}:\d{1,3}:tiketi waiting room:\/:\/usr\/sbin\/nologin\n$/);
  assert.equal(await inside('stat', '-c', '%U %G %a', ini), 'root tiketi 640\n');
  assert.match(await inside('dpkg-query', '-W', '-f', '${Conffiles}', 'tiketi'), /^ \/etc\/tiketi\/tiketi\.ini [0-9a-f]{32}$/m);
  const enabled = (await inside('find', '/etc/systemd/system', '-name', 'tiketi*')).trim();
  assert.equal(enabled, '');
  assert.ok((await inside('find', '/lib/systemd/system/tiketi.service')).includes('tiketi.service'));
});

test('it has all that it runs with: programs, libraries, man pages, completion', { skip }, async () => {
  const version = readFileSync(join(ROOT, 'VERSION'), 'utf8').trim();
  assert.match(await inside('tiketi', '--version'), new RegExp(`^tiketi ${version.replaceAll('.', '\\.')} `));
  for (const name of ['crowd', 'ctl', 'provider', 'proxy', 'simulate']) await inside(`tiketi-${name}`, '--version');
  assert.match(await inside('tiketi', 'routes'), /\/api\/queue\/check/);
  const list = await inside('dpkg', '-L', 'tiketi');
  for (const path of ['/usr/share/man/man1/tiketi.1.gz', '/usr/share/man/man5/tiketi.ini.5.gz', '/usr/share/bash-completion/completions/tiketi',
    '/usr/share/zsh/vendor-completions/_tiketi', '/usr/share/doc/tiketi/docs/operations.md', '/usr/share/doc/tiketi/copyright']) assert.ok(list.includes(`${path}\n`), path);
});

test('its user migrates and serves by the settings file', { skip }, async () => {
  const example = readFileSync(at(ini), 'utf8');
  writeFileSync(at(ini), `${example}\nredis_url = ${redis.url}\ndatabase_url = ${database.url}\nticket_keys = a:${'0123456789abcdef'.repeat(4)}\n`);
  const launcher = ['chroot', '--userspec=tiketi:tiketi', root];
  await inside('setpriv', '--reuid=tiketi', '--regid=tiketi', '--clear-groups', 'tiketi', 'migrate');
  server = await Server.start({ launcher, bin: '/usr/bin/tiketi', env: { REDIS_URL: null, DATABASE_URL: null, TICKET_KEYS: null } });
  assert.equal((await server.get('/readyz?deep=1')).status, 200);
  assert.ok(server.logs.some(({ message, file }) => message === 'settings read from a file' && file === ini));
  const uid = Number(await inside('id', '-u', 'tiketi'));
  assert.equal(statSync(`/proc/${server.pid}`).uid, uid);
  await server.stop();
});

// Commands to the systemd in the package's Debian.
const systemctl = async (...args) => (await run('nsenter', ['-t', systemd.first, '-m', '-p', '-u', '-i', '-r', '-w', 'systemctl', ...args])).stdout;
const property = async (name) => (await systemctl('show', '--value', '-p', name, 'tiketi')).trim();
const journal = async () => (await run('nsenter', ['-t', systemd.first, '-m', '-p', '-u', '-i', '-r', '-w', 'journalctl', '-u', 'tiketi', '-o', 'cat', '--no-pager'], { maxBuffer: 64 << 20 })).stdout;
const status = (pid) => readFileSync(`/proc/${pid}/status`, 'utf8');

// The pid here of a process whose pid there is `inner`.
function outerPid(inner) {
  const space = readlinkSync(`/proc/${systemd.first}/ns/pid`);
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).find((pid) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/pid`) === space && new RegExp(`^NSpid:.*\\s${inner}$`, 'm').test(status(pid));
    } catch {
      return false; // it has ended
    }
  });
}

test('under systemd it starts when it serves, within all the limits of its unit', { skip }, async () => {
  const [http, ws] = [await freePort(), await freePort()];
  writeFileSync(at(ini), `${readFileSync(at(ini), 'utf8')}http_host = 127.0.0.1\nhttp_port = ${http}\nws_port = ${ws}\napi_workers = 1\ngateway_workers = 1\n`);
  mkdirSync(at('etc/systemd/system/tiketi.service.d'), { recursive: true });
  writeFileSync(at('etc/systemd/system/tiketi.service.d/test.conf'), '[Service]\nWatchdogSec=2\nTimeoutStartSec=30\n');
  systemd = new Child(join(ROOT, 'test/package/boot.sh'), [root], { lastSignal: 'TERM' });
  await waitUntil(() => {
    if (!systemd.running) throw Object.assign(new Error(systemd.output), { final: true });
    return (systemd.first = /^booted (\d+)$/m.exec(systemd.output)?.[1]);
  }, 60000, 'systemd');
  systemd.url = `http://127.0.0.1:${http}`;
  await systemctl('start', 'tiketi');
  assert.equal((await exchange(systemd.url, 'GET', '/readyz?deep=1')).status, 200);
  assert.deepEqual([await property('ActiveState'), await property('StatusText')], ['active', 'serving']);
  const text = status(outerPid(await property('MainPID')));
  for (const line of ['NoNewPrivs:\t1', 'Seccomp:\t2', 'CapBnd:\t0000000000000000', 'CapEff:\t0000000000000000']) assert.ok(text.includes(`${line}\n`), text);
  const exposure = (await run('nsenter', ['-t', systemd.first, '-m', '-p', '-u', '-i', '-r', '-w', 'systemd-analyze', 'security', '--no-pager', 'tiketi'])).stdout;
  assert.match(exposure, /Overall exposure level for tiketi.service: (0\.\d|1\.[0-3]) OK/);
});

test('systemctl reload puts new settings in force', { skip }, async () => {
  const pid = await property('MainPID');
  writeFileSync(at(ini), `${readFileSync(at(ini), 'utf8')}access_log = all\n`);
  await systemctl('reload', 'tiketi');
  await waitUntil(async () => /"setting changed".*"ACCESS_LOG"/.test(await journal()), 15000, 'the log line');
  await waitUntil(async () => (await property('ActiveState')) === 'active', 15000, 'the end of the reload');
  assert.equal(await property('MainPID'), pid);
});

test('a worker that hangs costs the process, and another one serves', { skip }, async () => {
  const pid = await property('MainPID');
  const [, worker] = threads(outerPid(pid));
  await stall(worker);
  await waitUntil(async () => (await property('NRestarts')) === '1', 30000, 'the restart');
  await waitUntil(async () => (await property('ActiveState')) === 'active' && (await property('MainPID')) !== pid, 30000, 'the next process');
  assert.equal((await exchange(systemd.url, 'GET', '/readyz?deep=1')).status, 200);
  assert.match(await journal(), /worker does not answer, the watchdog is not told[^]*Watchdog timeout/);
});

test('systemctl stop drains it, and a wrong setting is not tried again', { skip }, async () => {
  await systemctl('stop', 'tiketi');
  assert.deepEqual([await property('ActiveState'), await property('Result')], ['inactive', 'success']);
  assert.match(await journal(), /"draining"[^]*"stopped"/);
  const before = readFileSync(at(ini), 'utf8');
  writeFileSync(at(ini), before.replace(/^ticket_keys = .*$/m, ''));
  await assert.rejects(systemctl('start', 'tiketi'));
  assert.deepEqual([await property('ActiveState'), await property('ExecMainStatus'), await property('NRestarts')], ['failed', '78', '0']);
  assert.match(await journal(), /TICKET_KEYS: must be set/);
  writeFileSync(at(ini), before);
});

test('an upgrade leaves a running service running; a removal stops it', { skip }, async () => {
  await systemctl('start', 'tiketi');
  const pid = await property('MainPID');
  const dpkg = (...args) => run('nsenter', ['-t', systemd.first, '-m', '-p', '-u', '-i', '-r', '-w', 'dpkg', ...args], { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' } });
  await dpkg('-i', `/${debs[0]}`);
  assert.deepEqual([await property('MainPID'), await property('ActiveState'), await property('NeedDaemonReload')], [pid, 'active', 'no']);
  await dpkg('-r', 'tiketi');
  await waitUntil(async () => (await property('ActiveState')) === 'inactive', 15000, 'the end of the service');
  await dpkg('-i', `/${debs[0]}`);
  assert.equal(await property('ActiveState'), 'inactive');
});

test('an upgrade keeps the settings, and who may read them', { skip }, async () => {
  const before = readFileSync(at(ini), 'utf8');
  await inside('chmod', '0600', ini);
  await inside('dpkg', '-i', `/${debs[0]}`);
  assert.equal(await inside('stat', '-c', '%U %G %a', ini), 'root tiketi 600\n');
  assert.equal(readFileSync(at(ini), 'utf8'), before);
});

test('a removal keeps the settings, a purge takes them', { skip }, async () => {
  await inside('dpkg', '-r', 'tiketi');
  assert.ok(!existsSync(at('usr/bin/tiketi')) && !existsSync(at('usr/share/doc/tiketi')) && existsSync(at(ini)));
  await inside('dpkg', '-P', 'tiketi');
  assert.ok(!existsSync(at('etc/tiketi')));
  await assert.rejects(inside('dpkg', '-s', 'tiketi'), /not installed/);
});
