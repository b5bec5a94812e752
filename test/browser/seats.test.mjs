// SPDX-License-Identifier: MIT
//
// web/seats.js, the hall on the page: columns, deltas, and the closest seats. Without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FREE, HELD, SOLD, Seats, mapRequest, nextBest, pack } from '../../web/seats.js';

// rows: [[section, row, 'free or not by letter: . free, x sold, h held'], …]
function hall(...rows) {
  let id = 100;
  const words = { '.': 'available', x: 'sold', h: 'held' };
  const seats = rows.flatMap(([section, row, letters, price = 5000]) => [...letters].map((letter, k) => ({
    id: String(id--), section, row, number: k + 1, price, currency: 'EUR', status: words[letter],
  })));
  return { version: 7, seats };
}
const made = (...rows) => new Seats(pack(hall(...rows)));

test('columns: the short form of a map gives the same ones', () => {
  const short = { version: 7, currency: 'EUR', rows: [['A', '1', 1, 9000, '100', 'aa'], ['A', '1', 3, 5000, '102', 's'], ['B', '1', 4, 5000, '90', 'ah']] };
  const long = [['100', 'A', 1, 9000, 'available'], ['101', 'A', 2, 9000, 'available'], ['102', 'A', 3, 5000, 'sold'], ['90', 'B', 4, 5000, 'available'], ['91', 'B', 5, 5000, 'held']]
    .map(([id, section, number, price, status]) => ({ id, section, row: '1', number, price, currency: 'EUR', status }));
  assert.deepEqual(pack(short), pack({ version: 7, seats: long }));
  assert.deepEqual(pack({ version: 0, rows: [] }), pack({ version: 0, seats: [] }));
  assert.deepEqual(mapRequest('x', 7), { path: '/api/seats/x?form=rows', headers: { 'If-None-Match': '"7-rows", "7-rows-gz"' } });
  assert.deepEqual(mapRequest('x').headers, {});
});

test('columns: rows and sections in the order of the map, seats found by id', () => {
  const seats = made(['A', '1', '..x', 9000], ['A', '2', '.h.'], ['B', '1', '..']);
  assert.equal(seats.count, 8);
  assert.equal(seats.free, 6);
  assert.deepEqual(seats.sections.map(({ name, rows }) => [name, rows.length]), [['A', 2], ['B', 1]]);
  assert.deepEqual([...seats.status], [FREE, FREE, SOLD, FREE, HELD, FREE, FREE, FREE]);
  for (let i = 0; i < seats.count; i++) assert.equal(seats.index(seats.id(i)), i);
  assert.equal(seats.index('1'), -1);
  assert.equal(seats.index('1000'), -1);
  assert.equal(seats.row(5).row, '2');
  assert.deepEqual([seats.tier(9000), seats.tier(5000)], [0, 1]);
  assert.equal(new Seats(pack({ version: 0, seats: [] })).count, 0);
});

test('a delta applies to the present version only; otherwise the map is read again', () => {
  const seats = made(['A', '1', '....']);
  const id = (i) => seats.id(i);
  assert.equal(seats.apply({ from: 6, version: 8, seats: [] }), null, 'something was missed');
  assert.deepEqual(seats.apply({ from: 5, version: 7, seats: [{ id: id(0), status: 'sold' }] }), [], 'known already');
  assert.deepEqual(seats.apply({ from: 7, version: 9, seats: [{ id: id(0), status: 'sold' }, { id: id(1), status: 'available' }] }), [0]);
  assert.deepEqual([seats.version, seats.free], [9, 3]);
  assert.equal(seats.apply({ from: 9, version: 10, seats: [{ id: '555', status: 'sold' }] }), null, 'a seat that is not here');
  assert.equal(seats.apply({ version: 12, reload: true }), null);
  assert.deepEqual(seats.apply({ from: 9, version: 11, seats: [{ id: id(0), status: 'available' }] }), [0]);
  assert.equal(seats.free, 4);
});

test('a newer map changes only the seats that differ; the map of another hall replaces all', () => {
  const seats = made(['A', '1', '....']);
  const newer = pack({ ...hall(['A', '1', 'x..h']), version: 9 });
  assert.deepEqual(seats.update(newer), [0, 3]);
  assert.deepEqual(seats.update(pack({ ...hall(['A', '1', '....']), version: 8 })), [], 'older: nothing');
  assert.equal(seats.free, 2);
  assert.equal(seats.update(pack({ ...hall(['A', '1', '.....']), version: 10 })), null);
});

test('a map of another layout is another hall: prices and names may differ', () => {
  const seats = new Seats(pack({ ...hall(['A', '1', '....']), layout: 3 }));
  assert.deepEqual(seats.update(pack({ ...hall(['A', '1', 'x...']), layout: 3, version: 8 })), [0]);
  assert.equal(seats.update(pack({ ...hall(['A', '1', 'x...']), layout: 4, version: 9 })), null);
});

test('a blocked seat is one that a buyer cannot have', () => {
  const seats = new Seats(pack({ version: 7, layout: 0, currency: 'EUR', rows: [['A', '1', 1, 9000, '100', 'ab']] }));
  assert.deepEqual([seats.free, seats.isFree(0), seats.isFree(1)], [1, true, false]);
  assert.deepEqual(seats.apply({ from: 7, version: 8, seats: [{ id: '100', status: 'blocked' }, { id: '101', status: 'available' }] }), [0, 1]);
  assert.deepEqual([seats.isFree(0), seats.isFree(1)], [false, true]);
});

test('seats marked as taken stay taken despite an older map, until they are released', () => {
  const seats = made(['A', '1', '....']);
  seats.markTaken([0, 1, 2]);
  assert.equal(seats.free, 1);
  assert.deepEqual(seats.update(pack({ ...hall(['A', '1', 'x...']), version: 8 })), [0], 'one is in the map by now');
  assert.deepEqual([...seats.status], [SOLD, HELD, HELD, FREE]);
  assert.deepEqual(seats.apply({ from: 8, version: 9, seats: [{ id: seats.id(1), status: 'available' }] }), [1], 'a change is news');
  assert.deepEqual(seats.releaseUnconfirmed([0, 1, 2]), [2], 'taken and given back between two maps');
  assert.deepEqual([...seats.status], [SOLD, FREE, FREE, FREE]);
  assert.equal(seats.free, 3);
  assert.deepEqual(seats.releaseUnconfirmed([0, 1, 2]), []);
});

test('the next best seats: as many, together, close; the buyer\'s own count as free', () => {
  const seats = made(['A', '1', '..........'], ['A', '2', 'xxx..xxxxx'], ['B', '1', '..........']);
  const taken = (i) => seats.markTaken([i]);
  taken(4);
  assert.deepEqual(nextBest(seats, [4, 5]), [5, 6], 'in the row, one on');
  for (const i of [2, 7]) taken(i);
  assert.deepEqual(nextBest(seats, [3, 4]), [5, 6]);
  assert.deepEqual(nextBest(seats, [3, 4, 5]), [20, 21, 22].map((i) => i + 3), 'no three in the section: as near in the next');
  assert.deepEqual(nextBest(seats, [4]), [3]);
  for (const i of [3, 5, 6, 0, 1, 8, 9]) taken(i);
  assert.deepEqual(nextBest(seats, [4, 5]), [13, 14], 'the row behind');
  assert.deepEqual(nextBest(seats, [4, 5], [5, 6]), [5, 6], 'the own seats');
  assert.equal(nextBest(seats, Array.from({ length: 11 }, (_, i) => i)), undefined);
  assert.equal(nextBest(seats, []), undefined);
});
