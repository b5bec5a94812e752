// SPDX-License-Identifier: MIT
//
// Passes that are remembered and used again: a pass that was verified before opens nothing more than any other, and a poll
// of a buyer inside is answered with the pass that they have, until half of its life is over.

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { Client, Server, bearer, decode, jwt, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();
const sale = (settings = {}) => organizer.sale({ threshold: 5, autoHold: 0, ...settings });

async function pod(t, env) {
  const started = await Server.start({ redis, database, roles: 'api', env });
  t.after(() => started.stop());
  return started;
}

async function insider(id, options, at = server) {
  const client = new Client(at, options);
  assert.equal((await client.check(id)).body.status, 'active');
  return client;
}

const gate = (id, pass, at = server) => at.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': pass } });

test('a pass that was asked for many times ends with its turn: by leaving, by a clear, for another event, and when it expires', async (t) => {
  const { id } = await sale();
  const other = await sale();
  const brief = await pod(t, { PASS_TTL_MS: 5000 });
  const client = await insider(id);
  const second = await insider(id, {}, brief);
  for (let i = 0; i < 3; i++) {
    for (const at of [server, brief]) assert.equal((await gate(id, client.pass, at)).status, 204);
    assert.equal((await gate(other.id, client.pass)).status, 401);
    assert.equal((await gate(id, second.pass)).status, 204);
  }
  const altered = client.pass.slice(0, -3) + (client.pass.endsWith('AAA') ? 'BBB' : 'AAA');
  assert.equal((await gate(id, altered)).status, 401);
  await client.leave(id);
  assert.equal((await gate(id, client.pass)).status, 401);
  await waitUntil(async () => (await gate(id, second.pass)).status === 401, 10000, 'the end of the brief pass');
  const third = await insider(id);
  assert.equal((await gate(id, third.pass)).status, 204);
  await organizer.act(id, 'clear');
  await waitUntil(async () => (await gate(id, third.pass)).status === 401, 5000, 'the clear');
});

test('a poll of a buyer inside has the pass that they sent, and sets no cookie; a check has a new one', async () => {
  const { id } = await sale();
  const guest = await insider(id);
  const first = guest.pass;
  for (let i = 0; i < 3; i++) {
    const { body, headers } = await guest.status(id);
    assert.equal(body.pass, first);
    assert.equal(Date.parse(body.passExpiresAt), decode(first).exp * 1000);
    assert.equal(headers['set-cookie'], undefined, 'nothing is new');
  }
  const claimed = await guest.heartbeat(id, { json: { claim: true } });
  assert.equal(claimed.body.pass, first);
  assert.notEqual((await guest.check(id)).body.pass, first);
  const program = new Client(server, { sub: 'program' });
  await program.check(id);
  const sent = await server.get(`/api/queue/status/${id}`, { headers: { ...bearer(jwt({ sub: 'program' })), 'x-tiketi-pass': program.pass } });
  assert.equal(sent.body.pass, program.pass);
  assert.ok(sent.headers['set-cookie'].some((line) => line.startsWith(`tiketi_pass_${id}=${program.pass};`)), 'it was in a header: the cookie is set');
});

test('when half of a pass is over, a poll has a new one; so has one of another turn, of another key, or valid beyond the turn', async (t) => {
  const { id } = await sale();
  const brief = await pod(t, { PASS_TTL_MS: 10000 });
  const guest = await insider(id, {}, brief);
  const { exp } = decode(guest.pass);
  await waitUntil(async () => decode((await guest.status(id)).body.pass).exp > exp, 10000, 'a new pass');
  assert.ok(Date.now() < exp * 1000 + 500, 'in time');

  const back = await insider(id, { sub: 'back' });
  const old = back.pass;
  await back.leave(id);
  const again = await insider(id, { sub: 'back' });
  const { body } = await server.get(`/api/queue/status/${id}`, { headers: { ...bearer(jwt({ sub: 'back' })), cookie: `tiketi_pass_${id}=${old}` } });
  assert.equal(decode(body.pass).place, decode(again.pass).place);

  const own = `k1:${'0123456789abcdef'.repeat(4)}`;
  const rolled = await pod(t, { TICKET_KEYS: `k2:${'89abcdef01234567'.repeat(4)},${own}` });
  const usual = await insider(id, { sub: 'usual' });
  const fromRolled = await rolled.get(`/api/queue/status/${id}`, { headers: { ...bearer(jwt({ sub: 'usual' })), cookie: usual.cookieHeader } });
  assert.notEqual(fromRolled.body.pass, usual.pass, 'of the key that signs now');

  const held = await insider(id, { sub: 'held' });
  await organizer.patch(id, { sessionLimitMs: 60000 });
  await waitUntil(async () => {
    const { body: { pass, passExpiresAt, turnEndsAt } } = await held.status(id);
    return pass !== held.pass || Date.parse(passExpiresAt) <= Date.parse(turnEndsAt);
  }, 5000, 'a pass that ends with the turn');
});

test('the public keys are there as a JWK set and one by one as PEM, and are cached', async (t) => {
  const { id } = await sale();
  const usual = await insider(id);
  const own = `k1:${'0123456789abcdef'.repeat(4)}`;
  const rolled = await pod(t, { TICKET_KEYS: `k2:${'89abcdef01234567'.repeat(4)},${own}` });
  const { body: { keys }, headers: cached } = await rolled.get('/.well-known/jwks.json');
  assert.equal(keys.length, 2);
  const pems = await Promise.all(keys.map(({ kid }) => rolled.get(`/.well-known/pass-key.pem?kid=${kid}`)));
  pems.forEach(({ status, text, headers }, i) => {
    assert.equal(status, 200);
    assert.equal(text, createPublicKey({ key: keys[i], format: 'jwk' }).export({ format: 'pem', type: 'spki' }));
    assert.match(headers['content-type'], /^application\/x-pem-file/);
  });
  assert.equal((await rolled.get('/.well-known/pass-key.pem')).text, pems[0].text, 'the one that signs');
  const [header, payload, signature] = usual.pass.split('.');
  assert.ok(verify('SHA256', Buffer.from(`${header}.${payload}`), { key: createPublicKey(pems[1].text), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
  for (const kid of ['nobody', '', '%ff', keys[0].kid.toLowerCase()]) {
    const { status, body } = await rolled.get(`/.well-known/pass-key.pem?kid=${kid}`);
    assert.deepEqual([status, body.field], [404, 'kid'], kid);
  }
  assert.equal(cached['cache-control'], 'public, max-age=300');
  for (const [path, { etag }] of [['/.well-known/jwks.json', cached], ['/.well-known/pass-key.pem', pems[0].headers]]) {
    const again = await rolled.get(path, { headers: { 'if-none-match': etag } });
    assert.deepEqual([again.status, again.text], [304, '']);
    assert.equal((await server.get(path, { headers: { 'if-none-match': etag } })).status, 200, 'other keys');
  }
});
