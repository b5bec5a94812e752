// SPDX-License-Identifier: MIT
//
// `tiketi proxy` with a real nginx, before a shop that knows nothing of it: who passes, what passes, and how it passes.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { test } from 'node:test';
import WebSocket from 'ws';
import { Client, exchange, privateFolder, waitUntil } from '../fixtures/index.mjs';
import { PAGE, PREFIX, proxyStage, raw, visit } from './proxy_support.mjs';

const { server, organizer, shop, sale, front, inside } = await proxyStage();
const id = await sale();
const other = await sale();
const secrets = `${privateFolder('secrets')}/headers`;
writeFileSync(secrets, '# staff\nX-Staff: Abcdefgh.0123456789+/=\n');
const proxy = await front(id);
// Whose only slot is taken: a stranger has to wait.
const busy = await sale({ threshold: 1 });
const gated = await front(busy, ['--bypass-paths', '/payment/callback,/hooks/*', '--bypass-headers', secrets, '--bypass-networks', '127.0.0.9/32']);
await inside(gated, busy);

// As PHP-FPM, WSGI and Rack see them, these are X-Tiketi-Buyer and so on.
const UNDERSCORED = { X_Tiketi_Buyer: 'u:forged', 'X-Tiketi_Buyer': 'u:forged', X_Tiketi_Pass_Expires: 'forged', X_Forwarded_For: '192.0.2.1' };

test('with a turn the shop is there, with the query and the visitor named; without one it is not; who leaves is out at once', async () => {
  const event = await sale({ threshold: 1 });
  const own = await front(event);
  const visitor = await inside(own, event);
  const answer = await visitor.get('/shop/x?y=1&z=%20', { headers: { ...PAGE, 'x-tiketi-buyer': 'forged', 'x-tiketi-pass-expires': 'forged', ...UNDERSCORED } });
  assert.equal(answer.status, 200);
  assert.match(answer.text, /The shop/);
  assert.deepEqual(answer.headers['set-cookie'].filter((line) => !line.includes('tiketi')), ['shop=1; Path=/', 'other=2; Path=/']);
  assert.equal(answer.headers.server, 'the-shop');
  const [{ headers }] = shop.at('/shop/x?y=1&z=%20');
  assert.match(headers['x-tiketi-buyer'], /^g:[0-9a-f]{32}$/);
  assert.ok(Date.parse(headers['x-tiketi-pass-expires']) > Date.now());
  assert.deepEqual(Object.keys(headers).filter((name) => name.includes('_')), [], 'the same name for a program that takes _ for -');
  assert.equal(headers.host, `127.0.0.1:${own.port}`);
  assert.doesNotMatch((await visit(own, '/shop/stranger')).text, /The shop/);
  await visitor.post(`${PREFIX}/api/queue/leave/${event}`);
  const left = await visitor.get('/shop/left', { headers: { accept: 'application/json' } });
  assert.deepEqual([left.status, left.body.code, left.headers['x-tiketi-wait']], [401, 'not-admitted', `${PREFIX}/wait/${event}?return=/shop/left`]);
  assert.deepEqual([...shop.at('/shop/left'), ...shop.at('/shop/stranger')], []);
});

test('who comes with a hand-over token from a waiting room on another host goes on at the URL without it, with the pass', async () => {
  const event = await sale({ threshold: 1 });
  const own = await front(event);
  await organizer.patch(event, { returnUrls: [`${own.url}/shop`] });
  const there = new Client(server);
  const way = `return=${encodeURIComponent(`${own.url}/shop/x?y=1&z=%20`)}`;
  await waitUntil(async () => (await there.get(`${PREFIX}/wait/${event}?${way}`)).text.includes('data-state="admitted"'), 10000, 'the turn');
  const { headers: { location } } = await there.get(`${PREFIX}/wait/${event}/enter?${way}`);
  const path = location.slice(own.url.length);
  assert.match(path, /^\/shop\/x\?y=1&z=%20&tiketi-handoff=/);
  const here = new Client({ url: own.url });
  const led = await here.get(path, { headers: PAGE });
  assert.deepEqual([led.status, led.headers.location, led.headers['cache-control']], [302, `${own.url}/shop/x?y=1&z=%20`, 'no-store'], led.text);
  assert.deepEqual(led.headers['set-cookie'].map((line) => line.split('=')[0]), [`tiketi_pass_${event}`]);
  assert.match((await here.get('/shop/x?y=1&z=%20', { headers: PAGE })).text, /The shop/);
  assert.equal(shop.seen.filter(({ url }) => url.includes('tiketi-handoff')).length, 0, 'the shop sees no token');
  assert.doesNotMatch((await visit(own, path)).text, /The shop/, 'once');
});

test('a forged pass, and a pass of another event, open nothing', async () => {
  const visitor = await inside(proxy, other);
  for (const headers of [{ 'x-tiketi-pass': visitor.pass }, { cookie: `tiketi_pass_${busy}=${visitor.pass}` }, { 'x-tiketi-pass': 'e30.e30.AAAA' }, { cookie: visitor.cookieHeader }]) {
    assert.doesNotMatch((await visit(gated, '/shop/forged', { headers: { ...PAGE, ...headers } })).text, /The shop/);
  }
  // Nor do they take from anybody what they have: visitors send no such headers, and nobody reads them here.
  const buyer = await inside(proxy, id);
  assert.match((await visit(proxy, '/shop/own', { headers: { ...PAGE, cookie: buyer.cookieHeader, 'x-tiketi-pass': 'abc', 'x-tiketi-ticket': 'abc' } })).text, /The shop/);
  assert.deepEqual(shop.at('/shop/forged'), []);
});

const TRICKS = ['//shop', '/%2e%2e/shop', '/shop/../shop', '/shop/%2e%2e/shop', '/hooks/../shop', '/hooks/..', '/hooks/%2e%2e/shop', '/hooks/..%2fshop', '/hooks/..;/shop', '/hooks/%252e%252e/shop',
  '/hooks//shop', '/hooks/./shop', '/hooks/%2e/shop', '/hooks\\..\\shop', '/hooks/a%00b', '/HOOKS/a', '/hooksx', '/hooks', '/payment/callback/', '/payment/callback/../../shop', '/payment//callback', '/payment/%63allback',
  '/.tiketi/../shop', '/.tiketi/%2e%2e/shop', '/.tiketi//../shop', '/.tiketi/ws/../../shop', '/.tiketi/gate~', '/.tiketi/gate~?join=1', '/.well-known/../shop', '/.well-known/..%2fshop', '/.well-known/%2e%2e/shop', '/.WELL-KNOWN/x',
  'http://127.0.0.1/shop', '/x?/hooks/a', '/x#/hooks/a', '*'];

test('no way of writing a path leads a stranger to the shop', async () => {
  const before = shop.seen.length;
  for (const path of TRICKS) {
    const { status, text } = await raw(gated.port, path);
    assert.ok(status >= 200 && status < 600, `${path}: ${text.slice(0, 80)}`);
    assert.doesNotMatch(text, /The shop/, path);
  }
  assert.deepEqual(shop.seen.slice(before), []);
});

test('what needs no turn passes: paths, methods, a secret in a header, a network; certificates', async () => {
  for (const path of ['/payment/callback', '/payment/callback?next=https://a/../b', '/hooks/', '/hooks/a.b/c-d?e', '/.well-known/acme-challenge/Token_1']) {
    assert.match((await visit(gated, path)).text, /The shop/, path);
  }
  for (const method of ['HEAD', 'OPTIONS']) assert.equal((await exchange(gated.url, method, `/shop/${method}`, { headers: UNDERSCORED })).status, 200, method);
  assert.deepEqual(Object.keys(shop.at('/shop/HEAD')[0].headers).filter((name) => name.includes('_')), []);
  assert.equal(shop.at('/shop/HEAD')[0].method, 'HEAD');
  const posted = await exchange(gated.url, 'POST', '/payment/callback', { body: 'paid=1', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  assert.equal(posted.status, 200);
  assert.equal(shop.at('/payment/callback').at(-1).body.length, 6);
  assert.equal(shop.at('/payment/callback').at(-1).headers['x-tiketi-buyer'], undefined);
  const staff = (value) => visit(gated, '/shop/staff', { headers: { ...PAGE, 'x-staff': value } });
  assert.match((await staff('Abcdefgh.0123456789+/=')).text, /The shop/);
  for (const wrong of ['abcdefgh.0123456789+/=', 'Abcdefghx0123456789+/=', 'Abcdefgh.0123456789+/=x', '']) assert.doesNotMatch((await staff(wrong)).text, /The shop/, wrong);
  assert.match((await visit(gated, '/shop/network', { localAddress: '127.0.0.9' })).text, /The shop/);
  assert.doesNotMatch((await visit(gated, '/shop/network', { localAddress: '127.0.0.8' })).text, /The shop/);
});

test('the shop’s own refusals and failures stay what they are', async () => {
  const visitor = await inside(proxy, id);
  const denied = await visitor.get('/denied');
  assert.deepEqual([denied.status, denied.headers['www-authenticate'], denied.text], [401, 'Basic realm="shop"', 'the shop’s own refusal']);
  const broken = await visitor.get('/broken');
  assert.deepEqual([broken.status, broken.text], [503, 'the shop’s own failure']);
});

test('a POST has its body, and a large upload reaches the shop while it is sent', async () => {
  const visitor = await inside(proxy, id);
  const body = randomBytes(24 << 20);
  const half = body.length / 2;
  const headers = { cookie: visitor.cookieHeader, 'content-length': body.length };
  const answer = new Promise((done, reject) => {
    const upload = request(`${proxy.url}/upload`, { method: 'POST', headers }, (response) => response.resume().on('end', () => done(response.statusCode)));
    upload.on('error', reject);
    upload.write(body.subarray(0, half));
    waitUntil(() => (shop.arriving.get('/upload') ?? 0) >= half, 20000, 'the first half').then(() => upload.end(body.subarray(half)), reject);
  });
  assert.equal(await answer, 200);
  assert.deepEqual(shop.at('/upload')[0].body, { length: body.length, sha256: createHash('sha256').update(body).digest('hex') });
});

test('an answer is passed on piece by piece', async () => {
  const visitor = await inside(proxy, id);
  let text = '';
  const ended = new Promise((done, reject) => {
    request(`${proxy.url}/stream/a`, { headers: { cookie: visitor.cookieHeader } }, (response) => {
      response.on('data', (part) => { text += part; }).on('end', done);
    }).on('error', reject).end();
  });
  await waitUntil(() => text === 'data: first\n\n', 10000, 'the first piece');
  shop.open.get('/stream/a').write('data: second\n\n');
  await waitUntil(() => text.endsWith('second\n\n'), 10000, 'the second piece');
  shop.open.get('/stream/a').end();
  await ended;
});

test('a WebSocket of the shop, and that of the waiting page, pass', async () => {
  const visitor = await inside(proxy, id);
  const open = (path, headers, protocol) => new Promise((done, reject) => {
    const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}${path}`, protocol, { headers });
    socket.once('open', () => done(socket));
    socket.once('error', reject);
  });
  const socket = await open('/live', { cookie: visitor.cookieHeader });
  const echo = new Promise((done) => { socket.once('message', (data) => done(String(data))); });
  socket.send('hello');
  assert.equal(await echo, 'echo hello');
  socket.close();
  await assert.rejects(open('/live', {}), /401|Unexpected/);
  const own = await open(`${PREFIX}/ws`, { cookie: visitor.cookieHeader }, 'tiketi.v1');
  const told = new Promise((done) => { own.on('message', (data) => /queue-entry-allowed/.test(data) && done(true)); });
  own.send(JSON.stringify({ event: 'join-queue', payload: { eventId: id, ticket: visitor.ticket } }));
  assert.ok(await told);
  own.close();
});

test('connections to the shop are kept, and the shop learns the visitor’s address and nothing that they forge', async () => {
  const visitor = await inside(proxy, id);
  const before = shop.sockets.size;
  for (let i = 0; i < 20; i++) {
    const { status } = await visitor.get('/shop/kept', { localAddress: '127.0.0.5', headers: { 'x-forwarded-for': '10.9.9.9', 'x-real-ip': '10.9.9.9', 'x-forwarded-proto': 'https', forwarded: 'for=10.9.9.9' } });
    assert.equal(status, 200);
  }
  assert.ok(shop.sockets.size - before <= 8, `${shop.sockets.size - before} connections for 20 requests`); // each worker of nginx has its own
  const { headers } = shop.at('/shop/kept').at(-1);
  assert.deepEqual([headers['x-forwarded-for'], headers['x-real-ip'], headers['x-forwarded-proto'], headers.forwarded], ['127.0.0.5', '127.0.0.5', 'http', undefined]);
});

test('behind another proxy the client is whom that one names', async () => {
  const event = await sale({ threshold: 0 });
  const behind = await front(event, ['--trusted-proxies', '127.0.0.1', '--bypass-networks', '10.9.9.0/24', '--bypass-methods', 'none']);
  const ask = (headers, localAddress) => visit(behind, '/shop/behind', { headers: { ...PAGE, ...headers }, localAddress });
  assert.match((await ask({ 'x-forwarded-for': '1.2.3.4, 10.9.9.9', 'x-forwarded-proto': 'https' })).text, /The shop/);
  const { headers } = shop.at('/shop/behind').at(-1);
  assert.deepEqual([headers['x-forwarded-for'], headers['x-forwarded-proto']], ['10.9.9.9', 'https']);
  assert.doesNotMatch((await ask({ 'x-forwarded-for': '10.9.9.9' }, '127.0.0.7')).text, /The shop/, 'who is not trusted names nobody');
  assert.notEqual((await exchange(behind.url, 'HEAD', '/shop/gated')).status, 200);
  assert.deepEqual(shop.at('/shop/gated'), []);
});

test('the service’s own paths are below the prefix, and the shop keeps its own', async () => {
  const visitor = new Client({ url: proxy.url });
  assert.equal((await visitor.get(`${PREFIX}/livez`)).status, 200);
  assert.ok((await visitor.get(`${PREFIX}/.well-known/jwks.json`)).body.keys.length > 0);
  assert.equal((await visitor.get(`${PREFIX}/turn.js?event=${id}`)).status, 200);
  for (const path of ['metrics', 'readyz', 'health', '%6detrics', './metrics', 'health?x=1']) assert.equal((await visit(proxy, `${PREFIX}/${path}`)).status, 404, path);
  const buyer = await inside(proxy, id);
  for (const path of ['/api/events', '/assets/app.js', '/wait/x', '/livez', '/ws']) assert.match((await buyer.get(path)).text, /The shop/, path);
});
