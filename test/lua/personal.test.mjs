// SPDX-License-Identifier: MIT
//
// person.lua: what Redis has of a buyer, and its erasure; expire.lua: the end of an event's keys; and join.lua, which does
// not bring the place of an erased buyer back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { textOf } from '../fixtures/search.mjs';
import { KEYS, Room } from './room.mjs';

let redis;
let count = 0;

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

async function room(settings = { threshold: 1 }) {
  const own = new Room(redis.client, `p${++count}`);
  await own.configure(settings);
  return own;
}

const end = async (own) => (await own.wholeLog()).at(-1)?.id ?? '0-0';
const consume = async (own) => {
  const id = await end(own);
  await own.free(0, 1, id);
  return id;
};
const dump = async () => (await Promise.all((await redis.client.keys('*')).sort().map((key) => textOf(redis, key)))).join('\n');

test('read: every key that has the buyer, and their entries of the log', async () => {
  const own = await room();
  await own.join(['u:in', 'u:waits']);
  const inside = await own.person('read', 'u:in');
  assert.equal(inside.state, 'active');
  assert.deepEqual(inside.items.map(({ key }) => key).sort(), ['active', 'active:n', 'active:place', 'active:seen', 'active:since', 'log'].map((key) => own.key(key)).sort());
  assert.equal(inside.found, inside.items.length);
  assert.deepEqual(inside.items.filter(({ key }) => key === own.key('log')).map(({ value }) => [value.kind, value.buyer]), [['direct', 'u:in']]);
  const waits = await own.person('read', 'u:waits');
  assert.deepEqual([waits.state, waits.items.map(({ key }) => key)], ['waiting', [own.key('queue')]]);
  assert.deepEqual(await own.person('read', 'u:nobody'), { state: 'gone', next: '', found: 0, waiting: 0, items: [] });
  assert.deepEqual(await new Room(redis.client, 'unknown').person('read', 'u:in'), { code: 'NOCONFIG' });
  const expired = new Room(redis.client, 'expired');
  await redis.client.hset(expired.key('sales'), 'r-1', '1 {"reservation":{}}');
  assert.deepEqual(await expired.person('read', 'u:in', { sales: 'r-1 r-2' }),
    { state: 'gone', next: '', found: 1, waiting: 0, items: [{ key: expired.key('sales'), value: '1 {"reservation":{}}' }] }, 'the copies of sales outlive the other keys');
  assert.deepEqual(await expired.person('erase', 'u:in'), { code: 'NOCONFIG' });
  await own.pay('u:in', Date.now() + 1e6);
  assert.equal((await own.person('read', 'u:in')).state, 'paying');
});

test('read: every type of key, so that a new one is not forgotten', async () => {
  const own = await room();
  const { client } = redis;
  const hashes = ['config', 'kept', 'free', 'stats', 'networks'];
  const texts = ['seq', 'lease', 'fence', 'index'];
  for (const key of KEYS.filter((name) => name !== 'log' && !texts.includes(name))) {
    if (key === 'active') await client.sadd(own.key(key), 'u:everywhere');
    else if (hashes.includes(key)) await client.hset(own.key(key), 'u:everywhere', 'x');
    else await client.zadd(own.key(key), 5, 'u:everywhere');
  }
  await client.xadd(own.key('log'), '*', 'kind', 'left', 'buyer', 'u:everywhere');
  const { items } = await own.person('read', 'u:everywhere');
  assert.deepEqual(items.map(({ key }) => key), KEYS.filter((name) => !texts.includes(name) && name !== 'log').concat('log').map((key) => own.key(key)));
});

test('erase: not whoever has something; then everything that is consumed, and never what the ledger has not read', async () => {
  const own = await room({ threshold: 2 });
  await own.join(['u:a', 'u:b', 'u:waits']);
  for (const [buyer, state] of [['u:a', 'active'], ['u:waits', 'waiting']]) {
    const before = await dump();
    assert.equal((await own.person('erase', buyer, { cursor: '9999999999999-0' })).state, state);
    assert.equal(await dump(), before, 'nothing was changed');
  }
  const { buyers: [{ place }] } = await own.leave(['u:a']);
  const part = await own.person('erase', 'u:a', { cursor: await end(own) });
  assert.deepEqual([part.state, part.waiting, part.found], ['gone', 2, 1], 'free.id says that nothing is consumed');
  const again = await own.person('erase', 'u:a', { cursor: '0-0', places: '1234 5678' });
  assert.equal(again.waiting, 2, 'the cursor says so');
  const whole = await own.person('erase', 'u:a', { cursor: await consume(own), places: '1234' });
  assert.deepEqual([whole.waiting, whole.found, whole.next], [0, 2, '']);
  assert.ok(!(await dump()).includes('u:a'), 'nowhere');
  assert.deepEqual((await own.wholeLog()).map(({ buyer }) => buyer), ['u:b'], 'the entries of others stay');
  for (const gone of [place, 1234, 5678]) assert.equal(Number(await redis.client.zscore(own.key('consumed'), `x:${gone}`)), gone);
  assert.equal((await own.person('erase', 'u:a', { cursor: await end(own) })).found, 0, 'again');
  const next = await own.log(await end(own), 500, { cursor: true });
  assert.deepEqual(next.entries, [], 'the ledger goes on where it was');
  assert.equal((await own.join(['u:c'])).buyers[0].state, 'waiting');
});

test('erase: a long log in parts', async () => {
  const own = await room({ threshold: 500 });
  await own.join(Array.from({ length: 120 }, (_, i) => (i % 2 ? `u:${i}` : 'u:long')).filter((id, i, all) => all.indexOf(id) === i));
  await own.leave(['u:long']);
  for (let i = 0; i < 7; i++) {
    await own.join(['u:long']);
    await own.leave(['u:long']);
  }
  const cursor = await consume(own);
  let after = '0-0';
  let found = 0;
  let calls = 0;
  do {
    const step = await own.person('erase', 'u:long', { after, count: 10, cursor });
    [after, found, calls] = [step.next, found + step.found, calls + 1];
  } while (after !== '');
  assert.ok(calls >= 7, String(calls));
  assert.ok(found >= 16, String(found));
  assert.ok(!(await dump()).includes('u:long'));
});

test('join: the place of an erased buyer is consumed, whoever brings its ticket or pass', async () => {
  const own = await room({ threshold: 2 });
  const { buyers: [{ place, since }] } = await own.join(['u:a']);
  await own.leave(['u:a']);
  await own.person('erase', 'u:a', { cursor: await consume(own) });
  const proof = { ticket: { place, epoch: 1 }, pass: { place, epoch: 1, since } };
  const { buyers: [back] } = await own.join([{ buyer: 'u:a', ...proof }]);
  assert.ok(back.place > place && back.state === 'direct', JSON.stringify(back));
  await own.leave(['u:a']);
  await own.person('erase', 'u:a', { cursor: await consume(own) });
  assert.equal((await own.join([{ buyer: 'u:a', mode: 'claim', ...proof }])).buyers[0].state, 'gone');

  // Nor does it once the buyer waits at a new place.
  await own.join(['u:b', 'u:c', 'u:d']);
  const { buyers: [tail] } = await own.join(['u:a']);
  assert.deepEqual((await own.join([{ buyer: 'u:a', ...proof }])).buyers, [tail]);
  assert.equal(tail.position, 2);

  // After a loss of Redis the record brings the place back under its pseudonym.
  await redis.client.del(...KEYS.map((key) => own.key(key)));
  await own.configure({ threshold: 2 }, { known: place, restoreMs: 0 });
  await own.consumed([[`x:${place}`, place]], { last: 1 });
  assert.equal((await own.join([{ buyer: 'u:a', mode: 'claim', ...proof }])).buyers[0].state, 'gone');
  assert.equal((await own.join([{ buyer: 'u:other', ticket: { place: place + 1, epoch: 1 } }])).buyers[0].place, place + 1, 'another one comes back');
});

test('expire: only of an event that is over, consumed and empty, and then all', async () => {
  const own = await room();
  await own.join(['u:a', 'u:b']);
  const cursor = await consume(own);
  const keep = async (outcome, at = cursor) => {
    const before = await dump();
    assert.equal(await own.expire(at), outcome);
    assert.equal(await dump(), before, outcome);
  };
  await keep('open');
  await own.configure({ threshold: 1, status: 'closed' });
  await keep('inside');
  await own.leave(['u:a']);
  await keep('unconsumed', await end(own)); // free.id is behind
  const last = await consume(own);
  await keep('unconsumed', cursor); // the cursor is behind: PostgreSQL was restored
  await own.take();
  await keep('leased', last);
  await own.leaseVerb('release');
  assert.equal(await own.expire(last), 'expired');
  assert.deepEqual(await redis.client.keys(`*{${own.id}}*`), [], 'also of the one who waited');
  assert.equal(await own.expire(last), 'expired', 'again');

  // It comes back as after a loss: the one who waited keeps the place.
  await own.configure({ threshold: 1 }, { known: 5000, restoreMs: 0 });
  assert.equal((await own.join([{ buyer: 'u:b', ticket: { place: 4000, epoch: 1 } }])).buyers[0].place, 4000);
});

test('expire: closed by its time, and what nobody has configured', async () => {
  const own = await room({ threshold: 1, closesAt: 1000 });
  assert.equal(await own.expire(), 'expired');
  const other = new Room(redis.client, `p${++count}`);
  await other.leaseVerb('take', 'me', '', 60000);
  assert.equal(await other.expire(), 'leased');
  await redis.client.del(other.key('lease'));
  assert.equal(await other.expire(), 'expired');
  assert.deepEqual(await redis.client.keys(`*{${other.id}}*`), []);
});

test('a restore window that began while the event was closed begins anew when it opens', async () => {
  const own = new Room(redis.client, `p${++count}`);
  await own.configure({ threshold: 1, status: 'closed' }, { known: 5000, restoreMs: 1 });
  await own.set('restoreUntil', 1000);
  assert.equal((await own.configure({ threshold: 1 }, { known: 5000, restoreMs: 30000 })).restoring, true);
  const until = Number((await own.config('restoreUntil'))[0]);
  assert.ok(until > Date.now() + 20000, String(until));
  assert.equal((await own.consumed([], { last: 1 })).restoring, true, 'its time is not over');
  await own.configure({ threshold: 1, status: 'closed' });
  await own.configure({ threshold: 1 });
  assert.equal(Number((await own.config('restoreUntil'))[0]), until, 'not where the places are loaded');
});
