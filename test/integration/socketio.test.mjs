// SPDX-License-Identifier: MIT
//
// Socket.IO: the unmodified client of npm joins, is told what a raw socket is told, comes back by itself and resumes.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import {
  Client, Engine, Organizer, Postgres, Redis, SLOW, Server, Socket, SocketIo, decode, jwt, staysTrueFor, uniqueId, waitUntil, within,
} from '../fixtures/index.mjs';
import { crowdOfSockets } from './socketio_support.mjs';

let redis;
let postgres;
let database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
beforeEach(async () => {
  await redis.cli('FLUSHALL');
  database = await postgres.migrated();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

async function serve(t, options = {}) {
  const server = await Server.start({ redis, database, ...options });
  t.after(() => (server.running ? server.stop() : undefined));
  return server;
}

// A buyer who has a place, and a Socket.IO client that joins with the token of its handshake at each connect.
async function buyer(t, server, eventId, options = {}) {
  const sub = uniqueId('fan');
  const client = new Client(server, { sub });
  const { body } = await client.check(eventId);
  const socket = await SocketIo.open(server, { token: client.token, join: eventId, ...options });
  t.after(() => socket.io.disconnect());
  return { sub, client, body, socket };
}

test('a client joins with the token of its handshake, and is told all that concerns its buyer', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, grid: { rows: 2, seatsPerRow: 3 } });
  const first = await buyer(t, server, id);
  assert.equal((await first.socket.next('queue-entry-allowed')).claimed, true);
  const second = await buyer(t, server, id);
  const third = await buyer(t, server, id);
  const shown = await second.socket.next('queue-position');
  assert.deepEqual([shown.eventId, shown.position, decode(shown.ticket).p], [id, 1, decode(second.client.ticket).p]);
  const numbers = await third.socket.next('queue-updated');
  assert.deepEqual([numbers.eventId, numbers.threshold], [id, 1]);

  const seats = third.socket;
  seats.io.emit('watch-seats', { eventId: id });
  assert.deepEqual((await seats.next('seats-changed')).seats, []);
  await first.client.reserve({ eventId: id, quantity: 1 }, { 'x-tiketi-pass': first.client.pass });
  assert.equal((await seats.next('seats-changed')).seats[0].status, 'held');

  await organizer.act(id, 'message', { text: 'Doors at eight' });
  for (const { socket } of [first, second, third]) assert.equal((await socket.next('message')).text, 'Doors at eight');

  second.socket.io.emit('join-queue', { eventId: id, return: '/shop/x?seat=1' });
  await second.socket.next('queue-position');
  await first.client.leave(id);
  const offer = await second.socket.next('queue-entry-allowed');
  assert.deepEqual([offer.eventId, offer.userId, offer.claimed, offer.pass, offer.returnUrl], [id, second.sub, false, undefined, '/shop/x?seat=1']);
  assert.match(offer.message, /your turn/);
  second.socket.io.emit('heartbeat', { claim: true });
  const turn = await second.socket.next('turn-claimed');
  assert.deepEqual([turn.userId, decode(turn.pass).sub], [second.sub, `u:${second.sub}`]);
  await second.socket.next('heartbeat-ack');
  const gate = await server.get(`/api/gate/${id}`, { headers: { authorization: `Bearer ${second.client.token}`, 'x-tiketi-pass': turn.pass } });
  assert.equal(gate.status, 204);

  await organizer.act(id, 'pause');
  assert.equal((await third.socket.next('event-status-changed')).status, 'paused');
  await organizer.act(id, 'clear', { confirm: id });
  const { eventId, message } = await third.socket.next('queue-cleared');
  assert.equal(eventId, id);
  assert.ok(message.length > 10, 'a text that the predecessor’s client shows as it is');

  const ids = [first, second, third].map(({ sub }) => sub);
  for (const { sub, socket } of [first, second, third]) {
    assert.equal(socket.wrong, undefined);
    const text = JSON.stringify(socket.messages);
    for (const other of ids) if (other !== sub) assert.ok(!text.includes(other), `${sub} is told of ${other}`);
  }
});

test('acknowledgements are answered, and leave-queue and errors are as on a raw socket', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 0 });
  const { socket } = await buyer(t, server, id);
  await socket.next('queue-position');
  const answers = [];
  for (const message of [['heartbeat'], ['heartbeat', null], ['join-seat-selection', { eventId: id }], ['seat-selection-changed', { eventId: id, seatIds: [1] }]]) {
    answers.push(await socket.io.timeout(5000 * SLOW).emitWithAck(...message));
  }
  assert.deepEqual(answers, [undefined, undefined, undefined, undefined]);
  assert.equal(socket.all('error').length, 0, 'what the predecessor’s client sends besides is no error');
  for (const [message, code] of [[['no-such-thing', {}], 'unknown-message'], [['heartbeat', 7], 'invalid'], [['join-queue', { eventId: '?' }], 'invalid']]) {
    await socket.io.timeout(5000 * SLOW).emitWithAck(...message);
    assert.equal((await socket.next('error')).code, code);
  }
  socket.io.emit('leave-queue');
  assert.equal((await socket.next('error')).code, 'not-in-queue');
  assert.equal(socket.io.connected, true);
});

test('a banned buyer is told so, and their client stays away', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 0 });
  const { sub, socket } = await buyer(t, server, id);
  await socket.next('queue-position');
  await organizer.act(id, 'ban', { buyer: `u:${sub}`, reason: 'a bot' });
  assert.equal((await socket.next('error')).code, 'banned');
  await waitUntil(() => socket.ends[0], 5000, 'the disconnect');
  assert.deepEqual([socket.ends[0].reason, socket.io.active], ['io server disconnect', false]);
});

test('join-event and leave-event are answered with room-info', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 0 });
  const [one, two] = await Promise.all(['a', 'b'].map((sub) => SocketIo.open(server, { token: jwt({ sub }) })));
  one.io.emit('join-event', { eventId: id });
  assert.deepEqual(await one.next('room-info'), { eventId: id, userCount: 1 });
  two.io.emit('join-event', { eventId: id });
  assert.deepEqual(await two.next('room-info'), { eventId: id, userCount: 2 });
  two.io.emit('leave-event', { eventId: id });
  await two.next('room-info');
  for (let i = 0; i < 4; i++) await new Client(server, { sub: uniqueId('fan') }).check(id);
  await waitUntil(async () => {
    one.io.emit('join-event', { eventId: id });
    return (await one.next('room-info')).userCount === 4;
  }, 10000, 'all who wait to be counted');
  one.io.emit('join-event', { eventId: uniqueId('none') });
  assert.equal((await one.next('error')).code, 'unknown-event');
  assert.equal(one.wrong ?? two.wrong, undefined);
});

test('without a token or a guest cookie a client is refused; with the cookie it is that guest, from an allowed origin alone', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  const refused = async (options) => {
    const client = new SocketIo(server, options);
    const error = await client.connected().catch((thrown) => thrown);
    client.io.disconnect();
    return error;
  };
  const none = await refused({});
  assert.deepEqual([none.message, none.data], ['Authentication required', { code: 'unauthorized' }]);
  const bad = await refused({ token: `${jwt({ sub: 'x' })}x` });
  assert.deepEqual(bad.data, { code: 'unauthorized' });
  assert.match((await refused({ auth: { token: 7 } })).message, /token/);

  const guest = new Client(server);
  await guest.check(id);
  const socket = await SocketIo.open(server, { cookie: guest.cookieHeader, join: id });
  t.after(() => socket.io.disconnect());
  assert.match((await socket.next('queue-entry-allowed')).userId, /^g:[0-9a-f]{32}$/);
  await assert.rejects(Engine.open(server, { origin: 'https://evil.example', cookie: guest.cookieHeader }), { status: 403 });
  assert.equal((await refused({ token: `${jwt({ sub: 'x' })}x`, cookie: guest.cookieHeader })).data.code, 'unauthorized',
    'a wrong token is not made good by a cookie');
});

test('long polling, another version and other methods are answered with Engine.IO’s own error', async (t) => {
  const server = await serve(t, { roles: 'gateway' });
  const ask = (method, query) => new Promise((accept, reject) => {
    const call = request({ port: server.wsPort, method, path: `/socket.io/${query}` }, (response) => {
      let text = '';
      response.on('data', (data) => (text += data)).on('end', () => accept([response.statusCode, response.headers['content-type'], JSON.parse(text).code]));
    });
    call.on('error', reject);
    call.end();
  });
  const error = (code) => [400, 'application/json', code];
  assert.deepEqual(await ask('GET', '?EIO=4&transport=polling'), error(0));
  assert.deepEqual(await ask('POST', '?EIO=4&transport=polling&sid=abc'), error(0));
  assert.deepEqual(await ask('GET', ''), error(0));
  assert.deepEqual(await ask('GET', '?EIO=4&transport=websocket&sid=abc'), error(1));
  assert.deepEqual(await ask('PUT', '?EIO=4&transport=websocket'), error(2));
  assert.deepEqual(await ask('GET', '?EIO=3&transport=websocket'), error(5));
  await assert.rejects(Engine.open(server, { query: 'EIO=3&transport=websocket' }), { status: 400, text: '{"code":5,"message":"Unsupported protocol version"}\n' });

  const polling = new SocketIo(server, { token: jwt({ sub: 'p' }), transports: ['polling'], reconnection: false });
  await waitUntil(() => polling.refused[0], 10000, 'the refusal');
  assert.match(polling.refused[0].message, /xhr poll error/);
});

test('below PATH_PREFIX the client finds it by its option `path`', async (t) => {
  const server = await serve(t, { roles: 'gateway', env: { PATH_PREFIX: '/.tiketi' } });
  const client = await SocketIo.open(server, { token: jwt({ sub: 'p' }), path: '/.tiketi/socket.io' });
  assert.equal(client.io.connected, true);
  await assert.rejects(Engine.open(server), { status: 404 });
});

test('a client that says nothing wrong may wait for as long as it likes; one that never connects is closed', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 0 });
  const [idle, mute] = [await SocketIo.open(server, { token: jwt({ sub: 'idle' }) }), await Engine.open(server)];
  const open = JSON.parse((await mute.next(/^0/)).slice(1));
  assert.deepEqual({ ...open, sid: open.sid.length }, { sid: 32, upgrades: [], pingInterval: 25000, pingTimeout: 20000, maxPayload: 12288 });
  assert.equal((await within(9000, mute.closed, 'the close frame')).code, 1008);
  await staysTrueFor(1000, () => idle.io.connected, 'the other is open');
  await new Client(server, { token: jwt({ sub: 'idle' }) }).check(id);
  idle.io.emit('join-queue', { eventId: id });
  assert.equal((await idle.next('queue-position')).position, 1);
  assert.equal(idle.ends.length, 0);
});

test('what no client of Socket.IO sends closes the connection; a namespace beside / is refused', async (t) => {
  const server = await serve(t, { roles: 'gateway' });
  const token = jwt({ sub: 'raw' });
  const connect = `40${JSON.stringify({ token })}`;
  const open = async (connected) => {
    const engine = await Engine.open(server);
    if (connected) {
      engine.send(connect);
      await engine.next(/^40\{"sid":"[0-9a-f]{32}"\}$/);
    }
    return engine;
  };
  const wrong = ['', '2', '2probe', '5', '6', '4', '4x', '42', '42{}', '42[]', '42[7]', '42["x"', '42abc["x"]', '42/admin,["x"]', '43[]', '44{}', '451-["x",{"_placeholder":true,"num":0}]',
    '461-0[]', 'b4AQID', '{"event":"heartbeat"}', connect, '41/admin,'];
  const before = ['42["heartbeat"]', '41', '40[]x', '2'];
  const ends = await Promise.all([...wrong.map((packet) => [true, packet]), ...before.map((packet) => [false, packet])].map(async ([connected, packet]) => {
    const engine = await open(connected);
    engine.send(packet);
    return `${packet}: ${(await within(5000, engine.closed, `the end after ${packet}`)).code}`;
  }));
  assert.deepEqual(ends, [...wrong, ...before].map((packet) => `${packet}: 1002`));
  const binary = await open(true);
  binary.raw.send(Buffer.from([1, 2, 3]));
  assert.equal((await binary.closed).code, 1003);
  const long = await open(true);
  long.send(`42["join-queue",{"eventId":"${'x'.repeat(13000)}"}]`);
  assert.equal((await long.closed).code, 1009);

  const engine = await open(true);
  engine.send('40/admin,{}');
  assert.equal(await engine.next(/^44/), '44/admin,{"message":"Invalid namespace","data":{"code":"invalid"}}');
  engine.send('4217["heartbeat",{}]');
  assert.equal(await engine.next(/^43/), '4317[]');
  engine.send('41'); // and anew on the same connection: without a token it is nobody now
  engine.send('40');
  assert.match(await engine.next(/^44\{/), /Authentication required/);
  engine.send(connect);
  await engine.next(/^40/, 2);
  engine.send('1');
  assert.equal((await engine.closed).code, 1000);
});

test('a flood of packets ends with a disconnect after which the client does not come back by itself', async (t) => {
  const server = await serve(t, { roles: 'gateway' });
  const flood = async (packet) => {
    const engine = await Engine.open(server);
    engine.send(`40${JSON.stringify({ token: jwt({ sub: 'flood' }) })}`);
    await engine.next(/^40/);
    for (let i = 0; i < 60; i++) engine.send(packet);
    const { code } = await within(5000, engine.closed, 'the end');
    return [code, engine.packets.at(-1), engine.packets.filter((one) => one.includes('too-many-messages')).length];
  };
  assert.deepEqual(await flood('3'), [1008, '41', 10]);
  assert.deepEqual(await flood('42["heartbeat"]'), [1008, '41', 10]);
  const guesses = await Engine.open(server);
  for (let i = 0; i < 12; i++) guesses.send('40{"token":"a.b.c"}');
  assert.equal((await guesses.closed).code, 1008);

  const { io, ends, all, connects } = await SocketIo.open(server, { token: jwt({ sub: 'client' }) });
  for (let i = 0; i < 60; i++) io.emit('heartbeat');
  await waitUntil(() => ends[0], 5000, 'the disconnect');
  assert.equal(ends[0].reason, 'io server disconnect');
  await staysTrueFor(1000, () => !io.active && connects <= 1, 'it stays away');
  assert.ok(all);
});

test('the limits of an address hold for both framings together', async (t) => {
  const server = await serve(t, { roles: 'gateway', env: { WS_SOCKETS_PER_IP: 3, TRUSTED_PROXIES: '127.0.0.0/8' } });
  const headers = { 'x-forwarded-for': '192.0.2.1' };
  await Engine.open(server, { headers });
  await Socket.open(server, { headers });
  await SocketIo.open(server, { token: jwt({ sub: 'third' }), headers });
  await assert.rejects(Engine.open(server, { headers }), { status: 429 });
  await assert.rejects(Socket.open(server, { headers }), { status: 429 });
  await Engine.open(server, { headers: { 'x-forwarded-for': '192.0.2.2' } });
});

test('a waiting client that sends nothing but answers to pings is never silent; one that does not answer is closed', async (t) => {
  const server = await serve(t, { env: { WS_PING_MS: 1000, QUEUE_SILENT_MS: 4000, QUEUE_PROCESSOR_INTERVAL: 200 } });
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 0, autoHold: 0 });
  const waiting = await buyer(t, server, id);
  await waiting.socket.next('queue-position');
  const deaf = await Engine.open(server);
  deaf.send(`40${JSON.stringify({ token: jwt({ sub: 'deaf' }) })}`);
  const gone = within(9000, deaf.closed, 'the end of who does not answer');
  await staysTrueFor(5500, async () => (await redis.cli('HGET', `stats:{${id}}`, 'parked')) === null, 'nobody is parked');
  await gone;
  assert.ok(deaf.packets.filter((packet) => packet === '2').length >= 2, deaf.packets.join(' '));
  assert.equal(waiting.socket.connects, 1);
  await organizer.patch(id, { threshold: 1 });
  await waiting.socket.next('queue-entry-allowed');
});

test('a client comes back by itself when its pod is killed, resumes, and is told of the turn that it missed', async (t) => {
  const api = await serve(t, { roles: 'api,processor' });
  const pod = await serve(t, { roles: 'gateway' });
  const organizer = new Organizer(api);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const insider = new Client(api, { sub: 'inside' });
  await insider.check(id);
  const sub = uniqueId('fan');
  const client = new Client(api, { sub });
  await client.check(id);
  const socket = await SocketIo.open(pod, { token: client.token, join: id });
  const place = decode((await socket.next('queue-position')).ticket).p;
  await pod.kill();
  await waitUntil(() => socket.ends[0], 10000, 'the end');
  assert.equal(socket.ends[0].reason, 'transport close');
  await pod.start();
  assert.equal(decode((await socket.next('queue-position')).ticket).p, place);
  await pod.kill();
  await waitUntil(() => socket.ends[1], 10000, 'the second end');
  await insider.leave(id);
  await waitUntil(async () => (await client.status(id)).body.status === 'active', 10000, 'the turn');
  await pod.start();
  assert.equal((await socket.next('queue-entry-allowed')).userId, sub);
  await staysTrueFor(1000, () => socket.all('queue-entry-allowed').length === 1, 'told once');
  assert.equal(socket.wrong, undefined);
});

test('a draining pod tells when to come back, and its clients do, without a word of their own', async (t) => {
  const api = await serve(t, { roles: 'api,processor' });
  const pod = await serve(t, { roles: 'gateway', env: { DRAIN_MS: 1000 } });
  const { id } = await new Organizer(api).sale({ threshold: 0 });
  const client = new Client(api, { sub: uniqueId('fan') });
  await client.check(id);
  const [waiting, idle] = [await SocketIo.open(pod, { token: client.token, join: id }), await SocketIo.open(pod, { token: jwt({ sub: 'idle' }) })];
  const mute = await Engine.open(pod);
  const delays = [];
  waiting.io.on('error', ({ retryMs }) => delays.push(retryMs) && waiting.io.io.reconnectionDelay(retryMs)); // as docs/integrate/socket-io.md says
  await waiting.next('queue-position');
  await pod.stop();
  for (const { ends } of [waiting, idle]) {
    await waitUntil(() => ends[0], 5000, 'the end');
    assert.deepEqual([ends[0].reason, ends[0].code], ['transport close', 1001]);
  }
  assert.equal((await mute.closed).code, 1001);
  assert.deepEqual(mute.packets.filter((packet) => packet !== '2').length, 1, 'nothing but the open packet, before it has connected');
  assert.ok(delays.length === 1 && delays[0] >= 500 && delays[0] <= 5500, String(delays));
  await pod.start();
  await waiting.next('queue-position', 15000);
  await waitUntil(() => idle.io.connected, 15000, 'the other to come back');
  assert.deepEqual([waiting.connects, idle.connects], [2, 2]);
});

test('a client that reads nothing is closed when too much waits for it; the others are told all the same', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 0 });
  const client = new Client(server, { sub: 'deaf' });
  await client.check(id);
  const good = await buyer(t, server, id);
  await good.socket.next('queue-position');
  const deaf = await Engine.open(server);
  deaf.send(`40${JSON.stringify({ token: client.token })}`);
  deaf.send(`42${JSON.stringify(['join-queue', { eventId: id }])}`);
  await deaf.next(/queue-position/);
  deaf.raw.pause();
  let sent = 0;
  while ((await server.metric('tiketi_websocket_closed_total{reason="slow"}')) === 0) {
    const text = `${++sent}: ${'한'.repeat(490)}`;
    assert.ok(sent < 400, 'still open after 400 messages of 6 KB');
    await organizer.act(id, 'message', { text: { en: text, ko: text, ja: text } });
    await good.socket.next('message');
  }
  assert.equal(good.socket.all('message').length, sent);
  assert.equal(good.socket.connects, 1);
});

test('100 clients on two pods, 20 admitted: each is told once, and nobody sees the id of another', async (t) => {
  await crowdOfSockets(t, { redis, database, clients: 100, admitted: 20 });
});
