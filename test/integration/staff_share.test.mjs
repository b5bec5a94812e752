// SPDX-License-Identifier: MIT
//
// Several members of staff share an event: invitations, what each role may do by which route, and how they lose it again.

import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import { Client, Organizer, SECRETS, jwt, runTiketi, stage, uniqueId } from '../fixtures/index.mjs';

const { database, server } = await stage({ env: { TRUSTED_PROXIES: '127.0.0.1' } });
const owner = new Organizer(server, { sub: 'share-owner', role: 'organizer' });
const admin = (id, rest = '') => `/api/admin/events/${id}${rest}`;
const KEY = Buffer.from(hkdfSync('sha256', Buffer.from(SECRETS.TICKET_KEYS.split(':')[1], 'hex'), '', 'tiketi staff sign-in', 32));

const form = (fields, headers = {}) => ({ body: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } });
const csrfOf = async (client) => ({ 'x-csrf-token': (await client.get('/api/admin/session')).body.csrf });
const invite = (id, role, name, by = owner) => by.must('POST', admin(id, '/staff/invitations'), { role, ...(name && { name }) });
const textOf = ({ url }) => new URL(url).searchParams.get('link');
const accept = (client, invitation, headers) => client.post('/console/invitation', form({ link: textOf(invitation) }, headers));

// Signs a new browser in by a link of the terminal.
async function signIn(name, ...args) {
  const client = new Client(server);
  const { stdout } = await runTiketi(['console-link', '--url', server.url, '--name', name, ...args]);
  assert.equal((await client.post('/console/enter', form({ link: new URL(stdout.trim()).searchParams.get('link') }))).status, 303);
  return client;
}

// A new browser that has accepted an invitation.
async function joined(id, role, name) {
  const client = new Client(server);
  const answer = await accept(client, await invite(id, role, name));
  assert.deepEqual([answer.status, answer.headers.location], [303, `/console/events/${id}`], answer.text);
  return client;
}

const listed = async (client) => (await client.get('/api/admin/events')).body.events.map(({ id }) => id);
const sentences = async (id) => (await owner.get(admin(id, '/audit'))).body.entries.map(({ sentence }) => sentence.replace(/, \d\d:\d\d$/, ''));

test('an invitation says who invites to what, changes nothing when it is loaded, and lets one person in, once', async () => {
  const [event, other] = [await owner.sale({ title: 'Shared night' }), await owner.sale()];
  const invitation = await invite(event.id, 'editor', 'Lee Jieun');
  const left = Date.parse(invitation.expiresAt) - Date.now();
  assert.ok(left > 6.9 * 86400e3 && left < 7.01 * 86400e3, `${left} ms`);
  const { pathname, search, origin } = new URL(invitation.url);
  assert.equal(origin, server.url);
  for (let i = 0; i < 2; i++) { // a previewer, then the person
    const page = await new Client(server).get(pathname + search);
    assert.equal(page.status, 200);
    for (const text of [/share-owner shares “Shared night” with you/, /as Lee Jieun/, /Editor/, /<form class="actions" method="post" action="\/console\/invitation">/]) assert.match(page.text, text);
    assert.equal(page.headers['set-cookie'], undefined);
    assert.equal(page.headers['cache-control'], 'no-store');
  }
  const lee = new Client(server);
  const answers = [await accept(lee, invitation)];
  assert.deepEqual([answers[0].status, answers[0].headers.location], [303, `/console/events/${event.id}`]);
  const { body } = await lee.get('/api/admin/session');
  assert.deepEqual([body.name, body.role], ['Lee Jieun', 'organizer']);
  assert.deepEqual(await listed(lee), [event.id], 'the shared event and no other');
  assert.ok((await lee.get('/console')).text.includes(`data-event="${event.id}"`));
  assert.equal((await lee.get(admin(other.id))).body.code, 'not-yours');
  const made = await lee.post('/api/admin/events', { json: { title: 'Own' }, headers: await csrfOf(lee) });
  assert.deepEqual([made.status, made.body.code], [403, 'forbidden'], 'an invitation to one event is no leave to make others');
  assert.equal((await lee.get('/console/new')).status, 403);

  const again = await accept(new Client(server), invitation);
  assert.deepEqual([again.status, again.headers['set-cookie']], [410, undefined]);
  assert.match(again.text, /This invitation has been used/);
  assert.equal((await new Client(server).get(pathname + search)).status, 410);
  assert.deepEqual((await sentences(event.id)).slice(0, 2), ['joined as editor, Lee Jieun', 'invited Lee Jieun as editor, share-owner']);
  const { staff, invitations } = (await owner.get(admin(event.id, '/staff'))).body;
  assert.deepEqual(staff.map(({ subject, name, role, by }) => [subject.replace(/[0-9a-f]{32}/, '…'), name, role, by]),
    [['share-owner', 'share-owner', 'owner', null], ['i:…', 'Lee Jieun', 'editor', 'share-owner']]);
  assert.deepEqual(invitations, []);
});

test('somebody who is signed in gets the event as themselves, beside their own', async () => {
  const event = await owner.sale();
  const kim = await signIn('Kim Shares', '--role', 'organizer');
  const own = await kim.post('/api/admin/events', { json: { title: 'Of Kim' }, headers: await csrfOf(kim) });
  assert.equal((await kim.get(admin(event.id))).body.code, 'not-yours');
  const before = kim.cookieHeader;
  const invitation = await invite(event.id, 'viewer');
  assert.equal((await accept(kim, invitation)).status, 303);
  assert.equal(kim.cookieHeader, before, 'the same session');
  assert.equal((await kim.get('/api/admin/session')).body.name, 'Kim Shares');
  assert.deepEqual((await listed(kim)).sort(), [event.id, own.body.id].sort());
  assert.equal((await kim.get(admin(event.id))).status, 200);
  assert.equal((await accept(new Client(server), invitation)).status, 410);
  assert.equal((await accept(kim, invitation)).status, 303, 'who has it already is led to it');
  // More is added, and what they have is not taken by less.
  assert.equal((await accept(kim, await invite(event.id, 'editor'))).status, 303);
  const unused = await invite(event.id, 'viewer');
  assert.equal((await accept(kim, unused)).status, 303);
  const { staff, invitations } = (await owner.get(admin(event.id, '/staff'))).body;
  assert.deepEqual(staff.slice(1).map(({ subject, role }) => [subject, role]), [['Kim Shares', 'editor']]);
  assert.deepEqual(invitations.map(({ id, name, role }) => [id, name, role]), [[unused.id, 'guest', 'viewer']]);
  assert.equal((await accept(new Client(server), unused)).status, 303, 'it was not used up');

  const viewer = await signIn('Eyes Share', '--role', 'viewer', '--events', own.body.id);
  assert.equal((await accept(viewer, await invite(event.id, 'owner'))).status, 303);
  assert.deepEqual((await listed(viewer)).sort(), [event.id, own.body.id].sort());
  const refused = await viewer.request('PATCH', admin(event.id), { json: { threshold: 3 }, headers: await csrfOf(viewer) });
  assert.deepEqual([refused.status, refused.body.code], [403, 'forbidden'], 'of role and right the least counts');
  const door = await signIn('Door Share', '--role', 'door');
  const forDoor = await invite(event.id, 'editor');
  assert.equal((await accept(door, forDoor)).status, 403);
  assert.equal((await accept(new Client(server), forDoor)).status, 303, 'the refusal used nothing up');
});

// ---- each role, each route ----

const OF_OWNERS = new Set(['DELETE ', 'POST /close', 'POST /clear', 'POST /reset', 'POST /refund', 'GET /export.csv', 'GET /staff', 'POST /staff/invitations', 'DELETE /staff/invitations/{invitation}', 'DELETE /staff/{subject}',
  'GET /webhooks', 'POST /webhooks', 'PATCH /webhooks/{webhook}', 'DELETE /webhooks/{webhook}', 'POST /webhooks/{webhook}/test', 'POST /webhooks/{webhook}/rotate', 'POST /webhooks/{webhook}/replay']);
const leastOf = (method, rest) => (OF_OWNERS.has(`${method} ${rest}`) ? 'owner' : method === 'GET' || rest === '/forecast' ? 'viewer' : 'editor');
const where = { section: 'A' };
const BODIES = {
  '': { threshold: 5 }, '/message': { text: 'Soon' }, '/admit': { count: 1 }, '/refund': { reservationNumber: 'ABCDEFGH' }, '/release': { buyer: 'u:nobody' }, '/ban': { buyer: 'u:nobody', reason: 'a bot' }, '/unban': { buyer: 'u:nobody' }, '/seats': { grid: { section: 'A', rows: 1, seatsPerRow: 1, price: 100, currency: 'EUR' } },
  '/seats/remove': { where }, '/seats/rename': { where, section: 'B' }, '/seats/reprice': { where, price: 5 }, '/seats/block': { where, reason: 'camera' }, '/seats/unblock': { where },
  '/staff/invitations': { role: 'viewer' }, '/webhooks': { url: 'https://crm.example/' }, '/health': { p95Ms: 10, errorRate: 0 }, checkin: { scans: [{ ticket: 'x', scannedAt: '2026-01-01T10:00:00Z', device: 'A' }] },
};

test('each role of a team may use the routes that it stands for, and is told by the others which roles may', async () => {
  const { stdout } = await runTiketi(['routes']);
  const routes = stdout.trim().split('\n').map((line) => line.split(' ')).filter(([, path, ...roles]) => path.includes('{eventId}') && roles.includes('organizer')
    && !path.startsWith('/api/queue/admin/')); // those exist with COMPAT_TIKETI_NODE alone (compat.test.mjs)
  assert.ok(routes.length >= 40, `${routes.length} routes`);
  const seen = new Set();
  const event = await owner.sale({ open: false });
  for (const [rank, right] of ['viewer', 'editor', 'owner'].entries()) {
    const client = new Client(server, { token: jwt({ sub: `member-${right}`, role: 'organizer' }) });
    for (const [method, path] of routes) {
      const rest = path.startsWith('/api/checkin/') ? 'checkin' : path.slice('/api/admin/events/{eventId}'.length);
      const least = leastOf(method, rest);
      const allowed = rank >= ['viewer', 'editor', 'owner'].indexOf(least);
      const { id } = right === 'owner' && !['GET', 'PATCH'].includes(method) ? await owner.sale({ open: false }) : event; // this may remove it
      await database.query('INSERT INTO event_staff (event_id, subject, name, role, added_by) VALUES ($1, $2, $2, $3, $4) ON CONFLICT DO NOTHING', [id, `member-${right}`, right, 'test']);
      const json = ['/close', '/clear', '/reset'].includes(rest) ? { confirm: id } : BODIES[rest] ?? {};
      const answer = await client.request(method, path.replace('{eventId}', id).replace('{buyer}', 'u:nobody').replace('{invitation}', '999').replace('{subject}', 'nobody').replace('{webhook}', '999'), ['GET', 'DELETE'].includes(method) || rest === '/mail/resend' ? {} : { json });
      const what = `${method} ${rest} by ${right}: ${answer.status} ${answer.text.slice(0, 150)}`;
      seen.add(`${method} ${rest}`);
      if (allowed) assert.ok(![401, 403].includes(answer.status) && answer.status < 500 && answer.body?.code !== 'invalid', what);
      else {
        assert.deepEqual([answer.status, answer.body.code], [403, 'forbidden'], what);
        assert.match(answer.body.detail, least === 'owner' ? /as its \w+, .*one of: owner\.$/ : /as its viewer, .*one of: editor, owner\.$/);
      }
    }
  }
  for (const route of OF_OWNERS) assert.ok(seen.has(route), route);
  assert.equal((await owner.get(admin(event.id))).body.threshold, 5);
});

test('the pages leave out what a role must not press', async () => {
  const event = await owner.sale({ open: false });
  const page = async (role, view = '') => (await (await joined(event.id, role, `Looks ${role}`)).get(`/console/events/${event.id}${view}`)).text;
  const [viewer, editor, boss] = [await page('viewer'), await page('editor'), await page('owner')];
  const may = (text) => /data-may="([^"]*)"/.exec(text)[1].trim();
  assert.deepEqual([may(viewer), may(editor), may(boss)], ['', 'read operate own', 'read operate own all']);
  assert.ok(!/name="action"/.test(viewer));
  assert.ok(/value="publish"/.test(editor) && !/value="close"/.test(editor));
  assert.match(boss, /value="close"/);
  for (const [role, there] of [['editor', false], ['owner', true]]) {
    assert.equal(/id="team_panel"/.test(await page(role, '/people')), there, role);
    assert.equal(/export\.csv/.test(await page(role, '/report')), there, role);
  }
  // A form that is sent all the same.
  const client = await joined(event.id, 'editor', 'Presses');
  const sent = await client.post(`/console/events/${event.id}`, form({ csrf: (await csrfOf(client))['x-csrf-token'], action: 'close', confirm: event.id }));
  assert.match(sent.headers.location, /failed=right-owner/);
});

// ---- links that do not hold ----

test('links that are changed, expired, withdrawn, foreign or of another kind let nobody in', async () => {
  const [event, other] = [await owner.sale(), await owner.sale()];
  const client = new Client(server);
  const from = (n) => ({ 'x-forwarded-for': `198.51.100.${n}` });
  const send = (link, n, headers = {}) => client.post('/console/invitation', form({ link }, { ...from(n), ...headers }));
  const good = textOf(await invite(event.id, 'editor', 'Late'));
  const { stdout } = await runTiketi(['console-link', '--url', server.url]);
  const ofTerminal = new URL(stdout.trim()).searchParams.get('link');
  for (const [i, text] of [good.slice(0, -2), `${good}x`, ofTerminal, 'a.b.c', 'x'.repeat(5000)].entries()) assert.equal((await send(text, i + 1)).status, 400, text.slice(0, 60));
  assert.equal((await client.post('/console/enter', form({ link: good }, from(20)))).status, 400, 'nor is it a link of the terminal');
  assert.equal((await server.get('/api/admin/session', { headers: { cookie: `tiketi_staff=${good}` } })).status, 401);
  const sign = (claims) => jwt({ iat: null, exp: null, t: 'invitation', i: 'f'.repeat(32), e: event.id, n: 'X', r: 'owner', x: Date.now() + 60000, ...claims }, { secret: KEY, header: { kid: 'k1' } });
  assert.equal((await send(sign({ x: Date.now() - 1000 }), 21)).status, 410);
  assert.equal((await send(sign({ r: 'king' }), 22)).status, 400);
  const unknown = await send(sign({}), 23);
  assert.equal(unknown.status, 410, 'signed, but this database knows no such invitation');
  assert.match(unknown.text, /no longer valid/);
  assert.equal((await send(good, 24, { origin: 'https://evil.example' })).status, 403);

  const expired = await invite(event.id, 'owner', 'Expired');
  await database.query('UPDATE event_invitations SET expires_at = now() WHERE id = $1', [expired.id]);
  assert.equal((await send(textOf(expired), 25)).status, 410, 'PostgreSQL has the last word');
  const withdrawn = await invite(event.id, 'editor', 'Withdrawn');
  assert.equal((await owner.request('DELETE', admin(other.id, `/staff/invitations/${withdrawn.id}`))).status, 404, 'of another event');
  assert.equal((await owner.request('DELETE', admin(event.id, `/staff/invitations/${withdrawn.id}`))).status, 204);
  assert.equal((await send(textOf(withdrawn), 26)).status, 410);
  assert.match((await sentences(event.id))[0], /^withdrew the invitation of Withdrawn as editor/);
  const foreign = await joined(other.id, 'owner', 'Of the other');
  assert.equal((await foreign.get(admin(event.id))).body.code, 'not-yours', 'of another event');
  assert.equal(client.cookies.size, 0);

  for (const [json, field] of [[{}, 'role'], [{ role: 'king' }, 'role'], [{ role: 'editor', name: 'x'.repeat(41) }, 'name'], [{ role: 'editor', mail: 'x' }, 'mail']]) {
    const answer = await owner.post(admin(event.id, '/staff/invitations'), { json });
    assert.deepEqual([answer.status, answer.body.field], [400, field], JSON.stringify(json));
  }
});

test('of several who accept one invitation at the same moment one is in', async () => {
  const event = await owner.sale();
  const invitation = await invite(event.id, 'editor', 'Race');
  const answers = await Promise.all(Array.from({ length: 4 }, (_, i) => accept(new Client(server), invitation, { 'x-forwarded-for': `203.0.113.${i}` })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [303, 410, 410, 410]);
  assert.equal((await owner.get(admin(event.id, '/staff'))).body.staff.length, 2);
});

// ---- the end of sharing ----

test('who is removed has lost the event with the next request; an event keeps an owner', async () => {
  const event = await owner.sale();
  const lee = await joined(event.id, 'editor', 'Lee Leaves');
  const invitation = await invite(event.id, 'owner');
  const kim = await signIn('Kim Stays', '--role', 'organizer');
  assert.equal((await accept(kim, invitation)).status, 303);
  assert.equal((await lee.get(admin(event.id))).status, 200);
  const { staff } = (await kim.get(admin(event.id, '/staff'))).body;
  const remove = async (client, subject) => client.request('DELETE', admin(event.id, `/staff/${encodeURIComponent(subject)}`), { headers: await csrfOf(client) });
  assert.equal((await remove(kim, 'nobody')).status, 404);
  assert.equal((await remove(kim, staff.find(({ name }) => name === 'Lee Leaves').subject)).status, 204);
  const since = Date.now();
  while ((await lee.get(admin(event.id))).status === 200) assert.ok(Date.now() - since < 2000);
  assert.ok((await lee.get('/api/admin/events')).status === 401 || (await listed(lee)).length === 0);
  assert.match((await sentences(event.id))[0], /^removed Lee Leaves \(editor\), Kim Stays/);

  // The one who made it goes, and another owner takes it over.
  assert.equal((await remove(kim, 'share-owner')).status, 204);
  assert.equal((await owner.get(admin(event.id))).body.code, 'not-yours');
  assert.equal((await kim.get(admin(event.id))).body.owner, 'Kim Stays');
  const last = await remove(kim, 'Kim Stays');
  assert.deepEqual([last.status, last.body.code], [409, 'last-owner']);
  assert.equal((await kim.get(admin(event.id))).status, 200);
  // The link that was used gives nothing back.
  assert.equal((await accept(new Client(server), invitation)).status, 410);
});

test('a copy has the team of its event; a draft goes with its team and invitations', async () => {
  const event = await owner.sale({ open: false, id: uniqueId() });
  const lee = await joined(event.id, 'editor', 'Lee Copies');
  const copy = await lee.post(admin(event.id, '/copy'), { json: { rehearsal: true }, headers: await csrfOf(lee) });
  assert.deepEqual([copy.status, copy.body.owner], [201, 'share-owner'], copy.text);
  assert.equal((await lee.get(admin(copy.body.id))).status, 200);
  const open = await invite(copy.body.id, 'viewer');
  await owner.must('DELETE', admin(copy.body.id));
  assert.deepEqual(await database.query('SELECT 1 FROM event_staff WHERE event_id = $1 UNION ALL SELECT 1 FROM event_invitations WHERE event_id = $1', [copy.body.id]), []);
  assert.equal((await accept(new Client(server), open)).status, 410);
  assert.equal((await lee.get(admin(copy.body.id))).status, 404);
});
