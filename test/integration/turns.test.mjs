// SPDX-License-Identifier: MIT
//
// A turn is offered, claimed, and never lost in silence: what claims it and what does not, what its answers say, and what
// becomes of it when nobody claims, sends heartbeats or pays.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Socket, decode, pay, stage, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage({ env: { RESTORE_MS: 6000, WS_PING_MS: 1000 } });

async function sale(settings = {}) {
  return organizer.sale({ id: uniqueId('turn'), threshold: 1, intervalMs: 100, autoHold: 0, ...settings });
}

const logOf = async (id, buyer) => (await redis.client.xrange(`log:{${id}}`, '-', '+'))
  .map(([, list]) => Object.fromEntries(list.flatMap((value, i) => (i % 2 ? [] : [[value, list[i + 1]]]))))
  .filter((entry) => !buyer || entry.buyer === buyer);
const kindsOf = async (id, buyer) => (await logOf(id, buyer)).map(({ kind }) => kind);
const member = async (key, id, buyer) => (await redis.cli('ZSCORE', `${key}:{${id}}`, buyer)) !== null;
const buyerOf = (client) => (client.token ? `u:${decode(client.token).sub}` : client.cookies.get('tiketi_guest').split('.')[0]);

// A buyer to whom the event's only slot was just offered. guest: with a page's cookie instead of a token.
async function offered({ guest = false, ...settings } = {}) {
  const { id } = await sale({ grid: { rows: 2, seatsPerRow: 10 }, ...settings });
  const first = new Client(server, { sub: uniqueId('first') });
  assert.equal((await first.check(id)).body.claimed, true, 'a direct admission is claimed at once');
  const client = new Client(server, guest ? {} : { sub: uniqueId('second') });
  const joined = await client.check(id);
  assert.equal(joined.body.status, 'queued');
  const buyer = buyerOf(client);
  await first.leave(id);
  await waitUntil(() => member('active:offered', id, buyer), 10000, 'the offer');
  return { id, client, buyer, first, place: decode(joined.body.ticket).p };
}

const claimed = async (id, buyer) => !(await member('active:offered', id, buyer)) && (await member('active:since', id, buyer));

test('an offer: no pass before the claim; the answer of the claim has it, and the one honest deadline', async () => {
  const { id, client, buyer } = await offered({ claimMs: 60000, sessionLimitMs: 300000, idleTimeoutMs: 45000 });
  const { body: offer } = await client.status(id);
  assert.deepEqual([offer.queued, offer.status, offer.claimed], [false, 'active', false]);
  assert.equal(offer.pass, undefined);
  assert.ok(Math.abs(Date.parse(offer.claimExpiresAt) - Date.now() - 60000) < 15000);
  const { body: plain } = await client.heartbeat(id);
  assert.deepEqual([plain.status, plain.claimed, plain.claimExpiresAt], ['active', false, offer.claimExpiresAt]);
  assert.deepEqual(await kindsOf(id, buyer), ['offered']);

  const { body: turn } = await client.heartbeat(id, { json: { claim: true } });
  assert.deepEqual([turn.status, turn.claimed, turn.idleTimeoutMs], ['active', true, 45000]);
  assert.equal(decode(turn.pass).sub, buyer);
  assert.ok(Math.abs(Date.parse(turn.turnEndsAt) - Date.now() - 300000) < 15000, 'the session began with the claim');
  for (const again of [await client.check(id), await client.status(id), await client.heartbeat(id, { json: { claim: true } })]) {
    assert.equal(again.body.turnEndsAt, turn.turnEndsAt, 'a claim is idempotent');
    assert.ok(again.body.pass);
  }
  assert.deepEqual(await kindsOf(id, buyer), ['offered', 'claimed']);
  const { body: known } = await client.heartbeat(id);
  assert.deepEqual([known.status, known.claimed, known.pass], ['active', true, undefined]);
});

test('the body of a heartbeat is checked', async () => {
  const { id, client } = await offered();
  for (const json of [{ claim: 'yes' }, { claimed: true }]) {
    const { status, body } = await client.heartbeat(id, { json });
    assert.deepEqual([status, body.code], [400, 'invalid']);
  }
});

for (const [what, { guest, act }] of Object.entries({
  check: { act: ({ client, id }) => client.check(id) },
  'a heartbeat with claim': { act: ({ client, id }) => client.heartbeat(id, { json: { claim: true } }) },
  'the waiting page': { guest: true, act: ({ client, id }) => client.get(`/wait/${id}`) },
  'the buying page': { guest: true, act: ({ client, id }) => client.get(`/buy/${id}`) },
  'the gate': { act: ({ client, id }) => client.get(`/api/gate/${id}`) },
  'a hold': { act: ({ client, id }) => client.reserve({ eventId: id, quantity: 1 }) },
  'a form of the buying page': {
    guest: true,
    act: ({ client, id }) => client.post(`/buy/${id}`, {
      body: 'action=best&quantity=1', headers: { 'content-type': 'application/x-www-form-urlencoded', origin: server.url },
    }),
  },
})) {
  test(`${what} claims`, async () => {
    const turn = await offered({ guest });
    const { status } = await act(turn);
    assert.ok(status < 400, String(status));
    assert.ok(await claimed(turn.id, turn.buyer));
    assert.deepEqual(await kindsOf(turn.id, turn.buyer), ['offered', 'claimed']);
  });
}

test('what nobody sees claims nothing: status, heartbeats, pages that are loaded ahead or as a part, HEAD', async () => {
  const turn = await offered({ guest: true });
  const { id, client, buyer } = turn;
  await client.status(id);
  await client.heartbeat(id);
  await client.heartbeat(id, { json: {} });
  await client.heartbeat(id, { json: { claim: false } });
  for (const page of [`/wait/${id}`, `/buy/${id}`]) {
    await client.request('HEAD', page);
    await client.get(page, { headers: { 'sec-purpose': 'prefetch;prerender' } });
    await client.get(page, { headers: { 'sec-fetch-dest': 'iframe' } });
  }
  await client.get(`/wait/${id}?left=1`);
  await client.get('/api/reservations');
  assert.deepEqual(await kindsOf(id, buyer), ['offered']);
});

test('a socket is told of the offer without a pass; pongs and plain heartbeats do not claim, a heartbeat with claim does', async (t) => {
  const { id } = await sale({ autoHold: 1, grid: { rows: 1, seatsPerRow: 5 } });
  const first = new Client(server, { sub: uniqueId('first') });
  await waitUntil(async () => (await first.check(id)).body.status === 'active', 10000, 'the free seats to be known');
  const client = new Client(server, { sub: uniqueId('second') });
  await client.check(id);
  const tabs = [];
  for (let i = 0; i < 2; i++) {
    tabs.push(await Socket.open(server, {}));
    t.after(() => tabs[i].drop());
    tabs[i].join(client, id);
    await tabs[i].next('queue-position');
  }
  await first.leave(id);
  for (const tab of tabs) {
    const { payload } = await tab.next('queue-entry-allowed');
    assert.deepEqual([payload.claimed, payload.pass], [false, undefined]);
    assert.ok(Date.parse(payload.claimExpiresAt) > Date.now());
  }
  const pings = tabs[0].pings;
  tabs[0].send('heartbeat');
  await waitUntil(() => tabs[0].pings > pings + 2, 10000, 'pongs');
  assert.deepEqual(await kindsOf(id, buyerOf(client)), ['offered']);
  tabs[0].claim();
  for (const tab of tabs) {
    const { payload } = await tab.next('turn-claimed');
    assert.equal(decode(payload.pass).sub, buyerOf(client));
    assert.ok(payload.claimed && Date.parse(payload.turnEndsAt) > Date.now() && payload.idleTimeoutMs > 0);
  }
  assert.deepEqual(await kindsOf(id, buyerOf(client)), ['offered', 'claimed']);
  // a socket that comes later is told at once
  const late = await Socket.open(server, {});
  t.after(() => late.drop());
  late.join(client, id);
  assert.equal((await late.next('queue-entry-allowed')).payload.claimed, true);
});

test('a tab learns that another one has claimed by HTTP', async (t) => {
  const { id, client } = await offered();
  const tab = await Socket.open(server, {});
  t.after(() => tab.drop());
  tab.join(client, id);
  assert.equal((await tab.next('queue-entry-allowed')).payload.claimed, false);
  await client.check(id);
  assert.ok((await tab.next('turn-claimed')).payload.pass);
});

test('an offer that nobody claims goes to the next buyer; the place is kept, and only a claim brings the buyer back to the head', async (t) => {
  const { id, client, buyer, place } = await offered({ claimMs: 3000 });
  const tab = await Socket.open(server, {});
  t.after(() => tab.drop());
  tab.join(client, id);
  const next = new Client(server, { sub: uniqueId('next') });
  await next.check(id);
  await waitUntil(() => member('active:offered', id, buyerOf(next)), 10000, 'the offer to the next');
  await next.check(id);
  assert.ok(await member('parked', id, buyer));
  assert.equal(await member('consumed', id, buyer), false);

  const shown = await waitUntil(() => tab.all('queue-position').find(({ payload }) => payload.unclaimed), 10000, 'unclaimed on the socket');
  assert.equal(shown.payload.position, 1);
  const again = await Socket.open(server, {});
  t.after(() => again.drop());
  again.join(client, id);
  assert.equal((await again.next('queue-position')).payload.unclaimed, true, 'a resuming socket does not bring them back');
  const { body } = await client.status(id);
  assert.deepEqual([body.queued, body.status, body.position, body.unclaimed], [true, 'queued', 1, true]);
  const { body: beat } = await client.heartbeat(id);
  assert.deepEqual([beat.status, beat.unclaimed], ['queued', true]);
  assert.ok(await member('parked', id, buyer));

  tab.claim();
  await waitUntil(() => member('queue', id, buyer), 10000, 'the buyer at the head again');
  await next.leave(id);
  const offer = await waitUntil(() => tab.all('queue-entry-allowed')[1], 10000, 'the second offer');
  assert.equal(offer.payload.claimed, false);
  const turn = await client.check(id);
  assert.deepEqual([turn.body.claimed, decode(turn.body.ticket).p], [true, place]);
  assert.deepEqual(await kindsOf(id, buyer), ['offered', 'unclaimed', 'returned', 'offered', 'claimed']);
  const numbers = (await logOf(id, buyer)).filter(({ kind }) => kind !== 'returned').map(({ n }) => Number(n));
  assert.ok(numbers[0] === numbers[1] && numbers[2] === numbers[3] && numbers[2] > numbers[0], 'each admission has its number');
});

test('a buyer who comes back each time and takes no turn is told from when on a claim counts, and keeps the place', async (t) => {
  const { id, client, buyer, place } = await offered({ claimMs: 2500 });
  const tab = await Socket.open(server, {});
  t.after(() => tab.drop());
  tab.join(client, id);
  const missed = () => waitUntil(() => member('parked', id, buyer), 10000, 'the offer to run out');
  await missed();
  assert.equal((await client.status(id)).body.claimFrom, undefined, 'the first time costs nothing');
  await client.check(id);
  await waitUntil(() => member('active:offered', id, buyer), 10000, 'the second offer');
  await missed();
  const { body } = await client.status(id);
  assert.deepEqual([body.status, body.unclaimed, body.position], ['queued', true, 1]);
  const from = Date.parse(body.claimFrom);
  assert.ok(from > Date.now() - 1000 && from < Date.now() + 2600, `${from - Date.now()} ms`);
  assert.equal((await client.check(id)).body.claimFrom, body.claimFrom, 'a claim before that brings nobody back');
  assert.equal((await client.heartbeat(id, { json: { claim: true } })).body.claimFrom, body.claimFrom);
  assert.ok(await member('parked', id, buyer));
  await waitUntil(() => tab.all('queue-position').some(({ payload }) => payload.claimFrom === body.claimFrom), 10000, 'the socket to be told');
  await waitUntil(async () => !(await client.check(id)).body.unclaimed, 10000, 'a claim to count again');
  await waitUntil(() => member('active:offered', id, buyer), 10000, 'the third offer');
  const turn = await client.check(id);
  assert.deepEqual([turn.body.claimed, decode(turn.body.ticket).p], [true, place]);
});

test('a turn that is idle for the first time keeps its place: not by the pass, but by a claim the buyer comes back', async () => {
  const { id, client, buyer, place } = await offered({ guest: true, idleTimeoutMs: 1000, sessionLimitMs: 60000 });
  const { body: turn } = await client.check(id);
  await waitUntil(() => member('parked', id, buyer), 10000, 'the idle turn to end');
  const { body } = await client.status(id);
  assert.deepEqual([body.status, body.unclaimed, body.pass], ['queued', true, undefined]);
  assert.equal((await client.get(`/api/gate/${id}`)).status, 401, 'the gate is closed, but it is asked for a page: it claims');
  await waitUntil(() => member('active:offered', id, buyer), 10000, 'the second offer');
  const { body: second } = await client.check(id);
  assert.deepEqual([second.claimed, decode(second.ticket).p], [true, place]);
  assert.ok(Math.abs(Date.parse(second.turnEndsAt) - Date.parse(turn.turnEndsAt)) < 10000, 'for what is left of the session');
  await waitUntil(() => member('consumed', id, buyer), 10000, 'the second idle end');
  assert.equal((await client.status(id)).body.status, 'not_in_queue');
  assert.deepEqual(await kindsOf(id, buyer), ['offered', 'claimed', 'idle_kept', 'returned', 'offered', 'claimed', 'idle']);
});

// A buyer whose payment is pending, of an event whose idle limit is short.
async function paying() {
  const { id } = await sale({ grid: { rows: 1, seatsPerRow: 5 }, idleTimeoutMs: 1000, sessionLimitMs: 1500, holdMs: 60000 });
  const client = new Client(server, { sub: uniqueId('paying') });
  await client.check(id);
  const { body: hold } = await client.reserve({ eventId: id, quantity: 1 });
  const { status, body: order } = await client.post(`/api/reservations/${hold.id}/pay`);
  assert.equal(status, 200);
  return { id, client, buyer: buyerOf(client), hold, order };
}

test('while a payment is pending, its deadline takes the place of the idle and session limits', async () => {
  const { id, client, buyer, hold, order } = await paying();
  await staysTrueFor(2500, async () => Number(await redis.cli('SISMEMBER', `active:{${id}}`, buyer)) === 1, 'the buyer is inside');
  const { body } = await client.status(id);
  assert.deepEqual([body.status, body.claimed, body.turnEndsAt], ['active', true, order.expiresAt]);
  const { status } = await pay(server, hold, { provider: order.provider, reference: order.reference });
  assert.equal(status, 200);
  assert.deepEqual(await kindsOf(id, buyer), ['direct', 'completed']);
});

for (const [how, end] of Object.entries({
  'the seats are given back': ({ client, hold }) => client.post(`/api/reservations/${hold.id}/cancel`),
  'the provider reports that it failed': ({ hold, order }) => pay(server, hold, { provider: order.provider, reference: order.reference, status: 'failed' }),
})) {
  test(`when ${how}, both limits apply again`, async () => {
    const turn = await paying();
    assert.equal((await end(turn)).status, 200);
    assert.equal(await member('active:paying', turn.id, turn.buyer), false);
    await waitUntil(async () => Number(await redis.cli('SISMEMBER', `active:{${turn.id}}`, turn.buyer)) === 0, 10000, 'the end of the turn');
  });
}

test('without Redis an order is handed out all the same: PostgreSQL holds the seats', async () => {
  const { id } = await sale({ grid: { rows: 1, seatsPerRow: 5 } });
  const client = new Client(server, { sub: uniqueId('paying') });
  await client.check(id);
  const { body: hold } = await client.reserve({ eventId: id, quantity: 1 });
  await redis.cli('CLIENT', 'PAUSE', '4000', 'ALL');
  const { status, body } = await client.post(`/api/reservations/${hold.id}/pay`);
  assert.deepEqual([status, body.status], [200, 'pending']);
  await waitUntil(async () => (await client.check(id)).status === 200, 15000, 'Redis');
});

test('answers and messages say how new they are: a page can ignore what is older', async (t) => {
  const { id } = await sale({ threshold: 0 });
  const client = new Client(server, { sub: uniqueId('waits') });
  const tab = await Socket.open(server, {});
  t.after(() => tab.drop());
  const seen = [];
  const note = ({ body: { version, revision, status } }) => seen.push({ version, revision, status });
  note(await client.check(id));
  tab.join(client, id);
  for (let i = 0; i < 3; i++) {
    await organizer.act(id, i % 2 ? 'resume' : 'pause');
    const word = i % 2 ? 'queued' : 'paused';
    note(await client.check(id)); // of Redis
    assert.equal(seen.at(-1).status, word);
    await waitUntil(async () => {
      note(await client.status(id)); // perhaps of an index that is a second old
      return seen.at(-1).status === word && seen.at(-1).version === seen.at(-2).version && seen.at(-1).revision >= seen.at(-2).revision;
    }, 10000, 'the index');
  }
  const shown = [];
  let last = { version: 0, revision: 0 };
  for (const answer of seen) {
    assert.ok(Math.abs(answer.revision - Date.now()) < 120000);
    if (answer.version < last.version || (answer.version === last.version && answer.revision < last.revision)) continue;
    last = answer;
    if (shown.at(-1) !== answer.status) shown.push(answer.status);
  }
  assert.deepEqual(shown, ['queued', 'paused', 'queued', 'paused'], 'a page that ignores what is older never goes back');
  const news = await waitUntil(() => tab.all('event-status-changed').filter(({ payload }) => payload.version === last.version).at(-1), 10000, 'the last status');
  assert.equal(news.payload.status, 'paused');
});

// Last, since it empties Redis.
test('after a loss of Redis gateways vouch only for claimed turns', async (t) => {
  const { id } = await sale({ threshold: 2 });
  const leaving = new Client(server, { sub: uniqueId('leaves') });
  const buyers = [];
  const inside = new Client(server, { sub: uniqueId('inside') });
  await inside.check(id);
  await leaving.check(id);
  const offer = new Client(server, { sub: uniqueId('offer') });
  await offer.check(id);
  for (const client of [inside, offer]) {
    const socket = await Socket.open(server, {});
    t.after(() => socket.drop());
    socket.join(client, id);
    buyers.push(socket);
  }
  await leaving.leave(id);
  assert.equal((await buyers[0].next('queue-entry-allowed')).payload.claimed, true);
  assert.equal((await buyers[1].next('queue-entry-allowed')).payload.claimed, false);
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await kindsOf(id, buyerOf(inside))).includes('restored'), 20000, 'the claimed turn');
  await waitUntil(async () => (await kindsOf(id, buyerOf(offer))).length > 0, 20000, 'a new offer');
  assert.deepEqual(await kindsOf(id, buyerOf(offer)), ['offered'], 'at their place, when the window was over');
});
