// SPDX-License-Identifier: MIT
//
// What closing a sale does to those inside (closeGraceMs): whoever asks is told the same, and the lease holder stays until
// the last has left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Socket, decode, pay, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { RESTORE_MS: 1500, PASS_TTL_MS: 600000, WS_PING_MS: 1000 } });

const LONG_MS = 600000;
const state = (text) => /<main id="main" data-state="(\w+)"/.exec(text)?.[1];
const inside = async (id) => Number(await redis.cli('SCARD', `active:{${id}}`));
const log = async (id) => (await redis.client.xrange(`log:{${id}}`, '-', '+'))
  .map(([, list]) => Object.fromEntries(list.flatMap((value, i) => (i % 2 ? [] : [[value, list[i + 1]]]))));

const sale = (settings = {}) => organizer.sale({ id: uniqueId('closing'), threshold: 2, intervalMs: 200, autoHold: 0, grid: { rows: 2, seatsPerRow: 10 }, ...settings });

async function guest(id) {
  const client = new Client(server, {});
  await client.check(id);
  return client;
}

// What the answer says: is the buyer in or out? Anything else is an error.
function said({ status, body, text }, { inside: ok, outside = 410 }) {
  if (status === ok) return 'in';
  assert.equal(status, outside, `${status} ${text}`);
  if (outside === 410 && body?.code) assert.equal(body.code, 'event-closed', text);
  return 'out';
}

async function socketSays(client, id) {
  const socket = await Socket.open(server, { cookie: `tiketi_guest=${client.cookies.get('tiketi_guest')}` });
  try {
    socket.send('join-queue', { eventId: id, ticket: client.ticket });
    const name = await waitUntil(() => ['queue-entry-allowed', 'error'].find((each) => socket.all(each).length > 0), 10000, 'an answer');
    if (name === 'error') assert.equal(socket.all('error')[0].payload.code, 'event-closed');
    return name === 'error' ? 'out' : 'in';
  } finally {
    await socket.drop();
  }
}

// All places that say whether the buyer is inside.
async function asked(client, id) {
  const active = (answer) => {
    if (answer.status === 200) assert.equal(answer.body.status, 'active', answer.text);
    return said(answer, { inside: 200 });
  };
  const page = await client.get(`/wait/${id}`);
  const held = await client.reserve({ eventId: id, quantity: 1 });
  // The seats that were held before the close, where no others can be.
  const payable = held.status === 201 ? held.body.id : client.held;
  client.held = payable;
  return {
    check: active(await client.check(id)),
    status: active(await client.status(id)),
    heartbeat: active(await client.heartbeat(id)),
    claim: active(await client.heartbeat(id, { json: { claim: true } })),
    page: { admitted: 'in', closed: 'out' }[state(page.text)],
    socket: await socketSays(client, id),
    gate: said(await client.get(`/api/gate/${id}`), { inside: 204, outside: 401 }),
    hold: said(held, { inside: 201 }),
    pay: said(await client.post(`/api/reservations/${payable}/pay`), { inside: 200 }),
  };
}

const all = (word) => ({ check: word, status: word, heartbeat: word, claim: word, page: word, socket: word, gate: word, hold: word, pay: word });

for (const [grace, then] of [[null, 'in'], [0, 'out'], [LONG_MS, 'in']]) {
  for (const how of ['by hand', 'by its time']) {
    test(`closed ${how} with closeGraceMs ${grace}: every place says ${then} to who is inside, and out to all others`, async () => {
      const { id } = await sale({ closeGraceMs: grace });
      const client = await guest(id);
      await guest(id);
      const waiting = await guest(id);
      const pass = client.pass;
      assert.deepEqual(await asked(client, id), all('in'), 'before');
      if (how === 'by hand') await organizer.act(id, 'close');
      else await organizer.patch(id, { closesAt: new Date(Date.now() + 300).toISOString() });
      await waitUntil(async () => (await waiting.check(id)).status === 410, 15000, 'the close');
      assert.deepEqual(await asked(client, id), all(then), 'after');
      assert.equal((await server.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': pass } })).status, then === 'in' ? 204 : 401);
      assert.equal((await waiting.status(id)).status, 410);
      assert.equal(state((await waiting.get(`/wait/${id}`)).text), 'closed');
      if (then === 'out') await waitUntil(async () => (await inside(id)) === 0, 10000, 'nobody inside');
      else assert.equal(await inside(id), 2);
      if (grace === LONG_MS) { // until then at most
        await organizer.patch(id, { closeGraceMs: 1 });
        await waitUntil(async () => (await client.check(id)).status === 410, 10000, 'the change');
        assert.deepEqual(await asked(client, id), all('out'));
        await waitUntil(async () => (await inside(id)) === 0, 10000, 'nobody inside');
      }
    });
  }
}

test('a pass and the end of the turn that is told outlast neither the close nor its grace', async () => {
  const closesAt = new Date(Date.now() + 60000).toISOString();
  const { id } = await sale({ closesAt, closeGraceMs: 5000, sessionLimitMs: 3600000 });
  const client = new Client(server, { sub: uniqueId('late') });
  const { body } = await client.check(id);
  const end = Date.parse(closesAt) + 5000;
  assert.equal(Date.parse(body.turnEndsAt), end);
  assert.ok(Date.parse(body.passExpiresAt) <= end && Date.parse(body.passExpiresAt) > end - 1000, body.passExpiresAt);
  await organizer.patch(id, { closeGraceMs: null });
  await waitUntil(async () => Date.parse((await client.check(id)).body.turnEndsAt) > end, 10000, 'the turn to run to its end');
  assert.ok(Date.parse((await client.check(id)).body.passExpiresAt) > end);
});

test('everybody out: a socket is told at once, claimed turns are spent, an offer keeps its place, and so it is after reopening', async (t) => {
  const { id } = await sale({ threshold: 1, closeGraceMs: 0, claimMs: 600000 });
  const first = new Client(server, { sub: uniqueId('first') });
  await first.check(id);
  const second = new Client(server, { sub: uniqueId('second') });
  await second.check(id);
  const [place, spent] = [decode(second.ticket).p, decode(first.ticket).p];
  await organizer.patch(id, { threshold: 2 });
  await waitUntil(async () => (await second.status(id)).body.claimed === false, 10000, 'the offer');
  const socket = await Socket.open(server, {});
  t.after(() => socket.drop());
  socket.join(first, id);
  await socket.next('queue-entry-allowed');
  await organizer.act(id, 'close');
  assert.equal((await socket.next('error')).payload.code, 'event-closed');
  await waitUntil(async () => (await inside(id)) === 0, 10000, 'nobody inside');
  const ends = (await log(id)).slice(-2).map(({ kind, place: p }) => [kind, p]).sort();
  assert.deepEqual(ends, [['timeout', String(spent)], ['unclaimed', String(place)]].sort());
  await organizer.act(id, 'reopen');
  const back = await waitUntil(async () => (await second.check(id, { headers: { 'x-tiketi-ticket': second.ticket } })).status === 200, 10000, 'open again');
  assert.ok(back);
  assert.equal(decode(second.ticket).p, place, 'the place of the offer');
  await first.check(id, { headers: { 'x-tiketi-ticket': first.ticket } });
  assert.notEqual(decode(first.ticket).p, spent, 'a place that had its turn is spent');
});

test('a payment that began before the close is a purchase when its money comes, whatever the grace', async () => {
  const { id } = await sale({ closeGraceMs: 0 });
  const client = new Client(server, { sub: uniqueId('payer') });
  await client.check(id);
  const { body: held } = await client.reserve({ eventId: id, quantity: 1 });
  assert.equal((await client.post(`/api/reservations/${held.id}/pay`)).status, 200);
  await organizer.act(id, 'close');
  await waitUntil(async () => (await client.check(id)).status === 410, 10000, 'the close');
  const [{ reference }] = await database.query('SELECT reference FROM payments WHERE reservation_id = $1', [held.id]);
  await pay(server, held, { reference, provider: 'demo' });
  assert.equal((await client.get(`/api/reservations/${held.id}`)).body.status, 'confirmed');
});

test('Redis loses its data while the sale is closed: a turn that goes on comes back by its pass, and nobody else', async () => {
  const { id } = await sale({ closeGraceMs: null });
  const client = new Client(server, { sub: uniqueId('kept') });
  await client.check(id);
  const left = new Client(server, { sub: uniqueId('left') });
  await left.check(id);
  const [own, spent] = [client.pass, left.pass];
  await left.leave(id);
  await waitUntil(async () => (await database.query("SELECT 1 FROM admissions WHERE event_id = $1 AND kind = 'left'", [id])).length === 1, 15000, 'the log');
  await organizer.act(id, 'close');
  await waitUntil(async () => (await new Client(server, { sub: uniqueId('new') }).check(id)).status === 410, 10000, 'the close');
  await redis.cli('FLUSHALL');
  const ask = (one, pass) => one.status(id, { headers: { 'x-tiketi-pass': pass } });
  await waitUntil(async () => {
    const { status, body } = await ask(client, own);
    if (status !== 200) assert.equal(status, 503, 'not told that the sale is closed meanwhile');
    return body.status === 'active';
  }, 20000, 'the turn');
  await waitUntil(async () => (await ask(left, spent)).status === 410, 20000, 'a pass that was spent is worth nothing');
  assert.equal(await inside(id), 1);
});

test('a processor stays with a closed sale until the last has left, however long ago it was closed', async () => {
  const { id } = await sale({ closeGraceMs: null, idleTimeoutMs: 3600000, sessionLimitMs: 3600000 });
  const client = new Client(server, { sub: uniqueId('last') });
  await client.check(id);
  await organizer.act(id, 'close');
  await database.query("UPDATE events SET closed_at = clock_timestamp() - interval '1 day' WHERE id = $1", [id]);
  // Discoveries that no longer name the event: every 5 s.
  const from = await redis.cli('HGET', `config:{${id}}`, 'tickedAt');
  await waitUntil(async () => Number(await redis.cli('HGET', `config:{${id}}`, 'tickedAt')) > Number(from) + 12000, 20000, 'ticks go on');
  assert.equal((await client.check(id)).body.status, 'active');
  await client.leave(id);
  await waitUntil(async () => Number(await redis.cli('EXISTS', `lease:{${id}}`)) === 0, 30000, 'the lease to be given up');
});
