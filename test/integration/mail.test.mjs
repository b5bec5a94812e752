// SPDX-License-Identifier: MIT
//
// Mail about purchases, sent to a mail server that fails in every way. No purchase waits for it, nothing is lost, and
// several pods send nothing twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MailSink, adminToken, bearer, jwt, staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { FROM, mailStage } from './mail_support.mjs';

const { api, database, sale, sender, buy, outbox, due, statusIs } = await mailStage();

test('the mail of each language: subject, names, seats, total, the link of the ticket; a plain text that any program reads', async () => {
  const sink = await MailSink.start();
  const pod = await sender(sink);
  const event = await sale({ title: 'O\'Neil & 친구들 “라이브” 🎻 '.repeat(4), artist: 'Ensemble Ω', venue: 'Blå Hall', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul' });
  const expected = {
    en: [/^Your tickets: O'Neil/, /Your booking is confirmed/, /May 14, 2027/],
    ko: [/^\[예매 완료\] O'Neil/, /예매가 완료되었습니다/, /2027년 5월 14일/],
    ja: [/^【予約完了】O'Neil/, /予約が完了しました/, /2027年5月14日/],
  };
  for (const [language, patterns] of Object.entries(expected)) {
    const { held, email } = await buy(event, { language, quantity: 2 });
    const mail = await sink.next();
    assert.match(mail.subject, patterns[0]);
    assert.ok(mail.subject.endsWith(event.title), mail.subject);
    assert.deepEqual([mail.from, mail.to, mail.headers.to], ['tickets@shop.example', email, `<${email}>`]);
    assert.equal(mail.headers.from, FROM);
    for (const pattern of [...patterns.slice(1), /7:00|19:00/, /Ensemble Ω/, /Blå Hall/, /A구역/, /€50\.00/, /€100\.00/]) assert.match(mail.text, pattern);
    assert.ok(mail.text.includes(held.reservationNumber.replace(/^(....)/, '$1-')), mail.text);
    assert.deepEqual([mail.headers['content-type'], mail.headers['content-language'], mail.headers['auto-submitted'], mail.headers['mime-version']],
      ['text/plain; charset=utf-8', language, 'auto-generated', '1.0']);
    assert.match(mail.headers['message-id'], /^<[0-9a-f-]{36}@shop\.example>$/);
    assert.ok(Math.abs(new Date(mail.headers.date) - Date.now()) < 60000, mail.headers.date);
    assert.doesNotMatch(mail.raw, /[^\r\n\x20-\x7e]/);
    assert.doesNotMatch(mail.text, /Rehearsal|리허설|リハーサル/);
    for (const line of mail.raw.split('\r\n')) assert.ok(line.length <= 100, line);
    const [, token] = mail.text.match(/https:\/\/tickets\.example\/ticket\/([\w-]{43})\r?\n/);
    assert.equal((await database.query('SELECT body FROM eticket_get($1)', [token]))[0].body.id, held.id);
  }
  await statusIs('sent');
  assert.equal(sink.connections, 1, 'one connection carries one mail after the other');
  assert.equal(await pod.metric('tiketi_mails_total{result="sent"}'), 3);
  assert.doesNotMatch(pod.output, /mail\.example/, 'no address in the log');
  await pod.stop();
  assert.ok(sink.commands.includes('QUIT'));
  await sink.stop();
});

test('without PUBLIC_URL the mail has no link, and the log says why; a free purchase is told as well', async () => {
  const sink = await MailSink.start();
  const pod = await sender(sink, { PUBLIC_URL: null });
  await buy(await sale({ grid: { rows: 1, seatsPerRow: 2, price: 0 }, rehearsal: true }));
  const mail = await sink.next();
  assert.match(mail.text, /^Rehearsal: .*not valid/, 'of a rehearsal the mail says so first');
  assert.doesNotMatch(mail.text, /http|ticket\//);
  assert.match(pod.output, /mail has no link to the tickets/);
  await pod.stop();
  await sink.stop();
});

test('a server that is down, refuses for now, breaks off or does not answer: no purchase waits, every mail comes once it is back', async () => {
  const sink = await MailSink.start();
  await sink.stop();
  const event = await sale();
  const pod = await sender(sink);
  for (let i = 0; i < 3; i++) assert.ok((await buy(event)).ms < 2000);
  await waitUntil(async () => (await outbox()).some(({ attempts, error }) => attempts > 0 && error), 15000, 'a failed attempt');
  await staysTrueFor(500, async () => (await outbox()).every(({ status }) => status === 'pending'), 'nothing is given up');
  assert.match(pod.output, /mail server not reached/);

  let broken = 0;
  const ways = [() => '450 4.2.1 greylisted', () => '421 4.3.2 busy', () => null];
  sink.answers.RCPT = () => (broken < 2 ? ways[broken++]() : undefined);
  await sink.start();
  await waitUntil(async () => {
    await due();
    return sink.mails.length >= 3;
  }, 30000, 'the mails');
  await statusIs('sent');
  assert.equal(broken, 2);
  assert.equal(new Set(sink.mails.map(({ to }) => to)).size, 3);
  assert.equal(sink.mails.length, 3, 'each once');
  await pod.stop();
  await sink.stop();
});

test('what is refused for good is parked, shown to the organizer and in the metrics, and sent when the operator says so', async () => {
  const sink = await MailSink.start();
  const pod = await sender(sink);
  const event = await sale();
  sink.answers.RCPT = () => '550 5.1.1 <nobody@mail.example> does not exist';
  const { email } = await buy(event, { email: 'nobody@mail.example' });
  await statusIs('parked');
  const [row] = await outbox();
  assert.match(row.error, /550: rcpt-to/);
  assert.doesNotMatch(`${row.error} ${pod.output}`, /nobody/, 'what the server says has the address');
  assert.match(pod.output, /"mail parked"/);
  const stats = async () => (await api.get(`/api/admin/events/${event.id}/stats`, { headers: bearer(adminToken()) })).body;
  const parked = await stats();
  assert.deepEqual([parked.mail, parked.warnings.map(({ code }) => code).includes('mail-parked')], [{ pending: 0, parked: 1 }, true]);
  await waitUntil(async () => await pod.metric('tiketi_outbox_mails{status="parked"}') === 1, 15000, 'the gauge');
  assert.equal(await pod.metric('tiketi_mails_total{result="parked"}'), 1);

  delete sink.answers.RCPT;
  const resend = (token) => api.post(`/api/admin/events/${event.id}/mail/resend`, { headers: bearer(token) });
  assert.equal((await resend(jwt({ sub: 'eve', role: 'viewer' }))).status, 403);
  assert.equal((await resend(jwt({ sub: 'eve', role: 'organizer' }))).status, 403);
  await database.query("UPDATE outbox SET created_at = now() - interval '4 days'");
  const answer = await resend(adminToken());
  assert.deepEqual([answer.status, answer.body], [200, { eventId: event.id, resent: 1 }]);
  assert.equal((await sink.next()).to, email);
  await statusIs('sent');
  const mended = await stats();
  assert.deepEqual([mended.mail, mended.warnings.map(({ code }) => code).includes('mail-parked')], [{ pending: 0, parked: 0 }, false]);
  assert.equal((await resend(adminToken())).body.resent, 0, 'a repetition sends nothing twice');
  const { entries } = (await api.get(`/api/admin/events/${event.id}/audit`, { headers: bearer(adminToken()) })).body;
  assert.deepEqual(entries.filter(({ verb }) => verb === 'resend').map(({ after, role }) => [after, role]), [[{ mails: 1 }, 'admin']]);
  await pod.stop();
  await sink.stop();
});

test('a sender that the server refuses is no reason to give up a mail', async () => {
  const sink = await MailSink.start();
  sink.answers.MAIL = () => '550 5.7.1 sender rejected';
  const pod = await sender(sink);
  await buy(await sale());
  await waitUntil(async () => (await outbox())[0]?.error?.includes('mail-from'), 15000, 'the refusal');
  assert.equal((await outbox())[0].status, 'pending');
  delete sink.answers.MAIL;
  await waitUntil(async () => {
    await due();
    return sink.mails.length === 1;
  }, 15000, 'the mail');
  await pod.stop();
  await sink.stop();
});

test('three pods and 60 purchases, one pod killed amid: every mail comes, under one Message-ID, and none twice but those of the kill', async () => {
  const sink = await MailSink.start();
  const event = await sale({ grid: { rows: 4, seatsPerRow: 20 } });
  await database.query('DELETE FROM outbox');
  const pods = [];
  for (let i = 0; i < 3; i++) pods.push(await sender(sink, {}, { keep: true }));
  let bodies = 0;
  sink.answers.BODY = () => {
    if (bodies++ === 20) pods[0].kill();
  };
  await Promise.all([0, 1, 2, 3].map(async (n) => {
    for (let i = n; i < 60; i += 4) await buy(event, { email: `p${i}@mail.example` });
  }));
  await waitUntil(async () => {
    // The claims of the dead pod: those of the others end within milliseconds.
    await database.query("UPDATE outbox SET due_at = clock_timestamp() WHERE status = 'pending' AND due_at BETWEEN clock_timestamp() + interval '100 s' AND clock_timestamp() + interval '117 s'");
    return (await outbox()).every(({ status }) => status === 'sent');
  }, 30000, 'all mail');
  const ids = sink.mails.reduce((map, mail) => map.set(mail.to, [...(map.get(mail.to) ?? []), mail]), new Map());
  assert.equal(ids.size, 60);
  let twice = 0;
  for (const mails of ids.values()) {
    assert.equal(new Set(mails.map(({ headers }) => headers['message-id'])).size, 1);
    twice += mails.length - 1;
  }
  assert.ok(twice <= 8, `${twice} came twice: more than one pod had under way`);
  await Promise.all(pods.slice(1).map((pod) => pod.stop()));
  await sink.stop();
});

test('a purchase that was refunded before its mail was sent is not confirmed any more', async () => {
  const sink = await MailSink.start();
  await database.query('DELETE FROM outbox');
  const event = await sale();
  const { held } = await buy(event);
  const refund = await api.post(`/api/admin/events/${event.id}/refund`, { json: { reservationId: held.id }, headers: bearer(adminToken()) });
  assert.equal(refund.status, 200, refund.text);
  const pod = await sender(sink, {}, { keep: true });
  await waitUntil(async () => (await outbox()).length === 0, 15000, 'the row to be gone');
  assert.equal(sink.mails.length, 0);
  await pod.stop();
  await sink.stop();
});
