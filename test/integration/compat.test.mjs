// SPDX-License-Identifier: MIT
//
// COMPAT_TIKETI_NODE: what the predecessor's clients and scripts need beside Socket.IO, and that without it nothing of it is there.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, Organizer, Server, Socket, SocketIo, bearer, jwt, keeper, privateFolder, stage, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server: plain } = await stage();
const compat = await keeper()(Server.start({ redis, database, env: { COMPAT_TIKETI_NODE: 1 } }));
const organizer = new Organizer(compat);

// A buyer who is offered a turn and has not claimed it, at this server.
async function offered(server) {
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const first = new Client(server, { sub: uniqueId('first') });
  await first.check(id);
  const client = new Client(server, { sub: uniqueId('fan') });
  await client.check(id);
  await first.leave(id);
  await waitUntil(async () => (await client.status(id)).body.claimed === false, 10000, 'the offer');
  return { id, client };
}

const claimed = async ({ id, client }) => (await client.status(id)).body.claimed;

test('any heartbeat claims a turn, by HTTP, on a raw socket and over Socket.IO; one that says that nobody is there does not', async (t) => {
  const http = await offered(compat);
  assert.equal((await http.client.heartbeat(http.id, { json: { claim: false } })).body.claimed, false);
  const { body } = await http.client.heartbeat(http.id);
  assert.deepEqual([body.queued, body.status, body.claimed], [false, 'active', true]);

  const raw = await offered(compat);
  const tab = await Socket.open(compat);
  t.after(() => tab.drop());
  tab.join(raw.client, raw.id);
  await tab.next('queue-entry-allowed');
  tab.send('heartbeat', { claim: false });
  await tab.next('heartbeat-ack');
  await staysTrueFor(500, async () => (await claimed(raw)) === false, 'an offer');
  tab.send('heartbeat');
  await tab.next('turn-claimed');

  const io = await offered(compat);
  const socket = await SocketIo.open(compat, { token: io.client.token, join: io.id });
  t.after(() => socket.io.disconnect());
  await socket.next('queue-entry-allowed');
  socket.io.emit('heartbeat');
  await socket.next('turn-claimed');
});

test('without it a heartbeat without claim leaves the offer an offer', async (t) => {
  const offer = await offered(plain);
  await offer.client.heartbeat(offer.id);
  const socket = await SocketIo.open(plain, { token: offer.client.token, join: offer.id });
  t.after(() => socket.io.disconnect());
  await socket.next('queue-entry-allowed');
  socket.io.emit('heartbeat');
  await socket.next('heartbeat-ack');
  await staysTrueFor(500, async () => (await claimed(offer)) === false, 'an offer');
});

test('the two routes of its console have the roles of those that they stand for, and clear asks for no confirmation', async (t) => {
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const clients = [];
  for (let i = 0; i < 3; i++) {
    clients.push(new Client(compat, { sub: uniqueId('fan') }));
    await clients[i].check(id);
  }
  const as = (role, method, path) => compat.request(method, path, { headers: bearer(jwt({ sub: `a-${role}`, role })), ...(method === 'POST' && { json: {} }) });
  const [numbers, clear] = [`/api/queue/admin/${id}`, `/api/queue/admin/clear/${id}`];
  await waitUntil(async () => (await as('admin', 'GET', numbers)).body.queueSize === 2, 10000, 'the index');
  for (const role of ['admin', 'viewer', 'sre']) {
    assert.deepEqual((await as(role, 'GET', numbers)).body, { eventId: id, queueSize: 2, currentUsers: 1, threshold: 1, available: 0 });
  }
  assert.equal((await compat.get(numbers)).status, 401);
  assert.equal((await as('buyer', 'GET', numbers)).status, 403);
  assert.equal((await as('sre', 'POST', clear)).body.code, 'forbidden');
  assert.equal((await as('organizer', 'POST', clear)).body.code, 'not-yours', 'of another organizer');

  const socket = await SocketIo.open(compat, { token: clients[2].token, join: id });
  t.after(() => socket.io.disconnect());
  await socket.next('queue-position');
  const cleared = await as('admin', 'POST', clear);
  assert.deepEqual([cleared.status, cleared.body], [200, { eventId: id, message: 'The queue was cleared.' }]);
  await socket.next('queue-cleared');
  for (const client of clients) {
    await waitUntil(async () => (await client.status(id)).body.status === 'not_in_queue', 10000, 'the new epoch'); // a pod answers from an index of before for a second
  }
  assert.deepEqual(await database.query("SELECT who FROM audit WHERE verb = 'clear' AND event_id = $1", [id]), [{ who: 'a-admin\tadmin' }]);
});

test('without it there are no such routes, and clear must be confirmed', async () => {
  const { id } = await organizer.sale({ threshold: 1 });
  await new Client(plain, { sub: 'fan' }).check(id);
  const admin = { headers: bearer(jwt({ sub: 'root', role: 'admin' })) };
  for (const [method, path] of [['GET', `/api/queue/admin/${id}`], ['POST', `/api/queue/admin/clear/${id}`]]) {
    assert.equal((await plain.request(method, path, admin)).status, 404, path);
  }
  assert.equal((await plain.post(`/api/admin/events/${id}/clear`, admin)).body.code, 'confirm-needed');
});

test('with and without it, answers to heartbeat, leave and not_in_queue say `queued`', async () => {
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  for (const server of [plain, compat]) {
    const [first, second, stranger] = ['a', 'b', 'c'].map((sub) => new Client(server, { sub: uniqueId(sub) }));
    await first.check(id);
    await second.check(id);
    assert.deepEqual([(await first.heartbeat(id)).body.queued, (await second.heartbeat(id)).body.queued], [false, true]);
    const none = (await stranger.status(id)).body;
    assert.deepEqual([none.status, none.queued, none.currentUsers], ['not_in_queue', false, 1]);
    assert.match(none.message, /not in this queue/);
    assert.equal((await stranger.heartbeat(id)).body.queued, false);
    await organizer.act(id, 'pause');
    await waitUntil(async () => (await second.heartbeat(id)).body.status === 'paused', 10000, 'the pause');
    assert.equal((await second.heartbeat(id)).body.queued, true);
    await organizer.act(id, 'resume');
    for (const client of [second, first]) {
      const { body } = await client.leave(id);
      assert.deepEqual([body.status, body.queued], ['left', false]);
      assert.match(body.message, /left/);
    }
    assert.deepEqual([(await first.leave(id)).body.status, (await first.leave(id)).body.queued], ['not_in_queue', false]);
  }
});

test('it is taken away from a running pod by SIGHUP, and no socket closes', async (t) => {
  const file = join(privateFolder('compat'), 'flag');
  writeFileSync(file, '1\n');
  const pod = await Server.start({ redis, database, env: { COMPAT_TIKETI_NODE: null, COMPAT_TIKETI_NODE_FILE: file } });
  t.after(() => pod.stop());
  const { id } = await organizer.sale({ threshold: 1 });
  const numbers = () => pod.get(`/api/queue/admin/${id}`, { headers: bearer(jwt({ sub: 'root', role: 'admin' })) });
  const socket = await SocketIo.open(pod, { token: jwt({ sub: 'fan' }) });
  t.after(() => socket.io.disconnect());
  assert.equal((await numbers()).status, 200);
  writeFileSync(file, '0\n');
  pod.child.signal('SIGHUP');
  await waitUntil(async () => (await numbers()).status === 404, 10000, 'the routes to go');
  assert.equal(socket.connects, 1);
  assert.equal(socket.io.connected, true);
});
