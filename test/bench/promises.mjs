// SPDX-License-Identifier: MIT
//
// The promises that a fast run must not break: the log of every event in a Redis is replayed, and its queue
// is checked.

import { Room, replay } from '../lua/room.mjs';

const PAGE = 10000;

// Reads the log in pages, since a bench writes many entries.
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

// Nobody both waits and is inside; no place is above the last one given; no two buyers have the same place.
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

// Checks all events of this Redis. Returns their number, the number of log entries, and the first broken
// promise of each event that has one.
export async function checkPromises(client) {
  const names = await client.keys('config:{*}');
  const wrongs = [];
  let count = 0;
  for (const name of names) {
    const room = new Room(client, name.slice('config:{'.length, -1));
    const log = await entries(client, room.id);
    const { broken } = replay(log, { order: true });
    const wrong = broken[0] ?? (await waiting(room));
    if (wrong) wrongs.push(`a promise is broken at event ${room.id}: ${wrong}`);
    count += log.length;
  }
  return { events: names.length, entries: count, wrongs };
}
