// SPDX-License-Identifier: MIT
//
// Keys are rolled under a crowd, in the order that docs/operations.md gives: pod after pod by restarts, and by SIGHUP. Nobody
// loses a place, a turn, a pass or a bought ticket. What is no key is passed over, and a list without one is refused.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, Organizer, SECRETS, Server, Socket, bearer, dice, jwt, jwtWithKey, many, pay, privateFolder, runTiketi, seedOf, stage, waitUntil, webhookHeaders } from '../fixtures/index.mjs';
import { codesOf } from '../fixtures/qr.mjs';
import { Crowd, kidOf } from './keys_support.mjs';

const { redis, database, server } = await stage();
await server.stop(); // each test has pods of its own

const hex = (bytes) => randomBytes(bytes).toString('hex');
const OLD = { ticket: SECRETS.TICKET_KEYS, jwt: SECRETS.JWT_SECRETS, webhook: SECRETS.PAYMENT_WEBHOOK_SECRETS };
const NEW = { ticket: `k2:${hex(32)}`, jwt: hex(20), webhook: hex(20) };
const PEM = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });

// The three steps of the roll, for all lists at once: added at the end, moved to the front, the old one removed.
const STEPS = [
  { TICKET_KEYS: OLD.ticket, PASS_KEYS: 'derived', JWT_SECRETS: OLD.jwt, PAYMENT_WEBHOOK_SECRETS: OLD.webhook },
  { TICKET_KEYS: `${OLD.ticket},${NEW.ticket}`, PASS_KEYS: `derived\n${PEM}`, JWT_SECRETS: `${OLD.jwt} ${NEW.jwt}`, PAYMENT_WEBHOOK_SECRETS: `${OLD.webhook}\n${NEW.webhook}` },
  { TICKET_KEYS: `${NEW.ticket},${OLD.ticket}`, PASS_KEYS: `${PEM}derived`, JWT_SECRETS: `${NEW.jwt} ${OLD.jwt}`, PAYMENT_WEBHOOK_SECRETS: `${NEW.webhook} ${OLD.webhook}` },
  // published: the public keys that the pods had, for the tickets that were bought under them
  (published) => ({ TICKET_KEYS: NEW.ticket, PASS_KEYS: `${PEM}${JSON.stringify(published)}`, JWT_SECRETS: NEW.jwt, PAYMENT_WEBHOOK_SECRETS: NEW.webhook }),
];

const oldToken = (i) => jwt({ sub: `user-${i}` });
const newToken = (i) => jwt({ sub: `user-${i}` }, { secret: NEW.jwt });
const jwks = async (pod) => (await pod.get('/.well-known/jwks.json')).body;

// This buyer, who is inside, buys a ticket: its code as the page draws it.
async function bought(buyer, event, secret) {
  const { body } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  const paid = await pay(buyer.server, body, {}, { secret });
  assert.equal(paid.status, 200, paid.text);
  const link = (await buyer.get(`/tickets/${event.id}`)).headers.location;
  return codesOf((await buyer.get(link)).text)[0];
}

// Each pod verifies the passes and codes that were given before, and those that the other one gives.
async function verifiesAll(pods, crowd, codes, organizerToken) {
  for (const pod of pods) {
    for (const buyer of crowd.inside) {
      for (const pass of [buyer.pass, buyer.firstPass]) {
        const { status } = await pod.get(`/api/gate/${crowd.event.id}`, { headers: { 'x-tiketi-pass': pass } });
        assert.equal(status, 204, `a pass of ${kidOf(pass)}`);
      }
    }
    const scans = codes.map((ticket, i) => ({ ticket, device: 'North', scannedAt: `2026-11-29T18:55:0${i}.000Z` }));
    const { body, text } = await pod.post(`/api/checkin/${crowd.event.id}`, { headers: bearer(organizerToken), json: { scans } });
    for (const { outcome } of body.results) assert.ok(['accepted', 'used'].includes(outcome), text);
  }
}

async function gather(t, pods) {
  const event = await new Organizer(pods[0]).sale({ threshold: 6, intervalMs: 100, autoHold: 0, grid: { rows: 2, seatsPerRow: 10 } });
  const crowd = new Crowd(pods, event, dice(seedOf(t)), { guests: 8, users: 8, token: oldToken });
  await crowd.join();
  assert.equal(crowd.inside.length, 6);
  for (const buyer of crowd.inside) buyer.firstPass = buyer.pass;
  crowd.start();
  return { event, codes: [await bought(await crowd.take(), event)], crowd };
}

async function survivesLoss(crowd) {
  await waitUntil(async () => String((await database.query('SELECT last_place FROM events WHERE id = $1', [crowd.event.id]))[0].last_place) >= String(crowd.buyers.at(-1).place),
    20000, 'the last place to be noted');
  await redis.cli('FLUSHALL');
  await many(crowd.buyers, 4, (buyer) => waitUntil(async () => {
    const { status, body } = await buyer.check(crowd.event.id);
    return status === 200 && body.status === buyer.state;
  }, 15000, `${buyer.id} to be back`));
  await crowd.ask();
  assert.deepEqual(crowd.faults, [], 'with tickets of the new key');
}

test('two pods are restarted one after the other, three times: nobody of the crowd notices', async (t) => {
  const env = { RESTORE_MS: 1500, DRAIN_MS: 2000 };
  const pods = [0, 1].map(() => new Server({ redis, database, env: { ...env, ...STEPS[0] } }));
  t.after(async () => { for (const pod of pods) await pod.kill(); });
  for (const pod of pods) await pod.start();
  const { event, codes, crowd } = await gather(t, pods);
  const roll = async (values, between) => {
    for (const pod of pods) {
      pod.env = { ...env, ...values };
      await pod.restart();
      await crowd.rounds(1);
      await between?.();
    }
    assert.deepEqual(crowd.faults, []);
  };
  const kids = async () => Promise.all(pods.map(async (pod) => (await jwks(pod)).keys.map(({ kid }) => kid)));
  const [[derived]] = await kids();

  await roll(STEPS[1]);
  const [[first, ...others]] = await kids();
  assert.equal(first, derived);
  assert.equal(others.length, 2, 'the derived key of the new ticket key, and the PEM');
  // The shop and the provider sign with the new secrets from now on, while tiketi still prefers the old ones.
  crowd.renewTokens(newToken);
  codes.push(await bought(await crowd.take(), event, NEW.webhook));

  await roll(STEPS[2], () => verifiesAll(pods, crowd, codes, jwt({ sub: 'door', role: 'door' })));
  await crowd.rounds(1);
  assert.deepEqual([...new Set(crowd.buyers.map(({ ticket }) => kidOf(ticket)))], ['k2'], 'all have a ticket of the new key');
  const published = await jwks(pods[0]);
  assert.deepEqual((await kids()).map(([kid]) => kid), [others[1], others[1]], 'the PEM signs');
  await crowd.stop();
  await survivesLoss(crowd);
  crowd.start();

  await roll(STEPS[3](published), () => verifiesAll(pods, crowd, codes, jwt({ sub: 'door', role: 'door' }, { secret: NEW.jwt })));
  await crowd.stop();
  assert.deepEqual(crowd.faults, []);
  // What is gone is gone.
  assert.equal((await pods[0].post(`/api/queue/check/${event.id}`, { headers: bearer(oldToken(1)) })).status, 401);
  const { body: late } = await crowd.inside.at(-1).reserve({ eventId: event.id, quantity: 1 });
  assert.equal((await pay(pods[0], late)).status, 401, 'a webhook of the old secret');
  assert.equal((await pay(pods[0], late, {}, { secret: NEW.webhook })).status, 200);
  for (const pod of pods) await pod.stop();
});

test('the same by SIGHUP, with the shop\'s JWKS file: sockets stay, and nobody notices', async (t) => {
  const folder = privateFolder('keys');
  const shop = ['one', 'two'].map((kid) => ({ kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) }));
  const write = (values, keys) => {
    for (const [name, value] of Object.entries(values)) writeFileSync(join(folder, name), value);
    writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: keys.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid })) }));
  };
  const token = ({ kid, privateKey }, sub) => jwtWithKey({ sub, exp: Math.floor(Date.now() / 1000) + 600 }, privateKey, { alg: 'ES256', kid });
  write(STEPS[0], [shop[0]]);
  const files = Object.fromEntries(Object.keys(STEPS[0]).flatMap((name) => [[name, null], [`${name}_FILE`, join(folder, name)]]));
  const pods = [];
  t.after(async () => { for (const pod of pods) await pod.kill(); });
  for (let i = 0; i < 2; i++) pods.push(await Server.start({ redis, database, env: { ...files, JWT_JWKS_FILE: join(folder, 'jwks.json'), RESTORE_MS: 1500 } }));
  const { event, codes, crowd } = await gather(t, pods);
  const member = new Client(pods[0], { token: token(shop[0], 'member') });
  assert.equal((await member.check(event.id)).status, 200);
  const sockets = await many(crowd.users, 4, async (buyer, i) => {
    const socket = await Socket.open(pods[i % 2]);
    socket.join(buyer, event.id);
    return socket;
  });
  const reload = async (values, keys) => {
    write(values, keys);
    for (const pod of pods) {
      const said = () => pod.logs.filter(({ message }) => message === 'reloaded').length;
      const before = said();
      pod.child.signal('SIGHUP');
      await waitUntil(() => said() > before, 10000, 'the reload');
      await crowd.rounds(1); // the other pod is a step behind
    }
    await crowd.rounds(1);
    assert.deepEqual(crowd.faults, []);
  };
  await reload(STEPS[1], shop);
  crowd.renewTokens(newToken);
  await member.check(event.id);
  member.token = token(shop[1], 'member');
  assert.equal((await member.check(event.id)).status, 200);
  codes.push(await bought(await crowd.take(), event, NEW.webhook));
  await reload(STEPS[2], shop);
  await verifiesAll(pods, crowd, codes, jwt({ sub: 'door', role: 'door' }));
  assert.deepEqual([...new Set(crowd.buyers.map(({ ticket }) => kidOf(ticket)))], ['k2']);
  await reload(STEPS[3](await jwks(pods[0])), [shop[1]]);
  await verifiesAll(pods, crowd, codes, jwt({ sub: 'door', role: 'door' }, { secret: NEW.jwt }));
  await crowd.stop();
  assert.deepEqual(crowd.faults, []);
  assert.ok(sockets.every((socket) => !socket.end), 'a socket was closed');
  assert.equal((await member.check(event.id)).status, 200);
  for (const pod of pods) {
    assert.equal((await pod.post(`/api/queue/check/${event.id}`, { headers: bearer(token(shop[0], 'member')) })).status, 401);
    assert.equal((await pod.post(`/api/queue/check/${event.id}`, { headers: bearer(oldToken(1)) })).status, 401);
  }
  for (const socket of sockets) await socket.drop();
});

test('a bad key among good ones is passed over and named; the others serve, and no key is in the log', async () => {
  const leaked = hex(32);
  const pod = await Server.start({ redis, database, roles: 'api', env: {
    TICKET_KEYS: `k9:zz,${leaked}:k8,${OLD.ticket},k1:${hex(32)}`, PASS_KEYS: `nonsense -----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n${PEM}` } });
  const event = await new Organizer(pod).sale({ threshold: 1 });
  const buyer = new Client(pod, { sub: 'kim' });
  assert.equal((await buyer.check(event.id)).body.status, 'active');
  assert.equal(kidOf(buyer.ticket), 'k1');
  assert.deepEqual((await jwks(pod)).keys.map(({ kid }) => kid), [kidOf(buyer.pass)]);
  assert.deepEqual(pod.logs.filter(({ message }) => message === 'bad key passed over').map(({ setting, entry, kid }) => `${setting} ${entry} ${kid}`),
    ['TICKET_KEYS 1 ', 'TICKET_KEYS 2 ', 'TICKET_KEYS 4 k1', 'PASS_KEYS 1 ', 'PASS_KEYS 2 ']);
  assert.ok(!pod.output.includes(leaked) && !pod.output.includes('nonsense'));
  await pod.stop();
});

test('a list without a good key is refused by its name, and a weak secret by its number', async () => {
  for (const [env, words] of [
    [{ TICKET_KEYS: `k1:${'00'.repeat(32)},k2:abcd` }, /TICKET_KEYS: must be/], [{ PASS_KEYS: 'x y' }, /PASS_KEYS: must be/],
    [{ JWT_SECRETS: `${hex(16)} fifteen-bytes..` }, /JWT_SECRETS: secret 2 must have at least 16 bytes/],
    [{ PAYMENT_WEBHOOK_SECRETS: `${hex(16)}\n${'ab'.repeat(20)}` }, /PAYMENT_WEBHOOK_SECRETS: secret 2 must be random/],
    [{ JWT_JWKS_URL: 'http://keys.example/jwks.json' }, /JWT_JWKS_URL: must be https/],
  ]) {
    const { stderr, stdout } = await runTiketi(['serve'], { REDIS_URL: redis.url, DATABASE_URL: database.url, ...env }, { expect: 78 });
    assert.match(stderr + stdout, words);
    assert.ok(!(stderr + stdout).includes('fifteen'));
  }
});

test('two signatures in a call of the webhook: one that fits is enough, of eight', async () => {
  const pod = await Server.start({ redis, database, roles: 'api' });
  const event = await new Organizer(pod).sale({ threshold: 5, autoHold: 0, grid: { rows: 1, seatsPerRow: 4 } });
  const buyer = new Client(pod, { sub: 'kim' });
  await buyer.check(event.id);
  const { body } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  const call = (change) => {
    const text = JSON.stringify({ reservationId: body.id, provider: 'test', reference: 'r-1', amount: body.totalAmount, currency: body.currency, status: 'paid' });
    const headers = webhookHeaders(text);
    headers['x-tiketi-signature'] = change(headers['x-tiketi-signature']);
    return pod.post('/api/payments/webhook', { body: text, headers });
  };
  const other = `,v1=${'0'.repeat(64)}`;
  assert.equal((await call((header) => header.replace(/,v1=.*/, other))).status, 401);
  assert.equal((await call((header) => header.replace(/,v1=/, `${other.repeat(8)},v1=`))).status, 401);
  assert.equal((await call((header) => `${header.replace(/,v1=/, `${other},v1=`)}${other}`)).status, 200);
  await pod.stop();
});
