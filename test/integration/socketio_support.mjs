// SPDX-License-Identifier: MIT
//
// A crowd on two pods, of Socket.IO clients or of raw sockets: CI plays it with a hundred, the night with 2,000 of each.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { Client, Organizer, Server, Socket, SocketIo, decode, many, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

// CPU time of a process so far, in ms.
const cpuOf = ({ pid }) => readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0) / 1e6;

async function open(pod, buyer, eventId, raw) {
  if (!raw) return SocketIo.open(pod, { token: buyer.token, join: eventId });
  const socket = await Socket.open(pod);
  socket.join(buyer, eventId);
  return socket;
}

// Everybody waits; then the threshold is raised, so that as many enter. Returns the frames that all were sent, and the CPU
// time of both pods, in ms, from the first handshake.
export async function crowdOfSockets(t, { redis, database, clients, admitted, raw = false }) {
  const pods = [];
  for (const roles of ['api,gateway,processor', 'api,gateway']) {
    const pod = await Server.start({ redis, database, roles });
    t.after(() => pod.stop());
    pods.push(pod);
  }
  const organizer = new Organizer(pods[0]);
  const { id } = await organizer.sale({ threshold: 0, autoHold: 0 });
  const buyers = await many(Array.from({ length: clients }, (_, i) => uniqueId(`fan-${i}-`)), 32, async (sub, i) => {
    const buyer = new Client(pods[i % 2], { sub });
    await buyer.check(id);
    return buyer;
  });
  const before = pods.map(cpuOf);
  const crowd = await many(buyers, 32, async (buyer, i) => {
    const { sub, p } = { sub: decode(buyer.token).sub, p: decode(buyer.ticket).p };
    return { sub, place: BigInt(p), socket: await open(pods[(i >> 1) % 2], buyer, id, raw) };
  });
  t.after(() => crowd.forEach(({ socket }) => (raw ? socket.drop() : socket.io.disconnect())));
  await many(crowd, 32, ({ socket }) => socket.next('queue-position', 30000));

  await organizer.patch(id, { threshold: admitted });
  const told = () => crowd.filter(({ socket }) => socket.all('queue-entry-allowed').length > 0);
  await waitUntil(() => told().length >= admitted, 30000, 'everybody who was admitted to be told');
  await staysTrueFor(1500, () => told().length === admitted, 'nobody else');
  const cpuMs = Math.round(pods.reduce((sum, pod, i) => sum + cpuOf(pod) - before[i], 0));
  const first = [...crowd].sort((a, b) => (a.place < b.place ? -1 : 1)).slice(0, admitted).map(({ sub }) => sub).sort();
  assert.deepEqual(told().map(({ sub }) => sub).sort(), first, 'the first who came');
  const subs = new Set(crowd.map(({ sub }) => sub));
  for (const { sub, socket } of crowd) {
    assert.equal(socket.wrong, undefined);
    assert.deepEqual(socket.all('error'), []);
    if (!raw) assert.deepEqual([socket.connects, socket.ends], [1, []]);
    const entries = socket.all('queue-entry-allowed');
    assert.ok(entries.length <= 1, `${sub} is told ${entries.length} times`);
    for (const { payload } of entries) assert.equal(payload.userId, sub);
    for (const text of JSON.stringify(socket.messages).match(/fan-[\w-]+/g) ?? []) assert.ok(text === sub || !subs.has(text), `${sub} sees ${text}`);
    // Tickets and passes name their buyer.
    for (const token of socket.messages.flatMap(({ payload }) => [payload.ticket, payload.pass].filter(Boolean))) {
      assert.equal(decode(token).sub ?? decode(token).b, `u:${sub}`);
    }
  }
  return { frames: crowd.reduce((sum, { socket }) => sum + socket.messages.length, 0), cpuMs };
}
