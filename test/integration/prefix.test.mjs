// SPDX-License-Identifier: MIT
//
// PATH_PREFIX: everything is below it and leads to what is below it; other paths of the host are not ours. In a real
// browser: test/browser/prefix.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, MailSink, Server, Socket, freePort, pay, runTiketi, stage, uniqueId } from '../fixtures/index.mjs';

const PREFIX = '/.tiketi';
const { redis, database, server, organizer } = await stage({ env: { PAYMENT_URL: 'https://pay.example/page' } });
const pod = new Server({ redis, database, roles: 'api,gateway', env: { PATH_PREFIX: PREFIX, PAYMENT_URL: 'https://pay.example/page', ALLOWED_ORIGINS: 'https://shop.example.com' } });
pod.wsPort = await freePort();
await pod.start();
test.after(() => pod.stop());

const sale = (settings) => organizer.sale({ id: uniqueId('prefix'), threshold: 10, autoHold: 0, grid: { section: 'A', rows: 2, seatsPerRow: 10 }, ...settings });
const page = { headers: { accept: 'text/html' } };

test('a path that is not below the prefix is not there, but for the probes', async () => {
  const { id } = await sale();
  for (const path of ['/', `/wait/${id}`, '/api/events', '/console', '/turn.js', '/openapi.json', '/.well-known/jwks.json', '/.tiketifoo/api/events', '/.TIKETI/api/events', '/favicon.ico']) {
    const answer = await pod.get(path, page);
    assert.equal(answer.status, 404, path);
    assert.equal(answer.headers['set-cookie'], undefined, path);
  }
  assert.equal((await pod.post(`/api/queue/check/${id}`)).status, 404);
  assert.equal((await pod.request('OPTIONS', '/api/events')).status, 404);
  for (const path of ['/livez', '/readyz', '/metrics', `${PREFIX}/livez`, `${PREFIX}/readyz`]) assert.equal((await pod.get(path)).status, 200, path);
});

test('API, keys, description, module, files and icons are below the prefix', async () => {
  const { id } = await sale();
  const buyer = new Client(pod);
  assert.equal((await buyer.post(`${PREFIX}/api/queue/check/${id}`)).body.status, 'active');
  assert.equal((await buyer.get(`${PREFIX}/api/gate/${id}`)).status, 204);
  const refused = await pod.get(`${PREFIX}/api/gate/${id}`, { headers: { 'x-original-uri': '/shop?a=b' } });
  assert.equal(refused.headers['x-tiketi-wait'], `${PREFIX}/wait/${id}?return=%2Fshop%3Fa%3Db`);
  assert.equal((await buyer.post(`${PREFIX}/api/gate/${id}/envoy/shop/order`)).status, 200);
  assert.ok((await pod.get(`${PREFIX}/.well-known/jwks.json`)).body.keys.length > 0);
  assert.deepEqual((await pod.get(`${PREFIX}/openapi.json`)).body.servers, [{ url: PREFIX }]);
  assert.equal((await pod.request('OPTIONS', `${PREFIX}/api/queue/check/${id}`)).status, 204);
  assert.equal((await pod.request('PUT', `${PREFIX}/api/queue/check/${id}`)).status, 405);
  assert.equal((await pod.get(`${PREFIX}/turn.js`)).status, 200);
  const at = new URL(`${PREFIX}/manifest.webmanifest`, pod.url);
  const manifest = (await pod.get(at.pathname)).body;
  for (const url of [manifest.start_url, manifest.scope]) assert.equal(new URL(url, at).pathname, `${PREFIX}/`);
  for (const { src } of JSON.parse((await pod.get(at.pathname)).text).icons) assert.equal((await pod.get(new URL(src, at).pathname)).status, 200, src);
  // A large body is read while it arrives, by the route that its path names.
  const id2 = uniqueId('prefix');
  const csv = await organizer.must('POST', '/api/admin/events', { id: id2, title: 'x' }).then(() => pod.post(`${PREFIX}/api/admin/events/${id2}/seats`, {
    headers: { authorization: `Bearer ${organizer.token}`, 'content-type': 'text/csv' }, body: `section,row,number,price,currency\n${Array.from({ length: 4000 }, (_, i) => `A,1,${i + 1},100,EUR`).join('\n')}`,
  }));
  assert.equal(csv.status, 201, csv.text);
});

test('a redirect stays below the prefix: first visit, another way to write the path, a form', async () => {
  const { id } = await sale();
  const first = await pod.get(`${PREFIX}/wait/${id}?a=b`, page);
  assert.equal(first.status, 303);
  assert.ok(first.headers.location.startsWith(`${PREFIX}/wait/${id}?a=b&cookies=`), first.headers.location);
  assert.match(first.headers['set-cookie'][0], /; Path=\//, 'the gate of a shop sees the cookie at each path');
  const canonical = await pod.get(`${PREFIX}/%77ait/${id}/?x=1`);
  assert.equal(canonical.status, 308);
  assert.equal(canonical.headers.location, `${PREFIX}/wait/${id}?x=1`);
  assert.equal((await pod.get(PREFIX, page)).status, 200, 'the home page, also without the slash');
  assert.equal((await new Client(pod).get(`${PREFIX}/buy/${id}`, page)).headers.location, `${PREFIX}/wait/${id}`);
});

test('every link of every page leads below the prefix, and what a page loads is there', async () => {
  const { id } = await sale({ title: 'A show', branding: { name: 'Hall', primary: '#123456' } });
  const buyer = new Client(pod);
  const pages = [`${PREFIX}/`, `${PREFIX}/?q=show`, `${PREFIX}/wait/${id}`, `${PREFIX}/wait/${id}/leave`, `${PREFIX}/buy/${id}`, `${PREFIX}/offline`, `${PREFIX}/console`, `${PREFIX}/buy/`];
  const loaded = new Set();
  for (const path of pages) {
    const { text, headers, status } = await buyer.get(path, page);
    assert.match(headers['content-type'] ?? '', /^text\/html/, `${path} ${status}`);
    assert.match(text, /<html [^>]*data-prefix="\/\.tiketi"/, path);
    for (const [, name, url] of text.matchAll(/ (href|src|action|data-[a-z]+|content)="(\/[^"]*)"/g)) {
      assert.ok(url === PREFIX || url.startsWith(`${PREFIX}/`), `${path}: ${name}="${url}"`);
      if (/\.(js|css|png|svg|webmanifest)(\?|$)/.test(url)) loaded.add(url);
    }
  }
  assert.ok([...loaded].some((url) => url.includes('/brand/')), 'the colours of the event');
  for (const url of loaded) assert.equal((await pod.get(url.replaceAll('&amp;', '&'))).status, 200, url);
  const worker = [...loaded].find((url) => /\/wait\.en\.js$/.test(url)).replace('wait.en.js', 'notice_worker.en.js');
  assert.equal((await pod.get(worker)).headers['service-worker-allowed'], PREFIX);
});

test('the socket is below the prefix, and pages look for it there', async () => {
  const { id } = await sale();
  const buyer = new Client(pod);
  await buyer.post(`${PREFIX}/api/queue/check/${id}`);
  const socket = await Socket.open(pod, { cookie: buyer.cookieHeader, url: pod.wsUrl.replace(/\/ws$/, `${PREFIX}/ws`) });
  socket.send('join-queue', { eventId: id, ticket: buyer.ticket });
  await socket.next('queue-entry-allowed');
  await assert.rejects(Socket.open(pod, { cookie: buyer.cookieHeader }), /404/);
  const { text, headers } = await buyer.get(`${PREFIX}/wait/${id}`, page);
  const url = `ws://127.0.0.1:${pod.port}${PREFIX}/ws`; // a proxy divides the paths of one host
  assert.ok(text.includes(url), 'the page');
  assert.ok(headers['content-security-policy'].includes(` ${url};`), headers['content-security-policy']);
});

test('what leaves the page has the prefix: return addresses, invitations, the ticket in the mail, the link for staff', async () => {
  const { id } = await sale({ askEmail: 'required' });
  const buyer = new Client(pod);
  await buyer.post(`${PREFIX}/api/queue/check/${id}`);
  const { body: held } = await buyer.post(`${PREFIX}/api/reservations`, { json: { eventId: id, quantity: 1 } });
  const { body: order } = await buyer.post(`${PREFIX}/api/reservations/${held.id}/pay`, { json: { email: 'a@mail.example' } });
  assert.ok(order.returnUrl.startsWith(`${pod.url}${PREFIX}/tickets/${id}?`), order.returnUrl);
  const sink = await MailSink.start();
  const sender = await Server.start({ redis, database, roles: 'processor', env: { MAIL_URL: sink.url, MAIL_FROM: 'tickets@shop.example', OUTBOUND_ALLOW: '127.0.0.0/8', PUBLIC_URL: 'https://shop.example.com', PATH_PREFIX: PREFIX } });
  assert.equal((await pay(server, held, { provider: order.provider, reference: order.reference })).body.status, 'confirmed');
  assert.match((await sink.next()).text, /https:\/\/shop\.example\.com\/\.tiketi\/ticket\/[\w-]{43}\r?\n/);
  await sender.stop();
  await sink.stop();
  const links = (env, ...args) => runTiketi(['console-link', '--name', 'Kim', '--role', 'admin', ...args], { PATH_PREFIX: PREFIX, ...env }).then(({ stdout }) => stdout);
  assert.match(await links({ PUBLIC_URL: 'https://shop.example.com' }), /^https:\/\/shop\.example\.com\/\.tiketi\/console\/enter\?/);
  assert.match(await links({}, '--url', 'https://other.example/x'), /^https:\/\/other\.example\/x\/console\/enter\?/, 'a URL that is given is taken as it is');
});

test('tiketi ctl takes the prefix with the URL', async () => {
  const { id } = await sale();
  const { stdout } = await runTiketi(['ctl', 'show', id, '--url', `${pod.url}${PREFIX}`], { TIKETI_TOKEN: organizer.token });
  assert.match(stdout, new RegExp(id));
});
