// SPDX-License-Identifier: MIT
//
// `tiketi proxy`: what it refuses to be told, what it says while the service or the shop is away, how it is reloaded, and how
// it ends.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:https';
import { test } from 'node:test';
import WebSocket from 'ws';
import { fileURLToPath } from 'node:url';
import { Server, freePort, privateFolder, runTiketi, testAuthority, waitUntil } from '../fixtures/index.mjs';
import { PROXY, Shop, ShopProxy } from '../fixtures/shop_proxy.mjs';
import { PAGE, PREFIX, proxyStage, visit } from './proxy_support.mjs';

const { redis, server, shop, sale, front, inside, keep } = await proxyStage();

const run = (args, expect = 0) => runTiketi(args, {}, { bin: PROXY, expect });
const NEEDED = ['--origin', 'http://127.0.0.1:3000', '--event', 'summer'];
const folder = privateFolder('words');
const file = (name, text) => {
  writeFileSync(`${folder}/${name}`, text);
  return `${folder}/${name}`;
};
// The processes of the nginx that runs in this folder.
const nginxes = (proxy) => readdirSync('/proc').filter((pid) => {
  try {
    return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(proxy.folder) && /nginx/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'));
  } catch {
    return false; // it has just ended
  }
});

test('the configuration is printed, right for nginx, and asks nothing of anybody', async () => {
  const { stdout } = await run([...NEEDED, '--bypass-paths', '/a,/b/*', '--bypass-networks', '10.0.0.0/8,::1', '--trusted-proxies', '10.0.0.1', '--origin-host', 'shop.example.com', '--max-body', '50', '--print']);
  assert.match(stdout, /proxy_set_header Host shop\.example\.com;/);
  assert.match(stdout, /client_max_body_size 50m;/);
  assert.match(stdout, /listen 127\.0\.0\.1:8000;/);
  assert.match(execFileSync('sh', ['-c', `ulimit -n 1024; exec "$0" "$@"`, PROXY, ...NEEDED, '--print'], { encoding: 'utf8' }), /worker_connections 960;/);
  execFileSync('nginx', ['-q', '-t', '-e', 'stderr', '-p', `${folder}/`, '-c', file('printed.conf', stdout)], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
});

const BAD = ['"', "'", ';', '{', '}', '$x', '\\', '\n', ' ', '\t', '#', '\u00fc'];
test('nothing that means something to nginx gets into its configuration', async () => {
  const options = {
    '--origin': [...BAD.map((c) => `http://a${c}b`), 'http://a/b', 'a:80', 'http://', 'http://a:0', 'http://a:99999', 'http://u@a', 'ftp://a', 'http://[::1', 'http://[x]', 'http://a:80;x'],
    '--event': [...BAD.map((c) => `a${c}b`), '../x', 'a'.repeat(65)],
    '--prefix': [...BAD.map((c) => `/a${c}`), 'a', '/', '/a/', '//a', '/..', '/a/../b', '/a?b'],
    '--listen': [...BAD.map((c) => `80${c}`), 'x', '0', '70000', 'name:80', '1.2.3.4', '1.2.3.4:80;x', '1.2.3.4:80 ssl'],
    '--bypass-paths': [...BAD.filter((c) => c !== ' ').map((c) => `/a${c}b`), 'a', '/a*b', '/a/**', '/..', '/a/../b', '/./', '/a//b', '*', '/%2e'],
    '--bypass-methods': ['get', 'GET;', 'GET"', '~.'],
    '--bypass-networks': ['10.0.0.0/33', 'a', '10.0.0.0/8;', 'default 1'],
    '--trusted-proxies': ['unix:', '10.0.0.0/8;'],
    '--origin-host': BAD.map((c) => `a${c}b`),
    '--tls-cert': ['/a b', '/a;b', 'relative.pem', '/a"b'],
    '--dir': ['/a;b', 'relative', '/a\nb'],
    '--bypass-headers': ['X Y: aaaaaaaaaaaaaaaaaaaa', 'X_Y: aaaaaaaaaaaaaaaaaaaa', 'X: short', 'X: "aaaaaaaaaaaaaaaaaaaa', 'X: aaaaaaaaaaaaaaaaaa;', 'X;: aaaaaaaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaaaaaaaaaa', 'X: aaaaaaaaaaaaaaaaaa$b'].map((text, i) => file(`bad${i}`, `${text}\n`)),
  };
  for (const [option, values] of Object.entries(options)) {
    for (const value of values) {
      const rest = NEEDED.filter((text, i) => text !== option && NEEDED[i - 1] !== option);
      const { stderr, stdout } = await run([...rest, option, value, '--print'], 64);
      assert.equal(stdout, '', `${option} ${value}`);
      assert.match(stderr, new RegExp(`^tiketi proxy: `), `${option} ${value}`);
    }
  }
});

test('what does not fit is said in a sentence: no nginx, another prefix, one half of a certificate, a name without an address', async () => {
  assert.match((await run([...NEEDED, '--service', server.url, '--nginx', '/nowhere/nginx', '--dir', folder], 1)).stderr, /nginx is missing: `apt-get install nginx-light`/);
  assert.match((await run([...NEEDED, '--service', server.url, '--prefix', '/other', '--dir', folder], 1)).stderr, /nothing below \/other: start it with PATH_PREFIX=\/other/);
  assert.match((await run([...NEEDED, '--tls-cert', '/a.pem', '--print'], 64)).stderr, /--tls-cert and --tls-key go together/);
  assert.match((await run(['--origin', 'http://shop.invalid', '--event', 'summer', '--print'], 1)).stderr, /shop\.invalid has no address/);
  const taken = await run([...NEEDED, '--service', server.url, '--dir', folder, '--listen', `127.0.0.1:${shop.port}`], 1);
  assert.match(taken.stderr, /Address already in use[\s\S]*nginx does not start|nginx refuses the configuration/);
  const untrusting = await Server.start({ redis, database: server.database, roles: 'api', env: { PATH_PREFIX: PREFIX } });
  const proxy = await ShopProxy.start({ origin: shop.url, event: 'summer', server: untrusting });
  assert.match(proxy.output, /warning: .* does not believe this proxy: name this machine in its TRUSTED_PROXIES/);
  await proxy.stop();
  await untrusting.stop();
});

test('it says at its start what does not fit: an event that the service does not know, a shop that is not there; it is in front of no proxy of its own', async () => {
  const unknown = await front('no-such-event');
  assert.match(unknown.output, /warning: the service at \S+ has no event no-such-event/);
  assert.doesNotMatch(unknown.output, /nothing listens/);
  const alone = await front(await sale(), [], { origin: `http://127.0.0.1:${await freePort()}` });
  assert.match(alone.output, /warning: nothing listens at the shop's address http:/);
  assert.doesNotMatch(alone.output, /has no event/);
  for (const [origin, listen] of [['http://127.0.0.1:8000', '127.0.0.1:8000'], ['http://localhost:8000', '0.0.0.0:8000'], ['http://127.0.0.1', '0.0.0.0:80'], ['http://[::1]:8000', '[::1]:8000']])
    assert.match((await run(['--origin', origin, '--event', 'summer', '--listen', listen, '--print'], 64)).stderr, /is where --listen has this proxy itself/, origin);
  await run(['--origin', 'http://127.0.0.2:8000', '--event', 'summer', '--listen', '127.0.0.1:8000', '--print']);
});

test('while the service or its Redis is away nobody is let in: 503 with Retry-After, in the visitor’s language; nobody loses a turn', async () => {
  const event = await sale();
  const proxy = await front(event);
  const visitor = await inside(proxy, event);
  assert.equal((await visitor.get('/shop/a', { headers: PAGE })).status, 200);
  await redis.stop();
  for (const ask of [() => visitor.get('/shop/closed', { headers: { ...PAGE, 'accept-language': 'ko-KR,ko;q=0.9' } }), () => visit(proxy, '/shop/closed')]) {
    const answer = await ask();
    assert.equal(answer.status, 503, answer.text);
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    assert.equal(answer.headers['cache-control'], 'no-store');
  }
  const korean = await visitor.get('/shop/closed', { headers: { ...PAGE, 'accept-language': 'ko-KR,ko;q=0.9' } });
  assert.match(korean.text, /잠시만 기다려 주세요[\s\S]*/);
  assert.match(korean.text, /http-equiv='refresh'/);
  const posted = await visitor.post('/order', { body: 'a=1', headers: { ...PAGE, 'accept-language': 'en' } });
  assert.equal(posted.status, 503);
  assert.match(posted.text, /What you sent was not passed on/);
  assert.doesNotMatch(posted.text, /http-equiv='refresh'/, 'a POST is not loaded again');
  assert.deepEqual(shop.at('/shop/closed'), []);
  await redis.start();
  await waitUntil(async () => (await visitor.get('/shop/again', { headers: PAGE })).status === 200, 20000, 'the turn to count again');
});

test('a shop that cannot be reached: 502 that says so; then it is there again', async () => {
  const event = await sale();
  const own = await Shop.start();
  const proxy = await front(event, [], { origin: own.url });
  const visitor = await inside(proxy, event);
  await own.stop();
  const answer = await visitor.get('/shop', { headers: { ...PAGE, 'accept-language': 'en' } });
  assert.equal(answer.status, 502);
  assert.match(answer.text, /The shop does not answer/);
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
  const again = await Shop.start({ port: own.port });
  await waitUntil(async () => (await visitor.get('/shop', { headers: PAGE })).status === 200, 10000, 'the shop');
  assert.equal(again.at('/shop').length, 1);
});

test('SIGHUP puts other secrets in force, and a wrong one leaves the old in force; a WebSocket stays open', async () => {
  const event = await sale();
  const headers = file('secrets', 'X-Staff: first-secret-0123456789\n');
  const proxy = await front(event, ['--bypass-headers', headers]);
  const staff = async (value) => /The shop/.test((await visit(proxy, '/shop/staff', { headers: { ...PAGE, 'x-staff': value } })).text);
  assert.ok(await staff('first-secret-0123456789'));
  const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/live`, { headers: { 'x-staff': 'first-secret-0123456789' } });
  await once(socket, 'open');
  writeFileSync(headers, 'X-Staff: other-secret-0123456789\n');
  proxy.reload();
  await waitUntil(() => staff('other-secret-0123456789'), 10000, 'the new secret');
  await waitUntil(async () => !(await staff('first-secret-0123456789')), 10000, 'the old one to end');
  socket.send('still there');
  assert.equal(String((await once(socket, 'message'))[0]), 'echo still there');
  socket.terminate();
  writeFileSync(headers, 'X-Staff: "\n');
  proxy.reload();
  await waitUntil(() => /not reloaded: /.test(proxy.output), 10000, 'the refusal');
  assert.ok(await staff('other-secret-0123456789'));
});

// A resolver that reads `names`: "shop.test" is what that file says.
const preload = `${folder}/names.so`;
execFileSync('cc', ['-D_GNU_SOURCE', '-shared', '-fPIC', '-Wall', '-o', preload, fileURLToPath(new URL('../fixtures/names.c', import.meta.url)), '-ldl']);
const named = (names) => ({ origin: `http://shop.test:${shop.port}`, env: { LD_PRELOAD: preload, TIKETI_TEST_NAMES: names, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0` } });

test('a shop that moves to another address is followed', async () => {
  const event = await sale();
  const names = file('names', '127.0.0.1\n');
  const moved = await Shop.start({ port: shop.port, host: '127.0.0.2' });
  const proxy = await front(event, ['--resolve', '200ms', '--bypass-paths', '/open'], named(names));
  assert.equal((await visit(proxy, '/open')).status, 200);
  assert.equal(shop.at('/open').length, 1);
  writeFileSync(names, '127.0.0.2\n');
  await waitUntil(async () => (await visit(proxy, '/open')).status === 200 && moved.at('/open').length > 0, 15000, 'the other address');
  assert.match(proxy.output, /reloaded: a name has other addresses/);
  writeFileSync(names, '\n'); // no address at all: the last one stays
  await waitUntil(() => /shop\.test has no address/.test(proxy.output), 10000, 'the warning');
  assert.equal((await visit(proxy, '/open')).status, 200);
});

test('a name whose answers rotate costs a reload or two, not one at each look; what is no longer answered is dropped; many new addresses are no storm', async () => {
  const names = file('rotating', '127.0.0.1\n127.0.0.2\n');
  const proxy = await front(await sale(), ['--resolve', '100ms'], named(names));
  const asked = () => statSync(`${names}.asked`).size;
  const looks = (count) => {
    const end = asked() + count;
    return waitUntil(() => asked() >= end, 20000, `${count} looks`);
  };
  const reloads = () => proxy.output.match(/reloaded: a name/g)?.length ?? 0;
  const origins = () => [...readFileSync(`${proxy.folder}/nginx.conf`, 'utf8').matchAll(new RegExp(`server (127[.0-9]+):${shop.port};`, 'g'))].map(([, address]) => address);
  await looks(12);
  assert.equal(reloads(), 1);
  assert.deepEqual(origins(), ['127.0.0.1', '127.0.0.2']);
  writeFileSync(names, '127.0.0.2\n');
  await waitUntil(() => reloads() === 2, 20000, 'the first address to be dropped');
  assert.deepEqual(origins(), ['127.0.0.2']);
  writeFileSync(names, Array.from({ length: 60 }, (_, i) => `127.0.1.${i + 1}\n`).join(''));
  await looks(40);
  assert.ok(reloads() >= 4 && reloads() <= 8, `${reloads()} reloads`);
});

test('an nginx that dies is started again; SIGTERM ends all of it, and so does kill -9', async () => {
  const event = await sale();
  const proxy = await front(event);
  const [master] = nginxes(proxy).sort((a, b) => a - b);
  process.kill(Number(master), 'SIGKILL');
  await waitUntil(() => /nginx is started again/.test(proxy.output), 10000, 'another nginx');
  await waitUntil(async () => (await visit(proxy, `${PREFIX}/livez`)).status === 200, 10000, 'its answer');
  keep.forget(proxy);
  await proxy.stop();
  assert.match(proxy.output, /stopped/);
  await waitUntil(() => nginxes(proxy).length === 0, 5000, 'every nginx to end');
  const killed = await ShopProxy.start({ origin: shop.url, event, server });
  await killed.child.end('SIGKILL');
  await waitUntil(() => nginxes(killed).length === 0, 10000, 'every nginx to end');
});

test('over HTTPS the cookies are Secure, and the shop learns the scheme', async () => {
  const event = await sale();
  const { cert, key } = testAuthority().sign('proxy');
  const proxy = await front(event, ['--tls-cert', cert, '--tls-key', key, '--bypass-paths', '/open'], { tls: true });
  const ask = (path) => new Promise((done, reject) => {
    request(`${proxy.url}${path}`, { ca: readFileSync(testAuthority().file), headers: PAGE }, (response) => response.resume().on('end', () => done(response))).on('error', reject).end();
  });
  assert.equal((await ask('/open')).statusCode, 200);
  assert.equal(shop.at('/open').at(-1).headers['x-forwarded-proto'], 'https');
  const { headers } = await ask(`${PREFIX}/wait/${event}`);
  assert.match(headers['set-cookie'][0], /^__Host-tiketi_guest=.*; Secure$/);
});

test('a shop over HTTPS is reached, and only with a certificate that is its own', async () => {
  const event = await sale();
  const { cert, key } = testAuthority().sign('shop');
  const port = await freePort();
  const secure = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_, response) => response.end('over TLS'));
  await new Promise((done) => secure.listen(port, '127.0.0.1', done));
  const known = await front(event, ['--origin-ca', testAuthority().file, '--bypass-paths', '/open'], { origin: `https://localhost:${port}` });
  assert.equal((await visit(known, '/open')).text, 'over TLS');
  const unknown = await front(event, ['--bypass-paths', '/open'], { origin: `https://localhost:${port}` });
  assert.equal((await visit(unknown, '/open')).status, 502);
  secure.close();
});
