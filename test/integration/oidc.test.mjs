// SPDX-License-Identifier: MIT
//
// Signing in by OpenID Connect, against oidc-provider: staff for the console, buyers for events that forbid guests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, IdentityProvider, Organizer, Server, Socket, decode, oidcSettings, stage, waitUntil } from '../fixtures/index.mjs';

const provider = await IdentityProvider.create();
const settings = oidcSettings(provider, { OIDC_ROLE_CLAIM: 'realm.roles', OIDC_ROLES: 'box-office=organizer,it=admin,all=viewer', OIDC_DOMAINS: 'hall.example' });
const { redis, database, server, organizer } = await stage({ env: settings });
await provider.serve(server.url);

provider.accounts = {
  kim: { name: '김민지', email: 'kim@hall.example', email_verified: true, realm: { roles: ['all', 'box-office'] } },
  lee: { name: 'Lee', email: 'lee@hall.example', email_verified: true, realm: { roles: ['other'] } },
  eve: { name: 'Eve', email: 'eve@evil.example', email_verified: true, realm: { roles: ['it'] } },
  mal: { name: 'Mal', email: 'mal@hall.example', email_verified: false, realm: { roles: ['it'] } },
  fan: { name: 'A Fan', email: 'fan@mail.example', email_verified: true },
};

// Goes to the provider as this client's browser, and returns the address that leads back.
async function visit(client, account, { path = '/console/sign-in', ...options } = {}) {
  const there = await client.get(path);
  assert.equal(there.status, 303, there.text);
  return { there: new URL(there.headers.location), back: await provider.login(there.headers.location, account, options) };
}
const follow = (client, { pathname, search }) => client.get(pathname + search);
async function signIn(client, account, options) {
  const { back } = await visit(client, account, options);
  return follow(client, back);
}

test('staff: the code flow with PKCE, state and nonce; role, name and domain come from the claims', async () => {
  const client = new Client(server);
  const nobody = await client.get('/console');
  assert.equal(nobody.status, 401);
  assert.match(nobody.text, /href="\/console\/sign-in"/);
  const { there, back } = await visit(client, 'kim');
  const asked = Object.fromEntries(there.searchParams);
  assert.equal(asked.response_type, 'code');
  assert.equal(asked.scope, 'openid email profile');
  assert.equal(asked.code_challenge_method, 'S256');
  assert.match(asked.code_challenge, /^[\w-]{43}$/);
  assert.match(asked.state, /^[0-9a-f]{32}$/);
  assert.match(asked.nonce, /^[0-9a-f]{32}$/);
  assert.equal(asked.redirect_uri, `${server.url}/oidc/callback`);
  const answer = await follow(client, back);
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.text, /<meta http-equiv="refresh" content="0; url=\/console">/); // a redirect would not bring the Strict cookie
  assert.deepEqual(answer.headers['set-cookie'].map((line) => line.split('=')[0]), ['tiketi_sign_in', 'tiketi_staff']);
  const { body } = await client.get('/api/admin/session');
  assert.deepEqual([body.name, body.role], ['김민지', 'organizer']);
  const made = await client.post('/api/admin/events', { json: { title: 'By Kim' }, headers: { 'x-csrf-token': body.csrf } });
  assert.match(made.body.owner, /^o:[\w-]{43}$/);
  const [entry] = (await client.get(`/api/admin/events/${made.body.id}/audit`)).body.entries;
  assert.deepEqual([entry.who, entry.role, entry.subject], ['김민지', 'organizer', made.body.owner]);
  const fetches = (of) => server.metric(`tiketi_jwks_fetches_total{of="${of}",result="fetched"}`);
  assert.deepEqual([await fetches('oidc'), await fetches('shop')], [1, 0], "the provider's keys were fetched once");
  // The same person again owns the same events.
  const other = new Client(server);
  await signIn(other, 'kim');
  assert.equal((await other.get(`/api/admin/events/${made.body.id}`)).status, 200);
});

test('staff: no role, another domain, an address that is not verified, a cancelled sign-in: a page that says so, no session', async () => {
  for (const [account, words, options] of [
    ['lee', /You don’t have a role yet/], ['eve', /This account can’t be used here/], ['mal', /This account can’t be used here/],
    ['kim', /You cancelled the sign-in/, { cancel: true }],
  ]) {
    const client = new Client(server);
    const answer = await signIn(client, account, options);
    assert.equal(answer.status, 403, account);
    assert.match(answer.text, words);
    assert.equal((await client.get('/api/admin/session')).status, 401);
  }
});

test('a state of another visit, none, or one that was used: nothing is asked of the provider', async () => {
  const client = new Client(server);
  const { back } = await visit(client, 'kim');
  const thief = new Client(server);
  assert.equal((await follow(thief, back)).status, 400); // without the cookie
  const own = (await visit(thief, 'kim')).back;
  const before = provider.requests.filter((line) => line === 'POST /token').length;
  const wrong = new URL(own);
  wrong.searchParams.set('state', '0'.repeat(32));
  const refused = await follow(thief, wrong);
  assert.equal(refused.status, 400);
  assert.match(refused.text, /Let’s start over/);
  assert.equal((await follow(thief, own)).status, 400, 'the cookie is used up');
  assert.equal(provider.requests.filter((line) => line === 'POST /token').length, before);
  assert.equal((await follow(client, back)).status, 200);
  assert.equal((await follow(client, back)).status, 400, 'a second time');
});

test('a code that was used before is refused by the provider, and here', async () => {
  const client = new Client(server);
  const { back } = await visit(client, 'kim');
  const kept = client.cookieHeader;
  assert.equal((await follow(client, back)).status, 200);
  const replay = await server.get(back.pathname + back.search, { headers: { cookie: kept } }); // somebody with the cookie as well
  assert.equal(replay.status, 403);
  assert.match(replay.text, /We couldn’t confirm who you are/);
  assert.ok(!(replay.headers['set-cookie'] ?? []).some((line) => line.startsWith('tiketi_staff=') && !line.includes('Max-Age=0')));
  assert.ok(server.logs.some(({ message, reason }) => message === 'sign-in refused' && /invalid_grant/.test(reason)));
});

const buyer = (client, event, options = {}) => signIn(client, 'fan', { path: `/wait/${event}/sign-in`, ...options });

test('the way back to a shop survives the sign-in, and the way out; of another event or a sign-in without one it is nothing', async () => {
  const event = await organizer.sale({ allowGuests: false, threshold: 5, autoHold: 0, returnUrls: ['https://shop.example'] });
  const way = 'return=https://shop.example/x?y=1%26z=%2520';
  const client = new Client(server);
  const page = await client.get(`/wait/${event.id}?${way}`);
  assert.equal(page.status, 401);
  const path = /href="(\/wait\/[^"]*\/sign-in[^"]*)"/.exec(page.text)[1];
  assert.equal(path, `/wait/${event.id}/sign-in?${way}`);
  const back = await signIn(client, 'fan', { path });
  assert.equal(back.headers.location, `/wait/${event.id}?${way}`);
  const joined = await client.get(back.headers.location);
  assert.match(joined.text, /data-state="admitted"/);
  assert.match((await client.get(`/wait/${event.id}/enter?${way}`)).headers.location, /^https:\/\/shop\.example\/x\?y=1&z=%20&tiketi-handoff=/);
  const out = /action="(\/wait\/[^"]*sign-out[^"]*)"/.exec(joined.text)[1];
  assert.equal((await client.post(out)).headers.location, `/wait/${event.id}?${way}`);
  // A sign-in that names none uses up what an earlier one has left; what a browser has made up is read like any other.
  await client.get(path);
  assert.equal((await signIn(client, 'fan', { path: `/wait/${event.id}/sign-in` })).headers.location, `/wait/${event.id}`);
  const other = await organizer.sale({ allowGuests: false, threshold: 5 });
  const { back: late } = await visit(client, 'fan', { path: `/wait/${other.id}/sign-in` });
  client.cookies.set('tiketi_return', `${event.id}.${Buffer.from('/x').toString('base64url')}`);
  assert.equal((await follow(client, late)).headers.location, `/wait/${other.id}`);
  const { back: made } = await visit(client, 'fan', { path: `/wait/${other.id}/sign-in` });
  client.cookies.set('tiketi_return', `${other.id}.${Buffer.from('https://evil.example/').toString('base64url')}`);
  const led = await follow(client, made);
  assert.equal((await client.get(led.headers.location)).status, 400);
  // As long as it may be.
  const long = `/wait/${event.id}/sign-in?return=/${'x'.repeat(1499)}`;
  assert.equal((await signIn(client, 'fan', { path: long })).headers.location, `/wait/${event.id}?return=/${'x'.repeat(1499)}`);
});

test('a buyer signs in where guests are not let in, and comes back to the queue as nobody else', async () => {
  const event = await organizer.sale({ allowGuests: false, threshold: 0 });
  const client = new Client(server);
  const page = await client.get(`/wait/${event.id}`);
  assert.equal(page.status, 401);
  assert.match(page.text, new RegExp(`href="/wait/${event.id}/sign-in"`));
  assert.match(page.text, /you come straight back to the queue/);
  const { there, back } = await visit(client, 'fan', { path: `/wait/${event.id}/sign-in` });
  assert.equal(there.searchParams.get('scope'), 'openid'); // nothing else is anybody's business
  const answer = await follow(client, back);
  assert.deepEqual([answer.status, answer.headers.location], [303, `/wait/${event.id}`]);
  assert.match(answer.headers['set-cookie'].find((line) => line.startsWith('tiketi_buyer=')), /; HttpOnly; SameSite=Lax$/);
  const joined = await client.get(`/wait/${event.id}`);
  assert.equal(joined.status, 200);
  assert.match(joined.text, /data-state="waiting"/);
  assert.match(joined.text, new RegExp(`<form class="signed-in" method="post" action="/wait/${event.id}/sign-out">`));
  const [row] = await waitUntil(async () => {
    const { body } = await client.status(event.id);
    return body.status === 'queued' && [body];
  }, 5000, 'the place');
  assert.equal(row.position, 1);
  // The same account in another browser has the same place; a user of the shop with the same text is somebody else.
  const phone = new Client(server);
  await buyer(phone, event.id);
  assert.equal((await phone.check(event.id)).body.position, 1);
  // Signing out is for that browser alone, is not another site's to do, and costs no place.
  const foreign = await phone.post(`/wait/${event.id}/sign-out`, { headers: { origin: 'https://evil.example' } });
  assert.equal(foreign.headers['set-cookie']?.some((line) => line.startsWith('tiketi_buyer=')) ?? false, false);
  const out = await phone.post(`/wait/${event.id}/sign-out`);
  assert.deepEqual([out.status, out.headers.location], [303, `/wait/${event.id}`]);
  assert.match(out.headers['set-cookie'].find((line) => line.startsWith('tiketi_buyer=')), /Max-Age=0/);
  const after = await phone.get(`/wait/${event.id}`);
  assert.deepEqual([after.status, /class="signed-in"/.test(after.text)], [401, false]);
  assert.equal((await client.status(event.id)).body.position, 1, 'signed in elsewhere, with the place');
  await buyer(phone, event.id);
  assert.equal((await phone.check(event.id)).body.position, 1, 'and again here');
  const shop = new Client(server, { sub: 'fan' });
  assert.equal((await shop.check(event.id)).body.position, 2);
  const socket = await Socket.open(server, { cookie: phone.cookieHeader });
  try {
    socket.join(phone, event.id);
    assert.equal((await socket.next('queue-position')).payload.position, 1);
  } finally {
    socket.close();
  }
  assert.equal((await new Client(server).check(event.id)).body.code, 'login-required');
  const { b: id } = decode(phone.ticket);
  assert.match(id, /^o:[\w-]{43}$/);
  assert.equal((await organizer.get(`/api/admin/events/${event.id}/buyers/${encodeURIComponent(id)}`)).status, 200);
  assert.equal((await client.get('/api/admin/session')).status, 401, 'a buyer is no staff');
});

test('while the provider is down, who is signed in goes on; others get a page that says so', async () => {
  const event = await organizer.sale({ allowGuests: false, threshold: 0 });
  const fan = new Client(server);
  await buyer(fan, event.id);
  const kim = new Client(server);
  await signIn(kim, 'kim');
  const late = new Client(server);
  const { back } = await visit(late, 'kim');
  await provider.down();
  assert.equal((await fan.get(`/wait/${event.id}`)).status, 200);
  assert.equal((await kim.get('/console')).status, 200);
  const answer = await follow(late, back);
  assert.equal(answer.status, 503);
  assert.match(answer.text, /People who are signed in stay signed in/);
  // A pod that has never reached it.
  const fresh = await Server.start({ redis, database, env: oidcSettings(provider) });
  try {
    for (const path of ['/console/sign-in', `/wait/${event.id}/sign-in`]) {
      const page = await fresh.get(path);
      assert.equal(page.status, 503);
      assert.match(page.text, /Sign-in isn’t available right now/);
    }
    assert.ok(fresh.logs.some(({ message, what }) => message === 'identity provider not usable' && what === 'metadata'));
    await provider.up();
    await waitUntil(async () => (await fresh.get('/console/sign-in')).status === 303, 5000, 'the provider to be found');
  } finally {
    await fresh.stop();
    if (!provider.server) await provider.up();
  }
});

test('private addresses are not reached unless OUTBOUND_ALLOW names them; settings that cannot be are refused by name', async () => {
  const banned = await Server.start({ redis, database, env: oidcSettings(provider, { OUTBOUND_ALLOW: null }) });
  try {
    assert.equal((await banned.get('/console/sign-in')).status, 503);
    const line = await waitUntil(() => banned.logs.find(({ message }) => message === 'identity provider not usable'), 5000, 'the log line');
    assert.match(line.reason, /private address/);
  } finally {
    await banned.stop();
  }
  const off = await Server.start({ redis, database, env: oidcSettings(provider, { OIDC_FOR: 'buyers' }) });
  try {
    assert.equal((await off.get('/console/sign-in')).status, 404);
    assert.doesNotMatch((await off.get('/console')).text, /\/console\/sign-in/);
  } finally {
    await off.stop();
  }
  for (const [env, words] of [
    [{ OIDC_CLIENT_ID: null }, /OIDC_CLIENT_ID: must be set/], [{ OIDC_FOR: 'everybody' }, /OIDC_FOR: must be/], [{ OIDC_ROLES: 'it=king' }, /OIDC_ROLES/],
    [{ OIDC_SCOPE: 'email' }, /OIDC_SCOPE: must begin/], [{ OIDC_ISSUER: 'id.example' }, /OIDC_ISSUER: must be a URL/],
  ]) {
    const pod = new Server({ redis, database, env: oidcSettings(provider, env), ready: false });
    await pod.start();
    const { code } = await pod.child.exited;
    assert.equal(code, 78);
    assert.match(pod.output, words);
  }
});

test('who signs in as an organizer sees own events alone', async () => {
  const mine = new Organizer(server, { sub: 'somebody', role: 'organizer' });
  const event = await mine.sale();
  const client = new Client(server);
  await signIn(client, 'kim');
  assert.equal((await client.get(`/api/admin/events/${event.id}`)).body.code, 'not-yours');
});

test('keys are rotated: the new ones are fetched once, and those that are gone no longer count', async () => {
  await signIn(new Client(server), 'kim');
  const fetches = () => provider.requests.filter((line) => line === 'GET /jwks').length;
  const before = fetches();
  await provider.rotate();
  // Keys that were fetched a moment ago are not fetched again for ten seconds: until then a new key is refused.
  const client = new Client(server);
  const answer = await waitUntil(async () => {
    const got = await signIn(client, 'kim');
    return got.status === 200 && got;
  }, 15000, 'the new keys');
  assert.equal(answer.status, 200);
  assert.equal(fetches(), before + 1);
});
