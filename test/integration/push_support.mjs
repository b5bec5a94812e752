// SPDX-License-Identifier: MIT
//
// Shared by the tests of Web Push: a service with keys, a push service, and buyers whose turn comes.
//
//   const { service, server, waiting, subscribe, calls, … } = await pushStage();

import assert from 'node:assert/strict';
import { after, afterEach } from 'node:test';
import { Client, PushService, runTiketi, stage, uniqueId } from '../fixtures/index.mjs';

export const SUBJECT = 'mailto:ops@shop.example';

const newKey = async () => (await runTiketi(['vapid-key'])).stdout.trim();

export async function pushStage() {
  const service = await PushService.start();
  const [own, older] = [await newKey(), await newKey()];
  const env = { VAPID_KEYS: `${own},${older}`, VAPID_SUBJECT: SUBJECT, LOG_LEVEL: 'debug', DB_TIMEOUT_MS: 1500, ...service.env };
  const all = await stage({ env });
  const { database, server, organizer } = all;
  const { key: publicKey } = (await server.get('/api/queue/push')).body;

  afterEach(async () => {
    service.answer = () => undefined;
    if (!service.running) await service.start();
    assert.deepEqual(service.faults.splice(0), [], 'the push service got what the RFCs say');
    await database.query('DELETE FROM push_subscriptions');
  });
  after(() => service.stop());

  // With a short claimMs an offer is called after a tenth of it.
  const sale = (settings = {}) => organizer.sale({ id: uniqueId('push'), threshold: 1, intervalMs: 100, autoHold: 0, claimMs: 9000, ...settings });
  const at = (id) => `/api/queue/push/${id}`;
  const put = (client, id, json) => client.request('PUT', at(id), { json });
  const subscriptions = (id) => database.query('SELECT buyer, endpoint, key FROM push_subscriptions WHERE event_id = $1 ORDER BY id', [id]);
  const calls = (id) => database.query('SELECT kind, payload, attempts, error, due_at, expires_at FROM outbox WHERE event_id = $1 ORDER BY id', [id]);
  const metric = (result) => server.metric(`tiketi_pushes_total{result="${result}"}`);

  const subscribe = async (client, id, { browser = service.subscribe(), ...more } = {}) => {
    const { status, text } = await put(client, id, { endpoint: browser.endpoint, keys: browser.keys, ...more });
    assert.equal(status, 204, text);
    return browser;
  };

  // A buyer who waits behind another one, who has the only slot.
  const waiting = async ({ guest = false, ...settings } = {}) => {
    const { id } = await sale(settings);
    const first = new Client(server, { sub: uniqueId('first') });
    await first.check(id);
    const client = new Client(server, guest ? {} : { sub: uniqueId('buyer') });
    assert.equal((await client.check(id)).body.status, 'queued');
    return { id, client, first };
  };
  return { ...all, service, env, own, older, publicKey, sale, at, put, subscriptions, calls, metric, subscribe, waiting };
}
