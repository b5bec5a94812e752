// SPDX-License-Identifier: MIT
//
// The CPU time of Redis: for a join in batches as at full load, compared with two raw ZADDs, and with the count of its
// network; for an admission, compared with the bare commands; for the rank index and heartbeats. Also the error of the index.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Organizer, waitUntil } from '../fixtures/index.mjs';
import { Room } from '../lua/room.mjs';
import { drain, fill, filler } from './fill.mjs';
import { ROUNDS, compared, load, quick, redisSpent } from './measure.mjs';
import { short } from './plot.mjs';

const WAITING = 100000;
const INSIDE = 1000; // while buyers join: each of them is looked up there
const MILLION = quick ? 200000 : 1000000;
const CONNECTIONS = 1000;
const ADMIT = 100; // admissions per tick
const [SOCKETS, PODS, HEARTBEAT_S] = [100000, 6, 50]; // every second pong of a socket, which come 25 s apart, is passed to Redis

// Sends pairs of commands for `count` buyers; one write has as many buyers as a batch of the service.
async function rawPairs(redis, id, count, batch) {
  const now = Date.now();
  for (let done = 0; done < count;) {
    const pipeline = redis.client.pipeline();
    for (let i = 0; i < batch && done < count; i++, done++) {
      const buyer = filler(done, 'fa000000');
      pipeline.zadd(`queue:{${id}}`, now * 1000 + done, buyer);
      pipeline.zadd(`queue:seen:{${id}}`, now, buyer);
    }
    await pipeline.exec();
  }
}

async function joinCost({ api, redis }) {
  const event = await new Organizer(api).sale({ threshold: INSIDE, autoHold: 0, idleTimeoutMs: 3600000, sessionLimitMs: 86400000 });
  const inside = Array.from({ length: INSIDE }, (_, i) => filler(i, 'fc000000'));
  const room = new Room(redis.client, event.id);
  for (let i = 0; i < INSIDE; i += 500) await room.join(inside.slice(i, i + 500));
  const rounds = [];
  let batch = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await fill(redis.client, event.id, WAITING);
    const before = await api.metric('tiketi_join_batch_size_count');
    const spent = await redisSpent(redis, () => load(api.port, CONNECTIONS, { path: `/api/queue/check/${event.id}` }));
    const { requests } = spent.result;
    batch = requests / ((await api.metric('tiketi_join_batch_size_count')) - before);
    await fill(redis.client, 'raw', WAITING);
    const raw = await redisSpent(redis, () => rawPairs(redis, 'raw', requests, Math.round(batch)));
    rounds.push({ own: spent.us / requests, other: raw.us / requests });
    await drain(redis.client, event.id);
    await drain(redis.client, 'raw');
  }
  return { id: 'redis-join', what: 'Redis CPU per join', means: `newcomers in batches of ${batch.toFixed(0)}, 100,000 waiting, ${INSIDE.toLocaleString('en')} inside`, unit: 'µs',
    beside: 'two pipelined ZADD', ...compared(rounds, ({ own }) => own, ({ other }) => other), bar: 0.8 };
}

// Creates an event that no processor knows, and takes its lease.
export async function ownRoom(redis, id, settings) {
  const room = new Room(redis.client, id);
  await room.configure({ autoHold: 0, ...settings });
  await room.take('bench');
  return room;
}

// Newcomers in batches as at full load, from 4,000 networks: with placesPerNetwork, and without.
export async function networkCost({ redis }) {
  const [batch, batches] = [122, quick ? 100 : 400];
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const spent = {};
    for (const placesPerNetwork of [0, 5000]) {
      const room = await ownRoom(redis, `network-${round}-${placesPerNetwork}`, { threshold: 0, placesPerNetwork });
      await fill(redis.client, room.id, WAITING);
      let at = 0;
      const buyers = () => Array.from({ length: batch }, () => {
        const network = (at * 7919) % 4000;
        return { buyer: filler(at++, 'fb000000'), network: placesPerNetwork ? `10.${network >> 8}.${network & 255}.0/24` : '' };
      });
      spent[placesPerNetwork] = (await redisSpent(redis, async () => {
        for (let i = 0; i < batches; i++) await room.join(buyers());
      })).us / (batch * batches);
      await drain(redis.client, room.id);
    }
    rounds.push({ own: spent[5000], other: spent[0] });
  }
  return { id: 'redis-network', what: 'Redis CPU per newcomer with `placesPerNetwork`', means: `batches of ${batch} from 4,000 networks, 100,000 waiting`, unit: 'µs',
    beside: 'without the limit', ...compared(rounds, ({ own }) => own, ({ other }) => other), bar: 1.4 };
}

async function rawAdmissions(redis, id, count) {
  const now = Date.now();
  for (let done = 0; done < count;) {
    const pipeline = redis.client.pipeline();
    for (let i = 0; i < ADMIT; i++, done++) {
      const buyer = filler(done);
      pipeline.zpopmin(`queue:{${id}}`);
      pipeline.sadd(`active:{${id}}`, buyer);
      pipeline.zadd(`active:seen:{${id}}`, now, buyer);
      pipeline.zadd(`active:since:{${id}}`, now, buyer);
    }
    await pipeline.exec();
  }
}

async function admissionCost({ redis }) {
  const ticks = quick ? 50 : 100;
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const room = await ownRoom(redis, `admit-${round}`, { threshold: MILLION });
    await fill(redis.client, room.id, WAITING);
    const spent = await redisSpent(redis, async () => {
      for (let tick = 0; tick < ticks; tick++) await room.promote({ admit: ADMIT });
    });
    await fill(redis.client, 'rawadmit', WAITING);
    const raw = await redisSpent(redis, () => rawAdmissions(redis, 'rawadmit', ticks * ADMIT));
    rounds.push({ own: spent.us / (ticks * ADMIT), other: raw.us / (ticks * ADMIT) });
    await redis.client.unlink('active:{rawadmit}', 'active:seen:{rawadmit}', 'active:since:{rawadmit}');
    await drain(redis.client, 'rawadmit');
    await drain(redis.client, room.id);
  }
  return { id: 'redis-admission', what: 'Redis CPU per admission', means: `${ADMIT} a tick, 100,000 waiting; logged and published`, unit: 'µs',
    beside: 'ZPOPMIN, SADD, 2 ZADD, pipelined', ...compared(rounds, ({ own }) => own, ({ other }) => other), bar: 4 };
}

// Simulates seconds with a million waiting buyers, 100,000 of them on sockets of six pods: in each second the
// index is written once and read by each pod, and the heartbeats of the buyers who answered a ping are sent.
async function backgroundCost(redis, room) {
  const seconds = quick ? 5 : 10;
  const perPod = Math.round(SOCKETS / HEARTBEAT_S / PODS);
  let at = 0;
  const signs = () => Array.from({ length: perPod }, () => filler((at = (at + 7919) % MILLION)));
  const spent = await redisSpent(redis, async () => {
    for (let second = 0; second < seconds; second++) {
      await room.index();
      await Promise.all(Array.from({ length: PODS }, async () => {
        await redis.client.get(room.key('index'));
        const buyers = signs();
        for (let from = 0; from < buyers.length; from += 500) await room.seen(buyers.slice(from, from + 500));
      }));
    }
  });
  return { id: 'redis-background', what: 'Redis CPU while a queue waits', means: `rank index and heartbeats of ${short(MILLION)} waiting, 100,000 of them on sockets of ${PODS} pods`, unit: '% of a core',
    own: (spent.us / seconds / 1e6) * 100, bar: '≤ 3' };
}

// 30 % leave, unevenly: of each 10,000 in a row between none and 60 %.
const LEAVE = `
local random, left = math.random, 0
math.randomseed(7)
for at = 0, ARGV[1] - 1, 10000 do
  local share, gone = random() * 0.6, {}
  for i = at, at + 9999 do
    if random() < share then gone[#gone + 1] = string.format('g:f0000000%024x', i) end
  end
  for i = 1, #gone, 5000 do
    left = left + redis.call('ZREM', KEYS[1], unpack(gone, i, math.min(i + 4999, #gone)))
  end
end
return left`;

const positions = (file, places) => new Promise((accept, reject) => {
  const child = execFile(process.env.BENCH_POSITION, [file], { maxBuffer: 1 << 26 }, (error, stdout) => (error ? reject(error) : accept(stdout.trim().split('\n').map(Number))));
  child.stdin.end(`${places.join('\n')}\n`);
});

async function indexError(redis, room, folder) {
  const left = await redis.client.eval(LEAVE, 1, room.key('queue'), MILLION);
  const { text } = await room.index();
  const file = `${folder}/index`;
  writeFileSync(file, text);
  const flat = await redis.client.zrange(room.key('queue'), 0, -1, 'WITHSCORES');
  const places = flat.filter((_, i) => i % 2 === 1);
  const shown = await positions(file, places);
  let [head, far] = [0, 0];
  shown.forEach((position, rank) => {
    const error = Math.abs(position - rank - 1);
    if (rank < 1000) head = Math.max(head, error);
    else if (error > 20) far = Math.max(far, error / (rank + 1));
  });
  return [
    { id: 'index-head', what: 'error of a position, first 1,000', means: `worst, of ${places.length.toLocaleString('en')} waiting, after ${((100 * left) / MILLION).toFixed(0)} % have left unevenly`, unit: 'places', own: head, bar: '≤ 0' },
    { id: 'index-rest', what: 'error of a position, all others', means: 'worst of more than 20 places, relative to the position', unit: '%', own: far * 100, bar: '≤ 1' },
  ];
}

// Waits until Redis' background thread has freed the unlinked keys.
async function memory(redis) {
  const field = async (name) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(await redis.client.info('memory'))[1]);
  await waitUntil(async () => (await field('lazyfree_pending_objects')) === 0, 30000, 'freed memory');
  return field('used_memory');
}

export async function redis(parts) {
  const { redis: server, folder } = parts;
  const rows = [await joinCost(parts), await networkCost(parts), await admissionCost(parts)];
  const room = await ownRoom(server, 'million', { threshold: 0 });
  const before = await memory(server);
  const each = async () => ((await memory(server)) - before) / MILLION;
  await fill(server.client, room.id, MILLION, { heartbeats: false });
  rows.push({ id: 'redis-memory-new', what: 'Redis memory per newcomer', means: `${short(MILLION)} waiting; a place, which is the first heartbeat; until the second one`, unit: 'B', own: await each(), bar: '≤ 180' });
  for (let from = 0; from < MILLION; from += 500) await room.seen(Array.from({ length: 500 }, (_, i) => filler(from + i)));
  rows.push({ id: 'redis-memory', what: 'Redis memory per waiting buyer', means: 'place and heartbeat: from the second heartbeat on, that is a minute after the rush', unit: 'B', own: await each() });
  rows.push(await backgroundCost(server, room), ...(await indexError(server, room, folder)));
  await drain(server.client, room.id);
  return rows;
}
