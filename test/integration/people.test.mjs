// SPDX-License-Identifier: MIT
//
// One buyer, for staff: found by support reference, reservation number or id; their story in words; the end of their turn;
// and what the statistics tell of all of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, decode, jwt, pay, runTiketi, stage, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (id, rest) => `/api/admin/events/${id}${rest}`;
const story = (id, who) => organizer.must('GET', admin(id, `/buyers/${encodeURIComponent(who)}`));
const release = (id, json) => organizer.must('POST', admin(id, '/release'), json);
const inside = (id) => redis.cli('SCARD', `active:{${id}}`);

// The reference of a place, as the pages write it.
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
function reference(place) {
  const text = Array.from({ length: 11 }, (_, i) => DIGITS[Number((BigInt(place) >> BigInt(5 * (10 - i))) & 31n)]).join('');
  return `${text.slice(0, 4)}-${text.slice(4, 8)}-${text.slice(8)}`;
}

async function entered(id, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 15000, `${sub}'s turn`);
  return buyer;
}

test('a buyer\'s story, from the first join to the refund, by id, number and reference', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 200, grid: { rows: 1, seatsPerRow: 4 } });
  const first = await entered(event.id, 'story-first');
  const fan = new Client(server, { sub: 'story-fan' });
  await fan.check(event.id);
  const place = decode(fan.ticket).p;
  const waiting = await story(event.id, reference(place));
  assert.deepEqual([waiting.buyer, waiting.reference, waiting.now, waiting.entries.map(({ what }) => what)],
    ['u:story-fan', reference(place), { state: 'waiting', position: 1 }, ['joined']]);
  assert.ok(Math.abs(Date.parse(waiting.entries[0].at) - Number(place) / 1000) <= 1);

  await first.leave(event.id);
  await entered(event.id, 'story-fan');
  const { body: held } = await fan.reserve({ eventId: event.id, quantity: 2 });
  assert.equal((await fan.post(`/api/reservations/${held.id}/pay`)).status < 300, true);
  const [{ reference: paid }] = await database.query('SELECT reference FROM payments WHERE reservation_id = $1', [held.id]);
  await pay(server, held, { reference: paid, provider: 'demo' });
  await pay(server, held);
  await waitUntil(async () => (await database.query("SELECT 1 FROM admissions WHERE event_id = $1 AND buyer = 'u:story-fan' AND kind = 'completed'", [event.id])).length === 1, 15000, 'the log');
  await organizer.act(event.id, 'refund', { reservationId: held.id });
  const told = await story(event.id, held.reservationNumber);
  const whats = told.entries.map(({ what }) => what);
  for (const [a, b] of [['joined', 'offered'], ['offered', 'claimed'], ['claimed', 'held'], ['held', 'paying'], ['paying', 'refund_due']])
    assert.ok(whats.indexOf(a) >= 0 && whats.indexOf(a) < whats.indexOf(b), `${a} before ${b}: ${whats}`);
  assert.ok(whats.includes('completed'), String(whats));
  assert.match(told.entries.find(({ what }) => what === 'offered').text, /^was offered a turn, \d+ s after joining$/);
  assert.match(told.entries.find(({ what }) => what === 'held').text, new RegExp(`^held 2 seats, ${held.reservationNumber}$`));
  const entryOf = (name) => told.entries.find(({ what }) => what === name);
  assert.equal(entryOf('offered').waited, Number(/(\d+) s after/.exec(entryOf('offered').text)[1]));
  assert.deepEqual([entryOf('held').seats, entryOf('held').reservationNumber, entryOf('joined').waited], [2, held.reservationNumber, undefined]);
  assert.deepEqual([entryOf('refund_due').amount, entryOf('refund_due').currency], [held.totalAmount, held.currency]);
  assert.deepEqual(told.now, { state: 'gone' });
  assert.deepEqual(told.reservations.map(({ id }) => id), [held.id]);
  assert.deepEqual(told.entries.map(({ at }) => at), told.entries.map(({ at }) => at).sort());
  for (const who of ['u:story-fan', held.id, held.reservationNumber.toLowerCase(), reference(place), reference(place).replaceAll('-', '')])
    assert.equal((await story(event.id, who)).buyer, 'u:story-fan', who);
});

test('looking a buyer up is no heartbeat and no claim; nobody and nonsense are said so', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, silentMs: 5000, intervalMs: 200 });
  await entered(event.id, 'seen-first');
  const fan = new Client(server, { sub: 'seen-fan' });
  await fan.check(event.id);
  await fan.check(event.id); // the second one writes the entry
  const seen = await redis.cli('ZSCORE', `queue:seen:{${event.id}}`, 'u:seen-fan');
  assert.ok(seen);
  for (let i = 0; i < 3; i++) await story(event.id, 'u:seen-fan');
  assert.equal(await redis.cli('ZSCORE', `queue:seen:{${event.id}}`, 'u:seen-fan'), seen);
  await redis.cli('ZADD', `queue:seen:{${event.id}}`, '1', 'u:seen-fan');
  await release(event.id, { buyer: 'u:seen-first' });
  await waitUntil(() => redis.cli('ZSCORE', `parked:{${event.id}}`, 'u:seen-fan'), 15000, 'the buyer to be set aside');
  assert.deepEqual((await story(event.id, 'u:seen-fan')).now, { state: 'set_aside' });
  await staysTrueFor(600, async () => Boolean(await redis.cli('ZSCORE', `parked:{${event.id}}`, 'u:seen-fan')), 'set aside, though staff look');

  const other = await organizer.sale({ threshold: 1 });
  for (const who of ['u:nobody', 'ZZZZ9999', reference(123456789), '00000000-0000-4000-8000-000000000000']) {
    const answer = await organizer.get(admin(event.id, `/buyers/${who}`));
    assert.deepEqual([answer.status, answer.body.detail, answer.body.reason], [404, 'Nobody of this event is known by this.', 'nobody'], `${who} ${answer.text}`);
  }
  assert.equal((await organizer.get(admin(other.id, '/buyers/u:seen-fan'))).status, 404, 'of another event');
  for (const who of ['x y', '%00', 'a;b', `u:${'x'.repeat(300)}`])
    assert.equal((await organizer.get(admin(event.id, `/buyers/${encodeURIComponent(who)}`))).status, 400, who);
});

test('a story without Redis has no now; the log tells the rest', async () => {
  const event = await organizer.sale({ threshold: 2, autoHold: 0 });
  await entered(event.id, 'lost-fan');
  await waitUntil(async () => (await database.query('SELECT 1 FROM admissions WHERE event_id = $1', [event.id])).length > 0, 15000, 'the log');
  const [{ place }] = await database.query('SELECT place FROM admissions WHERE event_id = $1 LIMIT 1', [event.id]);
  await redis.cli('CONFIG', 'SET', 'maxclients', '1');
  await redis.cli('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  try {
    const told = await waitUntil(async () => {
      const answer = await organizer.get(admin(event.id, `/buyers/${reference(place)}`));
      return answer.status === 200 && answer.body.now === null && answer.body;
    }, 15000, 'an answer without Redis');
    assert.deepEqual([told.buyer, told.entries.map(({ what }) => what)], ['u:lost-fan', ['joined', 'direct']]);
  } finally {
    await redis.cli('CONFIG', 'SET', 'maxclients', '10000');
  }
});

test('release ends a turn at once, once, and is audited; a waiting buyer keeps the place', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 60000 });
  await waitUntil(async () => (await entered(event.id, 'turn-first')) && true, 15000, 'the turn');
  const fan = new Client(server, { sub: 'turn-fan' });
  await fan.check(event.id);
  const { p: place } = decode(fan.ticket);
  assert.deepEqual(await release(event.id, { buyer: 'u:turn-fan' }), { eventId: event.id, buyer: 'u:turn-fan', released: false });
  assert.deepEqual(await release(event.id, { buyer: 'u:turn-fan', completed: true }), { eventId: event.id, buyer: 'u:turn-fan', released: false });
  assert.equal(await redis.cli('ZSCORE', `queue:{${event.id}}`, 'u:turn-fan'), String(place));
  assert.equal(Number(await inside(event.id)), 1);
  assert.deepEqual((await release(event.id, { buyer: 'u:turn-first', completed: true })).released, true);
  assert.equal(await redis.cli('SISMEMBER', `active:{${event.id}}`, 'u:turn-first'), 0, 'the slot is free');
  assert.deepEqual((await release(event.id, { buyer: 'u:turn-first', completed: true })).released, false);
  const entries = (await organizer.must('GET', admin(event.id, '/audit'))).entries.filter(({ verb }) => verb === 'release');
  assert.equal(entries.length, 1);
  assert.match(entries[0].sentence, /^release: buyer u:turn-first, completed true, organizer, \d\d:\d\d$/);
  await organizer.act(event.id, 'process');
  assert.equal(await redis.cli('SISMEMBER', `active:{${event.id}}`, 'u:turn-fan'), 1, 'the next one has entered');
  for (const [json, field] of [[{}, 'buyer'], [{ buyer: 'kim' }, 'buyer'], [{ buyer: 'u:a', reservationNumber: 'X' }, 'buyer'], [{ reservationNumber: 'u:a' }, 'reservationNumber'], [{ buyer: 'u:a', completed: 1 }, 'completed'], [{ who: 1 }, 'who']]) {
    const answer = await organizer.post(admin(event.id, '/release'), { json });
    assert.deepEqual([answer.status, answer.body.field], [400, field], JSON.stringify(json));
  }
  assert.equal((await organizer.post(admin(event.id, '/release'), { json: { reservationNumber: 'ZZZZ9999' } })).status, 404);
});

test('statistics: conversion, abandoned holds, mean visit, and when it will be over', async () => {
  const event = await organizer.sale({ threshold: 2, autoHold: 0, intervalMs: 200, grid: { rows: 1, seatsPerRow: 6 } });
  const empty = await organizer.stats(event.id);
  assert.deepEqual([empty.conversion, empty.meanVisit, empty.holds, empty.expectedEnd], [null, null, { made: 0, abandoned: 0 }, undefined]);
  const [a, b] = [await entered(event.id, 'stat-a'), await entered(event.id, 'stat-b')];
  const { body: bought } = await a.reserve({ eventId: event.id, quantity: 1 });
  const { body: given } = await b.reserve({ eventId: event.id, quantity: 1 });
  await b.post(`/api/reservations/${given.id}/cancel`);
  await pay(server, bought);
  await b.leave(event.id);
  const told = await waitUntil(async () => {
    const stats = await organizer.stats(event.id);
    return stats.meanVisit !== null && stats.conversion === 0.5 && stats;
  }, 15000, 'the statistics');
  assert.deepEqual([told.turns, told.holds], [2, { made: 2, abandoned: 1 }]);
  assert.ok(told.meanVisit >= 0 && told.meanVisit < 20, String(told.meanVisit));
  assert.deepEqual(told.mail, { pending: 0, parked: 0 });
});

// ---- a shop's server ----

const shopOf = (sub = 'organizer') => new Client(server, { token: jwt({ sub, role: 'service' }) });

test('a shop\'s server ends a turn by the pass at once, as left or completed, and never a later turn', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 60000 });
  const shop = shopOf();
  const end = (json) => shop.post(admin(event.id, '/release'), { json });
  const kinds = async (buyer) => (await redis.client.xrange(`log:{${event.id}}`, '-', '+'))
    .map(([, list]) => Object.fromEntries(list.flatMap((value, i) => (i % 2 ? [] : [[value, list[i + 1]]]))))
    .filter((entry) => entry.buyer === buyer).map(({ kind }) => kind);
  const guest = new Client(server, {});
  const { body: turn } = await guest.check(event.id);
  const buyer = decode(turn.pass).sub;
  const ended = await end({ pass: turn.pass });
  assert.deepEqual([ended.status, ended.body], [200, { eventId: event.id, buyer, released: true }], ended.text);
  assert.equal((await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': turn.pass } })).status, 401);
  assert.equal((await end({ pass: turn.pass })).body.released, false, 'a repetition ends nothing');
  assert.equal((await guest.status(event.id)).body.status, 'not_in_queue');
  const { body: again } = await guest.check(event.id);
  assert.equal(again.status, 'active');
  assert.equal((await end({ pass: turn.pass })).body.released, false, 'nor a later turn');
  assert.equal((await end({ pass: turn.pass, completed: true })).body.released, false);
  assert.equal((await guest.status(event.id)).body.status, 'active');
  assert.equal((await end({ pass: again.pass, completed: true })).body.released, true);
  assert.deepEqual((await kinds(buyer)).filter((kind) => ['left', 'completed'].includes(kind)), ['left', 'completed']);
  const audit = await database.query("SELECT who, after FROM audit WHERE event_id = $1 AND verb = 'release' ORDER BY id", [event.id]);
  assert.deepEqual(audit.map(({ after }) => [after.buyer, after.completed]), [[buyer, false], [buyer, true]]);
});

test('a pass whose buyer waits again, or was set aside, ends nothing and costs them no place', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 100, idleTimeoutMs: 1000 });
  const shop = shopOf();
  const idle = new Client(server, { sub: 'release-idle' });
  const { body: turn } = await idle.check(event.id);
  const place = decode(turn.ticket).p;
  await waitUntil(() => redis.cli('ZSCORE', `parked:{${event.id}}`, 'u:release-idle'), 15000, 'the idle end');
  assert.equal((await shop.post(admin(event.id, '/release'), { json: { pass: turn.pass } })).body.released, false);
  const back = await idle.check(event.id, { headers: { 'x-tiketi-ticket': turn.ticket } });
  assert.equal(back.status, 200, back.text);
  assert.equal(decode(back.body.ticket).p, place);
});

test('a pass that is not valid, not of this event, or not alone is refused by name', async () => {
  const [event, other] = [await organizer.sale({ threshold: 1 }), await organizer.sale({ threshold: 1 })];
  const shop = shopOf();
  const guest = new Client(server, {});
  const { body: { pass } } = await guest.check(event.id);
  const altered = pass.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  for (const [id, json, field, reason] of [
    [event.id, { pass: altered.slice(0, -2) }, 'pass', 'not-a-pass'], [other.id, { pass }, 'pass', 'not-a-pass'], [event.id, { pass, buyer: 'u:x' }, 'buyer', 'one-of-three'],
    [event.id, {}, 'buyer', 'one-of-three'], [event.id, { pass: 'x'.repeat(5000) }, 'pass', 'too-many-bytes'],
  ]) {
    const { status, body } = await shop.post(admin(id, '/release'), { json });
    assert.deepEqual([status, body.field, body.reason], [400, field, reason]);
  }
  assert.equal((await guest.status(event.id)).body.status, 'active');
});

test('the role service opens the routes of a shop\'s server alone, of the events of its subject alone', async () => {
  const event = await organizer.sale({ threshold: 1 });
  const { body: { pass } } = await new Client(server, {}).check(event.id);
  const shop = shopOf();
  const stranger = shopOf('another-shop');
  const refused = await stranger.post(admin(event.id, '/release'), { json: { pass } });
  assert.deepEqual([refused.status, refused.body.code], [403, 'not-yours'], refused.text);
  for (const [method, path] of [['GET', '/api/admin/events'], ['GET', admin(event.id, '')], ['PATCH', admin(event.id, '')], ['POST', admin(event.id, '/close')],
    ['POST', admin(event.id, '/admit')], ['GET', admin(event.id, '/buyers/u:x')], ['POST', admin(event.id, '/refund')], ['GET', admin(event.id, '/reservations')]]) {
    const { status, body } = await shop.request(method, path, method === 'GET' ? {} : { json: {} });
    assert.deepEqual([status, body.reason], [403, 'role'], `${method} ${path}`);
  }
  const routes = (await runTiketi(['routes'])).stdout.split('\n').filter((line) => /\bservice\b/.test(line)).map((line) => line.split(/\s+/).slice(0, 2).join(' '));
  assert.deepEqual(routes.sort(), ['GET feed', 'POST ban', 'POST release', 'POST unban'].map((route) => route.replace(' ', ' /api/admin/events/{eventId}/')));
  assert.equal((await shop.post(admin(event.id, '/release'), { json: { pass } })).body.released, true);
});

test('leave by nobody known takes the pass in its header for who it is, and ends the turn that it names', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 60000 });
  const guest = new Client(server, {});
  const { body: turn } = await guest.check(event.id);
  const other = new Client(server, { sub: 'leave-other' });
  const strange = await other.post(`/api/queue/leave/${event.id}`, { headers: { 'x-tiketi-pass': turn.pass } });
  assert.equal(strange.status, 403, 'a buyer who is known does not leave for another');
  const left = await server.post(`/api/queue/leave/${event.id}`, { headers: { 'x-tiketi-pass': turn.pass } });
  assert.deepEqual([left.status, left.body.status], [200, 'left'], left.text);
  assert.equal((await guest.status(event.id)).body.status, 'not_in_queue');
  const { body: again } = await guest.check(event.id);
  assert.equal(again.status, 'active');
  const late = await server.post(`/api/queue/leave/${event.id}`, { headers: { 'x-tiketi-pass': turn.pass } });
  assert.deepEqual([late.status, late.body.status], [200, 'not_in_queue'], 'a repetition ends no later turn');
  assert.equal((await guest.status(event.id)).body.status, 'active');
});
