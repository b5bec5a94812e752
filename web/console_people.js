// SPDX-License-Identifier: MIT
//
// console_people: finds a buyer by what they can tell (the reference of the waiting page, the number of their tickets) or
// what a shop knows (their id), tells their story from the record, and ends their turn or gives their money back. Below:
// payments, and the changes that staff have made.

import { $, element } from './dom.js';
import { startClock } from './clock.js';
import { confirm } from './console_dialog.js';
import { clearNotice, notice } from './console_notice.js';
import { ask, failure } from './console_request.js';
import { venueTimes } from './console_zone.js';
import { startTeam } from './console_team.js';
import { byText, changeText, storyText } from './console_words.js';
import { list, money, number, plural, t } from './i18n.js';

const { dataset } = $('main');
const base = `/api/admin/events/${dataset.event}`;
const times = venueTimes('medium');
const may = new Set(dataset.may.split(' '));
let found = null; // the buyer whose story is shown
let sought = ''; // by what they were found

const timeTag = (at) => element('time', { dateTime: at, textContent: times.format(Date.parse(at)) });
const entry = (at, text) => element('li', {}, [timeTag(at), element('span', { dir: 'auto', textContent: text })]);

function button(key, run, danger = false) {
  const made = element('button', { type: 'button', className: `control ${danger ? 'danger' : ''}`, textContent: t(key) });
  made.addEventListener('click', () => void run());
  return made;
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    notice(failure(error), { kind: 'bad' });
  }
}

// ---- one buyer ----

function whereText(now) {
  if (now === null) return t('people_unknown');
  return t(`people_now_${now.state}`, { n: number(now.position ?? 0) });
}

const seatText = ({ section, row, number: seat }) => t('seat_name', { section, row, number: seat });

function drawReservation(reservation) {
  const { reservationNumber: name, status, seats, totalAmount, currency } = reservation;
  const word = t(`people_status_${status}`) || status;
  const choices = seats.map((seat) => {
    const box = element('input', { type: 'checkbox', value: seat.id, checked: true });
    return { box, label: element('label', { dir: 'auto' }, [box, ` ${seatText(seat)}`]) };
  });
  const chosen = () => choices.filter(({ box }) => box.checked).map(({ box }) => box.value);
  const judge = () => choices[0].box.setCustomValidity(chosen().length === 0 ? t('people_no_seat_chosen') : '');
  for (const { box } of choices) box.addEventListener('change', judge);
  const refund = async () => {
    const resell = element('input', { type: 'checkbox', checked: true });
    const agreed = await confirm({
      title: t('people_ask_refund', { number: name }), lead: t('people_ask_refund_lead'), yes: t('people_refund'), danger: true,
      body: [element('div', { className: 'field' }, choices.map(({ label }) => label)), element('label', { className: 'field' }, [element('span', {}, [resell, ` ${t('people_resell')}`])])],
    });
    const seatIds = chosen();
    if (!agreed || seatIds.length === 0) return;
    await attempt(async () => {
      const part = seatIds.length < seats.length;
      await ask('POST', `${base}/refund`, { json: { reservationNumber: name, ...(part && { seatIds }), resell: resell.checked } });
      notice(t('people_done_refund', { number: name }));
      await Promise.all([look(sought), payments(), audit()]);
    });
  };
  return element('div', { className: 'reservation' }, [
    element('strong', { textContent: name }), ` · ${word} · ${currency ? money(totalAmount, currency) : ''}`,
    element('div', { dir: 'auto', textContent: list(seats.map(seatText)) }),
    ...(status === 'confirmed' && may.has('all') ? [element('div', { className: 'controls' }, [button('people_refund', refund, true)])] : []),
  ]);
}

function drawStory(story) {
  found = story;
  $('story').hidden = false;
  $('buyer').textContent = [story.reference, story.buyer].filter(Boolean).join(' · ');
  $('where').textContent = whereText(story.now);
  const inside = ['inside', 'offered'].includes(story.now?.state);
  $('ban').hidden = !story.ban;
  $('ban').textContent = story.ban ? t('people_ban_why', { name: story.ban.by, reason: story.ban.reason }) : '';
  $('buyer_controls').replaceChildren(...(may.has('own') ? [
    ...(inside ? [button('people_release', release, true)] : []),
    story.ban ? button('people_unban', () => unban(story.buyer)) : button('people_ban', () => ban(story.buyer), true),
  ] : []));
  $('reservations').replaceChildren(...story.reservations.map(drawReservation));
  $('entries').replaceChildren(...story.entries.map((told) => entry(told.at, storyText(told))));
}

async function look(who) {
  const story = await ask('GET', `${base}/buyers/${encodeURIComponent(who)}`).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  clearNotice('nobody');
  if (story === null) {
    $('story').hidden = true;
    notice(t('people_nobody'), { kind: 'warn', name: 'nobody' });
    return;
  }
  sought = who;
  drawStory(story);
}

async function release() {
  if (!await confirm({ title: t('people_ask_release'), lead: t('people_ask_release_lead'), yes: t('people_release'), danger: true })) return;
  await attempt(async () => {
    const { released } = await ask('POST', `${base}/release`, { json: { buyer: found.buyer } });
    notice(t(released ? 'people_done_release' : 'people_not_inside'), { kind: released ? 'good' : 'warn' });
    await look(sought);
  });
}

// ---- a list with pages ----

// Adds a page of a list to an element; `next` of the last page goes behind the button.
function paged(list, more, read) {
  let before = null;
  const load = () => attempt(async () => {
    const { rows, next } = await read(before);
    list.append(...rows);
    before = next;
    more.hidden = next === null;
  });
  more.addEventListener('click', () => void load());
  return () => {
    before = null;
    list.replaceChildren();
    return load();
  };
}

// ---- bans ----

const bans = paged($('bans'), $('more_bans'), async (before) => {
  const answer = await ask('GET', `${base}/bans?${new URLSearchParams({ ...(before && { before }) })}`);
  $('no_bans').hidden = answer.bans.length > 0 || before !== null;
  const rows = answer.bans.map(({ at, buyer, by, reason }) => {
    const row = entry(at, `${buyer} · ${t('people_ban_why', { name: by, reason })}`);
    if (may.has('own')) row.append(' ', button('people_unban', () => unban(buyer)));
    return row;
  });
  return { rows, next: answer.next };
});

// Tells what was done, and shows what has changed by it.
async function banChanged(path, json, key) {
  await attempt(async () => {
    await ask('POST', `${base}/${path}`, { json });
    notice(t(key));
    await Promise.all([...(sought ? [look(sought)] : []), bans(), audit()]);
  });
}

async function ban(buyer) {
  const reason = element('input', { type: 'text', name: 'reason', maxLength: 200, required: true, autocomplete: 'off' });
  const agreed = await confirm({
    title: t('people_ask_ban'), lead: t('people_ask_ban_lead'), yes: t('people_ban'), danger: true,
    body: [element('label', { className: 'field' }, [element('span', { textContent: t('people_ban_reason') }), reason])],
  });
  if (agreed && reason.value.trim()) await banChanged('ban', { buyer, reason: reason.value.trim() }, 'people_done_ban');
}

async function unban(buyer) {
  const agreed = await confirm({ title: t('people_ask_unban'), lead: t('people_ask_unban_lead'), yes: t('people_unban') });
  if (agreed) await banChanged('unban', { buyer }, 'people_done_unban');
}

// ---- mails that could not be delivered ----

async function drawMail() {
  const { mail } = await ask('GET', `${base}/stats`);
  $('mail').hidden = !mail?.parked;
  if (mail?.parked) $('mail_text').textContent = plural('people_mail', mail.parked, { n: number(mail.parked) });
}

async function resend() {
  $('resend').disabled = true;
  await attempt(async () => {
    const { resent } = await ask('POST', `${base}/mail/resend`);
    notice(plural('people_done_resend', resent, { n: number(resent) }));
    await drawMail();
  });
  $('resend').disabled = false;
}

// ---- lists ----

// A payment of which a part must be returned is still paid; what is due comes first.
const paymentText = ({ status, refundDueAmount }) => t(`people_payment_${refundDueAmount > 0 ? 'refund_due' : status}`) || status;

const payments = paged($('payments'), $('more_payments'), async (before) => {
  const which = $('which').value;
  const query = new URLSearchParams({ ...(which === 'due' ? { due: '1' } : which && { status: which }), ...(before && { before }) });
  const answer = await ask('GET', `${base}/payments?${query}`);
  $('no_payments').hidden = answer.payments.length > 0 || before !== null;
  const rows = answer.payments.map((payment) => {
    const link = element('a', { href: `?who=${encodeURIComponent(payment.reservationNumber)}`, textContent: payment.reservationNumber });
    link.addEventListener('click', (click) => {
      click.preventDefault();
      $('who').value = payment.reservationNumber;
      void attempt(() => look(payment.reservationNumber));
      $('find_title').scrollIntoView();
    });
    return element('tr', {}, [
      element('td', {}, [link]), element('td', { className: 'small who', dir: 'auto', textContent: payment.buyer, title: payment.buyer }), element('td', { textContent: paymentText(payment) }),
      element('td', { className: 'amount', textContent: money(payment.amount, payment.currency) }), element('td', {}, [timeTag(payment.createdAt)]),
    ]);
  });
  return { rows, next: answer.next };
});

const audit = paged($('audit'), $('more_audit'), async (before) => {
  const answer = await ask('GET', `${base}/audit?${new URLSearchParams({ limit: '30', ...(before && { before }) })}`);
  return { rows: answer.entries.map((change) => entry(change.at, byText(change, changeText(change)))), next: answer.next };
});

function start() {
  startClock(Number(dataset.now));
  $('people').hidden = false;
  $('find').addEventListener('submit', (submit) => {
    submit.preventDefault();
    void attempt(() => look($('who').value.trim()));
  });
  $('payments_panel').hidden = !may.has('read');
  if (may.has('read')) void payments();
  $('bans_panel').hidden = !may.has('read');
  if (may.has('read')) void bans();
  $('which').addEventListener('change', () => void payments());
  void audit();
  void attempt(drawMail);
  $('resend').hidden = !may.has('own');
  $('resend').addEventListener('click', () => void resend());
  startTeam();
  const who = new URLSearchParams(location.search).get('who');
  if (who) {
    $('who').value = who;
    void attempt(() => look(who));
  }
}

start();
