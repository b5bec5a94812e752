// SPDX-License-Identifier: MIT
//
// web/deadline.js, the time limit that a page shows. Without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Warnings, nearest, phaseOf } from '../../web/deadline.js';

test('the nearest limit counts, named by what it ends', () => {
  assert.equal(nearest({}), undefined);
  assert.deepEqual(nearest({ turn: 600000 }), { kind: 'turn', at: 600000 });
  assert.deepEqual(nearest({ turn: 600000, hold: 300000 }), { kind: 'hold', at: 300000 });
  assert.deepEqual(nearest({ turn: 100000, hold: 300000 }), { kind: 'change', at: 100000 }, 'the seats can still be paid');
  assert.deepEqual(nearest({ turn: 600000, hold: 300000, idle: 90000 }), { kind: 'idle', at: 90000 });
  assert.deepEqual(nearest({ turn: 300000, hold: 300400 }), { kind: 'hold', at: 300400 }, 'a payment is pending: both end together');
  assert.deepEqual(nearest({ hold: 5000 }), { kind: 'hold', at: 5000 });
});

test('calm, under two minutes, under half a minute', () => {
  assert.deepEqual([600000, 120001, 120000, 30001, 30000, 0, -5].map(phaseOf), ['calm', 'calm', 'soon', 'soon', 'last', 'last', 'last']);
});

test('each limit is announced at two minutes and at thirty seconds, once', () => {
  const warnings = new Warnings();
  const said = (kind, at, ...lefts) => lefts.map((left) => warnings.due({ kind, at }, left));
  assert.deepEqual(said('turn', 1000, 121000, 120000, 119500, 60000, 30000, 29000, 0), [undefined, 120, undefined, undefined, 30, undefined, undefined]);
  assert.deepEqual(said('hold', 9000, 90000, 89000, 29900, 29000), [undefined, undefined, 30, undefined], 'began below two minutes');
  assert.deepEqual(said('hold', 9300, 28000), [undefined], 'the same limit, told again a little later');
  assert.deepEqual(said('hold', 99000, 121000, 25000), [undefined, 30], 'the device slept in between');
  assert.deepEqual(said('turn', 500, 200000, -100), [undefined, undefined]);
});
