// SPDX-License-Identifier: MIT
//
// What one network may take: places of an event, requests, sockets. Each test has pods behind a "proxy": the loopback
// address is trusted, and X-Forwarded-For says who the client is.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { networkInterfaces } from 'node:os';
import { after, test } from 'node:test';
import { Client, SLOW, Server, Socket, exchange, many, stage, waitUntil } from '../fixtures/index.mjs';

const PROXY = { TRUSTED_PROXIES: '127.0.0.0/8' };
const { redis, database, server, organizer } = await stage({ env: { ...PROXY, RATE_LIMIT_PER_IP: 0 } });
const other = await Server.start({ redis, database, roles: 'api', env: { ...PROXY, RATE_LIMIT_PER_IP: 0 } });
after(() => other.stop());

const from = (address) => ({ headers: { 'x-forwarded-for': address } });
const joinFrom = (pod, id, address, options) => pod.post(`/api/queue/check/${id}`, { ...from(address), ...options });
const stats = async (id) => (await organizer.get(`/api/admin/events/${id}/stats`)).body;

// How often each status came for `count` new guests, asked by `pods` in turn.
async function crowd(count, pods, id, addressOf) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const seen = {};
  await many(Array.from({ length: count }), 64, async (_, i) => {
    const { status } = await exchange(pods[i % pods.length].url, 'POST', `/api/queue/check/${id}`, { agent, ...from(addressOf(i)) });
    seen[status] = (seen[status] ?? 0) + 1;
  });
  agent.destroy();
  return seen;
}

test('an attacker takes 5,000 places from one network and no more, at all pods together', { timeout: 120000 * SLOW }, async () => {
  const { id } = await organizer.sale({ threshold: 0 });
  assert.equal((await organizer.get(`/api/admin/events/${id}`)).body.placesPerNetwork, 5000, 'the default');
  const seen = await crowd(5600, [server, other], id, (i) => `203.0.113.${i % 250}`);
  assert.deepEqual(seen, { 200: 5000, 429: 600 });
  const buyer = await joinFrom(other, id, '198.51.100.1');
  assert.equal(buyer.status, 200, buyer.text);
  assert.equal(buyer.body.position, 5001);
});

test('the attacker cannot choose a network: by addresses of one, by carried IPv4, by forged headers', async () => {
  const { id } = await organizer.sale({ threshold: 0, placesPerNetwork: 1 });
  const ways = ['192.0.2.1', '192.0.2.254', '::ffff:192.0.2.3', '64:ff9b::192.0.2.4', '2002:c000:205::1', '2002:c000:206:1234::1',
    '198.51.100.77, 192.0.2.9', '198.51.100.78,nonsense,192.0.2.9:4711'];
  const statuses = [];
  for (const way of ways) statuses.push((await joinFrom(server, id, way)).status);
  assert.deepEqual(statuses, [200, ...Array(ways.length - 1).fill(429)]);
  assert.equal((await joinFrom(server, id, '2001:db8:1:2::1')).status, 200);
  assert.equal((await joinFrom(server, id, '2001:db8:1:2:ffff::1')).status, 429);
  assert.equal((await joinFrom(server, id, '2001:db8:1:3::1')).status, 200);
});

test('above the limit the answer says what it is and what to do; buyers with a place are not affected', async () => {
  const { id } = await organizer.sale({ threshold: 0, placesPerNetwork: 1 });
  const buyer = new Client(server);
  assert.equal((await buyer.check(id, from('192.0.2.1'))).status, 200);
  const refused = new Client(server);
  const answer = await refused.check(id, from('192.0.2.2'));
  assert.equal(answer.status, 429, answer.text);
  assert.equal(answer.body.code, 'network-limit');
  assert.match(answer.body.detail, /network has taken 1 place.*another connection.*organizer/);
  assert.ok(Number(answer.headers['retry-after']) >= 10, 'it does not help to ask again at once');
  assert.equal((await refused.status(id, from('192.0.2.2'))).body.status, 'not_in_queue');
  const page = await refused.get(`/wait/${id}`, from('192.0.2.2'));
  assert.equal(page.status, 429);
  assert.match(page.text, /<main id="main" data-state="network">/);
  assert.match(page.text, /Your network has reached its limit/);
  for (let i = 0; i < 3; i++) {
    assert.equal((await buyer.check(id, from('192.0.2.1'))).status, 200);
    assert.equal((await buyer.get(`/wait/${id}`, from('192.0.2.1'))).status, 200);
  }
  const socket = await Socket.open(server, { cookie: refused.cookieHeader, headers: from('192.0.2.2').headers });
  socket.send('join-queue', { eventId: id });
  assert.equal((await socket.next('error')).payload.code, 'not-in-queue', 'a socket takes no place either');
  assert.deepEqual((await stats(id)).networks, [{ network: '192.0.2.0/24', places: 1, refused: 2 }]);
  assert.equal((await stats(id)).counters.refused, 2);
  assert.ok((await server.metric('tiketi_places_refused_total')) >= 2);
});

test('the organizer raises the limit while the event is open; clear counts anew', async () => {
  const { id } = await organizer.sale({ threshold: 0, placesPerNetwork: 1 });
  assert.equal((await joinFrom(server, id, '192.0.2.1')).status, 200);
  assert.equal((await joinFrom(other, id, '192.0.2.1')).status, 429);
  await organizer.patch(id, { placesPerNetwork: 2 });
  await waitUntil(async () => (await joinFrom(other, id, '192.0.2.1')).status === 200, 1500, 'the new limit');
  assert.equal((await joinFrom(server, id, '192.0.2.1')).status, 429);
  await organizer.act(id, 'clear');
  await waitUntil(async () => (await joinFrom(server, id, '192.0.2.1')).status === 200, 3000, 'the new epoch');
  assert.deepEqual((await stats(id)).networks, []);
});

test('peers on the machine itself take as many places, requests and sockets as they like', async () => {
  const plain = await Server.start({ redis, database, env: { RATE_LIMIT_PER_IP: 1, WS_SOCKETS_PER_IP: 1 } });
  try {
    const { id } = await organizer.sale({ threshold: 0, placesPerNetwork: 1 });
    const answers = await many(Array.from({ length: 40 }), 40, () => joinFrom(plain, id, '192.0.2.1'));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    for (const socket of await Promise.all(Array.from({ length: 20 }, () => Socket.open(plain)))) socket.raw.terminate();
  } finally {
    await plain.stop();
  }
});

test('one address holds so many sockets, another is not affected, and a socket that is gone makes room', async () => {
  const pod = await Server.start({ redis, database, roles: 'api,gateway', env: { ...PROXY, WS_SOCKETS_PER_IP: 3 } });
  const open = (address) => Socket.open(pod, from(address));
  try {
    const sockets = await Promise.all(['192.0.2.1', '192.0.2.1', '64:ff9b::192.0.2.1'].map(open));
    for (const address of ['192.0.2.1', '2002:c000:201::7', '::ffff:192.0.2.1']) await assert.rejects(open(address), { status: 429 });
    sockets.push(...(await Promise.all(['192.0.2.2', '2001:db8::1', '2001:db8::2', '2001:db8::3'].map(open))));
    await assert.rejects(open('2001:db8::4'), { status: 429 });
    assert.equal(await pod.metric('tiketi_websocket_refused_total{reason="address_sockets"}'), 4);
    sockets[0].raw.terminate();
    await waitUntil(() => open('192.0.2.1').catch(() => undefined), 5000, 'room for another socket');
    for (const socket of sockets) socket.raw.terminate();
  } finally {
    await pod.stop();
  }
});

test('handshakes have a rate: the limit of requests counts them', async () => {
  const pod = await Server.start({ redis, database, roles: 'api,gateway', env: { ...PROXY, RATE_LIMIT_PER_IP: 1 } });
  try {
    const results = await many(Array.from({ length: 40 }), 40, () => Socket.open(pod, from('192.0.2.1')).then(() => 101, ({ status }) => status));
    assert.ok(results.includes(101) && results.includes(429), results.join());
    assert.ok(results.filter((status) => status === 101).length < 25, results.join());
    await Socket.open(pod, from('192.0.2.2'));
  } finally {
    await pod.stop();
  }
});

// Each connection of its own, so that the kernel spreads them over the workers.
const anew = (pod, path, options) => exchange(pod.url, options?.body ? 'POST' : 'GET', path, { agent: new Agent({ keepAlive: false }), ...options });

test('four workers of each kind share the limits of an address: requests, bad tokens, wrong tries, sockets', async () => {
  const env = { ...PROXY, RATE_LIMIT_PER_IP: 2, WS_SOCKETS_PER_IP: 6, API_WORKERS: 4, GATEWAY_WORKERS: 4 };
  const pod = await Server.start({ redis, database, roles: 'api,gateway', env });
  const count = (statuses, status) => statuses.filter((one) => one === status).length;
  const ask = (n, make) => many(Array.from({ length: n }), 20, (_, i) => make(i).then(({ status }) => status));
  try {
    let began = performance.now();
    const requests = await ask(200, () => anew(pod, '/api/events', from('192.0.2.1')));
    let seconds = (performance.now() - began) / 1000;
    assert.ok(count(requests, 200) >= 20 && count(requests, 200) <= 20 + 2 * seconds + 1, `${count(requests, 200)} of 200 in ${seconds} s`);
    assert.equal(count(requests, 200) + count(requests, 429), 200);
    assert.equal((await anew(pod, '/api/events', from('192.0.2.2'))).status, 200, 'another address');
    // Handshakes and requests of an address are one count.
    await ask(40, () => anew(pod, '/api/events', from('192.0.2.3')));
    began = performance.now();
    const handshakes = await many(Array.from({ length: 20 }), 20, () => Socket.open(pod, from('192.0.2.3')).then((socket) => socket.raw.terminate() ?? 101, ({ status }) => status));
    seconds = (performance.now() - began) / 1000;
    assert.ok(count(handshakes, 101) <= 2 * seconds + 1, handshakes.join());
    assert.ok(count(handshakes, 429) >= 10, handshakes.join());

    const sockets = await many(Array.from({ length: 18 }), 18, () => Socket.open(pod, from('192.0.2.4')).catch(({ status }) => status));
    assert.equal(count(sockets, 429), 12, 'six sockets at four workers');
    for (const socket of sockets) socket.raw?.terminate();
  } finally {
    await pod.stop();
  }
});

test('four workers share what an address may guess: bearer tokens, links to the console', async () => {
  const pod = await Server.start({ redis, database, roles: 'api', env: { ...PROXY, RATE_LIMIT_PER_IP: 0, API_WORKERS: 4 } });
  const statuses = (n, options) => many(Array.from({ length: n }), 20, () => anew(pod, options.path, options).then(({ status }) => status));
  const count = (list, status) => list.filter((one) => one === status).length;
  try {
    const began = performance.now();
    const bad = await statuses(600, { path: '/api/admin/events', headers: { ...from('192.0.2.1').headers, authorization: 'Bearer e30.e30.e30' } });
    const seconds = (performance.now() - began) / 1000;
    assert.ok(count(bad, 401) >= 200 && count(bad, 401) <= 200 + 20 * seconds + 1, `${count(bad, 401)} of 600 in ${seconds} s`);
    assert.equal(pod.logs.filter(({ message }) => message === 'invalid bearer tokens over the limit').length, 1, 'one line of all workers');
    const tries = await statuses(40, { path: '/console/enter', body: 'token=nobody-has-this', headers: { ...from('192.0.2.2').headers, 'content-type': 'application/x-www-form-urlencoded' } });
    assert.ok(count(tries, 429) >= 33 && count(tries, 429) < 40, `tries: ${tries}`);
  } finally {
    await pod.stop();
  }
});

test('a hundred sockets that ask for fifteen unknown events each are closed, and PostgreSQL is hardly asked', async () => {
  const lookups = () => server.metric('tiketi_event_lookups_total');
  const before = await lookups();
  const began = performance.now();
  const sockets = await Promise.all(Array.from({ length: 100 }, () => Socket.open(server)));
  sockets.forEach((socket, i) => {
    for (let n = 0; n < 15; n++) socket.send('watch-seats', { eventId: `none-${i}-${n}` });
  });
  for (const socket of sockets) assert.equal((await socket.closed).code, 1008);
  const seconds = (performance.now() - began) / 1000;
  const asked = (await lookups()) - before;
  // A socket is closed after ten answers, so at least 1,000 ids were looked up; a program that does not count has asked 0 times.
  assert.ok(asked > 0 && asked <= Math.min(50 * seconds + 2, 500), `${asked} statements in ${seconds} s`);
});

const own = Object.values(networkInterfaces()).flat().find(({ internal, family }) => !internal && family === 'IPv4')?.address;

test('four workers share the connections of an address', { skip: !own && 'no address but loopback' }, async () => {
  const pod = await Server.start({ redis, database, roles: 'api', env: { HTTP_CONNECTIONS_PER_IP: 8, HTTP_HOST: '0.0.0.0', API_WORKERS: 4 } });
  const agents = Array.from({ length: 40 }, () => new Agent({ keepAlive: true }));
  try {
    const statuses = await many(agents, 10, (agent) => exchange(`http://${own}:${pod.port}`, 'GET', '/api/events', { agent }).then(({ status }) => status));
    assert.equal(statuses.filter((status) => status === 200).length, 8, statuses.join());
    agents.shift().destroy();
    for (const agent of agents.splice(0, 39)) agent.destroy();
    await waitUntil(async () => (await exchange(`http://${own}:${pod.port}`, 'GET', '/api/events')).status === 200, 5000, 'room again');
  } finally {
    for (const agent of agents) agent.destroy();
    await pod.stop();
  }
});

test('a proxy that TRUSTED_PROXIES lacks is named in the log when it meets the limit', { skip: !own && 'no address but loopback' }, async () => {
  const pod = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, HTTP_HOST: '0.0.0.0', LOG_LEVEL: 'warn' } });
  try {
    const ask = (i) => exchange(`http://${own}:${pod.port}`, 'GET', '/api/events', from(`192.0.2.${i}`));
    const answers = await many(Array.from({ length: 40 }), 40, (_, i) => ask(i));
    assert.ok(answers.some(({ status }) => status === 429), 'the forged addresses do not evade it');
    const lines = pod.logs.filter(({ message, detail }) => `${message} ${detail}`.includes('TRUSTED_PROXIES'));
    assert.equal(lines.length, 1);
    assert.equal(lines[0].peer, own);
  } finally {
    await pod.stop();
  }
});
