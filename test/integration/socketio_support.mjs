// SPDX-License-Identifier: MIT
//
// A crowd of Socket.IO clients on two pods: CI plays it with some hundreds, the night with 2,000.

import assert from 'node:assert/strict';
import { Client, Organizer, Server, SocketIo, decode, many, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

// Everybody waits; then the threshold is raised, so that as many enter. Returns the frames that all were sent.
export async function crowdOfSockets(t, { redis, database, clients, admitted }) {
  const pods = [];
  for (const roles of ['api,gateway,processor', 'api,gateway']) {
    const pod = await Server.start({ redis, database, roles, env: { RATE_LIMIT_PER_IP: 1000000, WS_SOCKETS_PER_IP: 100000 } });
    t.after(() => pod.stop());
    pods.push(pod);
  }
  const organizer = new Organizer(pods[0]);
  const { id } = await organizer.sale({ threshold: 0, autoHold: 0 });
  const crowd = await many(Array.from({ length: clients }, (_, i) => i), 32, async (i) => {
    const sub = uniqueId(`fan-${i}-`);
    const buyer = new Client(pods[i % 2], { sub });
    await buyer.check(id);
    const socket = await SocketIo.open(pods[(i >> 1) % 2], { token: buyer.token, join: id });
    return { sub, place: BigInt(decode(buyer.ticket).p), socket };
  });
  t.after(() => crowd.forEach(({ socket }) => socket.io.disconnect()));
  await many(crowd, 32, ({ socket }) => socket.next('queue-position', 30000));

  await organizer.patch(id, { threshold: admitted });
  const told = () => crowd.filter(({ socket }) => socket.all('queue-entry-allowed').length > 0);
  await waitUntil(() => told().length >= admitted, 30000, 'everybody who was admitted to be told');
  await staysTrueFor(1500, () => told().length === admitted, 'nobody else');
  const first = [...crowd].sort((a, b) => (a.place < b.place ? -1 : 1)).slice(0, admitted).map(({ sub }) => sub).sort();
  assert.deepEqual(told().map(({ sub }) => sub).sort(), first, 'the first who came');
  const subs = new Set(crowd.map(({ sub }) => sub));
  for (const { sub, socket } of crowd) {
    assert.equal(socket.wrong, undefined);
    assert.deepEqual([socket.connects, socket.ends, socket.all('error')], [1, [], []]);
    const entries = socket.all('queue-entry-allowed');
    assert.ok(entries.length <= 1, `${sub} is told ${entries.length} times`);
    for (const { payload } of entries) assert.equal(payload.userId, sub);
    for (const text of JSON.stringify(socket.messages).match(/fan-[\w-]+/g) ?? []) assert.ok(text === sub || !subs.has(text), `${sub} sees ${text}`);
    // Tickets and passes name their buyer.
    for (const token of socket.messages.flatMap(({ payload }) => [payload.ticket, payload.pass].filter(Boolean))) {
      assert.equal(decode(token).sub ?? decode(token).b, `u:${sub}`);
    }
  }
  return { frames: crowd.reduce((sum, { socket }) => sum + socket.messages.length, 0) };
}
