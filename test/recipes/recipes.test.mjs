// SPDX-License-Identifier: MIT
//
// Each recipe of docs/integrate, with the real program before the demo shop: one table of promises, held against all. What a
// recipe cannot do is said in its entry of RECIPES, and expected.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { Client, Organizer, Postgres, Redis, Server, exchange, freePort, keeper, privateFolder, uniqueId, waitUntil, within } from '../fixtures/index.mjs';
import { shop } from '../../docs/integrate/shop/shop.mjs';
import { RECIPES } from './recipe.mjs';

const PREFIX = '/.tiketi';
const PAGE = { accept: 'text/html,application/xhtml+xml', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'user-agent': 'Mozilla/5.0' };
const DEEP = '/product/7?size=m&colour=blue%20green&q=%C3%A4%26b';

const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
const database = await postgres.migrated();
const plain = await keep(Server.start({ redis, database }));
const organizer = new Organizer(plain);

// The demo shop, which counts what reaches it, but for what is open to all.
const isOpen = (target) => ['/payment/callback', '/healthz'].includes(target.split('?')[0]);
function stand(port) {
  const server = shop();
  const links = new Set();
  server.seen = 0;
  server.on('connection', (link) => { links.add(link.on('close', () => links.delete(link))); });
  server.shut = () => {
    for (const link of links) link.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  server.names = []; // of the headers that it was ever asked with
  server.prependListener('request', ({ url, headers }) => {
    server.seen += !isOpen(url);
    server.names.push(...Object.keys(headers));
  });
  server.prependListener('upgrade', () => { server.seen++; });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

// The path and nothing else, as it is written: no client may tidy it.
async function raw(port, target, { method = 'GET', headers = {} } = {}) {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => (text += chunk)).on('error', () => {});
  socket.write(`${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
  await within(10000, new Promise((resolve) => socket.once('close', resolve)), `the answer to ${target}`);
  return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(text)?.[1] ?? 0), text };
}

const names = process.env.RECIPES ? process.env.RECIPES.split(' ') : Object.keys(RECIPES);
for (const name of names) {
  const recipe = RECIPES[name];
  describe(name, () => {
    const event = uniqueId(name);
    let tiketi;
    let proxy;
    let port;
    let stall;
    let stallPort;
    let pem;

    const url = () => `http://127.0.0.1:${port}`;
    // A browser before the proxy.
    const browser = () => new Client({ url: url() });
    const visit = (client, path, headers) => client.get(path, { headers: { ...PAGE, ...headers } });
    // Somebody who is inside until the end of the test.
    const buyer = async (t) => {
      const client = browser();
      t.after(() => leaves(client));
      const { body } = await client.post(`${PREFIX}/api/queue/check/${event}`);
      assert.equal(body.status, 'active', JSON.stringify(body));
      return client;
    };
    const leaves = (client) => client.post(`${PREFIX}/api/queue/leave/${event}`);
    const reached = async (client, path = '/whoami') => (await visit(client, path)).status;
    const startProxy = async (folder) => {
      proxy = recipe.start({ tiketi: tiketi.port, gateway: tiketi.wsPort, shop: stallPort, port, event, folder, pem });
      await waitUntil(async () => {
        if (!proxy.running) throw Object.assign(new Error(proxy.tail()), { final: true });
        return (await exchange(url(), 'GET', '/healthz')).status === 200;
      }, 15000, name);
    };

    before(async () => {
      port = await freePort();
      stall = await stand(0);
      stallPort = stall.address().port;
      await organizer.sale({ id: event, threshold: 1, autoHold: 0, promotion: 'continuous' });
      tiketi = new Server({ redis, database, env: { PATH_PREFIX: PREFIX, TRUSTED_PROXIES: '127.0.0.0/8' } });
      await tiketi.start();
      pem = (await plain.get('/.well-known/pass-key.pem')).text;
      await startProxy(privateFolder(`recipe-${name}`));
    });

    after(async () => {
      await proxy?.end('SIGTERM').catch(() => {});
      await tiketi?.kill();
      await stall?.shut();
    });

    const waitsAt = (answer) => {
      assert.ok(answer.status === 302 || answer.status === 303, `${answer.status} ${answer.text}`);
      const { pathname, searchParams } = new URL(answer.headers.location, url());
      assert.equal(pathname, `${PREFIX}/wait/${event}`);
      return searchParams.get('return');
    };

    test('a stranger is led to the waiting page, waits, is admitted, and is back at the deep link with its query', async (t) => {
      const inside = await buyer(t);
      const stranger = browser();
      t.after(() => leaves(stranger));
      const led = await visit(stranger, DEEP);
      assert.equal(led.status, 302);
      assert.equal(waitsAt(led), DEEP);
      assert.equal(stall.seen, 0, 'nothing of it reached the shop');
      const waiting = await visit(stranger, led.headers.location);
      assert.equal(waiting.status, 200);
      assert.equal(/<main id="main" data-state="(\w+)"/.exec(waiting.text)?.[1], 'waiting');
      assert.equal(/ data-ws="([^"]*)"/.exec(waiting.text)?.[1], `ws://127.0.0.1:${port}${PREFIX}/ws`, 'the page reaches the gateway through the proxy');
      await leaves(inside);
      // The page of the turn has the way in, without a script as well.
      const admitted = await waitUntil(async () => {
        const page = await visit(stranger, led.headers.location);
        return /<main id="main" data-state="admitted"/.test(page.text) && page;
      }, 15000, 'the turn');
      const enter = / id="enter" href="([^"]*)"/.exec(admitted.text)[1].replaceAll('&amp;', '&');
      const entered = await visit(stranger, enter);
      assert.deepEqual([entered.status, entered.headers.location], [303, DEEP]);
      const back = await visit(stranger, DEEP);
      assert.equal(back.status, 200);
      assert.match(back.text, /<code id="query">\?size=m&#38;colour=blue%20green&#38;q=%C3%A4%26b<\/code>/);
    });

    test(recipe.online ? 'while nobody waits and there is room, a newcomer sees the shop at once, and their turn is theirs' : 'a newcomer is led to the waiting page, also while there is room', async (t) => {
      const stranger = browser();
      t.after(() => leaves(stranger));
      const first = await visit(stranger, DEEP);
      if (!recipe.online) return waitsAt(first);
      assert.equal(first.status, 200, first.text);
      assert.deepEqual(first.headers['set-cookie'].filter((line) => !/^tiketi_/.test(line)), ['basket=1; Path=/'], "the shop's own cookie as well");
      assert.equal(await reached(stranger), 200, 'by the cookie of the first answer');
      assert.equal(await reached(browser()), 302, 'the room is full');
      return undefined;
    });

    if (recipe.online) {
      test('from a waiting room on another host a buyer comes with a one-time token, and is in the shop without a line of its own', async (t) => {
        const there = new Client(plain); // another origin, with cookies of its own
        t.after(() => there.post(`/api/queue/leave/${event}`));
        await organizer.patch(event, { returnUrls: [`${url()}/product`] });
        const way = `return=${encodeURIComponent(url() + DEEP)}`;
        await waitUntil(async () => (await there.get(`/wait/${event}?${way}`)).text.includes('data-state="admitted"'), 10000, 'the turn');
        const { headers: { location } } = await there.get(`/wait/${event}/enter?${way}`);
        const path = location.slice(url().length);
        assert.match(path, /^\/product\/7\?size=m&colour=blue%20green&q=%C3%A4%26b&tiketi-handoff=/);
        const here = browser();
        const led = await visit(here, path);
        assert.deepEqual([led.status, new URL(led.headers.location, url()).href], [302, url() + DEEP]);
        assert.deepEqual(led.headers['set-cookie'].map((line) => line.split('=')[0]), [`tiketi_pass_${event}`]);
        assert.equal((await visit(here, DEEP)).status, 200);
        assert.match((await visit(here, '/whoami')).body.buyer, /^g:/);
        assert.equal(waitsAt(await visit(browser(), path)), DEEP, 'once, and never again');
      });
    }

    test('the shop is told who the buyer is, and never what the buyer says about that', async (t) => {
      const lie = { 'x-tiketi-buyer': 'u:boss', 'x-tiketi-pass-expires': '2099-01-01T00:00:00Z', 'x-forwarded-for': '192.0.2.1' };
      const client = await buyer(t);
      const { body } = await visit(client, '/whoami', lie);
      assert.match(body.buyer, /^g:[0-9a-f]{32}$/);
      if (recipe.online) assert.ok(Date.parse(body.until) > Date.now(), body.until);
      else assert.equal(body.until, null, 'nobody has asked');
      assert.equal(body.client, '127.0.0.1');
      const open = await exchange(url(), 'POST', '/payment/callback', { headers: lie, body: 'paid' });
      assert.deepEqual([open.status, open.body.buyer, open.body.until, open.body.client], [200, null, null, '127.0.0.1']);
    });

    test('nor by a name with _ in it, which many programs take for the same', async (t) => {
      const lie = { X_Tiketi_Buyer: 'u:boss', 'X-Tiketi_Buyer': 'u:boss', 'x_tiketi-pass_expires': '2099-01-01T00:00:00Z', X_Forwarded_For: '192.0.2.1' };
      assert.equal((await visit(await buyer(t), '/whoami', lie)).status, 200);
      assert.equal((await exchange(url(), 'POST', '/payment/callback', { headers: lie, body: 'paid' })).status, 200);
      assert.deepEqual(stall.names.filter((one) => one.includes('_')), []);
    });

    test("a bearer token of the shop's own is the shop's business", async (t) => {
      const client = await buyer(t);
      for (const authorization of ['Bearer opaque', 'Bearer aaaa.bbbb.cccc', 'Basic a2ltOmtpbQ==']) assert.equal((await visit(client, '/whoami', { authorization })).status, 200, authorization);
    });

    test(`who has left is ${recipe.online ? 'out at once' : 'still let in: their pass has not ended'}`, async (t) => {
      const client = await buyer(t);
      const pass = client.cookieHeader;
      assert.equal(await reached(client), 200);
      await leaves(client);
      await buyer(t); // the room is full again
      const answer = await exchange(url(), 'GET', '/whoami', { headers: { ...PAGE, cookie: pass } });
      if (recipe.online) waitsAt(answer);
      else assert.equal(answer.status, 200);
    });

    test("a forged pass, another event's pass and no pass lead to the waiting page", async (t) => {
      const { id } = await organizer.sale({ threshold: 10, autoHold: 0 });
      const { pass: other } = (await new Client(plain).check(id)).body;
      const client = await buyer(t);
      const [head, payload, signature] = client.pass.split('.');
      const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
      const claims = JSON.parse(Buffer.from(payload, 'base64url'));
      const longer = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 9999 })).toString('base64url');
      const before = stall.seen;
      for (const pass of [other, `${head}.${longer}.${signature}`, `${none}.${payload}.`, `${head}.${payload}.${'A'.repeat(86)}`, 'nonsense', '']) {
        const cookie = `tiketi_pass_${event}=${pass}`;
        assert.equal(waitsAt(await exchange(url(), 'GET', DEEP, { headers: { ...PAGE, cookie } })), DEEP, pass);
      }
      assert.equal(stall.seen, before);
    });

    test('no way to write a path leads around the gate', async (t) => {
      await buyer(t); // the room is full
      const before = stall.seen;
      const targets = ['//product/7', '/./product/7', '/%2e/product/7', '/payment/callback/../../product/7', '/payment/callback/%2e%2e/%2e%2e/product/7',
        '/payment/callback%2f..%2f..%2fproduct%2f7', '/product/7/..%2f..%2fpayment/callback', '/product/../product/7', '/.tiketi/../product/7', '/.tiketi/%2e%2e/product/7',
        '/.tiketi/..%2fproduct/7', '//.tiketi/../product/7', '/.tiketi//../../product/7', '/payment/callback;/../../product/7', '/payment/callback/', '/healthz/../product/7',
        '/healthz%00/product/7', '/product/7?/payment/callback', '/product/7#/payment/callback', `http://127.0.0.1:${port}/product/7`, '/.tiketi\\..\\product/7', '/PAYMENT/CALLBACK'];
      for (const target of targets) {
        const { status, text } = await raw(port, target, { headers: PAGE });
        assert.equal(stall.seen, before, `${target} reached the shop: ${text}`);
        assert.ok((status >= 300 && status < 500) || (status === 200 && text.endsWith('ok\n')), `${target}: ${text}`);
        assert.ok(!/You asked for/.test(text), `${target}: ${text}`);
      }
      // Those that are a path of the page lead back to where they said.
      assert.equal(waitsAt(await exchange(url(), 'GET', '/product/7?a=/../b', { headers: PAGE })), '/product/7?a=/../b');
    });

    test('a POST of a buyer arrives whole, and a large upload; that of a stranger does not', async (t) => {
      const client = await buyer(t);
      const form = { headers: { ...PAGE, 'content-type': 'application/x-www-form-urlencoded', referer: `${url()}/product/7?size=m` }, body: 'name=%EA%B9%80&note=a%26b' };
      const order = await client.post('/order?from=7', form);
      assert.deepEqual([order.status, order.body.body, order.body.query], [200, form.body, '?from=7']);
      const bytes = Buffer.alloc(8 << 20, 'tiketi');
      const upload = await client.post('/upload', { headers: PAGE, body: bytes });
      assert.deepEqual(upload.body, { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
      const before = stall.seen;
      const back = waitsAt(await browser().post('/order?from=7', form));
      assert.ok(back === null || back === '/product/7?size=m', `${back}: a form is not sent again, the page that has it is shown`);
      assert.equal(stall.seen, before);
    });

    test('a WebSocket of the shop is for buyers who are inside, that of the waiting page for all', async (t) => {
      const client = await buyer(t);
      const opened = (path, cookie, protocol) => new Promise((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocol, { headers: { cookie, origin: url() }, handshakeTimeout: 10000 });
        socket.on('error', () => {}).on('unexpected-response', (request, response) => { request.destroy(); resolve({ status: response.statusCode }); });
        const said = [];
        socket.on('message', (data) => said.push(String(data))).on('open', () => resolve({ status: 101, socket, said }));
      });
      const inside = await opened('/live', client.cookieHeader);
      assert.equal(inside.status, 101);
      inside.socket.send('한 장');
      await waitUntil(() => inside.said.length === 2, 5000, 'the answer');
      assert.match(inside.said[0], /^hello g:/);
      assert.equal(inside.said[1], '한 장');
      inside.socket.terminate();
      const before = stall.seen;
      const outside = await opened('/live', '');
      assert.ok([301, 302, 303, 401, 403].includes(outside.status), `${outside.status}`);
      assert.equal(stall.seen, before);
      const waiter = browser();
      t.after(() => leaves(waiter));
      const { body } = await waiter.post(`${PREFIX}/api/queue/check/${event}`);
      assert.equal(body.status, 'queued');
      const waiting = await opened(`${PREFIX}/ws`, waiter.cookieHeader, 'tiketi.v1');
      assert.equal(waiting.status, 101);
      waiting.socket.send(JSON.stringify({ event: 'join-queue', payload: { eventId: event, ticket: body.ticket } }));
      await waitUntil(() => waiting.said.some((text) => text.includes('queue-position')), 5000, 'the position');
      await leaves(client);
      await waitUntil(() => waiting.said.some((text) => /queue-entry-(?:allowed|offered)|claim/.test(text)), 10000, 'the turn');
      waiting.socket.terminate();
    });

    test("what is the operator's is not for visitors", async () => {
      for (const path of ['metrics', 'health', 'readyz', 'livez', '%6detrics', './metrics', '/metrics', 'metrics/', 'x/../metrics', 'metrics?x=1', 'metrics;x', 'METRICS']) {
        const { text } = await raw(port, `${PREFIX}/${path}`);
        assert.doesNotMatch(text, /^HTTP\/1\.1 200|tiketi_\w+\{|"redis"/, path);
      }
    });

    test('a payment callback, a health check and HEAD pass as they are', async (t) => {
      const callback = await exchange(url(), 'POST', '/payment/callback?x=1', { body: '{"paid":true}', headers: { 'content-type': 'application/json' } });
      assert.deepEqual([callback.status, callback.body.paid, callback.body.query], [200, '{"paid":true}', '?x=1']);
      assert.equal((await exchange(url(), 'GET', '/healthz')).text, 'ok\n');
      const client = await buyer(t);
      const head = await client.request('HEAD', '/product/7', { headers: PAGE });
      assert.deepEqual([head.status, head.text], [200, '']);
    });

    test('the shop is not reached: an error of the proxy, and no way to the waiting page', async (t) => {
      const client = await buyer(t);
      await stall.shut();
      const answer = await visit(client, DEEP);
      assert.ok(answer.status === 502 || answer.status === 503 || answer.status === 504, `${answer.status}`);
      assert.equal(answer.headers.location, undefined);
      stall = await stand(stallPort);
      await waitUntil(async () => (await reached(client)) === 200, 10000, 'the shop to be back');
    });

    test(recipe.online ? 'Redis is stopped: 503 with Retry-After, and the shop is closed; it opens again' : 'Redis is stopped: buyers with a pass shop on, others get 503 with Retry-After', async (t) => {
      const client = await buyer(t);
      assert.equal(await reached(client), 200);
      const before = stall.seen;
      await redis.kill();
      const answer = await visit(client, DEEP);
      if (recipe.online) {
        assert.equal(answer.status, 503, answer.text);
        assert.ok(Number(answer.headers['retry-after']) >= 1);
        assert.equal(stall.seen, before, 'fail closed');
      } else {
        assert.equal(answer.status, 200);
        const stranger = browser();
        const led = await visit(stranger, DEEP);
        waitsAt(led);
        const page = await visit(stranger, led.headers.location);
        assert.equal(page.status, 503);
        assert.ok(Number(page.headers['retry-after']) >= 1);
      }
      await redis.restart();
      await waitUntil(async () => {
        const { status, body } = await client.get(`${PREFIX}/api/queue/status/${event}`);
        return status === 200 && body.status !== 'restoring';
      }, 15000, 'Redis to be used again, and the restore window to be over');
      await waitUntil(async () => (await reached(client)) === 200, 15000, 'the way to be open again');
    });

    test(recipe.online ? 'tiketi is not reached: 503 with Retry-After, and the shop is closed' : 'tiketi is not reached: buyers with a pass shop on', async (t) => {
      const client = await buyer(t);
      await tiketi.kill();
      const before = stall.seen;
      const answer = await visit(client, DEEP);
      if (recipe.online) {
        assert.equal(answer.status, 503, answer.text);
        assert.ok(Number(answer.headers['retry-after']) >= 1);
        assert.equal(stall.seen, before);
      } else {
        assert.equal(answer.status, 200);
      }
      await tiketi.start();
      await waitUntil(async () => (await reached(client)) === 200, 10000, 'the way to be open again');
    });
  });
}
