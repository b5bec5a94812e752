// SPDX-License-Identifier: MIT
//
// The shop's keys by JWT_JWKS_URL: fetched over HTTPS, once for all who wait, kept through outages, exchanged when the shop
// rolls them; JWT_ISSUER.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, KeyServer, SLOW, Server, Socket, bearer, jwt, privateFolder, stage, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const { redis, database, organizer } = await stage();
const event = await organizer.sale({ threshold: 1000 });
const path = `/api/queue/check/${event.id}`;
const pod = (shop, options = {}) => Server.start({ redis, database, roles: 'api', ...options, env: { ...shop.env, ...options.env } });
const joins = (server, token) => server.post(path, { headers: bearer(token) });
const fetches = (server, result, of = 'shop') => server.metric(`tiketi_jwks_fetches_total{of="${of}",result="${result}"}`);
const keysAge = (server, worker = 'api-0') => server.metric(`tiketi_jwks_age_seconds{worker="${worker}"}`);
const failures = ({ logs }) => logs.filter(({ message }) => message === 'published keys not usable');

// These two are old enough at the end: an unknown key is a reason to fetch ten seconds after the last time.
const calm = await KeyServer.start();
const server = await pod(calm, { roles: 'api,gateway' });
const hasty = await KeyServer.start({ plain: true });
hasty.headers = { 'cache-control': 'private, max-age=1, must-revalidate' };
const began = performance.now();
const refreshed = await pod(hasty);

test('a token is verified with a key that was fetched over HTTPS before the pod served, once for each worker; iss and aud are checked', async () => {
  assert.equal(calm.requests, 2, 'api and gateway');
  const buyer = new Client(server, { token: calm.token({ sub: 'kim' }) });
  assert.equal((await buyer.check(event.id)).status, 200);
  const socket = await Socket.open(server);
  socket.send('join-queue', { eventId: event.id, token: buyer.token, ticket: buyer.ticket });
  await socket.next('queue-entry-allowed');
  await socket.drop();
  for (const [claims, words] of [[{ iss: 'https://shop.example/' }, /`iss` must be JWT_ISSUER/], [{ iss: undefined }, /JWT_ISSUER/],
    [{ iss: ['https://shop.example'] }, /JWT_ISSUER/], [{ aud: 'wiki' }, /JWT_AUDIENCE/]]) {
    const answer = await joins(server, calm.token({ sub: 'a', ...claims }));
    assert.equal(answer.status, 401);
    assert.match(answer.body.detail, words);
  }
  const own = jwt({ sub: 'a', iss: 'https://shop.example', aud: 'tickets' });
  assert.equal((await joins(server, own)).status, 200, 'JWT_SECRETS works as well');
  assert.equal((await joins(server, jwt({ sub: 'a', aud: 'tickets' }))).status, 401, 'and is held to the same issuer');
  assert.equal(calm.requests, 2, 'nobody asked again');
  assert.deepEqual([await fetches(server, 'fetched'), await fetches(server, 'failed'), await fetches(server, 'fetched', 'oidc')], [2, 0, 0]);
  const lived = (performance.now() - began) / 1000 + 5 * SLOW; // it was started before that
  for (const worker of ['api-0', 'gateway-0']) {
    const age = await keysAge(server, worker);
    assert.ok(age > 0 && age < lived, `${age} s`);
  }
  assert.deepEqual(failures(server), []);
});

test('a forged token, and one of a key that nobody has published, fetch nothing while the keys are young', async () => {
  const stranger = new KeyServer();
  stranger.newest.kid = 'elsewhere';
  const before = calm.requests;
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => joins(server, i % 2 ? stranger.token({ sub: 'a' })
    : stranger.token({ sub: 'a' }, { header: { kid: calm.newest.kid } }))));
  for (const { status } of answers) assert.ok(status === 401 || status === 429, `${status}`);
  assert.ok(answers.some(({ status }) => status === 401));
  assert.equal(calm.requests, before);
});

test('a shop that cannot be reached: 503 with Retry-After; when it is back, all who wait have one fetch, and nobody is refused', async () => {
  const shop = new KeyServer();
  await shop.start();
  await shop.stop();
  const behind = await pod(shop, { roles: 'api,gateway', env: { RATE_LIMIT_PER_IP: 0 } });
  const answer = await joins(behind, shop.token({ sub: 'kim' }));
  assert.equal(answer.status, 503, answer.text);
  assert.ok(answer.headers['retry-after'] >= 1);
  assert.ok(failures(behind).length >= 2, 'each worker says so');
  assert.ok((await fetches(behind, 'failed')) >= 2 && (await fetches(behind, 'fetched')) === 0);
  assert.equal(await keysAge(behind), undefined, 'there are no keys that could have an age');
  assert.equal((await joins(behind, jwt({ sub: 'a', iss: 'https://shop.example', aud: 'tickets' }))).status, 200, 'other keys need no shop');
  const csv = await behind.post(`/api/admin/events/${event.id}/seats`, {
    headers: { ...bearer(shop.token({ sub: 'root', role: 'admin' })), 'content-type': 'text/csv' }, body: 'section,row,number,price\nA,1,1,100\n' });
  assert.equal(csv.status, 503, 'a file is not taken from an unknown sender, nor lost without a word');
  const socket = await Socket.open(behind);
  socket.send('join-queue', { eventId: event.id, token: shop.token({ sub: 'kim' }) });
  assert.equal((await socket.next('error')).payload.code, 'unavailable');
  assert.equal((await socket.closed).code, 1013);

  shop.hold();
  await shop.start();
  // The workers try again by themselves, and wait for the answer now.
  await waitUntil(() => shop.requests === 2, 15000, 'a request of each worker');
  let answered = 0;
  const waiting = Array.from({ length: 300 }, (_, i) => joins(behind, shop.token({ sub: `w${i}` })).finally(() => { answered++; }));
  await waitUntil(() => answered === 300 - 256, 5000, 'those over the limit to be refused');
  await staysTrueFor(300, async () => (await behind.get('/readyz')).status === 200 && answered === 300 - 256, 'the others wait, and nothing else does');
  shop.letGo();
  const answers = await Promise.all(waiting);
  assert.equal(answers.filter(({ status }) => status === 200).length, 256);
  for (const { status, headers } of answers) assert.ok(status === 200 || (status === 503 && headers['retry-after']), `${status}`);
  assert.equal(shop.requests, 2, 'one for each worker');
  assert.equal(await fetches(behind, 'fetched'), 2);
  assert.ok((await keysAge(behind)) < 20 * SLOW);
  await behind.stop();
  await shop.stop();
});

test('what is no document of keys is refused and said, whatever it is; a good one after it is taken', async () => {
  const shop = new KeyServer({ plain: true });
  const bad = [
    [{ status: 404 }, /not 200/], [{ status: 302, headers: { location: '/other' } }, /not 200/], [{ body: '<html>' }, /no key/], [{ body: '{"keys":[]}' }, /no key/],
    [{ body: 'x'.repeat(300 * 1024) }, /writ/i], // over the bound
  ];
  Object.assign(shop, bad[0][0]);
  await shop.start();
  const behind = await pod(shop);
  for (const [i, [answer, reason]] of bad.entries()) {
    Object.assign(shop, { status: 200, headers: {}, body: undefined }, answer);
    const known = failures(behind).length - (i === 0);
    const line = await waitUntil(async () => {
      assert.equal((await joins(behind, shop.token({ sub: 'kim' }))).status, 503);
      return failures(behind)[known];
    }, 5000, 'the log line');
    assert.match(line.reason, reason);
    assert.equal(line.of, 'JWT_JWKS_URL');
  }
  Object.assign(shop, { status: 200, headers: {}, body: undefined });
  shop.publish({ kid: 'broken', publicKey: { export: () => ({ kty: 'RSA', n: 'AA', e: 'AQAB' }) } });
  await waitUntil(async () => (await joins(behind, shop.token({ sub: 'kim' }))).status === 200, 5000, 'the good key');
  await behind.stop();
  await shop.stop();
});

test('a private address is not asked unless OUTBOUND_ALLOW names it, and a certificate must be valid', async () => {
  for (const [env, reason] of [[{ OUTBOUND_ALLOW: undefined }, /OUTBOUND_ALLOW/], [{ OUTBOUND_CA_FILE: undefined }, /certificate/i]]) {
    const before = calm.requests;
    const alone = await pod(calm, { env });
    assert.match((await waitUntil(() => failures(alone)[0], 5000, 'the log line')).reason, reason);
    assert.equal((await joins(alone, calm.token({ sub: 'kim' }))).status, 503);
    assert.equal(calm.requests, before);
    await alone.stop();
  }
});

test('a reload asks again at once; another address ends the keys of the first, and none ends them all', async (t) => {
  const [first, second] = [await KeyServer.start({ plain: true }), await KeyServer.start({ plain: true })];
  second.newest.kid = 'second';
  const file = join(privateFolder('jwks-url'), 'url');
  writeFileSync(file, first.url);
  const behind = await pod(first, { env: { JWT_JWKS_URL: undefined, JWT_JWKS_URL_FILE: file } });
  t.after(() => behind.kill());
  const reload = async (text) => {
    const said = () => behind.logs.filter(({ message }) => message === 'reloaded').length;
    const before = said();
    writeFileSync(file, text);
    behind.child.signal('SIGHUP');
    await waitUntil(() => said() > before, 10000, 'the reload');
  };
  const old = first.token({ sub: 'kim' });
  assert.equal((await joins(behind, old)).status, 200);
  const next = first.newest;
  first.rotate();
  first.publish(next);
  await reload(first.url);
  assert.equal((await joins(behind, old)).status, 200, 'a known key is known all the while');
  await waitUntil(() => first.requests === 2, 5000, 'the fetch');
  await waitUntil(async () => (await joins(behind, first.token({ sub: 'kim' }))).status === 200, 5000, 'the new key, within the ten seconds');

  await reload(second.url);
  await waitUntil(async () => (await joins(behind, second.token({ sub: 'kim' }))).status === 200, 5000, 'the keys of the other address');
  assert.equal((await joins(behind, old)).status, 401);
  await reload('');
  await waitUntil(async () => (await joins(behind, second.token({ sub: 'kim' }))).status === 401, 5000, 'the end of all');
  assert.equal(await keysAge(behind), undefined, 'no address, no keys');
  assert.deepEqual([first.requests, second.requests], [2, 1]);
  for (const one of [behind, first, second]) await one.stop();
});

test('keys are rolled: a token of the new key waits for one fetch, the old key ends with the document, and an outage ends none', async () => {
  const old = calm.rotate();
  calm.hold();
  const before = calm.requests;
  // Within the ten seconds an unknown key does not exist; then all wait for the same answer.
  await waitUntil(async () => {
    const first = joins(server, calm.token({ sub: 'first' }));
    const early = await Promise.race([first, waitUntil(() => calm.requests > before, 1000, 'a fetch').then(() => null, () => null)]);
    return early === null || early.status !== 401;
  }, 12000, 'the fetch');
  const waiting = Array.from({ length: 20 }, (_, i) => joins(server, calm.token({ sub: `n${i}` })));
  assert.equal((await joins(server, calm.token({ sub: 'kim' }, { key: old }))).status, 200, 'a known key waits for nothing');
  calm.letGo();
  for (const { status, text } of await Promise.all(waiting)) assert.equal(status, 200, text);
  assert.equal(calm.requests - before, 1);
  const gone = await joins(server, calm.token({ sub: 'kim' }, { key: old }));
  assert.equal(gone.status, 401);
  await calm.stop();
  assert.equal((await joins(server, calm.token({ sub: 'kim' }))).status, 200, 'the last good keys');
  assert.ok((await keysAge(server)) < (await keysAge(server, 'gateway-0')), 'those of the worker that fetched again are younger');
});

test('keys are fetched again when their Cache-Control says so, and not before ten seconds', async () => {
  const key = hasty.newest;
  await waitUntil(() => hasty.requests >= 2, 13000, 'a second fetch');
  assert.ok(performance.now() - began > 9000, `${performance.now() - began} ms`);
  await hasty.stop();
  assert.equal((await joins(refreshed, hasty.token({ sub: 'kim' }, { key }))).status, 200);
  await refreshed.stop();
  await server.stop();
});
