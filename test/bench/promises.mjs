// SPDX-License-Identifier: MIT
//
// What a fast run must not have broken: every event of a Redis is replayed from its log, and its queue is
// looked at as it stands.

import { Room, replay } from '../lua/room.mjs';

const PAGE = 10000;

// Log entries in pages: a bench leaves many.
async function entries(client, id) {
  const list = [];
  for (let after = '-'; ;) {
    const page = await client.xrange(`log:{${id}}`, after, '+', 'COUNT', PAGE);
    for (const [at, flat] of page) {
      const entry = { id: at };
      for (let i = 0; i < flat.length; i += 2) entry[flat[i]] = /^\d+$/.test(flat[i + 1]) && flat[i] !== 'buyer' ? Number(flat[i + 1]) : flat[i + 1];
      list.push(entry);
    }
    if (page.length < PAGE) return list;
    after = `(${page.at(-1)[0]}`;
  }
}

// Admissions from the queue, and direct ones, each in the order of their places.
function disorder(log) {
  let last = 0;
  for (const entry of log) {
    if (entry.kind !== 'promote' && entry.kind !== 'direct') continue;
    if (entry.place <= last) return `${entry.buyer} entered at place ${entry.place} after ${last}`;
    last = entry.place;
  }
  return null;
}

// Nobody waits and is inside; no place is above the last one given, and none is held by two.
async function waiting(room) {
  const { client } = room;
  const both = await client.zinter(2, room.key('queue'), room.key('active'), 'WITHSCORES');
  if (both.length > 0) return `${both[0]} waits and is inside`;
  const [, last = '0'] = await client.zrevrange(room.key('queue'), 0, 0, 'WITHSCORES');
  const seq = (await client.get(room.key('seq'))) ?? '0';
  if (BigInt(last) > BigInt(seq)) return `place ${last} was given, but the last one is ${seq}`;
  const flat = await client.zrange(room.key('queue'), 0, 99999, 'WITHSCORES');
  for (let i = 3; i < flat.length; i += 2) if (flat[i] === flat[i - 2]) return `two wait at place ${flat[i]}`;
  return null;
}

// All events that this Redis knows. Returns how many, how many entries their logs have, and the first
// broken promise of each event that has one.
export async function checkPromises(client) {
  const names = await client.keys('config:{*}');
  const wrongs = [];
  let count = 0;
  for (const name of names) {
    const room = new Room(client, name.slice('config:{'.length, -1));
    const log = await entries(client, room.id);
    const { broken } = replay(log);
    const wrong = broken[0] ?? disorder(log) ?? (await waiting(room));
    if (wrong) wrongs.push(`a promise is broken at event ${room.id}: ${wrong}`);
    count += log.length;
  }
  return { events: names.length, entries: count, wrongs };
}
