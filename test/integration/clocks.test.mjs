// SPDX-License-Identifier: MIT
//
// Pods whose clocks are wrong by an hour or three seconds, beside one that is right, on one Redis and PostgreSQL: events
// open when Redis' clock says so, passes and tokens are dated and judged by it, and the difference is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, Socket, bearer, decode, jwt, pay, uniqueId, waitUntil } from '../fixtures/index.mjs';

const SHIFTS = { right: 0, fast: 3600_000, slow: -3600_000, slightly: 3000 };
const pods = {};
let redis, postgres;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  const database = await postgres.migrated();
  await Promise.all(Object.entries(SHIFTS).map(async ([name, shift]) => {
    pods[name] = await Server.start({ redis, database, env: { TIKETI_CLOCK_SHIFT_MS: shift, PASS_TTL_MS: 600_000 } });
  }));
});
after(async () => {
  await Promise.all(Object.values(pods).map((pod) => pod.stop()));
  await redis?.stop();
  await postgres?.stop();
});

const each = (work) => Promise.all(Object.entries(pods).map(async ([name, pod]) => [name, await work(pod, name)])).then(Object.fromEntries);
const all = (value) => Object.fromEntries(Object.keys(SHIFTS).map((name) => [name, value]));
const near = (ms, what, error = 2500) => assert.ok(Math.abs(ms - Date.now()) < error, `${what}: ${ms - Date.now()} ms from now`);

for (const name of Object.keys(SHIFTS)) {
  test(`opened at the pod that is ${name}: open at once for everybody, and dated now`, async () => {
    const organizer = new Organizer(pods[name]);
    const event = await organizer.sale({ threshold: 100, intervalMs: 200 });
    const states = await each(async (pod) => (await new Client(pod, { sub: uniqueId('b') }).check(event.id)).body.status);
    assert.deepEqual(states, all('active'));
    const stored = (await organizer.get(`/api/admin/events/${event.id}`)).body;
    assert.equal(stored.status, 'open');
    near(Date.parse(stored.opensAt), 'opensAt');
  });

  test(`a time of opening and of closing, set at the pod that is ${name}, is kept by all`, async () => {
    const organizer = new Organizer(pods[name]);
    const opensAt = Date.now() + 1500;
    const event = await organizer.sale({ threshold: 100, intervalMs: 200, opensAt: new Date(opensAt).toISOString(), closesAt: new Date(opensAt + 1800_000).toISOString() });
    const early = await each(async (pod) => (await new Client(pod, { sub: uniqueId('e') }).check(event.id)).body.status);
    assert.deepEqual(early, all('scheduled'));
    await waitUntil(async () => (await new Client(pods[name], { sub: uniqueId('w') }).check(event.id)).body.status !== 'scheduled', 5000, 'the opening');
    const late = Date.now() - opensAt;
    assert.ok(late > -100 && late < 1500, `opened ${late} ms after its time`);
    // What would be closed again at once cannot be resumed: half an hour is left, by the shared clock.
    await organizer.act(event.id, 'pause');
    await organizer.act(event.id, 'resume');
  });
}

test('a pass of any pod opens every gate, and holds seats at every pod', async () => {
  const event = await new Organizer(pods.right).sale({ threshold: 100, grid: { rows: 2, seatsPerRow: 10 }, autoHold: 0 });
  const passes = await each(async (pod, name) => {
    const { pass } = (await new Client(pod, { sub: `at-${name}` }).check(event.id)).body;
    const { iat, exp } = decode(pass);
    near(iat * 1000, `iat of ${name}`);
    near(exp * 1000 - 600_000, `exp of ${name}`);
    return pass;
  });
  for (const [from, pass] of Object.entries(passes)) {
    const gates = await each(async (pod) => (await pod.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': pass } })).status);
    assert.deepEqual(gates, all(204), `the pass of ${from}`);
    const held = await each(async (pod) => (await new Client(pod, { sub: `at-${from}` })
      .reserve({ eventId: event.id, quantity: 1 }, { 'x-tiketi-pass': pass })).status);
    assert.deepEqual(held, all(201), `holds with the pass of ${from}`);
  }
});

test('the shop\'s tokens are judged by the shared clock: fifteen minutes from now, and not before now', async () => {
  const event = await new Organizer(pods.right).sale({ threshold: 100 });
  const now = Math.floor(Date.now() / 1000);
  for (const [claims, expected] of [[{ exp: now + 900 }, 200], [{ nbf: now }, 200], [{ exp: now - 120 }, 401], [{ nbf: now + 120 }, 401]]) {
    const answers = await each(async (pod) => (await pod.post(`/api/queue/check/${event.id}`, { headers: bearer(jwt({ sub: uniqueId('t'), ...claims })) })).status);
    assert.deepEqual(answers, all(expected), JSON.stringify(claims));
  }
});

test('the provider\'s call is believed at every pod, and an old one at none', async () => {
  const event = await new Organizer(pods.right).sale({ threshold: 100, grid: { rows: 1, seatsPerRow: 10 }, autoHold: 0 });
  const results = await each(async (pod, name) => {
    const buyer = new Client(pod, { sub: `pays-${name}` });
    await buyer.check(event.id);
    const held = await buyer.reserve({ eventId: event.id, quantity: 1 });
    const old = await pay(pod, held.body, {}, { at: Math.floor(Date.now() / 1000) - 3600 });
    return [held.status, old.status, (await pay(pod, held.body)).status];
  });
  assert.deepEqual(results, all([201, 401, 200]));
});

test('the entry of a WebSocket has a pass that is valid in real time', async () => {
  const event = await new Organizer(pods.right).sale({ threshold: 0, intervalMs: 200 });
  const sockets = await each(async (pod, name) => {
    const buyer = new Client(pod, { sub: `ws-${name}` });
    await buyer.check(event.id);
    const socket = await Socket.open(pod);
    socket.join(buyer, event.id);
    await socket.next('queue-position');
    return socket;
  });
  await new Organizer(pods.right).patch(event.id, { threshold: 100 });
  for (const [name, socket] of Object.entries(sockets)) {
    const { payload: offer } = await socket.next('queue-entry-allowed', 10000);
    near(Date.parse(offer.claimExpiresAt) - 90_000, `claimExpiresAt at ${name}`);
    socket.claim();
    const { payload } = await socket.next('turn-claimed', 10000);
    near(decode(payload.pass).iat * 1000, `iat at ${name}`);
    near(decode(payload.pass).exp * 1000 - 600_000, `exp at ${name}`);
    const gates = await each(async (pod) => (await pod.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': payload.pass } })).status);
    assert.deepEqual(gates, all(204), name);
    socket.close();
  }
});

test('the pages count down to the right moment', async () => {
  const event = await new Organizer(pods.right).sale({ threshold: 1, opensAt: new Date(Date.now() + 3600_000).toISOString() });
  const pages = await each(async (pod) => {
    const guest = new Client(pod);
    await guest.check(event.id);
    return (await guest.get(`/wait/${event.id}`)).text;
  });
  for (const [name, text] of Object.entries(pages)) {
    const numbers = [...text.matchAll(/\b1[7-9]\d{11}\b/g)].map(([ms]) => Number(ms));
    assert.ok(numbers.some((ms) => Math.abs(ms - Date.now()) < 5000), `${name}: the page's "now" among ${numbers}`);
  }
});

test('the difference is a metric, one log line, a note of readiness; and no pod is unready for it', async () => {
  const levels = { right: undefined, fast: 'error', slow: 'error', slightly: 'warn' };
  for (const [name, pod] of Object.entries(pods)) {
    const skew = await pod.metric('tiketi_clock_skew_seconds');
    assert.ok(Math.abs(skew * 1000 - SHIFTS[name]) < 200, `${name}: ${skew} s`);
    const ready = await pod.get('/readyz?deep=1');
    assert.equal(ready.status, 200);
    if (name === 'right') assert.equal(ready.body.clockSkewMs, undefined);
    else assert.ok(Math.abs(ready.body.clockSkewMs - SHIFTS[name]) < 200, `${name}: ${ready.body.clockSkewMs}`);
    const lines = pod.logs.filter((line) => line.message === 'clock differs from redis');
    assert.deepEqual(lines.map(({ level }) => level), levels[name] ? [levels[name]] : [], `${name}: once, although it is measured every second`);
  }
});
