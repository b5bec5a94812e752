// SPDX-License-Identifier: MIT
//
// How the mail server is reached: encrypted where it matters, never at a private address by accident; and how a pod with a
// mail under way ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MailSink, runTiketi, selfSigned, waitUntil } from '../fixtures/index.mjs';
import { mailStage } from './mail_support.mjs';

const { redis, database, sale, sender, buy, outbox, due } = await mailStage();

test('STARTTLS with a password, and TLS from the first byte, with a certificate that must be right; else nothing is sent', async () => {
  const tls = selfSigned();
  const event = await sale();
  for (const implicit of [false, true]) {
    const sink = await MailSink.start({ tls, implicit, user: 'tiketi', password: 'p@ss/wörd' });
    const distrusting = await sender(sink);
    await buy(event);
    await waitUntil(async () => (await outbox())[0]?.error, 15000, 'the refusal');
    assert.equal(sink.mails.length, 0);
    assert.ok(!sink.commands.some((line) => line.startsWith('AUTH')), 'no password goes to a server that is not who it says');
    await distrusting.stop();
    const trusting = await sender(sink, { MAIL_CA_FILE: tls.path }, { keep: true });
    await due();
    const mail = await sink.next();
    assert.deepEqual([mail.encrypted, mail.user], [true, 'tiketi']);
    await trusting.stop();
    await sink.stop();
  }
  const plain = await MailSink.start({ user: 'tiketi', password: 'secret' });
  const pod = await sender(plain);
  await buy(event);
  await waitUntil(async () => (await outbox())[0]?.error, 15000, 'the refusal');
  assert.ok(!plain.commands.some((line) => line.startsWith('AUTH')), 'nor in plain text');
  assert.doesNotMatch(pod.output, /secret|p@ss/);
  await pod.stop();
  await plain.stop();

  const offering = await MailSink.start({ tls });
  const without = await sender(offering);
  await buy(event);
  assert.equal((await offering.next()).encrypted, true, 'STARTTLS is used where it is offered');
  await without.stop();
  await offering.stop();
});

test('a private address is not reached unless OUTBOUND_ALLOW names it, also behind a name', async () => {
  const sink = await MailSink.start();
  const event = await sale();
  for (const url of [sink.url, sink.url.replace('127.0.0.1', 'localhost')]) {
    const pod = await sender(sink, { OUTBOUND_ALLOW: '10.0.0.0/8', MAIL_URL: url });
    await buy(event);
    await waitUntil(async () => (await outbox())[0]?.error?.includes('private address'), 15000, 'the refusal');
    await pod.stop();
  }
  assert.equal(sink.connections, 0);
  await sink.stop();
});

test('wrong settings are refused at the start, without the password in the message', async () => {
  const refused = async (env) => (await runTiketi(['serve'], { REDIS_URL: redis.url, DATABASE_URL: database.url, ...env }, { expect: 78 })).stderr;
  for (const url of ['http://mail.example', 'smtp://', 'smtp://a:hunter2@mail.example/path', 'smtp://a:hunter2@mail example']) {
    const said = await refused({ MAIL_URL: url, MAIL_FROM: 'a@b.example' });
    assert.match(said, /MAIL_URL: must be/);
    assert.doesNotMatch(said, /hunter2/);
  }
  assert.match(await refused({ MAIL_URL: 'smtp://mail.example' }), /MAIL_FROM: must be set/);
  for (const from of ['nobody', 'A <b', 'A <a@b.example> x', 'A "B" <a@b.example>', 'a@b.example, c@d.example']) assert.match(await refused({ MAIL_FROM: from }), /MAIL_FROM: must be an address/, from);
});

test('a stop waits for the server\'s answer to a mail under way, but not for a server that hangs', async () => {
  const sink = await MailSink.start();
  const pod = await sender(sink);
  sink.answers.BODY = () => null;
  const event = await sale();
  await buy(event);
  await waitUntil(() => sink.commands.includes('DATA'), 15000, 'the mail to be under way');
  const began = performance.now();
  await pod.stop();
  assert.ok(performance.now() - began < 8000);
  assert.equal((await outbox())[0].status, 'pending');
  await sink.stop();
});
