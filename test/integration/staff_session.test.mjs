// SPDX-License-Identifier: MIT
//
// Signing in to the console by a one-time link, and what its session may do: on the API, while PostgreSQL is gone, and
// after it was ended.

import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import { Client, Organizer, SECRETS, Server, adminToken, bearer, jwt, runTiketi, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, postgres, database, server } = await stage({ env: { TRUSTED_PROXIES: '127.0.0.1', COMPAT_TIKETI_NODE: 1 } });

// The key that the tests' ticket key derives for these texts.
const KEY = Buffer.from(hkdfSync('sha256', Buffer.from(SECRETS.TICKET_KEYS.split(':')[1], 'hex'), '', 'tiketi staff sign-in', 32));

const linkOf = async (...args) => new URL((await runTiketi(['console-link', '--url', server.url, ...args])).stdout.trim());

const form = (fields) => ({ body: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' } });

// Signs a new browser in.
async function signIn(args = ['--name', 'Kim'], { at = server, client = new Client(at), headers = {} } = {}) {
  const link = await linkOf(...args);
  const { body, headers: type } = form({ link: link.searchParams.get('link') });
  const answer = await client.post('/console/enter', { body, headers: { ...type, ...headers } });
  assert.equal(answer.status, 303, answer.text);
  assert.equal(answer.headers.location, '/console');
  return { client, answer };
}

const session = (client, options) => client.get('/api/admin/session', options);
const csrfOf = async (client) => ({ 'x-csrf-token': (await session(client)).body.csrf });

test('a link shows who it is for, changes nothing when it is loaded, and signs in once', async () => {
  const link = await linkOf('--name', 'Kim Minji', '--role', 'viewer');
  const path = link.pathname + link.search;
  assert.equal(link.origin, server.url);
  for (let i = 0; i < 2; i++) { // a previewer, then the person
    const page = await new Client(server).get(path, { headers: { 'user-agent': 'Slackbot-LinkExpanding 1.0' } });
    assert.equal(page.status, 200);
    assert.match(page.text, /Kim Minji/);
    assert.match(page.text, /<form class="actions" method="post" action="\/console\/enter">/);
    assert.equal(page.headers['set-cookie'], undefined);
    assert.equal(page.headers['cache-control'], 'no-store');
  }
  assert.equal((await server.request('HEAD', path)).status, 200);
  const client = new Client(server);
  const entered = await client.post('/console/enter', form({ link: link.searchParams.get('link') }));
  assert.equal(entered.status, 303);
  const { body } = await session(client);
  assert.deepEqual([body.name, body.role, body.csrf.length], ['Kim Minji', 'viewer', 43]);
  const left = Date.parse(body.expiresAt) - Date.now();
  assert.ok(left > 11.9 * 3600e3 && left < 12 * 3600e3 + 5000, // Redis' clock and ours
    `${left} ms`);

  const again = await new Client(server).post('/console/enter', form({ link: link.searchParams.get('link') }));
  assert.equal(again.status, 410);
  assert.match(again.text, /This link has been used/);
  assert.equal(again.headers['set-cookie'], undefined);
  const stored = await database.query('SELECT name, role, encode(hash, \'hex\') AS hash FROM staff_sessions WHERE name = $1', ['Kim Minji']);
  assert.equal(stored.length, 1);
  assert.ok(!client.cookieHeader.includes(stored[0].hash));
});

test('two who use one link at the same moment: one of them is in', async () => {
  const link = (await linkOf('--name', 'Race')).searchParams.get('link');
  const answers = await Promise.all(Array.from({ length: 4 }, () => new Client(server).post('/console/enter', form({ link }))));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [303, 410, 410, 410]);
});

test('the cookie is of this host alone: HttpOnly, SameSite=Strict, and behind TLS Secure with the prefix __Host-', async () => {
  const plain = (await signIn()).answer.headers['set-cookie'][0];
  assert.match(plain, /^tiketi_staff=[\w.-]+; Path=\/; Max-Age=43(?:1\d\d|200); HttpOnly; SameSite=Strict$/);
  const secure = (await signIn(['--name', 'Kim'], { headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'tickets.example' } })).answer.headers['set-cookie'][0];
  assert.match(secure, /^__Host-tiketi_staff=[\w.-]+; Path=\/; Max-Age=43(?:1\d\d|200); HttpOnly; SameSite=Strict; Secure$/);
  const value = secure.split(/[=;]/)[1];
  const https = { 'x-forwarded-proto': 'https' };
  assert.equal((await server.get('/api/admin/session', { headers: { ...https, cookie: `__Host-tiketi_staff=${value}` } })).status, 200);
  assert.equal((await server.get('/api/admin/session', { headers: { ...https, cookie: `tiketi_staff=${value}` } })).status, 401, 'a name that any site below the domain can set');
});

test('links that are changed, expired, or no links: a page that says so, and no session', async () => {
  const link = (await linkOf('--name', 'Kim')).searchParams.get('link');
  const { client } = await signIn();
  const cookie = client.cookies.get('tiketi_staff');
  const from = (n) => ({ 'x-forwarded-for': `198.51.100.${n}` });
  for (const [i, text] of [link.slice(0, -2), `${link}x`, cookie, 'a.b.c', 'x'.repeat(5000)].entries()) {
    const { body, headers } = form({ link: text });
    const answer = await server.post('/console/enter', { body, headers: { ...headers, ...from(i + 1) } });
    assert.equal(answer.status, 400, text.slice(0, 60));
    assert.match(answer.text, /This link isn’t complete/);
  }
  assert.equal((await server.get('/console/enter', { headers: from(20) })).status, 400);
  // A link is no session either.
  assert.equal((await server.get('/api/admin/session', { headers: { cookie: `tiketi_staff=${link}` } })).body.code, 'session-ended');
  const grant = { t: 'link', i: 'f'.repeat(32), s: 'Kim', n: 'Kim', r: 'admin', e: '' };
  const sign = (claims, secret = KEY) => jwt({ iat: null, exp: null, ...grant, ...claims }, { secret, header: { kid: 'k1' } });
  assert.equal((await server.get(`/console/enter?link=${sign({ x: Date.now() + 60000 })}`, { headers: from(21) })).status, 200);
  const late = await server.get(`/console/enter?link=${sign({ x: Date.now() - 1000 })}`, { headers: from(21) });
  assert.equal(late.status, 410);
  assert.match(late.text, /This link has expired/);
  assert.equal((await server.get(`/console/enter?link=${sign({ x: Date.now() + 60000 }, SECRETS.JWT_SECRETS)}`, { headers: from(21) })).status, 400);
  // What is signed, but was never entered, is no session while PostgreSQL can say so.
  const forged = await server.get('/api/admin/session', { headers: { cookie: `tiketi_staff=${sign({ t: 'session', x: Date.now() + 60000 })}` } });
  assert.deepEqual([forged.status, forged.body.code], [401, 'session-ended']);
});

test('console-link refuses what it cannot mean, and needs the keys alone', async () => {
  await runTiketi(['console-link'], { TICKET_KEYS: '' }, { expect: 78 });
  for (const args of [['--role', 'buyer'], ['--role', 'king'], ['--events', 'a b'], ['--events', 'a,'], ['--name', 'tab\there']]) {
    await runTiketi(['console-link', ...args], {}, { expect: 64 });
  }
  const { stdout } = await runTiketi(['console-link'], { PUBLIC_URL: 'https://tickets.example', JWT_SECRETS: '' });
  assert.match(stdout, /^https:\/\/tickets\.example\/console\/enter\?link=[\w.-]+\n$/);
});

test('five wrong tries a minute of one address, then 429, also for a good link; others are not hindered', async () => {
  const headers = { 'x-forwarded-for': '203.0.113.7' };
  for (let i = 0; i < 5; i++) assert.equal((await server.get('/console/enter?link=wrong', { headers })).status, 400);
  const sixth = await server.get('/console/enter?link=wrong', { headers });
  assert.equal(sixth.status, 429);
  assert.match(sixth.text, /Too many attempts/);
  assert.equal(sixth.headers['retry-after'], '60');
  const link = await linkOf('--name', 'Kim');
  assert.equal((await server.get(link.pathname + link.search, { headers })).status, 429);
  assert.equal((await server.get(link.pathname + link.search, { headers: { 'x-forwarded-for': '203.0.113.8' } })).status, 200);
});

test('without a session /console says how to get in; with one it lists what this person may see', async () => {
  const owner = `owner-${uniqueId()}`;
  const organizer = new Organizer(server, { sub: owner, role: 'organizer' });
  const mine = await organizer.sale({ title: 'The Waiting Line' });
  const other = await new Organizer(server, { sub: 'somebody', role: 'organizer' }).sale({ title: 'Of somebody else' });
  const nobody = await new Client(server).get('/console');
  assert.equal(nobody.status, 401);
  assert.match(nobody.text, /tiketi console-link/);
  const korean = await new Client(server).get('/console', { headers: { 'accept-language': 'ko' } });
  assert.match(korean.text, /콘솔에 로그인/);

  const { client } = await signIn(['--name', owner]);
  const page = await client.get('/console');
  assert.equal(page.status, 200);
  assert.match(page.text, /The Waiting Line/);
  assert.doesNotMatch(page.text, /Of somebody else/);
  assert.ok(page.text.includes(owner));
  const { client: both } = await signIn(['--name', owner, '--events', other.id]);
  assert.deepEqual((await both.get('/api/admin/events')).body.events.map(({ id }) => id).sort(), [mine.id, other.id].sort());
  assert.equal((await both.get(`/api/admin/events/${other.id}`)).status, 200);
  const { client: viewer } = await signIn(['--name', 'Eyes', '--role', 'viewer', '--events', other.id]);
  assert.deepEqual((await viewer.get('/api/admin/events')).body.events.map(({ id }) => id), [other.id]);
  assert.equal((await viewer.get(`/api/admin/events/${mine.id}`)).body.code, 'not-yours');
  const { client: door } = await signIn(['--name', 'Door', '--role', 'door', '--events', other.id]);
  assert.equal((await door.get('/api/admin/events')).status, 403);
  assert.match((await door.get('/console')).text, new RegExp(`/door/${other.id}`));
});

test('a session that is confined to some events reaches no other by any route', async () => {
  const organizer = new Organizer(server, { sub: 'somebody', role: 'organizer' });
  const [mine, other] = [await organizer.sale(), await organizer.sale()];
  const { stdout } = await runTiketi(['routes']);
  const routes = stdout.trim().split('\n').map((line) => line.split(' ')).filter(([, path, role]) => path.includes('{eventId}') && !['none', 'buyer'].includes(role));
  assert.ok(routes.length > 15);
  const people = {};
  for (const role of ['admin', 'organizer', 'sre', 'viewer', 'door']) {
    const { client } = await signIn(['--name', `Confined ${role}`, '--role', role, '--events', mine.id]);
    people[role] = { client, headers: await csrfOf(client) };
  }
  for (const [method, path, ...roles] of routes) {
    const role = roles.find((each) => people[each]); // `service` is no person's
    const { client, headers } = people[role];
    const answer = await client.request(method, path.replace('{eventId}', other.id).replace('{buyer}', 'u:kim'), { headers, ...(method === 'GET' ? {} : { json: {} }) });
    assert.ok(method === 'GET' ? answer.status === 403 : answer.status >= 400 && answer.status < 500, `${method} ${path} by ${role}: ${answer.status} ${answer.text.slice(0, 200)}`);
  }
  for (const role of ['admin', 'organizer', 'sre', 'viewer']) {
    assert.equal((await people[role].client.get(`/api/admin/events/${mine.id}`)).status, 200, role);
    assert.equal((await people[role].client.get(`/api/admin/events/${other.id}`)).status, 403, role);
  }
});

test('a session may do what its role may, with the token of its forms alone; the audit has name and role', async () => {
  const { client } = await signIn(['--name', '김민지', '--role', 'organizer']);
  const csrf = await csrfOf(client);
  const made = await client.post('/api/admin/events', { json: { title: 'Of Kim' }, headers: csrf });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.body.owner, '김민지');
  const path = `/api/admin/events/${made.body.id}`;
  for (const headers of [{}, { 'x-csrf-token': 'x'.repeat(43) }, { 'x-csrf-token': (await csrfOf((await signIn()).client))['x-csrf-token'] }]) {
    const refused = await client.request('PATCH', path, { json: { threshold: 7 }, headers });
    assert.deepEqual([refused.status, refused.body.code], [403, 'csrf']);
  }
  const foreign = await client.request('PATCH', path, { json: { threshold: 7 }, headers: { ...csrf, origin: 'https://evil.example' } });
  assert.deepEqual([foreign.status, foreign.body.code], [403, 'foreign-origin']);
  assert.equal((await client.request('PATCH', path, { json: { threshold: 7 }, headers: csrf })).body.threshold, 7);
  const csv = await client.post(`${path}/seats`, { body: 'section,row,number,price,currency\nA,1,1,5000,EUR\n', headers: { ...csrf, 'content-type': 'text/csv' } });
  assert.equal(csv.status, 201, csv.text);
  assert.equal((await client.post(`${path}/seats`, { body: 'section,row,number,price,currency\nA,1,2,5000,EUR\n', headers: { 'content-type': 'text/csv' } })).status, 403);
  const entries = (await client.get(`${path}/audit`)).body.entries;
  assert.deepEqual(entries.map(({ who, role, subject, verb }) => [who, role, subject, verb]),
    [['김민지', 'organizer', null, 'seats'], ['김민지', 'organizer', null, 'patch'], ['김민지', 'organizer', null, 'create']]);

  const { client: viewer } = await signIn(['--name', 'Eyes', '--role', 'viewer']);
  const refused = await viewer.request('PATCH', path, { json: { threshold: 8 }, headers: await csrfOf(viewer) });
  assert.deepEqual([refused.status, refused.body.code], [403, 'forbidden']);
  // A bearer token comes before the cookie, and needs no token of forms.
  const both = await viewer.request('PATCH', path, { json: { threshold: 9 }, headers: bearer(adminToken('root')) });
  assert.equal(both.body.threshold, 9);
  assert.deepEqual((await session(viewer, { headers: bearer(adminToken('root')) })).body, { name: 'root', role: 'admin', csrf: null, expiresAt: null });
});

test('a page of ALLOWED_ORIGINS, or on another port of this host, acts for buyers and never for staff', async () => {
  const pod = await Server.start({ redis, database, roles: 'api', env: { ALLOWED_ORIGINS: 'https://shop.example', PUBLIC_URL: 'https://tickets.example' } });
  try {
    const { client } = await signIn(['--name', 'Kim'], { at: pod });
    const csrf = await csrfOf(client);
    for (const origin of ['https://shop.example', 'http://127.0.0.1:1', 'null', 'https://tickets.example.evil.example']) {
      for (const method of ['GET', 'POST']) {
        const answer = await client.request(method, '/api/admin/events', { headers: { ...csrf, origin }, ...(method === 'POST' ? { json: { title: 'X' } } : {}) });
        assert.deepEqual([answer.status, answer.body.code], [403, 'foreign-origin'], `${method} ${origin}`);
      }
      const { body, headers } = form({ link: (await linkOf('--name', 'Kim')).searchParams.get('link') });
      assert.equal((await pod.post('/console/enter', { body, headers: { ...headers, origin } })).status, 403, origin);
    }
    for (const origin of ['https://tickets.example', pod.url]) {
      assert.equal((await client.post('/api/admin/events', { headers: { ...csrf, origin }, json: { title: 'X' } })).status, 201, origin);
    }
  } finally {
    await pod.stop();
  }
});

test('signing in again ends the session that the browser had; signing out ends it everywhere', async () => {
  const { client } = await signIn();
  const before = client.cookieHeader;
  assert.equal((await session(client)).status, 200);
  await signIn(['--name', 'Kim'], { client });
  assert.notEqual(client.cookieHeader, before);
  await waitUntil(async () => (await server.get('/api/admin/session', { headers: { cookie: before } })).status === 401, 5000, 'the old session to end');
  const now = client.cookieHeader;
  assert.equal((await client.post('/console/sign-out', form({}))).status, 403);
  assert.equal((await session(client)).status, 200);
  const out = await client.post('/console/sign-out', form({ csrf: (await session(client)).body.csrf }));
  assert.equal(out.status, 303);
  assert.equal(client.cookies.size, 0);
  assert.equal((await server.get('/api/admin/session', { headers: { cookie: now } })).body.code, 'session-ended');
});

test('console-revoke ends the sessions of a name, one, or all, within two seconds', async () => {
  const [kim, lee, park] = await Promise.all(['Kim R', 'Lee R', 'Park R'].map(async (name) => (await signIn(['--name', name])).client));
  const revoke = async (...args) => (await runTiketi(['console-revoke', ...args], { DATABASE_URL: database.url })).stdout;
  for (const client of [kim, lee, park]) assert.equal((await session(client)).status, 200);
  const line = (await revoke('--list')).split('\n').find((one) => one.includes('Lee R'));
  assert.match(line, /^\d+\torganizer\t/);
  assert.match(await revoke('--name', 'Kim R'), /^1 sessions ended/);
  await revoke('--session', line.split('\t')[0]);
  const since = Date.now();
  await waitUntil(async () => (await session(kim)).status === 401 && (await session(lee)).status === 401, 5000, 'both to be refused');
  assert.ok(Date.now() - since < 3000);
  const page = await kim.get('/console');
  assert.match(page.text, /Your session has ended/);
  assert.equal(kim.cookies.size, 0, 'the browser forgets it');
  assert.equal((await session(park)).status, 200);
  await revoke('--all');
  await waitUntil(async () => (await session(park)).status === 401, 5000, 'all to be refused');
  await runTiketi(['console-revoke'], { DATABASE_URL: database.url }, { expect: 64 });
  await runTiketi(['console-revoke', '--all'], { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/x' }, { expect: 1 });
});

test('while PostgreSQL is gone, who is in stays in, who was revoked stays out, and nobody gets in', async () => {
  const own = await postgres.migrated();
  const pod = await Server.start({ redis, database: own, env: { TRUSTED_PROXIES: '127.0.0.1', DB_TIMEOUT_MS: 1000 } });
  try {
    const { client } = await signIn(['--name', 'Kim'], { at: pod });
    const { client: gone } = await signIn(['--name', 'Gone'], { at: pod });
    await runTiketi(['console-revoke', '--name', 'Gone'], { DATABASE_URL: own.url });
    await waitUntil(async () => (await session(gone)).status === 401, 5000, 'the revocation');
    await postgres.pause(); // it hangs: the first request waits for it, for a second
    try {
      await waitUntil(async () => {
        const since = performance.now();
        assert.equal((await session(client)).status, 200);
        return performance.now() - since > 500;
      }, 6000, 'a request that asks PostgreSQL');
    } finally {
      await postgres.resume();
    }
    await postgres.halt();
    await waitUntil(async () => (await pod.get('/readyz')).status !== 200 || (await client.get('/api/admin/events')).status === 503, 10000, 'PostgreSQL to be missed');
    const answer = await session(client);
    assert.equal(answer.status, 200);
    assert.equal(answer.body.name, 'Kim');
    assert.equal((await session(gone)).status, 401);
    const console = await client.get('/console');
    assert.equal(console.status, 503);
    assert.match(console.text, /people who are signed in stay signed in/);
    const link = (await linkOf('--name', 'Late')).searchParams.get('link');
    const late = await new Client(pod).post('/console/enter', form({ link }));
    assert.equal(late.status, 503);
    assert.equal(late.headers['set-cookie'], undefined);
  } finally {
    await pod.stop();
  }
});
