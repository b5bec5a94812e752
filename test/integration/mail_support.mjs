// SPDX-License-Identifier: MIT
//
// Shared by the tests of mail: a pod that takes purchases, pods that send, and the outbox.
//
//   const { api, database, sale, sender, buy, outbox, due, statusIs } = await mailStage();

import assert from 'node:assert/strict';
import { afterEach } from 'node:test';
import { Client, Server, pay, stage, waitUntil } from '../fixtures/index.mjs';

export const FROM = '공연 티켓 <tickets@shop.example>';

export async function mailStage() {
  const { redis, database, server: api, organizer } = await stage({ roles: 'api,processor', env: { PAYMENT_URL: 'https://pay.example/page', LOG_LEVEL: 'debug' } });
  const running = new Set();
  let buyers = 0;
  afterEach(async () => {
    for (const pod of running) await pod.kill();
    running.clear();
  });

  const sale = (more = {}) => organizer.sale({ threshold: 100, autoHold: 0, askEmail: 'required', grid: { section: 'A구역', rows: 2, seatsPerRow: 20 }, ...more });

  // A pod that sends; what an earlier test left in the outbox is none of its business, unless `keep`.
  const sender = async (sink, env = {}, { keep = false } = {}) => {
    if (!keep) await database.query('DELETE FROM outbox');
    const pod = await Server.start({ redis, database, roles: 'processor',
      env: { MAIL_URL: sink.url, MAIL_FROM: FROM, OUTBOUND_ALLOW: '127.0.0.0/8', PUBLIC_URL: 'https://tickets.example', LOG_LEVEL: 'debug', ...env } });
    running.add(pod);
    return pod;
  };

  const buy = async (event, { email = `buyer${buyers}@mail.example`, language = 'en', quantity = 1 } = {}) => {
    const buyer = new Client(api, { sub: `mail-${buyers++}` });
    await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the buyer to be inside');
    const { body: held, text } = await buyer.reserve({ eventId: event.id, quantity });
    const order = await buyer.post(`/api/reservations/${held.id}/pay`, { json: { email, language } });
    assert.equal(order.status, 200, `${text} ${order.text}`);
    const began = performance.now();
    if (order.body.status !== 'confirmed') {
      const told = await pay(api, held, { provider: order.body.provider, reference: order.body.reference });
      assert.equal(told.body.status, 'confirmed', told.text);
    }
    return { buyer, held, email, ms: performance.now() - began };
  };

  const outbox = () => database.query('SELECT id::text, status, attempts, error FROM outbox ORDER BY id');
  // What has failed may be tried again at once.
  const due = () => database.query("UPDATE outbox SET due_at = clock_timestamp() WHERE status = 'pending' AND claim IS NULL");
  const statusIs = (wanted) => waitUntil(async () => {
    const rows = await outbox();
    return rows.length > 0 && rows.every(({ status }) => status === wanted);
  }, 15000, `all mail to be ${wanted}`);
  return { api, redis, database, sale, sender, buy, outbox, due, statusIs };
}
