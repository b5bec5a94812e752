// SPDX-License-Identifier: MIT
//
// The life of an event, as an organizer leads it: publish, open, pause, resume, close, reopen; what must be confirmed,
// what is refused, what is warned of; why nobody enters.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Server, dice, jwt, seedOf, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (id, rest = '') => `/api/admin/events/${id}${rest}`;
const codes = (event) => event.warnings.map(({ code }) => code);
const later = (ms) => new Date(Date.now() + ms).toISOString();
const draft = async (settings = {}) => (await organizer.sale({ open: false, ...settings })).id;
const grid = { rows: 1, seatsPerRow: 4 };

// Refused with this status and field, and a detail that says the way out.
const refused = async (answer, status, field, pattern) => {
  const { status: got, body, text } = await answer;
  assert.deepEqual([got, body.field], [status, field], text);
  if (pattern) assert.match(body.detail, pattern);
  return body;
};

// ---- states ----

test('publish and open are two words: a published event opens at its time, an opened one now', async () => {
  const id = await draft({ opensAt: later(3600_000), grid });
  const buyer = new Client(server, { sub: 'early' });
  assert.equal((await buyer.check(id)).status, 404);
  const published = await organizer.act(id, 'publish');
  assert.equal(published.status, 'scheduled');
  assert.equal((await buyer.check(id)).body.status, 'scheduled');
  const opened = await organizer.act(id, 'open');
  assert.equal(opened.status, 'open');
  assert.ok(Math.abs(Date.parse(opened.opensAt) - Date.now()) < 5000, opened.opensAt);
  await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 15000, 'in, as it is open');

  const passed = await draft({ opensAt: later(-1000), grid });
  assert.equal((await organizer.act(passed, 'publish')).status, 'open');

  const untimed = await draft({ grid });
  const waits = await organizer.act(untimed, 'publish');
  assert.deepEqual([waits.status, codes(waits)], ['scheduled', ['no-opening']]);
  assert.equal((await organizer.act(untimed, 'open')).status, 'open');
});

test('a draft whose time passes is told in its answer, in the list and in the stats', async () => {
  const id = await draft({ opensAt: later(3600_000), grid });
  assert.deepEqual(codes(await organizer.must('GET', admin(id))), ['unpublished']);
  await organizer.must('PATCH', admin(id), { opensAt: later(700) });
  const overdue = await waitUntil(async () => codes(await organizer.must('GET', admin(id))).includes('overdue') && organizer.must('GET', admin(id)), 5000, 'the warning');
  assert.equal(overdue.warnings[0].field, 'opensAt');
  assert.match(overdue.warnings[0].message, /publish/i);
  const { events } = await organizer.must('GET', '/api/admin/events');
  const listed = events.find((event) => event.id === id);
  assert.deepEqual([codes(listed), listed.owner, listed.seats], [['overdue'], 'organizer', 4]);
  const stats = await organizer.stats(id);
  assert.deepEqual([stats.status, codes(stats), stats.limitedBy], ['draft', ['overdue'], undefined]);
});

test('close is taken back by reopen: tickets of the same epoch hold, and a paused event is paused again', async () => {
  const { id } = await organizer.sale({ threshold: 1, intervalMs: 600000 });
  const [inside, first, second] = ['in', 'w1', 'w2'].map((sub) => new Client(server, { sub: `${sub}-${id}` }));
  for (const buyer of [inside, first, second]) await buyer.check(id);
  assert.equal((await organizer.act(id, 'close')).status, 'closed');
  await waitUntil(async () => (await second.check(id)).status === 410, 5000, 'closed');
  const back = await organizer.act(id, 'reopen');
  assert.equal(back.status, 'open');
  await waitUntil(async () => (await second.check(id)).status === 200, 5000, 'open again');
  assert.deepEqual([(await second.check(id)).body.position, (await first.check(id)).body.position], [2, 1]);
  assert.equal((await inside.check(id)).body.status, 'active');

  await organizer.act(id, 'pause');
  await organizer.act(id, 'close');
  assert.equal((await organizer.act(id, 'reopen')).status, 'paused');
  await refused(organizer.post(admin(id, '/reopen')), 409, 'status', /paused.*resume/);
});

test('an event that its closesAt has closed is reopened without it', async () => {
  const { id } = await organizer.sale({ closesAt: later(1500) });
  const buyer = (n) => new Client(server, { sub: `late${n}-${id}` });
  let n = 0;
  await waitUntil(async () => (await buyer(++n).check(id)).status === 410, 10000, 'closed by its time');
  const back = await organizer.act(id, 'reopen');
  assert.deepEqual([back.status, back.closesAt], ['open', null]);
  await waitUntil(async () => (await buyer('').check(id)).status === 200, 5000, 'open again');
});

test('a verb that the state does not allow says what is possible', async () => {
  const id = await draft();
  await refused(organizer.post(admin(id, '/close')), 409, 'status', /draft.*DELETE/);
  await refused(organizer.post(admin(id, '/clear')), 409, 'status', /draft/);
  await refused(organizer.post(admin(id, '/reopen')), 409, 'status', /draft/);
  const open = (await organizer.sale()).id;
  await refused(organizer.post(admin(open, '/publish')), 409, 'status', /open.*pause or close/);
  await refused(organizer.post(admin(open, '/resume')), 409, 'status');
});

test('a draft whose closesAt has passed is not published: the field is named', async () => {
  const id = await draft({ closesAt: later(300) });
  await waitUntil(async () => Date.parse((await organizer.must('GET', admin(id))).closesAt) < Date.now(), 5000, 'the time');
  for (const verb of ['publish', 'open']) await refused(organizer.post(admin(id, `/${verb}`)), 409, 'closesAt', /null/);
});

// The model: what each verb does, in plain words; undefined: refused. `opens`: none, future or past.
const MODEL = {
  publish: ({ status, opens }) => status === 'draft' && { status: opens === 'past' ? 'open' : 'scheduled' },
  open: ({ status }) => ['draft', 'scheduled'].includes(status) && { status: 'open', opens: 'past' },
  pause: ({ status }) => ['scheduled', 'open'].includes(status) && { status: 'paused' },
  resume: ({ status, opens }) => status === 'paused' && { status: opens === 'past' ? 'open' : 'scheduled' },
  close: ({ status }) => ['scheduled', 'open', 'paused'].includes(status) && { status: 'closed', wasPaused: status === 'paused' },
  reopen: ({ status, opens, wasPaused }) => status === 'closed' && { status: wasPaused ? 'paused' : opens === 'past' ? 'open' : 'scheduled' },
  postpone: ({ status }) => status !== 'open' && { opens: 'future' },
  forgetOpening: ({ status }) => status !== 'open' && { opens: 'none' },
};

test('random walks of verbs lead where a plain model says, in the record and in Redis', async (t) => {
  const seed = seedOf(t);
  const roll = dice(seed);
  for (let walk = 0; walk < 4; walk++) {
    const id = await draft({ threshold: 0 });
    let state = { status: 'draft', opens: 'none' };
    const path = [];
    for (let step = 0; step < 25; step++) {
      const verb = roll.any(Object.keys(MODEL));
      const next = MODEL[verb](state);
      path.push(verb);
      const change = { postpone: { opensAt: later(3600_000) }, forgetOpening: { opensAt: null } }[verb];
      const answer = change
        ? await organizer.request('PATCH', admin(id), { json: change })
        : await organizer.post(admin(id, `/${verb}`), { json: verb === 'close' ? { confirm: id } : undefined });
      assert.equal(answer.status, next ? 200 : 409, `seed ${seed}: ${path.join(' ')}: ${answer.text}`);
      if (next) state = { ...state, ...next };
      const stored = await organizer.must('GET', admin(id));
      assert.equal(stored.status, state.status, `seed ${seed}: ${path.join(' ')}`);
      const kept = stored.opensAt === null ? 'none' : Date.parse(stored.opensAt) > Date.now() ? 'future' : 'past';
      assert.equal(kept, state.opens, `seed ${seed}: ${path.join(' ')}`);
      if (state.status !== 'draft') assert.equal(await redis.cli('HGET', `config:{${id}}`, 'status'), state.status, path.join(' '));
    }
  }
});

// ---- confirmation ----

for (const verb of ['close', 'clear'])
  test(`${verb} with buyers is confirmed by title, id or version; without buyers nothing is asked`, async () => {
    const empty = await organizer.sale();
    assert.equal((await organizer.post(admin(empty.id, `/${verb}`))).status, 200);

    const { id, title } = await organizer.sale({ title: 'Caf\u0065\u0301 Night' });
    assert.equal((await new Client(server, { sub: 'someone' }).check(id)).status, 200);
    const send = (json, headers) => organizer.post(admin(id, `/${verb}`), { json, headers });
    const needed = await refused(send(), 409, 'confirm', /title or id/);
    assert.equal(needed.code, 'confirm-needed');
    await refused(send({}), 409, 'confirm');
    await refused(send({ confirm: 'Cafe Night' }), 400, 'confirm', /neither/);
    await refused(send({ confirm: true }), 400, 'confirm');
    await refused(send({ confirmed: id }), 400, 'confirmed');
    const { headers, body } = await organizer.get(admin(id));
    assert.equal(body.status, 'open');
    assert.equal(body.epoch, 1);
    assert.equal((await send(undefined, { 'if-match': '"99"' })).status, 412);
    const again = async () => (verb === 'close' ? organizer.act(id, 'reopen') : undefined);
    assert.equal((await send(undefined, { 'if-match': headers.etag })).status, 200);
    await again();
    assert.equal((await send({ confirm: id })).status, 200);
    await again();
    assert.equal(title, 'Café Night'.normalize('NFC'));
    assert.equal((await send({ confirm: '  Caf\u0065\u0301 Night ' })).status, 200, 'as somebody types it');
  });

test('when Redis cannot tell whether there are buyers, close asks', async () => {
  const pod = await Server.start({ redis: { url: 'redis://127.0.0.1:9' }, database, roles: 'api' });
  try {
    const { id } = await organizer.sale();
    const answer = await new Organizer(pod).post(admin(id, '/close'));
    assert.ok([409, 503].includes(answer.status), answer.text);
    assert.equal((await organizer.must('GET', admin(id))).status, 'open');
  } finally {
    await pod.stop();
  }
});

// ---- what cannot be meant ----

test('impossible times and rules are refused by field; a change that does not touch them is not', async () => {
  const make = (json) => organizer.post('/api/admin/events', { json: { title: 'Nonsense', ...json } });
  await refused(make({ closesAt: '2020-01-01T00:00:00Z' }), 400, 'closesAt', /passed/);
  await refused(make({ opensAt: later(7200_000), startsAt: later(3600_000) }), 400, 'opensAt', /before startsAt/);
  await refused(make({ opensAt: '2031-01-01T20:00:00' }), 400, 'opensAt', /time zone/);
  await refused(make({ opensAt: '2031-01-01' }), 400, 'opensAt', /day without a time/);
  await refused(make({ opensAt: '2031-02-30T20:00:00+09:00' }), 400, 'opensAt', /no day 2031-02-30/);
  assert.equal((await make({ opensAt: '2031-01-01T20:00:00+09:00' })).status, 201);
  await refused(make({ threshold: 50, surge: [{ queueAbove: 200, threshold: 10 }] }), 400, 'surge[0].threshold', /at least.*50/);

  const { id } = await organizer.sale({ threshold: 50, surge: [{ queueAbove: 200, threshold: 75 }], opensAt: later(-1000), grid });
  const patch = (json) => organizer.request('PATCH', admin(id), { json });
  await refused(patch({ opensAt: later(3600_000) }), 409, 'opensAt', /pause/);
  await refused(patch({ closesAt: later(-500) }), 400, 'closesAt', /POST …\/close/);
  await refused(patch({ rehearsal: true }), 409, 'rehearsal', /draft/);
  await refused(patch({ status: 'paused' }), 400, 'status', /POST …\/publish/);
  await refused(patch({ message: 'Hello' }), 400, 'message', /POST …\/message/);
  await refused(patch({ surge: [{ queueAbove: 200, threshold: 49 }] }), 400, 'surge[0].threshold');
  const raised = await patch({ threshold: 150 });
  assert.deepEqual([raised.status, codes(raised.body)], [200, ['surge-without-effect']], 'an old rule stands in nobody\'s way');
  const { opensAt } = raised.body;
  assert.equal((await patch({ opensAt, venue: 'the same time' })).status, 200);
});

test('what is legal but hardly meant is warned of, in the answer of the change and ever after', async () => {
  const { id } = await organizer.sale({ grid });
  const patched = async (json) => codes((await organizer.must('PATCH', admin(id), json)));
  assert.deepEqual(await patched({ threshold: 0 }), ['nobody-enters']);
  assert.deepEqual(codes(await organizer.must('GET', admin(id))), ['nobody-enters']);
  assert.deepEqual(await patched({ threshold: 5, sessionLimitMs: 600 }), ['short-session', 'hold-outlives-session']);
  assert.deepEqual(await patched({ sessionLimitMs: 600000, holdMs: 600001 }), ['hold-outlives-session']);
  assert.deepEqual(await patched({ holdMs: 300000 }), []);
  assert.deepEqual(codes(await organizer.must('GET', admin((await organizer.sale()).id))), ['no-seats']);
});

test('a wrong role is told which roles may, a wrong id that there is no such event', async () => {
  const { id } = await organizer.sale();
  const viewer = new Client(server, { token: jwt({ sub: 'eyes', role: 'viewer' }) });
  const denied = await viewer.post(admin(id, '/pause'));
  assert.equal(denied.status, 403);
  assert.match(denied.body.detail, /sre, organizer, admin/);
  for (const rest of ['', '/stats', '/audit']) {
    const { status, body } = await organizer.get(admin('nowhere', rest));
    assert.deepEqual([status, body.code, body.detail], [404, 'unknown-event', 'There is no such event.'], rest);
  }
});

// ---- why nobody enters ----

test('stats, process and admit say what limits, with the numbers', async () => {
  const { id } = await organizer.sale({ threshold: 2, intervalMs: 600000, promotion: 'interval', surge: [{ queueAbove: 100, threshold: 9 }] });
  for (let i = 0; i < 5; i++) await new Client(server, { sub: `crowd${i}` }).check(id);
  const full = await waitUntil(async () => (await organizer.post(admin(id, '/process'))).status === 200 && organizer.act(id, 'process'), 15000, 'a processor');
  const numbers = { waiting: 3, inside: 2, threshold: 2, baseThreshold: 2, outflowPerMinute: 0, outflowWaitMs: 0, seatsLeft: null };
  assert.deepEqual([full.promoted, full.limitedBy, full.limits], [0, 'threshold', numbers]);
  assert.deepEqual(await organizer.act(id, 'admit', { count: 5 }), { eventId: id, admitted: 0, limitedBy: 'threshold', limits: numbers });
  const stats = await waitUntil(async () => (await organizer.stats(id)).limits?.waiting === 3 && organizer.stats(id), 10000, 'the index');
  assert.deepEqual([stats.limitedBy, stats.limits], ['threshold', numbers]);
  assert.equal('limit' in stats.counters, false);

  await organizer.patch(id, { threshold: 3 });
  const one = await waitUntil(async () => {
    const answer = await organizer.act(id, 'admit', { count: 1 });
    return answer.admitted === 1 && answer;
  }, 10000, 'one more');
  assert.equal(one.limitedBy, null, 'as many as were asked for');
  await organizer.act(id, 'pause');
  await waitUntil(async () => (await organizer.act(id, 'admit', { count: 1 })).limitedBy === 'paused', 10000, 'paused is the reason');
  await waitUntil(async () => (await organizer.stats(id)).limitedBy === 'paused', 10000, 'in the stats, too');
  await organizer.act(id, 'close');
  await waitUntil(async () => (await organizer.stats(id)).limitedBy === 'closed', 10000, 'closed');
  assert.equal((await organizer.stats(id)).admissionsPerMinute, 0);
});

test('without a processor the stats say for ten seconds that a new event begins, then backend', async () => {
  const pod = await Server.start({ redis, database, roles: 'api', env: { REDIS_PREFIX: 'lonely' } });
  try {
    const { id } = await new Organizer(pod).sale();
    const lonely = new Organizer(pod);
    const stats = await lonely.stats(id);
    assert.deepEqual([stats.limitedBy, stats.limits], ['starting', undefined]);
    await new Client(pod, { sub: 'lonely' }).check(id);
    assert.deepEqual((await lonely.stats(id)).warnings.map(({ code }) => code).filter((code) => code === 'no-processor'), [], 'not yet an alert');
    const later = await waitUntil(async () => {
      const now = await lonely.stats(id);
      return now.limitedBy === 'backend' && now;
    }, 20000, 'backend');
    assert.ok(later.warnings.some(({ code }) => code === 'no-processor'));
  } finally {
    await pod.stop();
  }
});

test('a surge never lowers the limit, whatever its rules say', async () => {
  const { id } = await organizer.sale({ threshold: 2, intervalMs: 200, surge: [{ queueAbove: 2, threshold: 3 }] });
  for (let i = 0; i < 12; i++) await new Client(server, { sub: `wave${i}` }).check(id);
  await waitUntil(async () => (await organizer.stats(id)).limits?.inside === 3, 10000, 'the surge');
  await organizer.patch(id, { threshold: 5 });
  const { limits } = await waitUntil(async () => {
    const stats = await organizer.stats(id);
    return stats.limits?.inside === 5 && stats;
  }, 10000, 'the greater of the two');
  assert.deepEqual([limits.threshold, limits.baseThreshold], [5, 5]);
});

// ---- what the public sees ----

test('the public sees of an event what buyers need', async () => {
  const { id } = await organizer.sale({ threshold: 77, surge: [{ queueAbove: 5, threshold: 99 }], outflowPerMinute: 60 });
  const one = (await server.get(`/api/events/${id}`)).body;
  const listed = await waitUntil(async () => (await server.get('/api/events')).body.events.find((event) => event.id === id), 5000, 'it to be listed');
  for (const event of [one, listed]) {
    assert.equal(event.maxSeats, 4);
    for (const name of ['threshold', 'surge', 'outflowPerMinute', 'intervalMs', 'silentMs', 'placesPerNetwork', 'autoHold', 'returnUrls', 'owner', 'epoch', 'warnings'])
      assert.equal(name in event, false, name);
  }
});
