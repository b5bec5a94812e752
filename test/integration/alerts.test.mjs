// SPDX-License-Identifier: MIT
//
// What the statistics warn of during a sale, each brought about on the real service: it comes, and it goes. (That no
// processor works is in life.test.mjs.)

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, pay, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage({ env: { RESTORE_MS: 6000 } });

const codes = async (id) => (await organizer.stats(id)).warnings.map(({ code }) => code);
const warned = (id, code) => waitUntil(async () => (await codes(id)).includes(code), 20000, code);
const calm = (id, code) => waitUntil(async () => !(await codes(id)).includes(code), 20000, `no ${code}`);

async function bought(id, quantity, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 15000, 'the turn');
  const { body: held, text } = await buyer.reserve({ eventId: id, quantity });
  assert.ok(held.id, text);
  const reference = `ref-${sub}`;
  assert.equal((await pay(server, held, { reference })).status, 200);
  return { ...held, reference };
}

test('refunds-due: while money must be returned, until the provider has returned it', async () => {
  const { id } = await organizer.sale({ threshold: 5, autoHold: 0, grid: { rows: 1, seatsPerRow: 10 } });
  const order = await bought(id, 2, 'alert-refund');
  assert.equal((await codes(id)).includes('refunds-due'), false);
  await organizer.act(id, 'refund', { reservationId: order.id });
  await warned(id, 'refunds-due');
  assert.equal((await pay(server, order, { reference: order.reference, status: 'refunded' })).status, 200);
  await calm(id, 'refunds-due');
});

test('near-sold-out: from one seat in twenty, not when none is left', async () => {
  const { id } = await organizer.sale({ threshold: 5, autoHold: 0, maxSeats: 20, grid: { rows: 1, seatsPerRow: 20 } });
  await bought(id, 18, 'alert-many');
  assert.equal((await codes(id)).includes('near-sold-out'), false, 'two of twenty');
  await bought(id, 1, 'alert-one');
  await warned(id, 'near-sold-out');
  await bought(id, 1, 'alert-last');
  await calm(id, 'near-sold-out');
});

test('nobody-let-in: a minute in which people waited, slots were free, and nobody entered', async () => {
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 3600000, promotion: 'interval' });
  const first = new Client(server, { sub: 'alert-first' });
  await waitUntil(async () => (await first.check(id)).body.status === 'active', 15000, 'the turn');
  await new Client(server, { sub: 'alert-second' }).check(id);
  await waitUntil(async () => (await organizer.stats(id)).queueSize === 1, 10000, 'one waits');
  const stats = `stats:{${id}}`;
  // The minute that has passed, and the beginning of this one, as the rank index writes them: nothing happened since.
  const still = async () => {
    const counters = await redis.cli('HMGET', stats, ...'joined admitted left withdrawn idle timeout completed parked direct claimed unclaimed idle_kept'.split(' '));
    const minute = Number(await redis.cli('HGET', stats, 'minute'));
    const entry = [...counters.map((value) => value || '0'), '1', '1', '1', '1'].join(' ');
    await redis.cli('HSET', stats, `m${minute - 1}`, entry, `m${minute}`, entry);
  };
  await still();
  await waitUntil(async () => (await organizer.stats(id)).limitedBy === 'threshold', 10000, 'the threshold is reached');
  assert.equal((await codes(id)).includes('nobody-let-in'), false, 'nobody may enter: that is no fault');
  await first.leave(id); // and no tick for an hour
  await waitUntil(async () => { await still(); return (await codes(id)).includes('nobody-let-in'); }, 15000, 'nobody-let-in');
  await organizer.act(id, 'process');
  await calm(id, 'nobody-let-in');
});

test('restoring: after a loss of data, until the places are back', async () => {
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 300 });
  const fans = [new Client(server, { sub: 'alert-in' }), new Client(server, { sub: 'alert-waits' })];
  for (const fan of fans) await fan.check(id);
  assert.equal((await codes(id)).includes('restoring'), false);
  await redis.cli('FLUSHALL');
  await fans[1].check(id);
  await warned(id, 'restoring');
  assert.equal((await organizer.stats(id)).limitedBy, 'restoring');
  await calm(id, 'restoring');
});
