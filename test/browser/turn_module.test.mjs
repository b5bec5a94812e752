// SPDX-License-Identifier: MIT
//
// turn.js in the pages of a shop on another host of the same domain, which asks the gate for each request: the time
// left is shown, a form that is open for longer than idleTimeoutMs keeps its POST, and the end of a turn is said.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { Organizer, Postgres, Redis, Server, freePort, keeper, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { hide } from './wait_support.mjs';

const [port, shopPort] = [await freePort(), await freePort()];
const QUEUE = `http://queue.example.test:${port}`;
const SHOP = `http://shop.example.test:${shopPort}`;
const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
const server = new Server({ redis, database: await postgres.migrated(), env: { ALLOWED_ORIGINS: `${QUEUE},${SHOP}`, COOKIE_DOMAIN: 'example.test' } });
server.port = port;
await keep(server.start().then(() => server));
const organizer = new Organizer(server);
const browser = await Browser.start({ args: [
  '--host-resolver-rules=MAP *.example.test 127.0.0.1', `--unsafely-treat-insecure-origin-as-secure=${QUEUE},${SHOP}`,
] });

// ---- the shop ----

const orders = [];
const PAGES = {
  guarded: (id) => `<script type="module" src="${QUEUE}/turn.js?event=${id}"></script>
    <script>addEventListener('tiketi-turn', ({ detail }) => (globalThis.heard ??= []).push(detail));</script>
    <p>You have <b data-tiketi-turn>some time</b>.</p><p data-tiketi-turn-ended hidden role="alert">Your turn has ended.</p>`,
  plain: () => '',
};
const page = (id, kind) => `<!doctype html><meta charset="utf-8"><title>Checkout</title>${PAGES[kind](id)}
  <form method="post" action="/order/${id}/${kind}"><input name="card"><button>Order</button></form>`;

async function serve(request, response) {
  if (request.url === '/favicon.ico') return response.writeHead(204).end();
  const [, what, id, kind] = request.url.split('/');
  let body = '';
  for await (const part of request) body += part;
  const gate = await fetch(`${server.url}/api/gate/${id}`, { headers: { cookie: request.headers.cookie ?? '' } });
  response.setHeader('content-type', 'text/html; charset=utf-8');
  if (gate.status !== 204) return response.writeHead(403).end('<h1>No turn</h1>');
  if (what === 'order') orders.push({ kind, body });
  return response.end(what === 'order' ? '<h1>Ordered</h1>' : page(id, kind));
}
const shop = createServer((request, response) => void serve(request, response));
await new Promise((done) => shop.listen(shopPort, '127.0.0.1', done));
after(() => shop.close());

const sale = async (settings) => (await organizer.sale({ id: uniqueId('turn'), threshold: 10, autoHold: 0, ...settings })).id;

// A buyer who has come through the waiting page to the shop's checkout.
async function atCheckout(id, kind) {
  const reader = await browser.reader();
  await reader.open(`${QUEUE}/wait/${id}`);
  await reader.page.locator('main[data-state="admitted"]').waitFor();
  await reader.open(`${SHOP}/checkout/${id}/${kind}`);
  return reader;
}
const inside = async (id) => (await organizer.stats(id)).currentUsers;

// ---- the tests ----

test('a form that is open for longer than idleTimeoutMs keeps its POST; without the module it is lost', async () => {
  const id = await sale({ idleTimeoutMs: 3000 });
  const [guarded, plain] = await Promise.all([atCheckout(id, 'guarded'), atCheckout(id, 'plain')]);
  await guarded.shows('[data-tiketi-turn]', /^\d+:\d\d$/);
  for (const reader of [guarded, plain]) await reader.page.locator('input').fill('4242');
  await waitUntil(async () => (await inside(id)) === 1, 20000, 'the turn of the plain form to end');
  assert.equal(await guarded.page.locator('[data-tiketi-turn]').getAttribute('data-tiketi-turn'), 'active');
  await guarded.page.locator('button').click();
  await guarded.shows('h1', /^Ordered$/);
  plain.expects(/status of 403/);
  await plain.page.locator('button').click();
  await plain.shows('h1', /^No turn$/);
  assert.deepEqual(orders, [{ kind: 'guarded', body: 'card=4242' }]);
  for (const reader of [guarded, plain]) await reader.close();
});

test('the time left is that of the server, counts down and is told to the shop’s own code', async () => {
  const id = await sale({ sessionLimitMs: 600000 });
  const reader = await atCheckout(id, 'guarded');
  await reader.shows('[data-tiketi-turn]', /^9:5\d$/);
  const first = await reader.seen('[data-tiketi-turn]');
  await waitUntil(async () => (await reader.seen('[data-tiketi-turn]')) < first, 10000, 'the time to go on');
  const [{ status, left }] = await reader.page.evaluate(() => globalThis.heard);
  assert.equal(status, 'active');
  assert.ok(left > 590000 && left <= 600000, `${left}`);
  assert.equal(await reader.seen('[data-tiketi-turn-ended]'), '');
  await reader.close();
});

test('a hidden page keeps no turn; seen again, it says that the turn has ended', async () => {
  const id = await sale({ idleTimeoutMs: 2000 });
  const reader = await atCheckout(id, 'guarded');
  await reader.shows('[data-tiketi-turn]', /^\d+:\d\d$/);
  await hide(reader.page);
  await waitUntil(async () => (await inside(id)) === 0, 20000, 'the turn to end');
  assert.equal(await reader.seen('[data-tiketi-turn-ended]'), '');
  await hide(reader.page, false);
  await reader.shows('[data-tiketi-turn-ended]', /^Your turn has ended\.$/);
  await reader.shows('[data-tiketi-turn]', /^0:00$/);
  assert.equal(await reader.page.evaluate(() => globalThis.heard.at(-1).status), 'ended');
  const { length } = reader.requests;
  await staysTrueFor(1500, () => reader.requests.length === length, 'nobody is asked any more');
  await reader.close();
});

test('while the service does not answer the time goes on, and the turn is kept once it answers again', async () => {
  const id = await sale({ idleTimeoutMs: 60000 });
  const reader = await atCheckout(id, 'guarded');
  reader.expects(/status of 503/);
  await reader.shows('[data-tiketi-turn]', /^\d+:\d\d$/);
  let refused = 0;
  await reader.page.route(`**/api/queue/status/${id}`, (route) => (++refused > 1 ? route.continue() : route.fulfill({ status: 503, headers: { 'access-control-allow-origin': SHOP, 'access-control-allow-credentials': 'true' } })));
  await hide(reader.page, false);
  await waitUntil(() => refused === 1, 5000, 'the refusal');
  assert.equal(await reader.page.locator('[data-tiketi-turn]').getAttribute('data-tiketi-turn'), 'active');
  await waitUntil(() => refused === 2, 15000, 'the next try');
  await reader.close();
});
