// SPDX-License-Identifier: MIT
//
// The way back in a real browser: from a shop's page to the waiting page, and by the button back to the very page that was asked
// for: on this host, and on another one, whose server redeems the token. With a script and without.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { Client, waitUntil } from '../fixtures/index.mjs';
import { World, live, showing } from './wait_scenes.mjs';

let world, browser, shop;

// A shop on another host ("localhost"; the waiting room is 127.0.0.1): no code but that of docs/integrate/way-back.md.
function stand() {
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, server.origin);
    const pass = /(?:^|; )pass=([^;]+)/.exec(request.headers.cookie ?? '')?.[1];
    const token = url.searchParams.get('tiketi-handoff');
    const leads = (location, headers = {}) => response.writeHead(303, { location, ...headers }).end();
    const event = url.pathname.split('/')[1];
    server.asked.push(request.url);
    if (request.url === '/favicon.ico') return response.writeHead(204).end();
    if (token) {
      const answer = await fetch(`${world.server.url}/api/gate/${event}/handoff`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token, target: url.href }) });
      const { pass: given, target, reason } = await answer.json();
      return answer.ok ? leads(target, { 'set-cookie': `pass=${given}; HttpOnly; SameSite=Lax; Path=/` }) : response.writeHead(403).end(reason);
    }
    const gate = pass && await fetch(`${world.server.url}/api/gate/${event}`, { headers: { 'x-tiketi-pass': pass } });
    if (!gate?.ok) return leads(`${world.url(event)}?return=${encodeURIComponent(url.href)}`);
    return response.writeHead(200, { 'content-type': 'text/html' }).end(`<!DOCTYPE html><title>Shop</title><h1>The shop</h1><p id="buyer">${gate.headers.get('x-tiketi-buyer')}</p>`);
  });
  server.asked = [];
  return new Promise((resolve) => server.listen(0, 'localhost', () => {
    server.origin = `http://localhost:${server.address().port}`;
    resolve(server);
  }));
}

before(async () => {
  [world, browser, shop] = await Promise.all([World.start(), Browser.start(), stand()]);
});
after(async () => {
  await world?.stop();
  shop?.closeAllConnections();
  shop?.close();
});

const DEEP = (id) => `${shop.origin}/${id}/row?seat=A%26B&n=1+2&q=%EC%97%B0`;
const full = () => world.full({ autoHold: 0, returnUrls: [shop.origin] });
const inTheShop = async (reader, id) => {
  await reader.page.locator('#buyer').waitFor();
  assert.equal(reader.page.url(), `${DEEP(id)}#row-3`, 'the deep link, whole, without a token');
  assert.match(await reader.seen('#buyer'), /^g:[0-9a-f]{32}$/);
};

test('from a page of a shop on another host, through the queue, another language and a reload, back to that page', async () => {
  const id = await full();
  const { inside } = world;
  const reader = await browser.reader();
  await reader.open(`${DEEP(id)}#row-3`); // a fragment stays with the browser, on each redirect
  await live(reader);
  await showing(reader, 'waiting');
  await reader.page.locator('.languages summary').click();
  await reader.page.getByRole('link', { name: '한국어' }).click();
  await reader.shows('#heading', /대기/);
  await live(reader);
  assert.equal(new URL(reader.page.url()).searchParams.get('return'), DEEP(id));
  await reader.page.reload();
  await live(reader);
  assert.doesNotMatch(await reader.page.locator('.next').innerText(), /결제/, 'the words are not those of our own shop');
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.shows('#lead', /판매 페이지/);
  const way = new URL(await reader.page.locator('#enter').getAttribute('href'), world.server.url);
  assert.deepEqual([way.pathname, way.searchParams.get('return')], [`/wait/${id}/enter`, DEEP(id)], 'no token in the page');
  await reader.page.locator('#enter').click();
  await inTheShop(reader, id);
  await reader.page.reload();
  await inTheShop(reader, id);
  assert.equal(shop.asked.filter((url) => url.includes('tiketi-handoff')).length, 1);
  await reader.close();
});

test('without JavaScript: the same way, and after a lost turn again', async () => {
  const id = await full();
  const { inside } = world;
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(DEEP(id));
  assert.equal(await reader.page.locator('#heading').innerText(), 'You’re in the queue');
  await reader.page.locator('#leave').click();
  await reader.page.getByRole('link', { name: 'Keep my place' }).click();
  assert.equal(await reader.page.locator('#position').innerText(), '1');
  await inside.leave(id);
  const refreshed = /url=([^"]*)/.exec(await reader.page.content())[1].replaceAll('&amp;', '&');
  await waitUntil(async () => {
    await reader.open(new URL(refreshed, world.server.url).href); // as the page does by itself
    return (await reader.page.locator('#heading').innerText()) === 'It’s your turn';
  }, 15000, 'the turn');
  await reader.page.locator('#enter').click();
  assert.equal(reader.page.url(), DEEP(id));
  const buyer = await reader.page.locator('#buyer').innerText();
  // The turn is lost: the shop leads to the waiting page again, and that back to where they were.
  assert.equal((await world.organizer.must('POST', `/api/admin/events/${id}/release`, { buyer })).released, true);
  await reader.page.reload();
  assert.equal(await reader.page.locator('#heading').innerText(), 'Your turn has ended');
  await reader.page.getByRole('link', { name: 'Join the queue again' }).click();
  await reader.page.locator('#enter').click();
  assert.equal(reader.page.url(), DEEP(id));
  await reader.close();
});

test('on this host the button leads to the path; who leaves by the dialog and joins again still goes there', async () => {
  const id = await full();
  const { inside } = world;
  const reader = await browser.reader();
  const target = '/?q=One%20Night&page=1#main';
  await reader.open(world.url(id, `?return=${encodeURIComponent(target)}`));
  await live(reader);
  await reader.page.locator('#leave').click();
  await reader.page.getByRole('button', { name: 'Leave the queue' }).click();
  await showing(reader, 'left');
  assert.equal(new URL(reader.page.url()).searchParams.get('return'), target);
  await reader.page.getByRole('link', { name: 'Join the queue again' }).click();
  await live(reader);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.page.locator('#enter').click();
  await reader.page.waitForURL(`${world.server.url}${target}`);
  assert.equal((await new Client(world.server).get(`/api/gate/${id}`, { headers: { cookie: (await reader.context.cookies(world.server.url)).map(({ name, value }) => `${name}=${value}`).join('; ') } })).status, 204);
  await reader.close();
});

test('a link that leads elsewhere is not followed, and the place of who has one is kept', async () => {
  const id = await full();
  const reader = await browser.reader();
  reader.expects(/status of 400/);
  await reader.open(world.url(id));
  await live(reader);
  const before = await reader.seen('#position');
  for (const url of ['https://evil.example/', '//evil.example', `${shop.origin}/../x`]) {
    const answer = await reader.open(world.url(id, `?return=${encodeURIComponent(url)}`));
    assert.equal(answer.status(), 400);
    await showing(reader, 'return_refused');
    await reader.shows('#heading', /This link can’t be followed/);
  }
  await reader.page.getByRole('link', { name: 'Wait without this link' }).click();
  await live(reader);
  assert.equal(await reader.seen('#position'), before);
  assert.equal(new URL(reader.page.url()).search, '');
  await reader.close();
});
