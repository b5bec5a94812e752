// SPDX-License-Identifier: MIT
//
// Who gets a place by loading the waiting page: people with a browser that keeps cookies; not browsers that block them,
// loads ahead of a click, parts of other pages, previews of links, crawlers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, stage, uniqueId } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage();
const sale = (settings = {}) => organizer.sale({ id: uniqueId('v'), title: 'A concert', threshold: 1, ...settings });
const state = ({ text }) => /<main id="main" data-state="(\w+)"/.exec(text)?.[1];
// Everybody who waits or is inside.
const places = async (id) => Number(await redis.cli('ZCARD', `queue:{${id}}`)) + Number(await redis.cli('SCARD', `active:{${id}}`));
const CHECK = /[?&]cookies=(\d+)$/;

test('a browser without a cookie is asked once to bring it, and only then gets a place', async () => {
  const { id } = await sale();
  const first = await server.get(`/wait/${id}?lang=ko&from=a+b`);
  assert.equal(first.status, 303);
  assert.match(first.headers.location, new RegExp(`^/wait/${id}\\?lang=ko&from=a\\+b&cookies=\\d+$`));
  assert.equal(first.headers['cache-control'], 'no-store');
  assert.equal(await places(id), 0);
  const cookie = first.headers['set-cookie'].map((line) => line.split(';')[0]).join('; ');
  const second = await server.get(first.headers.location, { headers: { cookie } });
  assert.deepEqual([second.status, state(second)], [200, 'admitted']);
  assert.equal(await places(id), 1);
});

test('a browser that blocks cookies is told so after one check, and never gets a place', async () => {
  const { id } = await sale();
  for (let visit = 0; visit < 5; visit++) {
    const first = await server.get(`/wait/${id}`);
    assert.equal(first.status, 303);
    const second = await server.get(first.headers.location);
    assert.deepEqual([second.status, state(second)], [200, 'cookies']);
    assert.equal(second.headers['cache-control'], 'no-store');
    assert.doesNotMatch(second.text, /http-equiv="refresh"/);
  }
  assert.equal(await places(id), 0);
  for (const [language, words] of [['en', /Your browser blocks cookies/], ['ko', /쿠키가 차단되어 있습니다/], ['ja', /Cookieがブロックされています/]]) {
    const { text } = await server.get((await server.get(`/wait/${id}`)).headers.location, { headers: { 'accept-language': language } });
    assert.match(text, words);
  }
});

test('a check that somebody has copied is none: the next browser is asked itself', async () => {
  const { id } = await sale();
  const now = Math.floor(Date.now() / 1000);
  for (const time of [now - 3600, now + 3600, 0, '', 'x', '99999999999999999999']) {
    const answer = await server.get(`/wait/${id}?cookies=${time}`);
    assert.deepEqual([answer.status, CHECK.test(answer.headers.location)], [303, true], `${time}`);
  }
  // Whoever keeps cookies is never told that they are blocked.
  const buyer = new Client(server);
  assert.equal(state(await buyer.get(`/wait/${id}`)), 'admitted');
  assert.equal(state(await buyer.get(`/wait/${id}?cookies=${now}`)), 'admitted');
});

test('the check comes after what needs no place: unknown events, and events for users who are signed in', async () => {
  const { id } = await sale({ allowGuests: false });
  assert.deepEqual([(await server.get('/wait/nowhere')).status, (await server.get(`/wait/${id}`)).status], [404, 401]);
});

test('a load ahead of a click takes no place, and is refused so that the click loads the page', async () => {
  const { id } = await sale();
  const regular = new Client(server);
  await regular.get('/wait/nowhere');
  const loads = [{ 'sec-purpose': 'prefetch' }, { 'sec-purpose': 'prefetch;prerender' }, { 'sec-purpose': 'prefetch;anonymous-client-ip' }, { purpose: 'prefetch' },
    { purpose: 'Prerender' }, { 'x-purpose': 'preview' }, { 'x-moz': 'prefetch' }];
  for (const headers of loads) {
    for (const client of [new Client(server), regular]) {
      const answer = await client.get(`/wait/${id}?join=1`, { headers });
      assert.deepEqual([answer.status, state(answer)], [403, 'preview'], JSON.stringify(headers));
      assert.equal(answer.headers['set-cookie'], undefined);
    }
  }
  assert.equal(await places(id), 0);
  assert.equal(state(await regular.get(`/wait/${id}`)), 'admitted', 'the click');
});

test('a load as a part of another page takes no place', async () => {
  const { id } = await sale();
  const regular = new Client(server);
  await regular.get('/wait/nowhere');
  for (const dest of ['image', 'iframe', 'frame', 'embed', 'object', 'script', 'style', 'empty', 'video', 'Image']) {
    for (const client of [new Client(server), regular]) {
      const answer = await client.get(`/wait/${id}`, { headers: { 'sec-fetch-dest': dest, 'sec-fetch-site': 'cross-site' } });
      assert.deepEqual([answer.status, state(answer)], [200, 'preview'], dest);
    }
  }
  assert.equal(await places(id), 0);
  for (const dest of ['document', 'Document']) assert.notEqual(state(await new Client(server).get(`/wait/${id}`, { headers: { 'sec-fetch-dest': dest } })), 'preview');
  assert.equal(await places(id), 2);
});

const ROBOTS = [
  'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)', 'facebookexternalhit/1.1;line-poker/1.0', 'Twitterbot/1.0', 'LinkedInBot/1.0 (compatible; Mozilla/5.0)',
  'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)', 'Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)', 'TelegramBot (like TwitterBot)', 'WhatsApp/2.23.20.0',
  'Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5', 'facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/', 'http.rb/5.1.1 (Mastodon/4.2.0; +https://m.example/)',
  'Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/120.0.0.0 Safari/537.36', 'Mozilla/5.0 (compatible; bingbot/2.0)',
  'Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)', 'Mozilla/5.0 (compatible; Daum/4.1)', 'Mozilla/5.0 (Macintosh) AppleWebKit/600.2.5 (KHTML, like Gecko) Version/8.0.2 Safari/600.2.5 (Applebot/0.1)',
  'Mozilla/5.0 (compatible; Baiduspider/2.0)', 'Mozilla/5.0 (compatible; GPTBot/1.2)', 'Mozilla/5.0 (compatible; AhrefsBot/7.0)', 'googlebot',
];
// In-app browsers of the same services, and a phone with an unlucky name.
const PEOPLE = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36', 'Mozilla/5.0 (Linux; Android 9; CUBOT_X18_Plus) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [FBAN/FBIOS;FBAV/440.0]', 'Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 KAKAOTALK 10.4.3',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari Line/13.1.0', 'Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Mobile/15E148 Twitter for iPhone/10.0',
  'Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 NAVER(inapp; search; 1000; 12.0.0)', 'Mozilla/5.0 (Linux; Android 13) DaumApps/7.0',
];

test('previews of links and crawlers see the page without a place; browsers with similar names join', async () => {
  const { id } = await sale();
  for (const agent of ROBOTS) {
    const robot = new Client(server);
    for (let visit = 0; visit < 2; visit++) {
      const answer = await robot.get(`/wait/${id}`, { headers: { 'user-agent': agent } });
      assert.deepEqual([answer.status, state(answer)], [200, 'preview'], agent);
      assert.match(answer.text, /<h1 class="event-title"[^>]*>A concert<\/h1>/);
      assert.match(answer.text, new RegExp(`href="/wait/${id}">Join the queue</a>`));
    }
    assert.equal(robot.cookies.size, 0, agent);
  }
  assert.equal(await places(id), 0);
  for (const agent of PEOPLE) assert.match(state(await new Client(server).get(`/wait/${id}`, { headers: { 'user-agent': agent } })), /admitted|waiting/, agent);
  assert.equal(await places(id), PEOPLE.length);
});
