// SPDX-License-Identifier: MIT
//
// A script that fails half way: the Redis user may not run one of its commands, or may not touch one of its keys. For
// each script, each situation and each command or key that is refused, the event afterwards is either as it was or as
// the whole call leaves it. Redis itself takes nothing back.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { Redis } from '../fixtures/index.mjs';
import { CHANNEL, KEYS, OWN_KEYS, Room, call, load } from './room.mjs';

let redis, user;
let count = 0;

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
  await redis.cli('ACL', 'SETUSER', 'pod', 'on', '>secret', '~*', '&*', '+@all');
  user = redis.connect({ username: 'pod', password: 'secret' });
});
after(() => redis.stop());

const folder = new URL('../../lua/', import.meta.url);
const sources = readdirSync(folder).filter((name) => name.endsWith('.lua')).map((name) => readFileSync(new URL(name, folder), 'utf8').replace(/--.*/g, ''));
const COMMANDS = [...new Set(sources.flatMap((text) => [...text.matchAll(/\bcall\('([A-Z]+)'/g)].map(([, name]) => name)))].sort();

// As Redis says it before and since 7.2, and as must_may says it.
const REFUSED = /NOPERM|can't run this command|ACL failure in script/;

// What the event is, without times: who is where, what was counted and logged.
async function state(room) {
  const { client } = redis;
  const members = async (name) => (await client.zrange(room.key(name), 0, -1)).sort();
  const stats = await client.hgetall(room.key('stats'));
  const config = await client.hgetall(room.key('config'));
  for (const name of ['lastRunMs', 'gapMs', 'restoreUntil', 'restoredTo', 'outflow', 'hintedAt']) if (config[name]) config[name] = config[name] === '0' ? '0' : 'set';
  for (const name of Object.keys(stats)) if (/^m(inute|\d+)$/.test(name)) { delete stats[name]; stats.minutes = 'set'; }
  delete config.lastRunMs;
  delete config.tickedAt;
  const log = (await client.exists(room.key('log'))) ? await room.wholeLog() : [];
  return {
    config, stats,
    queue: (await room.queue()).map(({ buyer }) => buyer),
    queueSeen: await members('queue:seen'), parked: await members('parked'),
    active: [...(await room.active())].sort(), activeSeen: await members('active:seen'),
    since: await members('active:since'), places: await members('active:place'), consumed: (await members('consumed')).map((name) => name.replace(/^x:\d{16}$/, 'x:place')),
    numbers: await client.zrange(room.key('active:n'), 0, -1, 'WITHSCORES'), offered: await members('active:offered'),
    paying: await members('active:paying'), kept: Object.keys(await client.hgetall(room.key('kept'))).sort(),
    log: room.lastId ? log.length < 250 : log.map(({ kind, buyer, inside, threshold, n }) => `${kind} ${buyer} ${inside} ${threshold} ${n}`),
    seq: (await client.get(room.key('seq'))) !== null && Number(await client.get(room.key('seq'))) >= (room.raised ?? 0),
    free: await client.hgetall(room.key('free')).then(({ id, ...rest }) => ({ ...rest, id: id === undefined || id === '0-0' ? id : 'set' })),
    lease: (await client.get(room.key('lease'))) !== null, fence: await client.get(room.key('fence')),
    leaseLong: (await client.pttl(room.key('lease'))) > 100000,
    networks: await client.hgetall(room.key('networks')), top: await client.zrange(room.key('networks:top'), 0, -1, 'WITHSCORES'),
    index: await client.exists(room.key('index')), seats: (await client.hgetall(room.key('seats'))).version,
  };
}

const FUTURE = 4e15; // a place no clock has reached

// u:1 has an offer.
async function offered(room) {
  await room.configure({ threshold: 0 });
  await room.join(['u:1']);
  await room.configure({ threshold: 1 });
  await room.take();
  await room.promote();
  await room.leaseVerb('release');
}

// name -> { prepare(room), run(room) }
const situations = {
  'join: two admitted directly, one waits': {
    prepare: (room) => room.configure({ threshold: 2, outflowPerMinute: 100 }),
    run: (room) => room.join(['u:1', 'u:2', 'u:3']),
  },
  'join: one by a pass, one by a ticket, one from the parked, one new': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:0', 'u:1']);
      await redis.client.zadd(room.key('parked'), 7000, 'u:3', -7001, 'u:6');
      await room.configure({ threshold: 5 });
      await room.set('restoredTo', 6000);
    },
    run: (room) => room.join([{ buyer: 'u:6', mode: 'claim' },
      { buyer: 'u:1', pass: { place: 5000, epoch: 1, since: Date.now() } },
      { buyer: 'u:2', ticket: { place: 6000, epoch: 1 } }, 'u:3', 'u:4',
      { buyer: 'u:5', pass: { place: 5001, epoch: 1, since: Date.now() } }]),
  },
  'join: a ticket names a place that was lost': {
    prepare: (room) => room.configure({ threshold: 1 }),
    run: (room) => room.join(['u:1', 'u:4', { buyer: 'u:2', ticket: { place: 6000, epoch: 1 } }, { buyer: 'u:5', pass: { place: 5001, epoch: 1, since: Date.now() } }]),
  },
  'join: one who waits and one who was parked bring lower places': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:0', 'u:1', 'u:2']);
      await redis.client.zrem(room.key('queue'), 'u:2');
      await redis.client.zadd(room.key('parked'), 1234567890123456, 'u:2');
    },
    run: (room) => room.join([{ buyer: 'u:1', ticket: { place: 5000, epoch: 1 } }, { buyer: 'u:2', ticket: { place: 6000, epoch: 1 } }]),
  },
  'join: an offer is claimed': {
    prepare: offered,
    run: (room) => room.join([{ buyer: 'u:1', mode: 'claim' }]),
  },
  'join: a network has had its places': {
    prepare: (room) => room.configure({ threshold: 1, placesPerNetwork: 2 }),
    run: (room) => room.join(['u:1', 'u:2', 'u:3', 'u:4'].map((buyer) => ({ buyer, network: '10.0.0.0/24' }))),
  },
  'join: writes were lost': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:0']);
      room.raised = FUTURE;
    },
    run: (room) => room.join(['u:1'], { known: FUTURE }),
    // The restore window is whole by itself: the loss was noticed, whatever becomes of the join.
    between: (room) => room.configure({}, { version: 0, known: FUTURE }),
  },
  'leave: from the inside, from the queue, from the parked, and a given place': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
      await redis.client.zadd(room.key('parked'), 7000, 'u:3');
    },
    run: (room) => room.leave(['u:1', 'u:2', 'u:3', { buyer: 'u:4', place: 9, epoch: 1 }]),
  },
  'promote: idle for the first and the second time, overdue, not claimed, not paid, silent, admitted': {
    async prepare(room) {
      await offered(room);
      await room.configure({ threshold: 6, surge: '2:7' });
      await room.join(['u:0', 'u:2', 'u:8', 'u:9', 'u:4', 'u:5', 'u:6', 'u:7', 'u:10']);
      await room.pay('u:9', Date.now() + 1e6);
      await room.age('active:paying', 'u:9', 1e8);
      await room.age('active:offered', 'u:1', 1e8);
      await redis.client.hset(room.key('kept'), 'u:8', `${await redis.client.zscore(room.key('active:place'), 'u:8')} 5 1 0 0`);
      await room.age('active:seen', 'u:8', 1e8);
      await room.age('active:seen', 'u:0', 1e8);
      await room.age('active:since', 'u:2', 1e8);
      await room.age('queue:seen', 'u:4', 1e8);
    },
    run: (room) => room.promote(),
  },
  'consumed: someone waits, someone is parked, someone is inside': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
      await redis.client.zadd(room.key('parked'), 7000, 'u:3');
      await room.set('consumedLoaded', 0, 'restoreUntil', 1);
    },
    run: (room) => room.consumed([['u:1', FUTURE], ['u:2', FUTURE], ['u:3', FUTURE]], { last: 1 }),
  },
  'configure: a new event whose places were lost': {
    prepare: (room) => { room.raised = FUTURE; },
    run: (room) => room.configure({ seats: 9 }, { known: FUTURE, free: 5, freeAdmitted: 3, freeId: '1-0' }),
  },
  'configure: new settings and a new epoch': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
    },
    run: (room) => room.configure({ threshold: 9, title: 'Other' }, { version: 9, epoch: 2 }),
  },
  clear: {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
    },
    run: (room) => room.clear(2),
  },
  'free: and the log is trimmed': {
    async prepare(room) {
      await room.configure({ threshold: 300 });
      await room.join(Array.from({ length: 250 }, (_, i) => `u:${i}`));
      room.lastId = (await room.wholeLog()).at(-1).id;
    },
    run: (room) => room.free(5, 260, room.lastId, 1),
  },
  'log: the cursor is of a log that was lost': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1']);
      await redis.client.hset(room.key('free'), 'id', '9999999999999-0', 'free', 1, 'admitted', 1);
    },
    run: (room) => room.log('8999999999999-0', 10, { cursor: true }),
  },
  index: {
    async prepare(room) {
      await room.configure({ threshold: 1, seats: 5 });
      await room.join(['u:1', 'u:2']);
    },
    run: (room) => room.index(),
  },
  'lease: taken': { leased: false, prepare: (room) => room.configure(), run: (room) => room.leaseVerb('take', 'me', '') },
  'lease: renewed': { prepare: (room) => room.configure(), run: (room) => room.leaseVerb('renew', 'me', room.lease, 900000) },
  'lease: released': { prepare: (room) => room.configure(), run: (room) => room.leaseVerb('release') },
  'seats: a map': { prepare: () => {}, run: (room) => call(room.client, load('seats'), [1, room.key('seats'), 'put', '5', 'map']) },
  'seen: an offer is claimed, and a parked buyer returns': {
    async prepare(room) {
      await offered(room);
      await redis.client.zadd(room.key('parked'), -7000, 'u:2');
    },
    run: (room) => room.seen(['u:1', 'u:2'], { claim: true }),
  },
  'handoff: a token is redeemed, and an old one forgotten': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      const { buyers: [{ place }] } = await room.join(['u:1']);
      await room.redeem('u:1', place, { jti: 'old', expires: Date.now() - 61000 });
      room.place = place;
    },
    run: (room) => room.redeem('u:1', room.place, { jti: 'new' }),
  },
  'pay: an offer is claimed, and a payment begins': { prepare: offered, run: (room) => room.pay('u:1', FUTURE) },
  'pay: a payment ends': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1']);
      await room.pay('u:1', FUTURE);
    },
    run: (room) => room.pay('u:1', 0),
  },
  'expire: of a closed event': {
    leased: false,
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
      await room.leave(['u:1']);
      await room.configure({ status: 'closed' });
      room.end = (await room.wholeLog()).at(-1).id;
      await room.free(0, 1, room.end);
    },
    run: (room) => room.expire(room.end),
  },
  'person: erased': {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
      await room.leave(['u:1']);
      room.end = (await room.wholeLog()).at(-1).id;
      await room.free(0, 1, room.end);
    },
    run: (room) => room.person('erase', 'u:1', { cursor: room.end, places: '7 8' }),
  },
  seen: {
    async prepare(room) {
      await room.configure({ threshold: 1 });
      await room.join(['u:1', 'u:2']);
    },
    run: (room) => room.seen(['u:1', 'u:2', 'u:3']),
  },
};

async function made({ prepare, leased = true }) {
  const room = new Room(redis.client, `d${++count}`);
  await prepare(room);
  if (leased) await room.take();
  return room;
}

const ALL = ['resetkeys', 'resetchannels', '~*', '&*', '+@all'];

for (const [name, situation] of Object.entries(situations)) {
  test(`${name}: a user who lacks a command changes nothing, or all of it`, async () => {
    const twin = await made(situation);
    const untouched = await state(twin);
    await situation.run(twin);
    const whole = await state(twin);
    const states = [untouched, whole];
    if (situation.between) {
      const third = await made(situation);
      await situation.between(third);
      states.push(await state(third));
    }
    let refused = 0;
    for (const command of COMMANDS) {
      const room = await made(situation);
      room.client = user;
      await redis.cli('ACL', 'SETUSER', 'pod', ...ALL, `-${command}`);
      const failed = await situation.run(room).then(() => false, (error) => error);
      room.client = redis.client;
      const found = await state(room);
      if (failed) {
        assert.match(failed.message, REFUSED, `${command}: ${failed.message}`);
        // Or only its answer could not be read any more: a repetition finds the same.
        if (!states.slice(1).some((other) => isDeepStrictEqual(found, other))) {
          assert.deepEqual(found, untouched, `without ${command} the call fails and changes nothing`);
        }
        refused++;
      } else {
        assert.deepEqual(found, whole, `without ${command} the call succeeds, and did all of it`);
      }
    }
    assert.ok(refused > 0, 'some command was needed');
  });
}

test('XADD is the first write of whatever admits, ends an admission or clears', async () => {
  const writes = /call\('(SADD|SREM|ZADD|ZREM|HSET|HINCRBY|UNLINK|XADD)'|\b(record)\(/g;
  for (const name of ['admit', 'claim', 'end_admissions', 'forget']) {
    const [, body] = new RegExp(`local function ${name}\\((.*?)\\nend`, 's').exec(readFileSync(new URL('shared.lua', folder), 'utf8'));
    assert.equal([...body.matchAll(writes)][0][2], 'record', name);
  }
});

// Redis 6 has no redis.acl_check_cmd: there the order of the writes is all that helps.
test('without acl_check_cmd: no XADD, no admission, no departure, no new epoch', async () => {
  const old = (script) => ({ ...script, body: script.body.replace('redis.acl_check_cmd', 'nil') });
  for (const name of Object.keys(situations).filter((key) => /^(join: two|join: one|leave|promote|consumed|clear)/.test(key))) {
    const room = await made(situations[name]);
    const untouched = await state(room);
    room.client = user;
    for (const script of ['join', 'leave', 'promote', 'consumed', 'clear']) {
      const text = old(load(script));
      room.scripts[script] = { ...text, sha: '0'.repeat(40) };
    }
    await redis.cli('ACL', 'SETUSER', 'pod', ...ALL, '-xadd');
    await assert.rejects(situations[name].run(room), REFUSED, name);
    room.client = redis.client;
    const found = await state(room);
    for (const part of ['active', 'activeSeen', 'since', 'places', 'log']) {
      assert.deepEqual(found[part], untouched[part], `${name}: ${part}`);
    }
  }
});

// What these tests are worth: they notice a script that admits first and writes the log afterwards.
test('a script that admits before it writes the log is noticed', async () => {
  const name = 'join: two admitted directly, one waits';
  const room = await made(situations[name]);
  const untouched = await state(room);
  const { body } = load('join');
  const enter = "    call('SADD', K_ACTIVE, unpack(buyers))\n";
  const mutant = body.replace('redis.acl_check_cmd', 'nil').replace(enter, '')
    .replace(/(local function admit\([\s\S]*?)( {4}local n = admitted\(\)\n)/, (_, before_, line) => before_ + enter + line);
  assert.notEqual(mutant, body);
  room.scripts.join = { ...load('join'), body: mutant, sha: '0'.repeat(40) };
  room.client = user;
  await redis.cli('ACL', 'SETUSER', 'pod', ...ALL, '-xadd');
  await assert.rejects(situations[name].run(room), REFUSED);
  room.client = redis.client;
  assert.notDeepEqual((await state(room)).active, untouched.active, 'somebody is inside without an entry');
});

test('every key that the scripts use is refused by name when the user may not touch it', async () => {
  await redis.cli('ACL', 'SETUSER', 'pod', ...ALL);
  const probe = load('probe');
  const keys = [...[...KEYS, ...OWN_KEYS].map((key) => `p:${key}:{probe}`), 'p:events'];
  const run = () => call(user, probe, [0, 'p:', CHANNEL, 'probe']);
  assert.equal((await run())[1], '');
  for (const key of keys) {
    await redis.cli('ACL', 'SETUSER', 'pod', 'resetkeys', ...keys.filter((other) => other !== key).map((other) => `~${other}`));
    assert.match((await run())[1], new RegExp(` ${key.replace(/[{}]/g, '\\$&')}(,|$)`), key);
  }
  await redis.cli('ACL', 'SETUSER', 'pod', ...ALL, 'resetchannels');
  assert.match((await run())[4], /PUBLISH tiketi:0:queue-events, SUBSCRIBE tiketi:0:queue-events/);
});

// Redis 8 refuses to judge a command that has another number of arguments than it takes; Redis 7.0 does not look.
test('each command is asked for with as many arguments as it takes', async () => {
  await redis.cli('ACL', 'SETUSER', 'pod', ...ALL);
  const words = [...new Set(load('probe').body.match(/\b[A-Z]{3,}\b/g))].map((word) => word.toLowerCase());
  const known = (await redis.cli('COMMAND', 'INFO', ...words)).filter(Boolean).map(([name, arity]) => `${name.toUpperCase()} = ${arity}`);
  assert.ok(known.length > 40, known.join());
  const strict = (body) => body.replace('redis.acl_check_cmd', `(function(command, ...)
    local arity, n = ({${known.join(', ')}})[command], 1 + select('#', ...)
    if n < math.abs(arity) or arity > 0 and n > arity then error(command .. ' with ' .. n) end
    return redis.acl_check_cmd(command, ...)
  end)`);
  const probe = load('probe');
  const run = (body) => call(user, { ...probe, body, sha: '0'.repeat(40) }, [0, 'p:', CHANNEL, 'probe']);
  const [, missing, , , channel] = await run(strict(probe.body));
  assert.deepEqual([missing, channel], ['', '']);
  const { body, sharedLines } = probe;
  const named = [...new Set(sources.flatMap((source) => [...source.matchAll(/must_may\(([^)]*)\)/g)].flatMap(([, list]) => list.match(/(?<=')[A-Z]+(?=')/g) ?? [])))];
  assert.ok(named.length > 15 && named.includes('TIME'), named.join());
  await run(`${strict(body.split('\n').slice(0, sharedLines).join('\n'))}\nfor _, command in ipairs({'${named.join("', '")}'}) do may_on(command, 'k') end`);
  for (const [from, to] of [['XADD = 3', 'XADD = 2'], ['HGET = 1, ', ''], ['INCR = 0, ', '']]) {
    const mutant = strict(probe.body).replace(from, to);
    await assert.rejects(run(mutant), new RegExp(`${from.split(' ')[0]} with`), from);
  }
  // Every script asks by the same function.
  for (const source of sources) assert.doesNotMatch(source.replace(/local function may_(on|run)\([\s\S]*?\nend/g, ''), /\bmay\(/);
});
