// SPDX-License-Identifier: MIT
//
// A prototype, not a part of the service: one event over k stripes, each with a queue of its own; a buyer's id says which.
// Places are times of each stripe's clock, so they can be compared; one lease holder admits, the lowest places first. It
// measures what a stripe's share of the joins costs Redis, and counts what would be broken: buyers who enter before a lower
// place that waits, and admissions above the limit. docs/decisions/0113 says what follows.
//
//   joins of a call       -> hash of the buyer -> its stripe, by lua/join.lua as it is
//   tick of the holder    -> heads of all stripes and their clocks -> no place above the slowest clock is taken yet
//                         -> capacity = threshold - inside of all stripes -> promote on each stripe, as many as it has of them

import { createHash } from 'node:crypto';
import { many } from '../fixtures/index.mjs';
import { drain, fill, filler } from './fill.mjs';
import { ROUNDS, compared, quick, redisSpent } from './measure.mjs';
import { ownRoom } from './redis.mjs';

const BATCH = 114; // newcomers that come together, as in the row of one Redis
const BATCHES = quick ? 60 : 300;
const WAITING = 100000;
const BUYERS = quick ? 2000 : 10000; // of the event whose order and limit are looked at
const THRESHOLD = 50;

const stripeOf = (buyer, k) => createHash('sha1').update(buyer).digest()[0] % k;

// What Redis spends on a newcomer when those who come together are spread over k stripes, all of which share this Redis.
async function joinCost({ redis }, k, round) {
  const rooms = await many(Array.from({ length: k }, (_, i) => i), 1, (i) => ownRoom(redis, `stripe-${round}-${k}-${i}`, { threshold: 0 }));
  for (const room of rooms) await fill(redis.client, room.id, WAITING / k);
  let at = 0;
  const spent = await redisSpent(redis, async () => {
    for (let i = 0; i < BATCHES; i++) {
      const parts = rooms.map(() => []);
      for (let j = 0; j < BATCH; j++) {
        const buyer = filler(at++, 'fd000000');
        parts[stripeOf(buyer, k)].push(buyer);
      }
      await Promise.all(parts.map((part, s) => (part.length > 0 ? rooms[s].join(part) : undefined)));
    }
  });
  for (const room of rooms) await drain(redis.client, room.id);
  return spent.us / (BATCH * BATCHES);
}

// direct: a stripe in which nobody waits admits a newcomer at once, by its share of the limit, as join.lua does for a whole
// event. watermark: the holder leaves places alone that are above the slowest stripe's clock.
async function sale(redis, id, k, { direct, watermark }) {
  const share = direct ? THRESHOLD / k : 0; // what a stripe may admit at once
  const rooms = await many(Array.from({ length: k }, (_, i) => i), 1, (i) => ownRoom(redis, `${id}-${i}`, { threshold: share }));
  const places = new Map(); // buyer -> place
  const waits = new Map(); // buyers who wait -> place
  const inside = new Map();
  let [entered, overtaken, above] = [0, 0, 0];
  const enter = (buyer, place) => {
    // Judged with what the stripes have at this moment: somebody with a lower place waits.
    waits.delete(buyer);
    for (const other of waits.values()) if (other < place) { overtaken++; break; }
    inside.set(buyer, place);
    entered++;
    if (inside.size > THRESHOLD) above++;
  };
  const join = async (s, part) => {
    const { buyers } = await rooms[s].join(part);
    buyers.forEach(({ state, place }, i) => {
      places.set(part[i], place);
      if (state === 'direct') enter(part[i], place);
      else waits.set(part[i], place);
    });
  };
  const tick = async () => {
    // The clocks first: whoever joins later has a higher place than that.
    const clocks = await Promise.all(rooms.map(async () => (await redis.client.time()).map(Number)));
    const mark = watermark ? Math.min(...clocks.map(([s, us]) => s * 1e6 + us)) : Infinity;
    const heads = (await Promise.all(rooms.map((room) => room.client.zrange(room.key('queue'), 0, THRESHOLD - 1, 'WITHSCORES'))))
      .flatMap((flat, s) => flat.filter((_, i) => i % 2 === 0).map((buyer, i) => ({ buyer, s, place: Number(flat[2 * i + 1]) })))
      .filter(({ place }) => place < mark).sort((a, b) => a.place - b.place).slice(0, THRESHOLD - inside.size);
    for (let s = 0; s < k; s++) {
      const mine = heads.filter((head) => head.s === s);
      if (mine.length === 0) continue;
      await rooms[s].configure({ autoHold: 0, threshold: (await rooms[s].active()).size + mine.length });
      await rooms[s].promote({ admit: mine.length });
      await rooms[s].configure({ autoHold: 0, threshold: share });
    }
    for (const { buyer, place } of heads) enter(buyer, place);
  };
  const leave = async (buyers) => {
    const parts = rooms.map(() => []);
    for (const buyer of buyers) parts[stripeOf(buyer, k)].push(buyer);
    await Promise.all(parts.map((part, s) => (part.length > 0 ? rooms[s].leave(part) : undefined)));
    for (const buyer of buyers) inside.delete(buyer);
  };
  for (let at = 0; at < BUYERS;) {
    const parts = rooms.map(() => []);
    for (let j = 0; j < 20; j++) {
      const buyer = filler(at++, 'fe000000');
      parts[stripeOf(buyer, k)].push(buyer);
    }
    await Promise.all([...parts.map((part, s) => (part.length > 0 ? join(s, part) : undefined)), tick()]);
    await leave([...inside.keys()].slice(0, 18));
  }
  for (const room of rooms) await redis.client.unlink(...(await redis.client.keys(`*{${room.id}}`)));
  return { entered, overtaken, above };
}

export async function stripes(parts) {
  const rows = [];
  for (const k of [2, 4]) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push({ own: await joinCost(parts, k, round), other: await joinCost(parts, 1, round) });
    const figures = compared(rounds, ({ own }) => own, ({ other }) => other);
    rows.push({ id: `stripes-${k}`, what: `prototype: Redis CPU per join, ${k} stripes`, means: `those who come together are spread: ${Math.round(BATCH / k)} a call; ${k} cores would take ${(k / figures.ratio).toFixed(1)} times the joins of one`, unit: 'µs', beside: 'one queue', ...figures });
  }
  for (const [what, options] of [['the lease holder alone admits, below the slowest clock', { direct: false, watermark: true }], ['stripes also admit directly, by shares', { direct: true, watermark: true }]]) {
    const { entered, overtaken, above } = await sale(parts.redis, `sale-${options.direct ? 'direct' : 'held'}`, 4, options);
    rows.push({ id: `stripes-order-${options.direct ? 'direct' : 'held'}`, what: 'prototype: buyers who entered before a lower place that waited', means: `4 stripes, ${entered.toLocaleString('en')} admissions, ${above} above the limit; ${what}`, unit: '', own: overtaken });
  }
  return rows;
}
