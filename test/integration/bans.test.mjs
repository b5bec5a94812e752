// SPDX-License-Identifier: MIT
//
// A buyer is shut out of an event: nothing that they have counts any more, wherever they ask, and what they had is theirs
// again when the ban is taken back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Socket, decode, jwt, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { RESTORE_MS: 1500, WS_PING_MS: 1000 } });

const admin = (id, rest) => `/api/admin/events/${id}${rest}`;
const ban = (id, json) => organizer.must('POST', admin(id, '/ban'), { reason: 'resells', ...json });
const unban = (id, json) => organizer.must('POST', admin(id, '/unban'), json);
const state = (text) => /<main id="main" data-state="(\w+)"/.exec(text)?.[1];
const sale = (settings = {}) => organizer.sale({ id: uniqueId('ban'), threshold: 1, intervalMs: 100, autoHold: 0, grid: { rows: 1, seatsPerRow: 10 }, ...settings });
const buyerOf = (client) => client.cookies.get('tiketi_guest').split('.')[0];
const story = (id, who) => organizer.must('GET', admin(id, `/buyers/${encodeURIComponent(who)}`));

async function guest(id) {
  const client = new Client(server, {});
  await client.check(id);
  return client;
}

async function refusedEverywhere(id, client, pass) {
  const answers = {
    check: await client.check(id),
    'check with ticket': await client.check(id, { headers: { 'x-tiketi-ticket': client.ticket } }),
    status: await client.status(id),
    heartbeat: await client.heartbeat(id),
    claim: await client.heartbeat(id, { json: { claim: true } }),
    leave: await client.leave(id),
    hold: await client.reserve({ eventId: id, quantity: 1 }),
    gate: await client.get(`/api/gate/${id}`),
    ...(pass && { 'gate by pass': await server.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': pass } }) }),
  };
  for (const [what, { status, body, text }] of Object.entries(answers)) assert.deepEqual([status, body?.code], [403, 'banned'], `${what}: ${text}`);
  for (const [language, words] of [['en', 'shut you out'], ['ko', '제한했습니다'], ['ja', '制限しました']]) {
    const page = await client.get(`/wait/${id}`, { headers: { 'accept-language': language } });
    assert.deepEqual([page.status, state(page.text)], [403, 'banned'], language);
    assert.match(page.text, new RegExp(words));
  }
  const socket = await Socket.open(server, { cookie: `tiketi_guest=${client.cookies.get('tiketi_guest')}` });
  socket.send('join-queue', { eventId: id, ticket: client.ticket });
  assert.equal((await socket.next('error')).payload.code, 'banned');
  assert.equal((await socket.closed).code, 4403);
}

test('a ban ends the turn of a buyer inside at once, frees the slot and their seats, and every place refuses them', async (t) => {
  const { id } = await sale();
  const client = await guest(id);
  const buyer = buyerOf(client);
  const next = await guest(id);
  const { pass } = client;
  assert.equal((await client.reserve({ eventId: id, quantity: 2 })).status, 201);
  const socket = await Socket.open(server, { cookie: `tiketi_guest=${client.cookies.get('tiketi_guest')}` });
  t.after(() => socket.drop());
  socket.send('join-queue', { eventId: id, ticket: client.ticket });
  await socket.next('queue-entry-allowed');
  const answer = await ban(id, { buyer });
  assert.deepEqual(answer, { eventId: id, buyer, banned: true, reason: 'resells' });
  assert.equal((await socket.next('error')).payload.code, 'banned');
  assert.equal((await socket.closed).code, 4403);
  await waitUntil(async () => (await next.status(id)).body.status === 'active', 10000, 'the slot');
  const [{ count }] = await database.query("SELECT count(*)::int FROM seats WHERE event_id = $1 AND status = 'held'", [id]);
  assert.equal(count, 0, 'the seats that they held');
  await refusedEverywhere(id, client, pass);
  await ban(id, { buyer, reason: 'resells again' }); // repeated
  const told = await story(id, buyer);
  assert.deepEqual([told.now.state, told.ban.reason, told.ban.by], ['banned', 'resells again', 'organizer']);
  const { bans } = await organizer.must('GET', admin(id, '/bans'));
  assert.deepEqual(bans.map((each) => [each.buyer, each.reason, each.place]), [[buyer, 'resells again', String(decode(client.ticket).p)]]);
  const verbs = await database.query("SELECT verb, after FROM audit WHERE event_id = $1 AND verb IN ('ban', 'unban') ORDER BY id", [id]);
  assert.deepEqual(verbs.map(({ verb, after }) => [verb, after.buyer]), [['ban', buyer], ['ban', buyer]]);
  await waitUntil(async () => (await story(id, buyer)).entries.some(({ what }) => what === 'banned'), 10000, 'the log to be copied');
});

test('a banned place is set aside, not spent: lifted, the ban gives it back, before those who came later', async () => {
  const { id } = await sale();
  const first = await guest(id);
  const client = await guest(id);
  const later = await guest(id);
  const place = decode(client.ticket).p;
  assert.deepEqual([(await client.status(id)).body.position, (await later.status(id)).body.position], [1, 2]);
  await ban(id, { buyer: buyerOf(client) });
  await refusedEverywhere(id, client);
  await waitUntil(async () => (await later.check(id)).body.position === 1, 10000, 'the place is out of the way');
  assert.deepEqual(await unban(id, { buyer: buyerOf(client) }), { eventId: id, buyer: buyerOf(client), banned: false, changed: true });
  assert.equal((await unban(id, { buyer: buyerOf(client) })).changed, false, 'repeated');
  const back = await client.check(id);
  assert.deepEqual([back.status, back.body.position, decode(back.body.ticket).p], [200, 1, place], back.text);
  await first.leave(id);
  await waitUntil(async () => (await client.status(id)).body.status === 'active', 10000, 'their turn');
  assert.equal((await later.status(id)).body.status, 'queued');
});

test('a turn that was banned comes back as the place: the next free slot is theirs', async () => {
  const { id } = await sale();
  const client = await guest(id);
  const later = await guest(id);
  await organizer.act(id, 'pause');
  await ban(id, { buyer: buyerOf(client) });
  await unban(id, { buyer: buyerOf(client) });
  assert.equal((await client.check(id)).body.position, 1);
  await organizer.act(id, 'resume');
  await waitUntil(async () => (await client.check(id)).body.status === 'active', 10000, 'their turn');
  assert.equal((await later.status(id)).body.status, 'queued');
});

test('who never came may be banned, by a shop\'s server as well; a draft, a missing reason and a wrong id are refused', async () => {
  const { id } = await sale();
  const shop = new Client(server, { token: jwt({ sub: 'organizer', role: 'service' }) });
  const stranger = new Client(server, { sub: uniqueId('never') });
  const buyer = `u:${decode(stranger.token).sub}`;
  const answer = await shop.post(admin(id, '/ban'), { json: { buyer, reason: 'stolen card' } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal((await stranger.check(id)).body.code, 'banned');
  assert.equal((await shop.get(admin(id, '/bans'))).status, 403);
  assert.equal((await shop.post(admin(id, '/unban'), { json: { buyer } })).status, 200);
  assert.equal((await stranger.check(id)).status, 200);
  const passed = await guest(await sale().then((event) => event.id));
  for (const [json, field] of [[{ buyer }, 'reason'], [{ buyer, reason: ' ' }, 'reason'], [{ reason: 'x' }, 'buyer'], [{ buyer: 'kim', reason: 'x' }, 'buyer'],
    [{ buyer, reason: 'x'.repeat(201) }, 'reason'], [{ pass: passed.pass, reason: 'x' }, 'pass']]) {
    const { status, body } = await organizer.post(admin(id, '/ban'), { json });
    assert.deepEqual([status, body.field], [400, field], JSON.stringify(json));
  }
  const draft = await organizer.sale({ open: false });
  const refused = await organizer.post(admin(draft.id, '/ban'), { json: { buyer, reason: 'x' } });
  assert.deepEqual([refused.status, refused.body.reason], [409, 'is-draft']);
  const other = new Organizer(server, { sub: 'somebody-else', role: 'organizer' });
  assert.equal((await other.post(admin(id, '/ban'), { json: { buyer, reason: 'x' } })).status, 403);
});

test('Redis loses its data: a banned buyer stays out, with ticket and pass, and has the place when the ban is lifted', async () => {
  const { id } = await sale({ threshold: 2 });
  const client = await guest(id);
  const waiting = await guest(id); // inside as well
  const { pass, ticket } = client;
  const proofs = { 'x-tiketi-pass': pass, 'x-tiketi-ticket': ticket };
  await ban(id, { buyer: buyerOf(client) });
  await redis.cli('FLUSHALL');
  await waiting.check(id);
  await waitUntil(async () => (await client.status(id, { headers: proofs })).status === 403, 20000, 'the ban');
  await waitUntil(async () => (await waiting.status(id, { headers: { 'x-tiketi-pass': waiting.pass } })).body.status === 'active', 20000, 'the other one');
  assert.equal((await client.check(id, { headers: proofs })).body.code, 'banned');
  await unban(id, { buyer: buyerOf(client) });
  const back = await client.check(id, { headers: { 'x-tiketi-ticket': ticket } });
  assert.equal(back.status, 200, back.text);
  assert.equal(decode(back.body.ticket ?? ticket).p, decode(ticket).p);
});

test('a ban that Redis has lost alone, or has alone, is made to agree with PostgreSQL', async () => {
  const { id } = await sale();
  await guest(id);
  const client = await guest(id);
  const place = decode(client.ticket).p;
  await ban(id, { buyer: buyerOf(client) });
  await redis.cli('DEL', `banned:{${id}}`);
  await redis.cli('HSET', `config:{${id}}`, 'bans', '0');
  await waitUntil(async () => (await client.status(id)).status === 403 && Number(await redis.cli('HGET', `config:{${id}}`, 'bans')) === 1, 20000, 'the ban to be back');
  await database.query('DELETE FROM bans WHERE event_id = $1', [id]);
  await waitUntil(async () => (await client.check(id)).status === 200, 20000, 'the ban to be gone');
  assert.equal(decode(client.ticket).p, place);
});

test('a ban and an unban that never reached Redis: as many are banned there, but others, and it is made to agree', async () => {
  const { id } = await sale();
  const [lifted, shut] = [await guest(id), await guest(id)];
  await ban(id, { buyer: buyerOf(lifted) });
  await organizer.patch(id, { threshold: 2 }); // the processor has read the live copy since
  await waitUntil(async () => (await shut.check(id)).body.status === 'active', 10000, 'the new threshold');
  await waitUntil(async () => (await redis.cli('HGET', `config:{${id}}`, 'bansMarkSeq')) === '1', 20000, 'the list to be compared');
  await database.query('UPDATE bans SET buyer = $2 WHERE event_id = $1', [id, buyerOf(shut)]);
  await waitUntil(async () => (await shut.check(id)).status === 403 && (await lifted.check(id)).status === 200, 20000, 'Redis to follow');
});

test('a cleared queue lifts no ban, and gives no place of before back', async () => {
  const { id } = await sale();
  const client = await guest(id);
  const place = decode(client.ticket).p;
  await ban(id, { buyer: buyerOf(client) });
  await organizer.act(id, 'clear');
  assert.equal((await client.check(id)).body.code, 'banned');
  await unban(id, { buyer: buyerOf(client) });
  await client.check(id);
  assert.notEqual(decode(client.ticket).p, place);
});

test('the list goes on page by page, whatever the buyers are called', async () => {
  const { id } = await sale();
  const buyers = ['u:jane.doe', 'u:a.b:c.d', 'u:urn:shop:7', 'o:x.y', 'u:김 민아', 'u:1.2'];
  for (const buyer of buyers) await ban(id, { buyer });
  await database.query('UPDATE bans SET at = now() WHERE event_id = $1', [id]); // of one time: the buyer alone tells them apart
  const seen = [];
  let before = '';
  do {
    const { bans, next } = await organizer.must('GET', admin(id, `/bans?limit=1${before}`));
    seen.push(...bans.map(({ buyer }) => buyer));
    before = next && `&before=${encodeURIComponent(next)}`;
  } while (before && seen.length <= buyers.length);
  assert.deepEqual(seen.sort(), buyers.sort());
  for (const wrong of ['1', '1.', '1.kim', 'x.u:kim', `1.u:${'k'.repeat(300)}`, '1234567890123456789.u:kim']) {
    const { status, body } = await organizer.get(admin(id, `/bans?before=${wrong}`));
    assert.deepEqual([status, body.reason], [400, 'unknown-page'], wrong);
  }
});
