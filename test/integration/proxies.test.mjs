// SPDX-License-Identifier: MIT
//
// What proxies say about a request, and the addresses by which this service is called: scheme and host in cookies, links
// and the Content-Security-Policy; origins; paths that are written in another way.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, ROOT, Server, Socket, runTiketi, stage, uniqueId, within } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { PAYMENT_URL: 'https://pay.example/page' } });
const sale = () => organizer.sale({ id: uniqueId('proxy-e'), threshold: 100, grid: { rows: 1, seatsPerRow: 20 } });

async function pod(t, env) {
  const started = await Server.start({ redis, database, roles: 'api', env: { PAYMENT_URL: 'https://pay.example/page', ...env } });
  t.after(() => started.stop());
  return started;
}

const socketUrl = ({ headers }) => /connect-src 'self' ?([^;]*);/.exec(headers['content-security-policy'])[1];

test('of X-Forwarded-Proto and Forwarded the first value counts, in any case, and only of a trusted proxy', async (t) => {
  const { id } = await sale();
  const trusting = await pod(t, { TRUSTED_PROXIES: '127.0.0.0/8' });
  const distrusting = await pod(t, { TRUSTED_PROXIES: '10.0.0.0/8' });
  const isSecure = async (at, headers) => (await new Client(at).check(id, { headers })).headers['set-cookie'].every((line) => /; Secure(;|$)/.test(line));
  const https = [{ 'x-forwarded-proto': 'https' }, { 'x-forwarded-proto': 'https, http' }, { 'x-forwarded-proto': 'HTTPS' }, { 'x-forwarded-proto': ' Https ,http' },
    { forwarded: 'for=192.0.2.1;proto=https' }, { forwarded: 'for=192.0.2.1;Proto="HTTPS", for=10.0.0.1;proto=http' }];
  for (const headers of https) {
    assert.equal(await isSecure(trusting, headers), true, JSON.stringify(headers));
    assert.equal(await isSecure(distrusting, headers), false, JSON.stringify(headers));
  }
  const http = [{}, { 'x-forwarded-proto': 'http, https' }, { 'x-forwarded-proto': 'http', forwarded: 'proto=https' }, { forwarded: 'for=192.0.2.1, proto=https' }];
  for (const headers of http) assert.equal(await isSecure(trusting, headers), false, JSON.stringify(headers));
});

test('the host of X-Forwarded-Host or Forwarded is that of the page, of a trusted proxy only', async (t) => {
  const { id } = await sale();
  const trusting = await pod(t, { TRUSTED_PROXIES: '127.0.0.0/8', WS_PORT: 9443 });
  const distrusting = await pod(t, { TRUSTED_PROXIES: '10.0.0.0/8', WS_PORT: 9443 });
  const of = async (at, headers) => socketUrl(await at.get(`/wait/${id}?left=1`, { headers: { host: 'inner.example:8080', ...headers } }));
  assert.equal(await of(trusting, { 'x-forwarded-host': 'tickets.example.com, inner.example' }), 'ws://tickets.example.com:9443/ws');
  assert.equal(await of(trusting, { 'x-forwarded-host': 'tickets.example.com:444', 'x-forwarded-proto': 'HTTPS, http' }), 'wss://tickets.example.com:9443/ws');
  assert.equal(await of(trusting, { forwarded: 'host="tickets.example.com:444";proto=https' }), 'wss://tickets.example.com:9443/ws');
  assert.equal(await of(distrusting, { 'x-forwarded-host': 'tickets.example.com' }), 'ws://inner.example:9443/ws');
  // What is no authority is passed over: it reaches neither the policy nor a link.
  for (const host of ['x; script-src *', 'a.example/x', "a'b", '']) assert.equal(await of(trusting, { 'x-forwarded-host': host }), 'ws://inner.example:9443/ws', host);
});

test('a page behind a proxy that changes Host may act for a guest', async (t) => {
  const { id } = await sale();
  const trusting = await pod(t, { TRUSTED_PROXIES: '127.0.0.0/8' });
  const post = async (headers) => (await new Client(trusting).check(id, { headers: { host: 'inner.example', ...headers } })).status;
  assert.equal(await post({ origin: 'https://tickets.example.com', 'x-forwarded-host': 'tickets.example.com' }), 200);
  assert.equal(await post({ origin: 'https://tickets.example.com', forwarded: 'host=tickets.example.com' }), 200);
  assert.equal(await post({ origin: 'https://tickets.example.com' }), 403);
  assert.equal(await post({ origin: 'https://evil.example', 'x-forwarded-host': 'tickets.example.com' }), 403);
});

test('so may its socket; a handshake whose Host is no authority is 400', async (t) => {
  const sockets = await Server.start({ redis, database, roles: 'gateway', env: { TRUSTED_PROXIES: '127.0.0.0/8' } });
  t.after(() => sockets.stop());
  const opens = (headers, origin = 'https://tickets.example.com') => Socket.open(sockets, { origin, headers: { host: 'inner.example', ...headers } })
    .then((socket) => socket.close().then(() => 101), ({ status }) => status);
  assert.equal(await opens({ 'x-forwarded-host': 'tickets.example.com:8443, inner.example' }), 101);
  assert.equal(await opens({ forwarded: 'for=192.0.2.1;host=tickets.example.com' }), 101);
  assert.equal(await opens({}), 403);
  assert.equal(await opens({ 'x-forwarded-host': 'tickets.example.com' }, 'https://evil.example'), 403);
  for (const host of ['x; y', 'u@inner.example', 'a/b']) assert.equal(await opens({ host }), 400, host);
});

test('Forwarded names the client for the rate limit where X-Forwarded-For does not', async (t) => {
  const limited = await pod(t, { RATE_LIMIT_PER_IP: 2, TRUSTED_PROXIES: '127.0.0.0/8' });
  const from = async (headers) => (await limited.get('/.well-known/jwks.json', { headers })).status;
  const many = await Promise.all(Array.from({ length: 30 }, (_, i) => from({ forwarded: `for=198.51.100.${i};proto=https, for="[2001:db8::7]:4711"` })));
  assert.ok(many.includes(429), 'one client, whatever it wrote in front');
  assert.equal(await from({ forwarded: 'for=203.0.113.9' }), 200, 'another client');
  assert.ok((await Promise.all(Array.from({ length: 30 }, (_, i) => from({ 'x-forwarded-for': '203.0.113.10', forwarded: `for=198.51.100.${i}` })))).includes(429), 'X-Forwarded-For decides');
});

// One request as it is written, to the end of the connection.
async function raw(text) {
  const socket = connect(server.port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (chunk) => (answer += chunk)).on('error', () => {});
  socket.write(text, 'latin1');
  await within(5000, new Promise((resolve) => socket.once('close', resolve)), 'the end of the connection');
  return answer;
}

test('a Host that is no authority is 400, and reaches neither policy nor links', async () => {
  const { id } = await sale();
  const hosts = ['x; script-src *', 'a.example/path', 'u@a.example', "a'b", '"a"', 'a b', 'a,b', 'a:port', 'a:99999', '[::1', '::1', 'a%41', 'a\\b', '', '<script>', 'a\xe4.example', `${'a'.repeat(256)}`];
  for (const host of hosts) {
    for (const path of [`/wait/${id}`, '/api/events', '/livez', '/']) {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, `${host} ${path}: ${answer.slice(0, 200)}`);
      if (host.length > 3) assert.ok(!answer.includes(host), `${host} ${path}`);
    }
  }
  for (const host of ['a', 'tickets.example.com', 'tickets.example.com:8443', '127.0.0.1', '[::1]', '[2001:db8::1]:8080', 'pod_1.tiketi.svc']) {
    assert.match(await raw(`GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 200 /, host);
  }
  assert.match(await raw('GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1\.[01] 200 /, 'HTTP/1.0 needs none');
});

// The return address of an order that the page's own form pays.
async function returnAddress(at, headers) {
  const buyer = new Client(at);
  const { id } = await sale();
  await buyer.check(id, { headers }); // behind HTTPS the names of the cookies are others
  const form = { headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } };
  const { body } = await buyer.reserve({ eventId: id, quantity: 1 }, headers);
  const paid = await buyer.post(`/buy/${id}`, { ...form, body: `action=pay&reservation=${body.id}` });
  assert.equal(paid.status, 303);
  const address = new URL(paid.headers.location).searchParams.get('return');
  assert.ok(address.includes(`/tickets/${id}?reservation=${body.id}&proof=`), address);
  return new URL(address).origin;
}

test('the return address of a payment is PUBLIC_URL where that is set, whatever Host says', async (t) => {
  const fixed = await pod(t, { PUBLIC_URL: 'https://tickets.example.com/', TRUSTED_PROXIES: '127.0.0.0/8' });
  assert.equal(await returnAddress(fixed, { host: 'evil.example' }), 'https://tickets.example.com');
  assert.equal(await returnAddress(fixed, { 'x-forwarded-host': 'evil.example' }), 'https://tickets.example.com');
  const open = await pod(t, { TRUSTED_PROXIES: '127.0.0.0/8' });
  assert.equal(await returnAddress(open, { host: 'one.example' }), 'http://one.example');
  assert.equal(await returnAddress(open, { host: 'inner', 'x-forwarded-host': 'two.example:444', 'x-forwarded-proto': 'HTTPS' }), 'https://two.example:444');
});

test('ALLOWED_ORIGINS with a wildcard or the own port of the scheme, and a PUBLIC_URL with a path, are refused at start', async () => {
  const base = { REDIS_URL: redis.url, DATABASE_URL: database.url };
  for (const [name, value] of [['ALLOWED_ORIGINS', 'https://*.example.com'], ['ALLOWED_ORIGINS', '*'], ['ALLOWED_ORIGINS', 'https://shop.example:443'],
    ['ALLOWED_ORIGINS', 'https://shop.example,http://shop.example:80'], ['PUBLIC_URL', 'https://tickets.example.com/shop'], ['PUBLIC_URL', 'tickets.example.com']]) {
    const { stderr } = await runTiketi(['serve'], { ...base, [name]: value }, { expect: 78 });
    assert.match(stderr, new RegExp(`${name}: must`), `${name}=${value}`);
  }
});

// Of the headers that routes read, a browser adds these by itself, lets no script set them, or never asks before it sends
// them (the CORS-safelisted ones); or they are those of a proxy that asks the gate (x-original-, x-requested-with, x-tiketi-in-place).
const NEEDS_NO_PREFLIGHT = new Set(['accept', 'accept-encoding', 'accept-language', 'content-length', 'origin', 'host', 'cookie', 'user-agent', 'purpose', 'x-moz', 'forwarded', 'referer', 'x-requested-with', 'x-tiketi-in-place']);
const needsPreflight = (name) => !NEEDS_NO_PREFLIGHT.has(name) && !/^(sec-|x-forwarded-|x-original-)/.test(name);

test('the preflight allows every header that a route reads', async (t) => {
  const folder = `${ROOT}/src/api`;
  const sources = readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`, 'utf8')).join('\n');
  const read = [...sources.matchAll(/(?:http_req_header(?:_list)?|api_sent_proofs)\(\s*[^",]+,\s*"([^"]+)"/g)].map(([, name]) => name.toLowerCase());
  const needed = new Set(read.filter(needsPreflight));
  for (const name of ['authorization', 'content-type', 'idempotency-key', 'if-match', 'if-none-match', 'x-tiketi-ticket', 'x-tiketi-pass', 'x-tiketi-signature']) {
    assert.ok(needed.has(name), `${name} is found in the sources`);
  }
  const listed = await pod(t, { ALLOWED_ORIGINS: 'https://shop.example' });
  const { status, headers } = await listed.request('OPTIONS', '/api/seats/x', { headers: { origin: 'https://shop.example', 'access-control-request-method': 'GET', 'access-control-request-headers': 'if-none-match' } });
  assert.equal(status, 204);
  const allowed = new Set(headers['access-control-allow-headers'].toLowerCase().split(/\s*,\s*/));
  // No other origin acts with a session of the console, listed or not.
  assert.deepEqual([...needed].filter((name) => !allowed.has(name)), ['x-csrf-token']);
});

test('a path that is written in another way is redirected to the one that a route knows', async () => {
  const { id } = await sale();
  const escaped = id.replaceAll('-', '%2D');
  const canonical = [
    [`/wait/${id}/`, `/wait/${id}`], [`/wait/${escaped}`, `/wait/${id}`], [`/wait/${escaped}//?lang=ko&a=b+c%26d&e`, `/wait/${id}?lang=ko&a=b+c%26d&e`],
    [`/wait/${id}/leave/`, `/wait/${id}/leave`], [`/buy/${escaped}`, `/buy/${id}`], [`/w%61it/${id}`, `/wait/${id}`],
    ['/api/events/', '/api/events'], [`/api/queue/status/${escaped}`, `/api/queue/status/${id}`], [`/api/events/${id}/`, `/api/events/${id}`],
  ];
  for (const [path, location] of canonical) {
    const answer = await server.get(path);
    assert.deepEqual([answer.status, answer.headers.location], [308, location], path);
    assert.equal(answer.headers['set-cookie'], undefined, `${path} makes no guest`);
  }
  const form = await server.post(`/wait/${id}/leave/`);
  assert.deepEqual([form.status, form.headers.location], [308, `/wait/${id}/leave`], 'a form is sent again, as it was');
  // Nothing to redirect to.
  for (const [path, status] of [['/wait/not%2Fan%2Fid', 400], ['/wait/a%20b', 400], ['/wait/%0d%0aSet-Cookie:x', 400], ['//evil.example/', 404], ['/nothing/', 404], [`//wait/${id}`, 404], ['/%2e%2e/wait/x', 404]]) {
    assert.match(await raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`), new RegExp(`^HTTP/1\\.1 ${status} `), path);
  }
});
