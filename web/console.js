// SPDX-License-Identifier: MIT
//
// console: the list of all sales. The server writes it; the script adds the figures of those that run, for the cards that
// are seen, and counts down to each opening and end.

import { Poll } from './console_poll.js';
import { ask, failure, isSignedOut } from './console_request.js';
import { clearNotice, notice } from './console_notice.js';
import { limitText, warningTexts } from './console_words.js';
import { now, startClock } from './clock.js';
import { countdown, number, t } from './i18n.js';

const EVERY_MS = 5000;
const RUNNING = new Set(['open', 'paused', 'scheduled', 'sold_out']);

const cards = [...document.querySelectorAll('.sale')];
const seen = new Set();

function showWhen(card) {
  const { state, opens, closes } = card.dataset;
  const until = state === 'closed' ? 0 : Number(opens) > now() ? Number(opens) : Number(closes) > now() ? Number(closes) : 0;
  const text = until === 0 ? '' : t(until === Number(opens) ? 'console_opens_in' : 'console_closes_in', { time: countdown(until - now()) });
  card.querySelector('.when').textContent = text;
}

function showFigures(card, stats, { total }) {
  const { queueSize, currentUsers, threshold, status } = stats;
  card.querySelector('.row').hidden = false;
  card.querySelector('.waiting').textContent = queueSize === undefined ? '–' : number(queueSize);
  card.querySelector('.inside').textContent = currentUsers === undefined ? '–' : t('console_of', { n: number(currentUsers), of: number(threshold) });
  card.querySelector('.sold').textContent = total.seats > 0 ? t('console_of', { n: number(total.sold), of: number(total.seats - total.blocked) }) : '–';
  if (status && status !== card.dataset.state) {
    const state = card.querySelector('.state');
    card.dataset.state = status;
    state.dataset.state = status;
    state.textContent = t(`state_${status}`);
  }
  for (const [selector, text] of [['.limit', limitText(stats)], ['.warning', warningTexts(stats)[0] ?? '']]) {
    const line = card.querySelector(selector);
    line.textContent = text;
    line.hidden = !text;
  }
}

// Those on the screen that run, one after the other: a list of many sales costs no more than what is read of it.
async function readFigures() {
  for (const card of cards) {
    if (!seen.has(card) || !RUNNING.has(card.dataset.state)) continue;
    const base = `/api/admin/events/${card.dataset.event}`;
    showFigures(card, ...await Promise.all([ask('GET', `${base}/stats`), ask('GET', `${base}/sections`)]));
  }
}

startClock(Number(document.getElementById('main').dataset.now));
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) seen.add(target);
    else seen.delete(target);
  }
});
for (const card of cards) observer.observe(card);
setInterval(() => cards.forEach(showWhen), 1000);
cards.forEach(showWhen);
const poll = new Poll(readFigures, EVERY_MS, {
  onAnswer: () => clearNotice('figures'),
  onFailure(error) {
    if (isSignedOut(error)) poll.stop();
    notice(isSignedOut(error) ? failure(error) : t('console_failed_figures'), { kind: 'bad', name: 'figures' });
  },
});
if (cards.length > 0) setTimeout(() => poll.start(), 0);
