// SPDX-License-Identifier: MIT
//
// Web Push: a buyer's turn reaches a closed page. Messages go through the whole service to a push service over HTTPS, which
// decrypts them as the browser does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Server, runTiketi, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { SUBJECT, pushStage } from './push_support.mjs';

const { redis, database, server, organizer, service, env, own, older, publicKey, sale, at, put, subscriptions, calls, subscribe, waiting } = await pushStage();

test('offered while the page is closed: the browser gets the turn, encrypted, without personal data, for as long as the offer lasts', async () => {
  const { id, client, first } = await waiting({ title: 'Secret concert' });
  const browser = await subscribe(client, id);
  const began = Date.now();
  await first.leave(id);
  const { message, ttl, topic, key: signedWith, claims, length } = await browser.next();
  assert.deepEqual(Object.keys(message).sort(), ['event', 'kind', 'until']);
  assert.deepEqual([message.kind, message.event], ['offered', id]);
  assert.ok(message.until >= began + 8900 && message.until <= Date.now() + 9000, String(message.until - began));
  assert.ok(ttl > 3 && ttl <= 9, String(ttl));
  assert.deepEqual([signedWith, claims.sub], [publicKey, SUBJECT]);
  assert.match(topic, /^[0-9a-f]{16}$/);
  assert.equal(length, 86 + 256 + 1 + 16, 'every message has one length');
  assert.equal((await client.status(id)).body.claimed, false, 'a call claims nothing');
  assert.equal((await client.check(id)).body.claimed, true);
  await waitUntil(async () => (await calls(id)).length === 0, 10000, 'the call to be recorded');
  assert.equal(browser.messages.length, 1);
});

test('a buyer who claims within a moment is not called', async () => {
  const { id, client, first } = await waiting({ claimMs: 20000 });
  const browser = await subscribe(client, id);
  await first.leave(id);
  await waitUntil(async () => (await client.status(id)).body.status === 'active', 10000, 'the offer');
  await waitUntil(async () => (await calls(id)).length === 1, 10000, 'the call, which waits');
  await client.check(id);
  await waitUntil(async () => (await calls(id)).length === 0, 10000, 'the call to be withdrawn');
  await staysTrueFor(2000, () => browser.messages.length === 0, 'no call');
});

test('a silent buyer who is set aside at the head, and gets no offer then, is called for an hour', async () => {
  const { id, client, first } = await waiting({ silentMs: 1000 });
  const browser = await subscribe(client, id);
  const last = new Client(server, { sub: uniqueId('last') });
  await staysTrueFor(1500, async () => (await last.check(id)).body.status === 'queued', 'the others are there');
  await first.leave(id);
  const { message, ttl } = await browser.next();
  assert.deepEqual([message.kind, message.event], ['parked', id]);
  assert.ok(ttl > 3500 && ttl <= 3600, String(ttl));
  assert.equal((await client.check(id)).body.position, 1, 'who comes is at the head');
});

test('the test call comes at once, and at most one in ten seconds', async () => {
  const { id, client } = await waiting();
  const began = Date.now();
  const browser = await subscribe(client, id, { test: true });
  const { message, at: came } = await browser.next();
  assert.deepEqual(message, { kind: 'test', event: id });
  assert.ok(came - began < 5000, `${came - began} ms`);
  await subscribe(client, id, { browser, test: true });
  await staysTrueFor(1500, () => browser.messages.length === 1, 'no second one');
});

test('two browsers of a buyer are both called, others not; the fourth takes the place of the oldest', async () => {
  const { id, client, first } = await waiting();
  const other = new Client(server, { sub: uniqueId('other') });
  await other.check(id);
  const foreign = await subscribe(other, id);
  const browsers = [];
  for (let i = 0; i < 4; i++) browsers.push(await subscribe(client, id));
  assert.equal((await subscriptions(id)).length, 4);
  await first.leave(id);
  await Promise.all(browsers.slice(1).map((browser) => browser.next()));
  assert.equal(browsers[0].messages.length, 0);
  assert.equal(foreign.messages.length, 0);
});

test('a browser belongs to the buyer who subscribed last; DELETE forgets only one\'s own', async () => {
  const { id, client } = await waiting({ guest: true });
  const other = new Client(server, { sub: uniqueId('other') });
  await other.check(id);
  const browser = await subscribe(client, id);
  const forget = (who) => who.request('DELETE', at(id), { json: { endpoint: browser.endpoint } });
  assert.equal((await forget(other)).status, 204);
  assert.equal((await subscriptions(id)).length, 1);
  await subscribe(other, id, { browser });
  assert.equal((await forget(client)).status, 204);
  const [row, ...more] = await subscriptions(id);
  assert.deepEqual([row.buyer.startsWith('u:other'), more.length], [true, 0]);
  assert.equal((await forget(other)).status, 204);
  assert.equal((await forget(other)).status, 204, 'again');
  assert.deepEqual(await subscriptions(id), []);
});

test('what is wrong with a subscription is named', async () => {
  const { id, client } = await waiting();
  const { endpoint, keys } = service.subscribe();
  const notOnTheCurve = Buffer.from(keys.p256dh, 'base64url');
  notOnTheCurve[64] ^= 1;
  for (const [field, json] of [
    ['endpoint', { keys }],
    ['endpoint', { endpoint: 7, keys }],
    ['endpoint', { endpoint: endpoint.replace('https', 'http'), keys }],
    ['endpoint', { endpoint: 'https://10.0.0.1/x', keys }],
    ['endpoint', { endpoint: 'https://[::1]/x', keys }],
    ['endpoint', { endpoint: 'https://redis/x', keys }],
    ['endpoint', { endpoint: 'https://me:secret@push.example/x', keys }],
    ['endpoint', { endpoint: `https://push.example/${'x'.repeat(1024)}`, keys }],
    ['keys', { endpoint }],
    ['keys.more', { endpoint, keys: { ...keys, more: 1 } }],
    ['keys.p256dh', { endpoint, keys: { auth: keys.auth } }],
    ['keys.p256dh', { endpoint, keys: { ...keys, p256dh: notOnTheCurve.toString('base64url') } }],
    ['keys.auth', { endpoint, keys: { ...keys, auth: keys.auth.slice(1) } }],
    ['key', { endpoint, keys, key: keys.p256dh }],
    ['test', { endpoint, keys, test: 'yes' }],
    ['lang', { endpoint, keys, lang: 'en' }],
  ]) {
    const { status, body } = await put(client, id, json);
    assert.deepEqual([status, body.code, body.field], [400, 'invalid', field], JSON.stringify(json).slice(0, 200));
  }
  assert.equal((await put(client, id, undefined)).status, 400);
  assert.equal((await client.request('DELETE', at(id), { json: { endpoint, keys } })).body.field, 'keys');
  assert.deepEqual(await subscriptions(id), []);
});

test('only who has a place in the queue; not from another site; not for a closed event', async () => {
  const { id, client } = await waiting({ guest: true });
  const { endpoint, keys } = service.subscribe();
  const stranger = new Client(server);
  assert.deepEqual((({ status, body }) => [status, body.code])(await put(stranger, id, { endpoint, keys })), [403, 'no-place']);
  const foreign = await client.request('PUT', at(id), { json: { endpoint, keys }, headers: { origin: 'https://elsewhere.example' } });
  assert.deepEqual([foreign.status, foreign.body.code], [403, 'foreign-origin']);
  const { id: other } = await sale();
  assert.equal((await put(client, other, { endpoint, keys })).body.code, 'no-place', 'a place elsewhere is none');
  await subscribe(client, id);
  await organizer.act(id, 'close');
  assert.equal((await put(client, id, { endpoint, keys })).status, 410);
});

test('the key is rolled: subscriptions under the older key are called with it; one whose key is gone is deleted', async () => {
  const { id, client, first } = await waiting();
  const pod = await Server.start({ redis, database, env: { ...env, VAPID_KEYS: older } });
  const { key: olderKey } = (await pod.get('/api/queue/push')).body;
  await pod.stop();
  assert.notEqual(olderKey, publicKey);
  const { p256dh: lostKey } = service.subscribe().keys;
  const [one, two] = [await subscribe(client, id, { key: olderKey }), await subscribe(client, id)];
  await database.query('UPDATE push_subscriptions SET key = $1 WHERE endpoint = $2', [lostKey, (await subscribe(client, id)).endpoint]);
  await first.leave(id);
  assert.equal((await one.next()).key, olderKey);
  assert.equal((await two.next()).key, publicKey);
  await waitUntil(async () => (await subscriptions(id)).length === 2, 10000, 'the third to be deleted');
});

test('without keys there are no push messages, and the page does not offer them', async () => {
  const pod = await Server.start({ redis, database, roles: 'api' });
  const { id, client } = await waiting();
  const browser = service.subscribe();
  const there = Object.assign(new Client(pod, { token: client.token }), { cookies: client.cookies });
  for (const answer of [await pod.get('/api/queue/push'), await put(there, id, { endpoint: browser.endpoint, keys: browser.keys })]) {
    assert.deepEqual([answer.status, answer.body.code], [404, 'push-off']);
  }
  await pod.stop();
});

test('a setting that cannot be used is named', async () => {
  for (const [pattern, wrong] of [
    [/VAPID_SUBJECT: must be set where VAPID_KEYS is/, { VAPID_SUBJECT: null }],
    [/VAPID_SUBJECT: must be mailto:ops@example\.com or https/, { VAPID_SUBJECT: 'ops@shop.example' }],
    [/VAPID_KEYS/, { VAPID_KEYS: `${own}x` }],
    [/VAPID_KEYS/, { VAPID_KEYS: `${own},${own}` }],
  ]) {
    const { stderr, stdout } = await runTiketi(['serve'], {
      HTTP_PORT: 0, WS_PORT: 0, REDIS_URL: redis.url, DATABASE_URL: database.url, ...env, ...wrong,
    }, { expect: 78 });
    assert.match(stderr + stdout, pattern);
  }
});
