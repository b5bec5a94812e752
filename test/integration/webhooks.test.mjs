// SPDX-License-Identifier: MIT
//
// Webhooks, to a receiver that verifies with the library of Standard Webhooks and fails in every way: every event arrives, in
// the order of the feed, also when the sender is killed meanwhile.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { Client, HookReceiver, ROOT, Server, freePort, adminToken, bearer, dice, jwt, many, pause, seedOf, stage, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ roles: 'api,gateway' });
const env = { OUTBOUND_ALLOW: '127.0.0.1', DRAIN_MS: 4000 };
const pods = new Set();
const pod = async () => {
  const one = await Server.start({ redis, database, roles: 'processor', env });
  pods.add(one);
  return one;
};
const gone = async (one, how) => {
  pods.delete(one);
  await one[how]();
};
// The API checks addresses by its own settings.
const api = await Server.start({ redis, database, roles: 'api', env: { OUTBOUND_ALLOW: '127.0.0.1' } });
after(async () => {
  await api.stop();
});
const receivers = [];
afterEach(async () => {
  for (const receiver of receivers.splice(0)) {
    await receiver.stop();
    assert.deepEqual(receiver.faults, []);
  }
  await database.query('DELETE FROM webhooks');
  for (const one of pods) await gone(one, 'stop');
});

const request = (method, event, rest, json, headers = bearer(adminToken())) => api.request(method, `/api/admin/events/${event.id}/webhooks${rest}`, { json, headers });
const must = async (...args) => {
  const answer = await request(...args);
  assert.ok(answer.status < 300, `${args.slice(0, 3).join(' ')}: ${answer.status} ${answer.text}`);
  return answer.body;
};
const sale = (settings = {}) => organizer.sale({ id: uniqueId('hook'), threshold: 50, autoHold: 0, ...settings });
const shown = async (event, id) => (await must('GET', event, '')).webhooks.find((one) => one.id === id);
const dueNow = () => database.query('UPDATE webhooks SET due_at = clock_timestamp() WHERE claim IS NULL AND failing_since IS NOT NULL');
const feed = async (event) => (await organizer.get(`/api/admin/events/${event.id}/feed`)).text.split('\n').slice(0, -1).map((line) => JSON.parse(line));

async function hooked(event, fields = {}) {
  const receiver = await HookReceiver.start();
  receivers.push(receiver);
  const hook = await must('POST', event, '', { url: receiver.url, ...fields });
  receiver.secrets = [hook.secret];
  return { receiver, hook };
}

const settings = async (event, ...thresholds) => {
  for (const threshold of thresholds) await organizer.patch(event.id, { threshold });
};

test('events arrive as the feed has them, signed, from when the webhook was made, of the types that it asks for', async () => {
  const sender = await pod();
  const event = await sale();
  const all = await hooked(event);
  const some = await hooked(event, { types: ['event.paused', 'event.closed'], description: 'the board' });
  await settings(event, 51, 52);
  await organizer.act(event.id, 'pause');
  await organizer.act(event.id, 'close');
  await waitUntil(() => all.receiver.events.length === 4 && some.receiver.events.length === 2);
  assert.deepEqual(all.receiver.events, (await feed(event)).filter(({ sequence }) => sequence > all.hook.sent));
  assert.deepEqual(some.receiver.events.map(({ type }) => type), ['event.paused', 'event.closed']);
  const told = await waitUntil(async () => {
    const one = await shown(event, all.hook.id);
    return one.behind === 0 && one;
  });
  assert.deepEqual([told.state, told.attempts, told.error, told.sent], ['good', 0, null, all.receiver.events.at(-1).sequence]);
  assert.equal(await sender.metric('tiketi_webhook_events_total{result="sent"}'), 6);
  const { headers } = all.receiver.calls[0];
  assert.equal(headers['user-agent'], 'tiketi');
  assert.ok(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000) < 60);
  assert.ok(!sender.output.includes(all.hook.secret) && !sender.output.includes(all.receiver.url), 'neither secret nor address in the log');
});

test('a receiver that fails a third of the time, with senders killed meanwhile: every event once by its id, in order', async (t) => {
  const seed = seedOf(t);
  const { below: roll } = dice(seed);
  const event = await sale({ grid: { rows: 4, seatsPerRow: 10, price: 0 } });
  const { receiver } = await hooked(event);
  const acted = []; // what the receiver has acted upon, also where its answer was lost
  receiver.answer = async ({ event: told }) => {
    await pause(roll(4), 'so that answers take different times');
    if (roll(10) >= 3) {
      acted.push(told);
      return 204;
    }
    const how = roll(4);
    if (how === 0) acted.push(told);
    return [500, 503, 'cut', 302][how];
  };
  let sender = await pod();
  let ended = false;
  const ticking = (async () => { // in the place of the back-off
    for (; !ended; await pause(50, 'until the next try')) await dueNow();
  })();
  let sold = false;
  const selling = many([...Array(24).keys()], 4, async (i) => {
    const client = new Client(server, { sub: `${event.id}-${i}` });
    await client.check(event.id);
    const { body: held } = await client.reserve({ eventId: event.id, quantity: 1 });
    await client.post(`/api/reservations/${held.id}/pay`);
  }).finally(() => (sold = true));
  for (let kills = 0; kills < 3; kills++) {
    const before = receiver.calls.length;
    await waitUntil(() => receiver.calls.length > before + 5 + roll(15) || (sold && receiver.open === 0 && receiver.calls.length > before), 20000);
    await gone(sender, 'kill');
    await waitUntil(() => receiver.open === 0);
    await database.query('UPDATE webhooks SET due_at = clock_timestamp()'); // the claim of the dead has ended
    sender = await pod();
  }
  await selling;
  const ids = async () => (await feed(event)).filter(({ type }) => /^(?:buyer|reservation)/.test(type)).map(({ id }) => id);
  const all = await waitUntil(async () => {
    const list = await ids();
    return list.length === 24 * 4 && list;
  }, 30000, 'everything that the buyers did');
  await waitUntil(() => all.every((id) => acted.some((one) => one.id === id)), 30000, 'all of it at the receiver');
  ended = true;
  await ticking;
  const first = [...new Map(acted.map((one) => [one.id, one])).values()]; // a Map keeps the first place of a key
  assert.deepEqual(first.filter(({ type }) => /^(?:buyer|reservation)/.test(type)).map(({ id }) => id), all, `seed ${seed}`);
  assert.ok(acted.length > first.length, 'some came twice, or nothing was tried');
});

test('one failure holds up what follows, of this webhook alone; the attempts are further and further apart', async () => {
  const sender = await pod();
  const event = await sale();
  const [bad, good] = [await hooked(event), await hooked(event)];
  bad.receiver.answer = () => 500;
  await settings(event, 60, 61, 62);
  await waitUntil(() => good.receiver.events.length === 3);
  for (let attempts = 1; attempts <= 4; attempts++) {
    const hook = await waitUntil(async () => {
      const one = await shown(event, bad.hook.id);
      return one.attempts === attempts && one;
    });
    const [{ wait }] = await database.query('SELECT extract(epoch FROM due_at - clock_timestamp())::float AS wait FROM webhooks WHERE id = $1', [bad.hook.id]);
    const expected = 5 * 2 ** (attempts - 1);
    assert.ok(wait > 0.6 * expected && wait < 1.25 * expected, `${wait} s after ${attempts}`);
    assert.deepEqual([hook.state, hook.error, hook.sent], ['failing', 'answer 500', bad.hook.sent]);
    await dueNow();
  }
  assert.equal(new Set(bad.receiver.calls.map(({ id }) => id)).size, 1, 'only the first event was tried');
  await waitUntil(async () => await sender.metric('tiketi_webhooks{state="failing"}') === 1, 25000);
  bad.receiver.answer = () => 204;
  await dueNow();
  await waitUntil(() => bad.receiver.events.length === 3);
  assert.deepEqual(bad.receiver.events, good.receiver.events);
  const mended = await waitUntil(async () => {
    const one = await shown(event, bad.hook.id);
    return one.state === 'good' && one;
  });
  assert.deepEqual([mended.attempts, mended.error, mended.failingSince], [0, null, null]);
});

test('after three days, and at once for a 410, a webhook is parked and shown; a replay sends all of it again', async () => {
  const sender = await pod();
  const event = await sale();
  const { receiver, hook } = await hooked(event);
  receiver.answer = () => 500;
  await settings(event, 60, 61);
  await waitUntil(async () => (await shown(event, hook.id)).attempts === 1);
  await database.query("UPDATE webhooks SET failing_since = failing_since - interval '3 days'");
  await dueNow();
  const parked = await waitUntil(async () => {
    const one = await shown(event, hook.id);
    return one.state === 'parked' && one;
  });
  assert.equal(parked.error, 'answer 500');
  assert.match(sender.output, /"webhook parked"/);
  const readiness = await organizer.get(`/api/admin/events/${event.id}/readiness`);
  const check = readiness.body.checks.find(({ code }) => code === 'webhooks');
  assert.deepEqual([check?.verdict, check?.value], ['warn', { webhooks: 1, failing: 0, parked: 1 }], readiness.text);
  await waitUntil(async () => await sender.metric('tiketi_webhooks{state="parked"}') === 1, 25000);
  const calls = receiver.calls.length;
  receiver.answer = () => 204;
  await settings(event, 62);
  await staysTrueFor(700, () => receiver.calls.length === calls);
  await must('POST', event, `/${hook.id}/replay`);
  await waitUntil(() => receiver.events.length === 3);
  const [first] = receiver.events;
  await must('POST', event, `/${hook.id}/replay`, { after: first.sequence });
  await waitUntil(() => receiver.events.length === 5);
  assert.deepEqual(receiver.events.slice(3), receiver.events.slice(1, 3), 'the same again, by the same ids');
  await must('POST', event, `/${hook.id}/replay?after=0`);
  await waitUntil(() => receiver.events.length === 9, 10000, 'the opening, which was before the webhook, too');

  receiver.answer = () => 410;
  await settings(event, 63);
  await waitUntil(async () => (await shown(event, hook.id)).state === 'parked');
  receiver.answer = () => 204;
  await must('PATCH', event, `/${hook.id}`, { enabled: true });
  await waitUntil(() => receiver.events.at(-1).data.to === 63);
});

test('a secret is replaced while both hold; a test call says how it went, whatever the state; off is off', async () => {
  await pod();
  const event = await sale();
  const { receiver, hook } = await hooked(event);
  assert.match(hook.secret, /^whsec_/);
  assert.ok(!(await request('GET', event, '')).text.includes('whsec_'), 'it is shown once');
  const rotated = await must('POST', event, `/${hook.id}/rotate`, { keepOldSeconds: 3600 });
  assert.notEqual(rotated.secret, hook.secret);
  assert.ok(Date.parse(rotated.oldSecretUntil) > Date.now());
  for (const secret of [hook.secret, rotated.secret]) {
    receiver.secrets = [secret];
    const seen = receiver.events.length;
    await settings(event, seen === 0 ? 70 : 71);
    await waitUntil(() => receiver.events.length === seen + 1);
  }
  await database.query("UPDATE webhooks SET old_until = clock_timestamp() - interval '1 second'");
  await settings(event, 72);
  await waitUntil(() => receiver.events.length === 3);
  assert.equal(receiver.calls.at(-1).headers['webhook-signature'].split(' ').length, 1);
  assert.equal(receiver.calls.at(0).headers['webhook-signature'].split(' ').length, 2);

  await must('PATCH', event, `/${hook.id}`, { enabled: false });
  await settings(event, 73);
  for (const [code, error] of [[204, null], [401, 'answer 401']]) {
    receiver.answer = () => code;
    assert.equal((await must('POST', event, `/${hook.id}/test`)).testedAt, null);
    const tested = await waitUntil(async () => {
      const one = await shown(event, hook.id);
      return one.testedAt && one;
    });
    assert.deepEqual([tested.testError, tested.state], [error, 'off']);
  }
  assert.deepEqual(receiver.calls.slice(3).map(({ event: told }) => told.type), ['webhook.test', 'webhook.test'], 'nothing else');
  receiver.answer = () => 204;
  await must('PATCH', event, `/${hook.id}`, { enabled: true });
  await waitUntil(() => receiver.events.at(-1).data.to === 73);
  assert.equal((await request('DELETE', event, `/${hook.id}`)).status, 204);
  await settings(event, 74);
  await staysTrueFor(700, () => receiver.events.at(-1).data.to === 73);
});

test('bad input is refused by name, private addresses too; only owners may; ten are enough', async () => {
  const event = await sale();
  for (const [json, field, reason] of [
    [{}, 'url', 'needed'], [{ url: 'ftp://x.example/' }, 'url', 'webhook-url'], [{ url: 'https://u:p@x.example/' }, 'url', 'webhook-url'],
    [{ url: 'https://10.0.0.1/' }, 'url', 'webhook-url'], [{ url: 'http://x.example/' }, 'url', 'webhook-url'], [{ url: 'http://[::1]/' }, 'url', 'webhook-url'],
    [{ url: `https://x.example/${'x'.repeat(1020)}` }, 'url', 'too-many-bytes'], [{ url: 'https://x.example/', types: [] }, 'types', 'not-a-list'],
    [{ url: 'https://x.example/', types: ['buyer.born'] }, 'types', 'not-an-event-type'], [{ url: 'https://x.example/', enabled: 'yes' }, 'enabled', 'not-a-boolean'],
    [{ url: 'https://x.example/', secret: 'mine' }, 'secret', 'unknown-field']]) {
    const { status, body } = await request('POST', event, '', json);
    assert.deepEqual([status, body.field, body.reason], [400, field, reason], JSON.stringify(json));
  }
  assert.equal((await server.request('POST', `/api/admin/events/${event.id}/webhooks`, { json: { url: 'http://127.0.0.1:9/' }, headers: bearer(adminToken()) })).body.reason,
    'webhook-url', 'where OUTBOUND_ALLOW does not name it');
  const { id } = await must('POST', event, '', { url: 'https://x.example/services/T0/s3cret?token=s3cret' });
  assert.equal((await must('PATCH', event, `/${id}`, { url: 'https://y.example:8443?token=s3cret' })).url, 'https://y.example:8443?token=s3cret');
  for (const [method, rest, json, status, reason] of [
    ['PATCH', '/0', { enabled: true }, 404, 'unknown-webhook'], ['PATCH', '/x', { enabled: true }, 404, 'unknown-webhook'], ['DELETE', '/123456', undefined, 404, 'unknown-webhook'],
    ['POST', `/${id}/rotate`, { keepOldSeconds: -1 }, 400, 'not-in-range'], ['POST', `/${id}/replay`, { after: 'x' }, 400, 'not-a-number'],
    ['POST', `/${id}/test`, { x: 1 }, 400, 'unknown-field'], ['POST', `/${id}/nothing`, undefined, 404, undefined]]) {
    const answer = await request(method, event, rest, json);
    assert.deepEqual([answer.status, answer.body.reason], [status, reason], `${method} ${rest}`);
  }
  const other = await sale();
  assert.equal((await request('DELETE', other, `/${id}`)).status, 404, 'of another event');
  for (const role of ['viewer', 'sre', 'organizer']) assert.equal((await request('GET', event, '', undefined, bearer(jwt({ sub: 'eve', role })))).status, 403, role);
  for (let i = 1; i < 10; i++) await must('POST', event, '', { url: 'https://x.example/' });
  const full = await request('POST', event, '', { url: 'https://x.example/' });
  assert.deepEqual([full.status, full.body.code, full.body.reason], [409, 'limit', 'webhooks-too-many']);
  const audit = (await organizer.get(`/api/admin/events/${event.id}/audit`)).body.entries.filter(({ verb }) => verb === 'webhook');
  assert.equal(audit.length, 11);
  assert.ok(!/whsec_|s3cret/.test(JSON.stringify(audit)), 'viewers read it, too');
  assert.deepEqual(audit.slice(-2).map(({ after: { url } }) => url), ['https://y.example:8443', 'https://x.example']);
});

test('an address that turned private is not reached, and says so', async () => {
  pods.add(await Server.start({ redis, database, roles: 'processor', env: { ...env, OUTBOUND_ALLOW: '10.1.2.3' } }));
  const event = await sale();
  const { receiver, hook } = await hooked(event);
  await settings(event, 60);
  const told = await waitUntil(async () => {
    const one = await shown(event, hook.id);
    return one.attempts > 0 && one;
  });
  assert.match(told.error, /^denied/);
  assert.equal(receiver.calls.length, 0);
});

test('the receiver of the documentation takes each event once, and no forged one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tiketi-receiver-'));
  const port = await freePort();
  const file = join(folder, 'events.ndjson');
  const event = await sale();
  const hook = await must('POST', event, '', { url: `http://127.0.0.1:${port}/` });
  const child = spawn(process.execPath, [join(ROOT, 'docs/integrate/receiver.mjs')],
    { env: { ...process.env, PORT: String(port), FILE: file, WEBHOOK_SECRETS: `whsec_b2xkLW9sZC1vbGQ= ${hook.secret}` }, stdio: 'inherit' });
  try {
    await pod();
    await settings(event, 60, 61);
    const taken = async () => (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean).map((line) => JSON.parse(line));
    await waitUntil(async () => {
      await dueNow();
      return (await taken()).length === 2;
    });
    await must('POST', event, `/${hook.id}/replay`, { after: hook.sent });
    await must('POST', event, `/${hook.id}/test`);
    await waitUntil(async () => {
      const one = await shown(event, hook.id);
      return one.testedAt && one.behind === 0;
    });
    assert.deepEqual((await taken()).map(({ data }) => data.to), [60, 61]);
    const forged = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{"id":"x"}',
      headers: { 'webhook-id': 'x', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)), 'webhook-signature': 'v1,AAAA' } });
    assert.equal(forged.status, 401);
  } finally {
    child.kill();
    await rm(folder, { recursive: true });
  }
});
