// SPDX-License-Identifier: MIT
//
// The gate as a shop's proxy asks it: what the answer says of the buyer, where it leads those who are not inside, and the
// form that Envoy's ext_authz takes. (Which proof counts: api.test.mjs, identity.test.mjs; offers: turns.test.mjs.)

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { test } from 'node:test';
import { Client, Server, bearer, jwt, stage } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { TRUSTED_PROXIES: '127.0.0.0/8' } });
const sale = (settings = {}) => organizer.sale({ threshold: 5, autoHold: 0, ...settings });

async function pod(t, env) {
  const started = await Server.start({ redis, database, roles: 'api', env: { TRUSTED_PROXIES: '127.0.0.0/8', ...env } });
  t.after(() => started.stop());
  return started;
}

async function insider(id, options) {
  const client = new Client(server, options);
  assert.equal((await client.check(id)).body.status, 'active');
  return client;
}

// A request whose path is sent as it is written: a URL would be normalised.
async function exact(method, path, headers) {
  const sent = request({ port: server.port, method, path, headers, agent: false });
  sent.end();
  const [answer] = await once(sent, 'response');
  const chunks = await answer.toArray();
  return { status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() };
}

// The way back in the address of a waiting page.
const wayBack = (location) => new URL(location, 'http://page.example').searchParams.get('return');

test('204 names the buyer and the end of their turn; HEAD says the same', async () => {
  const { id } = await sale();
  const guest = new Client(server);
  const { body } = await guest.check(id);
  for (const method of ['GET', 'HEAD']) {
    const { status, headers } = await server.request(method, `/api/gate/${id}`, { headers: { cookie: guest.cookieHeader } });
    assert.equal(status, 204, method);
    assert.match(headers['x-tiketi-buyer'], /^g:[0-9a-f]{32}$/);
    assert.equal(headers['x-tiketi-buyer'], JSON.parse(Buffer.from(body.ticket.split('.')[1], 'base64url')).b);
    assert.equal(headers['x-tiketi-pass-expires'], body.turnEndsAt);
    assert.equal(headers['set-cookie'], undefined);
    assert.equal(headers['cache-control'], 'no-store');
  }
});

test('a buyer whose name is no visible ASCII is named percent-encoded, so that no header has two meanings', async () => {
  const { id } = await sale();
  for (const [sub, name] of [['kim@example.com', 'u:kim@example.com'], ['김 100%', `u:${encodeURIComponent('김 100%')}`]]) {
    const client = await insider(id, { sub });
    const { headers } = await server.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': client.pass } });
    assert.equal(headers['x-tiketi-buyer'], name);
  }
});

test('?redirect=1 leads a page to the waiting page with the way back, and tells a script or a part of a page by a status', async () => {
  const { id } = await sale();
  const gate = (headers, path = `/api/gate/${id}?redirect=1`) => server.get(path, { headers: { 'x-forwarded-uri': '/shop/x?y=1&z=%2F', ...headers } });
  const back = `/wait/${id}?return=${encodeURIComponent('/shop/x?y=1&z=%2F')}`;
  for (const headers of [{}, { accept: '*/*' }, { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }, { 'x-tiketi-pass': 'nonsense' }]) {
    const answer = await gate(headers);
    assert.equal(answer.status, 302, JSON.stringify(headers));
    assert.equal(answer.headers.location, back);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
  for (const headers of [{ 'sec-fetch-mode': 'cors', accept: '*/*' }, { 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' }, { accept: 'application/json' },
    { 'x-requested-with': 'XMLHttpRequest' }, bearer('nonsense'), bearer(jwt({ sub: 'nobody' }))]) {
    const answer = await gate(headers);
    assert.equal(answer.status, 401, JSON.stringify(headers));
    assert.equal(answer.headers['x-tiketi-wait'], back);
  }
  const plain = await gate({}, `/api/gate/${id}`);
  assert.deepEqual([plain.status, plain.headers['x-tiketi-wait']], [401, back], 'nginx redirects by itself');
  assert.equal((await gate({}, '/api/gate/no-such-event?redirect=1')).headers.location, `/wait/no-such-event?return=${encodeURIComponent('/shop/x?y=1&z=%2F')}`);
  const wrong = await gate({}, `/api/gate/${id}?redirect=yes`);
  assert.deepEqual([wrong.status, wrong.body.field], [400, 'redirect']);
  const client = await insider(id);
  assert.equal((await gate({ cookie: client.cookieHeader })).status, 204, 'who is inside is not led away');
});

test('a WebSocket’s handshake is no page', async () => {
  const { id } = await sale();
  const handshake = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'x-original-uri': '/live' };
  assert.equal((await server.get(`/api/gate/${id}?redirect=1`, { headers: handshake })).status, 401);
});

test('the original request is told in each way that proxies have', async () => {
  const { id } = await sale();
  const back = async (headers) => wayBack((await server.get(`/api/gate/${id}?redirect=1`, { headers })).headers.location);
  assert.equal(await back({ 'x-original-url': 'https://shop.example/a?b=c%20d' }), '/a?b=c%20d');
  assert.equal(await back({ 'x-original-url': 'https://shop.example' }), '/');
  assert.equal(await back({ 'x-original-uri': '/a?b=c' }), '/a?b=c');
  assert.equal(await back({ 'x-forwarded-uri': '/a', 'x-forwarded-host': 'shop.example', 'x-forwarded-proto': 'https' }), '/a');
  assert.equal(await back({}), null);
  // What the waiting page would refuse is left out: a path that browsers take for another host, dot segments, one too long.
  for (const uri of ['//evil.example/x', '/\\evil.example', 'https://evil.example', 'x', `/${'%20'.repeat(600)}`, '', '/files/x%2f..%2fy', '/a/../b', '/a/%2e%2e/b', '/hooks/..;/x', '/a%0Ab']) assert.equal(await back({ 'x-original-uri': uri }), null, uri);
  assert.equal(await back({ 'x-original-url': 'javascript:alert(1)' }), null);
  assert.equal(await back({ 'x-original-url': 'https://user@evil.example/' }), null);
  // What a form sent is not sent again: its page is where to go on, if it is of the same host.
  for (const name of ['x-original-method', 'x-forwarded-method']) {
    const form = { [name]: 'POST', 'x-forwarded-host': 'shop.example', 'x-original-uri': '/order' };
    assert.equal(await back(form), null);
    assert.equal(await back({ ...form, referer: 'https://shop.example/cart?n=2' }), '/cart?n=2');
    assert.equal(await back({ ...form, referer: 'https://other.example/cart' }), null);
  }
});

test('with PUBLIC_URL the redirect leads there, and the way back is absolute where the shop is on another host', async (t) => {
  const { id } = await sale({ returnUrls: ['https://shop.example', 'http://shop.example', 'https://shop.example:8443'] });
  const queue = await pod(t, { PUBLIC_URL: 'https://queue.example' });
  const location = async (headers, path = `/api/gate/${id}?redirect=1`) => (await queue.get(path, { headers })).headers.location;
  const page = `https://queue.example/wait/${id}`;
  assert.equal(await location({ 'x-original-url': 'https://shop.example:8443/a?b' }), `${page}?return=${encodeURIComponent('https://shop.example:8443/a?b')}`);
  assert.equal(await location({ 'x-forwarded-host': 'shop.example', 'x-forwarded-proto': 'http', 'x-forwarded-uri': '/a' }), `${page}?return=${encodeURIComponent('http://shop.example/a')}`);
  assert.equal(await location({ host: 'shop.example', 'x-original-uri': '/a' }), `${page}?return=${encodeURIComponent('https://shop.example/a')}`, 'the scheme of the page, where none is said');
  for (const host of ['queue.example', 'QUEUE.example', 'queue.example:443']) assert.equal(await location({ 'x-forwarded-host': host, 'x-original-uri': '/a' }), `${page}?return=%2Fa`, host);
  assert.equal(await location({ host: 'shop.example' }, `/api/gate/${id}/envoy/a?b=c`), `${page}?return=${encodeURIComponent('https://shop.example/a?b=c')}`);
  // The waiting page would refuse another name of the shop, and with it the visitor: it is left out. In place the page is there.
  await Promise.all(Array.from({ length: 4 }, () => queue.get(`/api/events/${id}`)));
  assert.equal(await location({ 'x-forwarded-host': 'www.shop.example', 'x-original-uri': '/a' }), page);
  assert.equal(await location({ 'x-forwarded-host': 'www.shop.example', 'x-original-uri': '/a', 'x-tiketi-in-place': '1' }), `${page}?return=%2Fa`);
});

test('for Envoy any method and path is asked, and the answer is 200, 302 or 401', async () => {
  const { id } = await sale();
  const client = await insider(id);
  const paths = ['/', '/shop/x?y=1&redirect=0', '/a//b/c%20e/%2Fd', '/api/gate/other/envoy/x', '/assets/app.js?v=%00'];
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY']) {
    for (const path of paths) {
      const ask = (headers) => exact(method, `/api/gate/${id}/envoy${path}`, { origin: 'https://elsewhere.example', ...headers });
      const inside = await ask({ cookie: client.cookieHeader });
      assert.deepEqual([inside.status, inside.text], [200, ''], `${method} ${path}`);
      assert.match(inside.headers['x-tiketi-buyer'], /^g:/);
      const stranger = await ask({ accept: 'text/html' });
      assert.equal(stranger.status, 302, `${method} ${path}`);
      assert.equal(wayBack(stranger.headers.location), ['GET', 'HEAD'].includes(method) && !path.startsWith('//') ? path : null);
      assert.equal((await ask({ accept: 'application/json' })).status, 401);
    }
  }
  const body = await server.request('POST', `/api/gate/${id}/envoy/upload`, { headers: { cookie: client.cookieHeader, 'content-type': 'application/json' }, body: '{"not JSON' });
  assert.equal(body.status, 200, 'a body is the shop\'s');
  for (const name of ['no-such-event', 'bad*id']) assert.equal((await server.get(`/api/gate/${name}/envoy/x`, { headers: bearer(jwt({ sub: 'x' })) })).status, 401, name);
  assert.equal((await server.get(`/api/gate/${id}/envoy/x`, { headers: bearer('nonsense') })).status, 401);
});

test('over the limit of an address Envoy gets 503 with Retry-After, others 429', async (t) => {
  const { id } = await sale();
  const limited = await pod(t, { RATE_LIMIT_PER_IP: 1 });
  const headers = { 'x-forwarded-for': '192.0.2.7' };
  const until = async (path, refused) => {
    for (let i = 0; i < 50; i++) {
      const answer = await limited.get(path, { headers });
      if (answer.status === refused) return answer;
      assert.equal(answer.status, 401);
    }
    throw new Error('no limit was met');
  };
  assert.match((await until(`/api/gate/${id}`, 429)).headers['retry-after'], /^[1-9]/);
  assert.match((await until(`/api/gate/${id}/envoy/x`, 503)).headers['retry-after'], /^[1-9]/);
});

test('without Redis the gate stays closed: 503 with Retry-After, to Envoy and where a redirect is wanted as well', async (t) => {
  const { id } = await sale();
  const client = await insider(id);
  await redis.stop();
  t.after(() => redis.start());
  for (const path of [`/api/gate/${id}`, `/api/gate/${id}?redirect=1`, `/api/gate/${id}/envoy/x`]) {
    const answer = await server.get(path, { headers: { cookie: client.cookieHeader, accept: 'text/html' } });
    assert.equal(answer.status, 503, path);
    assert.match(answer.headers['retry-after'], /^[1-9]/);
    assert.equal(answer.headers.location, undefined);
  }
});
