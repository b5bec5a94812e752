// SPDX-License-Identifier: MIT
//
// Redis over TLS: who is trusted, what is said of everybody else, and that renewed files need no restart.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { test } from 'node:test';
import tls from 'node:tls';
import { Authority, Client, Organizer, Postgres, Redis, Server, freePort, keeper, runTiketi, testAuthority, waitUntil } from '../fixtures/index.mjs';

const keep = keeper();
const postgres = await keep(Postgres.start());
const database = await postgres.migrated();
const authority = testAuthority();

// What --check-config says of Redis.
async function check(url, env = {}) {
  const { stdout } = await runTiketi(['serve', '--check-config'], { REDIS_URL: url, DATABASE_URL: database.url, REDIS_TIMEOUT_MS: 1000, ...env }, { expect: null });
  return stdout.split('\n').filter((line) => / REDIS_/.test(line)).join('\n');
}

const REACHED = /^ok +REDIS_URL: reached/;
const secure = async (options) => keep(Redis.start({ kind: 'tls', tls: options, args: ['--appendonly', 'no'] }));

// A server in place of Redis, for what Redis itself does not do. Its port.
async function stranger(server) {
  const port = await freePort();
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  await keep({ stop: () => server.close() });
  return port;
}

test('only a certificate of a known authority, for the host, in its time, is accepted; anything else is named', { timeout: 60000 }, async () => {
  const other = new Authority('others');
  const redis = await secure({});
  assert.match(await check(redis.url), REACHED);
  assert.match(await check(redis.url.replace('127.0.0.1', 'localhost')), REACHED);
  assert.match(await check(redis.url, { REDIS_TLS_CA: other.file }), /^problem .*certificate of 127\.0\.0\.1 is refused: .*; its authority must be in REDIS_TLS_CA/);
  assert.match(await check(redis.url, { REDIS_TLS_CA: null }), /^problem .*is refused: .*; its authority must be in REDIS_TLS_CA/, 'by default the authorities of the system');

  const named = await secure(authority.sign('named', { names: ['DNS:redis.example'] }));
  assert.match(await check(named.url), /^problem .*is refused: IP address mismatch; it must be for the host/);
  assert.match(await check(named.url.replace('127.0.0.1', 'localhost')), /^problem .*certificate of localhost is refused: hostname mismatch/i);
  assert.match(await check(named.url, { REDIS_TLS_VERIFY: 'ca' }), REACHED);
  assert.match(await check(named.url, { REDIS_TLS_VERIFY: 'ca', REDIS_TLS_CA: other.file }), /^problem .*is refused/, 'the authority is judged all the same');

  const old = await secure(authority.sign('old', { days: -1 }));
  assert.match(await check(old.url), /^problem .*is refused: certificate has expired/);
  assert.match(await check(old.url, { REDIS_TLS_VERIFY: 'ca' }), /^problem .*is refused: certificate has expired/);
});

test('TLS at one end only, a silent server, an old protocol: each has a sentence of its own', { timeout: 60000 }, async () => {
  const plain = await keep(Redis.start({ kind: 'single', args: ['--appendonly', 'no'] }));
  const redis = await secure({});
  assert.match(await check(plain.url.replace('redis', 'rediss')), /^problem .*TLS: the handshake timed out: does the server speak it on this port\? \(for plain TCP REDIS_URL begins with redis\)/);
  const talker = await stranger(createServer((socket) => socket.on('error', () => {}).end('-ERR what is this\r\n')));
  assert.match(await check(`rediss://127.0.0.1:${talker}`), /^problem .*TLS: the server does not speak it on this port; for plain TCP REDIS_URL begins with redis/);
  assert.match(await check(redis.url.replace('rediss', 'redis')), /^problem .*(speaks TLS: REDIS_URL must begin|if it speaks TLS, REDIS_URL begins) with rediss/);
  const { cert, key } = authority.sign('ancient');
  const ancient = await stranger(tls.createServer({ cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  assert.match(await check(`rediss://127.0.0.1:${ancient}`), /^problem .*the server must speak TLS 1\.2 or newer/);
});

test('the name that was dialled is sent (SNI), an address is not', { timeout: 60000 }, async () => {
  const { cert, key } = authority.sign('sni');
  const names = [];
  const server = tls.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => {
    names.push(socket.servername || '-');
    socket.on('error', () => {});
    socket.destroy();
  });
  const port = await stranger(server);
  await check(`rediss://localhost:${port}`);
  assert.deepEqual(names, ['localhost']);
  await check(`rediss://127.0.0.1:${port}`);
  assert.deepEqual(names, ['localhost', '-']);
});

test('a Redis that asks for a certificate gets ours; without one, or with a stranger\'s, the reason is said', { timeout: 60000 }, async () => {
  const redis = await keep(Redis.start({ kind: 'single', args: ['--appendonly', 'no'] }));
  const { cert, key } = authority.sign('strict');
  const port = await freePort();
  for (const [name, value] of [['tls-cert-file', cert], ['tls-key-file', key], ['tls-ca-cert-file', authority.file], ['tls-auth-clients', 'yes'], ['tls-port', port]]) {
    await redis.cli('CONFIG', 'SET', name, value);
  }
  const url = `rediss://127.0.0.1:${port}`;
  const own = authority.sign('pod');
  const stray = new Authority('strays').sign('stray');
  const with_ = (pair) => ({ REDIS_TLS_CERT: pair.cert, REDIS_TLS_KEY: pair.key });
  assert.match(await check(url, with_(own)), REACHED);
  assert.match(await check(url), /^problem .*Set REDIS_TLS_CERT and REDIS_TLS_KEY/);
  assert.match(await check(url, with_(stray)), /^problem .*the server refuses the certificate of REDIS_TLS_CERT/);
  assert.match(await check(url, { ...with_(own), REDIS_TLS_KEY: stray.key }), /^problem +REDIS_TLS_KEY: .*is not the key of REDIS_TLS_CERT/);
  assert.match(await check(url, { REDIS_TLS_CERT: '/nowhere', REDIS_TLS_KEY: own.key }), /^problem +REDIS_TLS_CERT: \/nowhere cannot be read/);
});

test('settings of TLS beside a plain URL, or half of a pair, are refused at start', async () => {
  const refuse = async (env, pattern) => assert.match((await runTiketi(['serve'], { DATABASE_URL: database.url, ...env }, { expect: 78 })).stderr, pattern);
  await refuse({ REDIS_URL: 'redis://127.0.0.1', REDIS_TLS_CA: authority.file }, /REDIS_TLS_CA: is for a REDIS_URL that begins with rediss/);
  await refuse({ REDIS_URL: 'rediss://127.0.0.1', REDIS_TLS_CERT: authority.file }, /REDIS_TLS_KEY: must be set where REDIS_TLS_CERT is/);
  await refuse({ REDIS_URL: 'rediss://127.0.0.1', REDIS_TLS_VERIFY: 'no' }, /REDIS_TLS_VERIFY: must be full or ca/);
  await refuse({ REDIS_URL: 'redis://127.0.0.1', REDIS_SENTINEL_PASSWORD: 'x' }, /REDIS_SENTINEL_PASSWORD: is for a REDIS_URL that begins with redis\+sentinel/);
  await refuse({ REDIS_URL: 'rediss://127.0.0.1', REDIS_TLS_CA: '/nowhere/ca.pem', HTTP_PORT: 0, WS_PORT: 0 }, /REDIS_TLS_CA: \/nowhere\/ca\.pem cannot be read/);
});

test('files that were renewed are in force at the next connect; each connection has the name of its pod and role', { timeout: 60000 }, async () => {
  const next = new Authority('next');
  const REDIS_TLS_CA = `${authority.folder}/in-force.pem`;
  copyFileSync(authority.file, REDIS_TLS_CA);
  const redis = await secure({});
  const server = await keep(Server.start({ redis, database, env: { REDIS_TLS_CA } }));
  const event = await new Organizer(server).sale({ threshold: 100, intervalMs: 100 });
  const names = (await redis.cli('CLIENT', 'LIST')).split('\n').map((line) => / name=(\S*)/.exec(line)?.[1]).filter((name) => name?.startsWith('tiketi'));
  const pod = hostname().replace(/[^!-~]/g, '-').slice(0, 63);
  assert.deepEqual([...new Set(names)].sort(), ['api', 'gateway', 'processor'].map((role) => `tiketi:${pod}:${role}-0`).sort());
  assert.equal(names.length, 6, 'commands and subscription of three workers');

  redis.tls = { authority: next, ...next.sign('redis') };
  await redis.restart();
  await waitUntil(() => server.logs.some(({ error }) => /its authority must be in REDIS_TLS_CA/.test(error)), 10000, 'the new certificate to be refused');
  assert.equal((await new Client(server, { sub: 'now' }).check(event.id)).status, 503);
  copyFileSync(next.file, REDIS_TLS_CA);
  let tries = 0;
  await waitUntil(async () => (await new Client(server, { sub: `later${(tries += 1)}` }).check(event.id)).status !== 503, 10000, 'the new authority to be trusted');
  assert.ok(server.logs.some(({ message, setting }) => message === 'file read again' && setting === 'REDIS_TLS_CA'));
});
