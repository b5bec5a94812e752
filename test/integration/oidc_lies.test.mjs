// SPDX-License-Identifier: MIT
//
// An identity provider that says what it should not: in its ID token, its metadata and its answers. Nobody gets in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, LyingProvider, OIDC_CLIENT, Server, oidcSettings, stage, waitUntil } from '../fixtures/index.mjs';

const liar = await LyingProvider.start();
const { redis, database, server } = await stage({ roles: 'api', env: oidcSettings(liar, { TRUSTED_PROXIES: '127.0.0.1' }) });

let visits = 0;
// Goes there and back. Each visit is of another address, so that no limit of tries is met.
async function visit(query) {
  const client = new Client(server);
  const headers = { 'x-forwarded-for': `198.51.${visits >> 8}.${visits++ & 255}` };
  const there = await client.get('/console/sign-in', { headers });
  assert.equal(there.status, 303, there.text);
  const back = liar.back(there.headers.location, query);
  const answer = await client.get(back.pathname + back.search, { headers });
  return { client, answer, there: new URL(there.headers.location) };
}
const reasons = () => server.logs.filter(({ message }) => message === 'sign-in refused' || message === 'identity provider not usable').map(({ reason }) => reason);
// Visits until the log has a new line: of one kind it takes ten a second.
async function refusal(status) {
  const before = reasons().length;
  let last;
  await waitUntil(async () => {
    last = await visit();
    assert.equal(last.answer.status, status, last.answer.text);
    return reasons().length > before;
  }, 5000, 'a line of the log');
  return { ...last, reason: reasons().at(-1) };
}

test('what is right gets in: RS256 and ES256, aud alone and among others; the secret goes by Basic, encoded', async () => {
  for (const change of [{}, { sign: 'ec' }, { claims: { aud: [OIDC_CLIENT.id] } }, { claims: { aud: [OIDC_CLIENT.id, 'other'], azp: OIDC_CLIENT.id } }]) {
    liar.reset();
    Object.assign(liar, change);
    const { client, answer, there } = await visit();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(there.searchParams.get('tenant'), '1'); // the endpoint had a query
    assert.equal((await client.get('/api/admin/session')).body.name, 'Kim');
    const [user, secret] = Buffer.from(liar.sent.authorization.replace(/^Basic /, ''), 'base64').toString().split(':').map(decodeURIComponent);
    assert.deepEqual({ id: user, secret }, OIDC_CLIENT);
    assert.equal(liar.sent.body.get('client_secret'), null);
    assert.match(liar.sent.body.get('code_verifier'), /^[0-9a-f]{64}$/);
  }
});

const now = () => Math.floor(Date.now() / 1000);
const LIES = {
  'alg none': [{ sign: 'none' }, /no key/],
  'HS256 with the public key as its secret': [{ sign: 'secret' }, /no key/],
  'a key that it does not publish': [{ sign: 'foreign' }, /no key/],
  'a key id that nobody knows': [{ header: { kid: 'unheard-of' } }, /no key/],
  'RS256 for the key of ES256': [{ header: { kid: 'ec' } }, /no key/],
  'an extension that must be understood': [{ header: { crit: ['b64'], b64: false } }, /no key/],
  'another issuer': [{ claims: { iss: 'http://evil.example' } }, /^iss/],
  'no issuer': [{ claims: { iss: null } }, /^iss/],
  'another client': [{ claims: { aud: 'another' } }, /^aud/],
  'several clients and no azp': [{ claims: { aud: [OIDC_CLIENT.id, 'another'] } }, /^aud/],
  'azp is another client': [{ claims: { azp: 'another' } }, /^aud/],
  'the nonce of another visit': [{ claims: { nonce: '0'.repeat(32) } }, /^nonce/],
  'no nonce': [{ claims: { nonce: null } }, /^nonce/],
  'it has expired': [{ claims: { exp: now() - 3600 } }, /expired/],
  'no expiry': [{ claims: { exp: null } }, /expired/],
  'an expiry that is a text': [{ claims: { exp: 'never' } }, /expired/],
  'it is of tomorrow': [{ claims: { iat: now() + 3600 } }, /^iat/],
  'it is of yesterday': [{ claims: { iat: now() - 86400 } }, /^iat/],
  'no time of issue': [{ claims: { iat: null } }, /^iat/],
  'not valid yet': [{ claims: { nbf: now() + 3600 } }, /^iat or nbf/],
  'no subject': [{ claims: { sub: null } }, /^sub/],
  'a subject of 300 bytes': [{ claims: { sub: 'x'.repeat(300) } }, /^sub/],
  'the code is refused': [{ token: [400, { error: 'invalid_grant' }] }, /refuses the code: invalid_grant/],
  'a refusal that is no JSON': [{ token: [401, '<html>'] }, /refuses the code: unknown/],
  'no ID token': [{ token: [200, { access_token: 'x' }] }, /no ID token/],
  'an ID token of 20 KiB': [{ token: [200, { id_token: 'x'.repeat(20000) }] }, /no ID token/],
};
for (const [what, [change, reason]] of Object.entries(LIES))
  test(`refused: ${what}`, async () => {
    liar.reset();
    Object.assign(liar, change);
    const { client, answer, reason: said } = await refusal(403);
    assert.match(answer.text, /We couldn’t confirm who you are/);
    assert.match(said, reason);
    assert.equal((await client.get('/api/admin/session')).status, 401);
  });

const UNUSABLE = {
  'its answer is a page': [{ token: [200, '<html>'] }, /not a JSON object/],
  'its answer is 70 KiB': [{ token: [200, { id_token: 'x'.repeat(70000) }] }, /./],
  'it is broken': [{ token: [500, { error: 'server_error' }] }, /not 200/],
};
for (const [what, [change, reason]] of Object.entries(UNUSABLE))
  test(`unusable: ${what}`, async () => {
    liar.reset();
    Object.assign(liar, change);
    assert.match((await refusal(503)).reason, reason);
  });

test('the userinfo of another person does not count; what the ID token says comes first', async () => {
  liar.reset();
  liar.claims = { role: null, name: null };
  liar.info = { sub: 'somebody', role: 'admin' };
  assert.equal((await visit()).answer.status, 403);
  liar.info = { role: 'admin', name: 'Of userinfo' };
  const { client } = await visit();
  assert.deepEqual([(await client.get('/api/admin/session')).body.role, (await client.get('/api/admin/session')).body.name], ['admin', 'Of userinfo']);
  liar.claims = { role: 'viewer', name: 'Of the token' };
  const { client: viewer } = await visit();
  assert.equal((await viewer.get('/api/admin/session')).body.role, 'viewer');
});

test('an answer that says it is of another issuer (RFC 9207) is not taken to the provider', async () => {
  liar.reset();
  const before = liar.fetched.token;
  assert.equal((await visit({ iss: 'https://evil.example' })).answer.status, 400);
  assert.equal(liar.fetched.token, before);
  assert.equal((await visit({ iss: liar.issuer })).answer.status, 200);
});

test('forged tokens make no requests for keys: one in ten seconds at most', async () => {
  liar.reset();
  const before = liar.fetched.keys;
  liar.sign = 'foreign';
  for (const { answer } of await Promise.all(Array.from({ length: 10 }, () => visit()))) assert.equal(answer.status, 403);
  assert.ok(liar.fetched.keys - before <= 1, `${liar.fetched.keys - before} fetches`);
});

test('metadata of another issuer, or with an endpoint that is none, is not used', async () => {
  for (const [metadata, reason] of [
    [{ issuer: `${liar.issuer}/` }, /issuer is not exactly/], [{ token_endpoint: 'file:///etc/passwd' }, /endpoint is missing/],
    [{ authorization_endpoint: 'javascript:alert(1)' }, /endpoint is missing/], [{ jwks_uri: undefined }, /endpoint is missing/],
    [{ authorization_endpoint: 'http://127.0.0.1/x"><script>' }, /endpoint is missing/],
  ]) {
    liar.reset();
    liar.metadata = metadata;
    const pod = await Server.start({ redis, database, roles: 'api', env: oidcSettings(liar) });
    try {
      assert.equal((await pod.get('/console/sign-in')).status, 503);
      assert.match((await waitUntil(() => pod.logs.find(({ message }) => message === 'identity provider not usable'), 5000, 'the log line')).reason, reason);
    } finally {
      await pod.stop();
    }
  }
});

test('a provider that never answers: five seconds, then a page that says so; a pod that stops meanwhile stops in order', async () => {
  liar.reset();
  liar.silent = true;
  const pod = await Server.start({ redis, database, roles: 'api', env: oidcSettings(liar, { DRAIN_MS: 2000 }) });
  try {
    const since = performance.now();
    const answers = await Promise.all([pod.get('/console/sign-in'), pod.get('/console/sign-in')]);
    for (const { status, text } of answers) {
      assert.equal(status, 503);
      assert.match(text, /Sign-in isn’t available right now/);
    }
    const took = performance.now() - since;
    assert.ok(took > 4500 && took < 9000, `${took} ms`);
    assert.equal(liar.fetched.unanswered, 1, 'one request for both');
    let left;
    await waitUntil(async () => { // the failure counts for a second
      left = pod.get('/console/sign-in').catch((error) => error);
      await Promise.race([left, waitUntil(() => liar.fetched.unanswered === 2, 2000, 'a request')]);
      return liar.fetched.unanswered === 2;
    }, 10000, 'a request under way');
    await pod.stop();
    assert.ok([503, undefined].includes((await left).status));
  } finally {
    await pod.kill();
    liar.reset();
  }
});

test('a provider that takes the secret in the body alone gets it there', async () => {
  liar.reset();
  liar.metadata = { token_endpoint_auth_methods_supported: ['client_secret_post'] };
  const pod = await Server.start({ redis, database, roles: 'api', env: oidcSettings(liar) });
  try {
    const client = new Client(pod);
    const there = await client.get('/console/sign-in');
    const back = liar.back(there.headers.location);
    assert.equal((await client.get(back.pathname + back.search)).status, 200);
    assert.equal(liar.sent.authorization, undefined);
    assert.deepEqual([liar.sent.body.get('client_id'), liar.sent.body.get('client_secret')], [OIDC_CLIENT.id, OIDC_CLIENT.secret]);
  } finally {
    await pod.stop();
  }
});
