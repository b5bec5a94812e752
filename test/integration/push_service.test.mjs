// SPDX-License-Identifier: MIT
//
// A push service that is down, slow, busy or refuses, a browser that is gone, a pod that stops and a PostgreSQL that is down:
// no queue waits for it, and a call is repeated only while it helps.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, Organizer, Server, privateFolder, runTiketi, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { pushStage } from './push_support.mjs';

const { redis, postgres, database, server, service, env, own, publicKey, put, subscriptions, calls, metric, subscribe, waiting } = await pushStage();

test('404 and 410 of the push service end the subscription', async () => {
  const { id, client } = await waiting();
  const gone = await metric('gone');
  const statuses = [404, 410];
  service.answer = () => ({ status: statuses.pop() });
  await Promise.all([1, 2].map(() => subscribe(client, id, { test: true })));
  await waitUntil(async () => (await subscriptions(id)).length === 0, 10000, 'the subscriptions to be deleted');
  assert.deepEqual(await calls(id), []);
  assert.equal(await metric('gone'), gone + 2);
});

test('a push service that is busy is asked again when it says; one that fails, after a second; one that refuses, never', async () => {
  const { id, client } = await waiting();
  let asked = [];
  service.answer = () => {
    asked.push(Date.now());
    return asked.length === 1 ? { status: 429, headers: { 'retry-after': '2' } } : asked.length === 2 ? { status: 500 } : undefined;
  };
  const browser = await subscribe(client, id, { test: true });
  await browser.next(20000);
  assert.ok(asked[1] - asked[0] >= 1900, `${asked[1] - asked[0]} ms after 429`);
  assert.ok(asked[2] - asked[1] >= 700 && asked[2] - asked[1] < 6000, `${asked[2] - asked[1]} ms after 500`);
  asked = [];
  service.answer = () => {
    asked.push(Date.now());
    return { status: 400 };
  };
  await subscribe(client, id, { test: true });
  await waitUntil(async () => asked.length === 1 && (await calls(id)).length === 0, 10000, 'the call to be dropped');
  assert.equal((await subscriptions(id)).length, 2, 'the subscription stays');
});

test('a push service that does not answer, or is down, holds up nobody: buyers are let in, and the call ends with its offer', async () => {
  const { id, client, first } = await waiting({ claimMs: 4000 });
  service.answer = () => null;
  await subscribe(client, id);
  const last = new Client(server, { sub: uniqueId('last') });
  await last.check(id);
  await service.stop();
  await first.leave(id);
  await waitUntil(async () => (await calls(id)).some(({ attempts, error }) => attempts > 0 && error), 10000, 'a failed attempt');
  assert.doesNotMatch((await calls(id))[0]?.error ?? '', /wpush/, 'no endpoint');
  await waitUntil(async () => (await last.status(id)).body.status === 'active', 10000, 'the next buyer to be offered the slot');
  await waitUntil(async () => (await calls(id)).length === 0, 15000, 'the call to end');
  await service.start();
  assert.equal((await subscriptions(id)).length, 1, 'the subscription stays');
  assert.doesNotMatch(server.output, /wpush/, 'the log names no endpoint');
});

test('keys are rolled by SIGHUP: pages get the new one, and browsers under the old one are called all the same', async (t) => {
  const file = join(privateFolder('vapid'), 'keys');
  writeFileSync(file, own);
  const pod = await Server.start({ redis, database, env: { ...env, VAPID_KEYS: undefined, VAPID_KEYS_FILE: file } });
  t.after(() => pod.kill());
  await server.pause(); // so that the other pod claims the calls
  try {
    const reload = async (text, message = 'reloaded') => {
      const said = () => pod.logs.filter((line) => line.message === message);
      const before = said().length;
      writeFileSync(file, text);
      pod.child.signal('SIGHUP');
      return waitUntil(() => said()[before], 10000, message);
    };
    const { id } = await new Organizer(pod).sale({ threshold: 0, intervalMs: 100, autoHold: 0 });
    const pageKey = async () => (await pod.get('/api/queue/push')).body.key;
    const subscribed = async (sub) => {
      const client = new Client(pod, { sub });
      await client.check(id);
      return subscribe(client, id, { test: true });
    };
    assert.equal(await pageKey(), publicKey);
    const old = await subscribed('old');
    assert.equal((await old.next(10000)).key, publicKey);
    const fresh = (await runTiketi(['vapid-key'])).stdout.trim();
    await reload(`${fresh},${own}`);
    const newKey = await waitUntil(async () => (await pageKey()) !== publicKey && pageKey(), 5000, 'the new key');
    assert.equal((await (await subscribed('new')).next(10000)).key, newKey);
    // The turn of a browser that subscribed under the old key.
    const { error } = await reload('nonsense', 'reload refused, all settings stay as they are');
    assert.match(error, /VAPID_KEYS: must be keys/);
    await new Organizer(pod).patch(id, { threshold: 2 });
    assert.equal((await old.next(10000)).key, publicKey);
    // Turning it off needs a restart.
    await reload('', 'setting needs a restart');
    assert.equal(await pageKey(), newKey);
  } finally {
    await server.resume();
  }
  await pod.stop();
});

test('a pod that is stopped amid a call ends in time; the call is sent by another one', async () => {
  const { id, client } = await waiting();
  const pod = await Server.start({ redis, database, env: { ...env, DRAIN_MS: 2000 } });
  let hanging = 0;
  service.answer = () => {
    hanging++;
    return null;
  };
  await server.pause(); // so that the other pod claims the call
  const there = Object.assign(new Client(pod, { token: client.token }), { cookies: client.cookies });
  const browser = await subscribe(there, id, { test: true });
  await waitUntil(() => hanging > 0, 10000, 'a call that hangs');
  await server.resume();
  await pod.stop(8000);
  service.answer = () => undefined;
  await database.query("UPDATE outbox SET due_at = clock_timestamp(), claim = NULL WHERE kind = 'push_test'");
  await browser.next();
});

test('PostgreSQL is down: 503, the queue goes on, and the call comes when it is back', async () => {
  const { id, client, first } = await waiting({ claimMs: 60000 });
  const browser = await subscribe(client, id);
  await postgres.pause();
  const refused = await put(client, id, { endpoint: browser.endpoint, keys: browser.keys });
  assert.equal(refused.status, 503);
  await first.leave(id);
  await waitUntil(async () => (await client.status(id)).body.status === 'active', 10000, 'the offer');
  await postgres.resume();
  assert.equal((await browser.next(30000)).message.kind, 'offered');
});

test('a private address behind a name, which is seen only at the connect, is not connected to', async () => {
  const { id } = await waiting();
  const requests = service.requests;
  const pod = await Server.start({ redis, database, roles: 'processor', env: { ...env, OUTBOUND_ALLOW: null } });
  await server.stop();
  await database.query(`INSERT INTO push_subscriptions (event_id, buyer, endpoint, p256dh, auth, key) VALUES ($1, 'u:x', $2, $3, $4, $5)`,
    [id, `https://x.localhost:${service.port}/wpush/y`, service.subscribe().keys.p256dh, service.subscribe().keys.auth, publicKey]);
  await database.query(`INSERT INTO outbox (kind, event_id, subscription_id, payload, expires_at)
    SELECT 'push_test', event_id, id, '{"kind":"test"}', clock_timestamp() + interval '1 minute' FROM push_subscriptions WHERE event_id = $1`, [id]);
  await waitUntil(async () => (await subscriptions(id)).length === 0, 15000, 'the subscription to be deleted');
  await waitUntil(() => /"push message not sent".*private address/.test(pod.output), 5000, 'the log line');
  assert.equal(service.requests, requests);
  await pod.stop();
  await server.start();
});

test('a call that is not sent in time is deleted and counted', async () => {
  const { id, client } = await waiting();
  const expired = await metric('expired');
  service.answer = () => ({ status: 503, headers: { 'retry-after': '3600' } });
  await subscribe(client, id, { test: true });
  await waitUntil(async () => await metric('expired') === expired + 1, 10000, 'the call to be given up');
  assert.deepEqual(await calls(id), []);
});
