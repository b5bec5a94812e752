// SPDX-License-Identifier: MIT
//
// wait: keeps the waiting page up to date. The server has written the page as it stood; what comes
// after is the same answer, by socket or by polling, shown in the same places. The server is always
// right: this page remembers only what was on it.

import { ApiError, api } from './api.js';
import { begin, now } from './clock.js';
import { countdown, dateTime, duration, durationRange, load, number, percent, plural, t } from './i18n.js';
import { Live } from './live.js';
import { chime, notify, offerNotices } from './notices.js';

const $ = (id) => document.getElementById(id);
const { event: eventId, place, assets, ws, title, opens, interval, json } = document.body.dataset;
const main = $('main');
const api_path = (verb) => `/api/queue/${verb}/${eventId}`;

const SAY_EVERY_MS = 30000;
const QUIET_MS = 10000; // heard of nothing for so long, or an interval: ask whether the connection stands
const SPREAD_MS = 4000; // what everybody learns in one moment, they ask about one after the other
const FRESH_MS = 5000; // a pod may know so long nothing of somebody who was let in
const DOUBT_MS = 2000; // after which an answer that is not believed is asked for again

// The API's word -> the state of the page.
const STATES = {
  queued: 'waiting', scheduled: 'scheduled', paused: 'paused', restoring: 'restoring', sold_out: 'sold_out', active: 'admitted',
};
// The event's own word -> what that makes of a page that waits.
const STATUSES = { open: 'waiting', scheduled: 'scheduled', paused: 'paused', sold_out: 'sold_out' };
// Nothing that could come changes these: the page is at its end.
const FINAL = new Set(['expired', 'left', 'closed', 'unknown', 'login']);
const PROBLEMS = { 'event-closed': 'closed', 'unknown-event': 'unknown', 'login-required': 'login', invalid: 'unknown' };
// Who has no place yet asks for one.
const PLACELESS = new Set(['unavailable', 'busy']);

const seen = { state: main.dataset.state, position: Infinity, ticket: undefined, endsAt: undefined, enteredAt: 0, opensAt: Number(opens) };
const tabs = typeof BroadcastChannel === 'function' ? new BroadcastChannel(`tiketi:${eventId}`) : undefined;
let live;
let updatedAt = performance.now();
let saidAt = -SAY_EVERY_MS;
let saidPosition;
let lostSince; // the connection, by performance.now()

// ---- showing ----

function write(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function say(id, text) {
  $(id).textContent = '';
  setTimeout(() => write(id, text), 50); // an equal text is said again only when it was gone
}

function showTitle() {
  const heading = $('heading').textContent;
  const waiting = (seen.state === 'waiting' || seen.state === 'paused') && Number.isFinite(seen.position);
  if (seen.state === 'admitted') document.title = t('title_admitted', { title });
  else if (waiting) document.title = t('title_waiting', { position: number(seen.position), title });
  else if (title) document.title = t('title_other', { heading, title });
}

function enterState(state) {
  if (state === seen.state) return;
  const before = seen.state;
  seen.state = state;
  main.dataset.state = state;
  write('heading', t(`wait_${state}_title`));
  write('lead', t(`wait_${state}_lead`));
  showTitle();
  if (state === 'admitted') seen.enteredAt = performance.now();
  if (state === 'admitted') admit();
  else say('polite', `${t(`wait_${state}_title`)}. ${t(`wait_${state}_lead`)}`);
  if (before === 'admitted') document.title = t('title_other', { heading: $('heading').textContent, title });
  if (FINAL.has(state)) live?.stop();
  everySecond();
}

function admit() {
  say('assertive', `${t('wait_admitted_title')}. ${t('wait_admitted_lead')}`);
  chime();
  notify(t('notification_title'), t('notification_body', { title }));
  // Who was nowhere, or on something that is gone now, is at the door.
  const at = document.activeElement;
  if (at === document.body || at.checkVisibility?.() === false) $('enter').focus({ preventScroll: true });
}

// What this browser keeps of the place: the first position shown, so that a bar can show the way since then,
// and the lowest: the page that is sent next may know an older one (wait_first.js). No storage: both begin
// with this visit.
function keepPosition() {
  const key = `tiketi:place:${eventId}`;
  let kept;
  try {
    kept = JSON.parse(localStorage.getItem(key));
    if (kept?.place !== place) kept = undefined;
  } catch {
    // none
  }
  seen.position = Math.min(seen.position, kept?.lowest ?? Infinity);
  seen.first = Math.max(seen.first ?? 0, kept?.first ?? 0, seen.position);
  try {
    localStorage.setItem(key, JSON.stringify({ place, first: seen.first, lowest: seen.position }));
  } catch {
    // none
  }
}

function showPosition() {
  if (!Number.isFinite(seen.position)) return;
  keepPosition();
  const { position, first } = seen;
  const ahead = position - 1;
  $('place').hidden = false;
  write('position', number(position));
  $('position').dataset.digits = String(position).length;
  write('ahead', ahead > 0 ? plural('ahead', ahead) : t('ahead_none.other'));
  const fraction = (first - position) / first;
  $('progress').hidden = !(first > 1);
  $('progress').value = Math.round(fraction * 100);
  $('progress').setAttribute('aria-valuetext', t('progress_text', { percent: percent(fraction) }));
  sayPosition(ahead);
  showTitle();
}

// Politely, and not more often than every half minute.
function sayPosition(ahead) {
  if (saidPosition === ahead || performance.now() - saidAt < SAY_EVERY_MS || seen.state === 'scheduled') return;
  if (saidPosition !== undefined) say('polite', ahead > 0 ? plural('say_position', ahead, { ahead: number(ahead) }) : t('ahead_none.other'));
  saidPosition = ahead;
  saidAt = performance.now();
}

function showEstimate(range) {
  if (!Array.isArray(range)) write('estimate', t('estimate_none'));
  else if (range[1] < 10) write('estimate', t('estimate_soon'));
  else write('estimate', durationRange(...range));
}

function showMessage(text) {
  $('organizer').hidden = !text;
  write('message', text ?? '');
}

const ago = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: 'always' });

function showFreshness() {
  const seconds = Math.floor((performance.now() - updatedAt) / 1000);
  const [n, unit] = seconds < 60 ? [seconds, 'second'] : [Math.floor(seconds / 60), 'minute'];
  const when = seconds < 3 ? t('updated_now') : ago.format(-n, unit);
  write('updated', lostSince === undefined ? when : `${t('updated')}: ${when}`);
}

// One place that counts down: to the opening, or to the end of the turn.
function showCountdown() {
  const until = seen.state === 'scheduled' ? seen.opensAt : seen.state === 'admitted' ? seen.endsAt : 0;
  $('countdown').hidden = !until;
  if (!until) return;
  const left = until - now();
  write('countdown_label', seen.state === 'admitted' ? t('turn_ends_in') : left > 0 ? t('opens_in') : t('opening'));
  write('countdown_number', countdown(left));
  if (left > 0 || seen.overAt === until) return;
  seen.overAt = until; // once for each end
  if (seen.state === 'admitted') enterState('expired');
  else refreshSoon();
}

function refreshSoon() {
  setTimeout(() => live.ask(), Math.random() * SPREAD_MS);
}

function everySecond() {
  showCountdown();
  showFreshness();
}

// ---- what the server says ----

// The word of the one who let him in has come; the pod that answers may not have heard of it yet.
const isBehind = ({ status }) => seen.state === 'admitted' && status !== 'active' && performance.now() - seen.enteredAt < FRESH_MS;

// An answer of check or status. Returns the seconds until the next question, or null.
function take(answer) {
  if (isBehind(answer)) {
    setTimeout(() => live.ask(), DOUBT_MS); // with a socket the next question would be a minute away
    return DOUBT_MS / 1000;
  }
  updatedAt = performance.now();
  if (answer.ticket) seen.ticket = seen.untold ?? answer.ticket;
  if (answer.status === 'not_in_queue') {
    if (seen.left || seen.state === 'admitted') enterState(seen.left ? 'left' : 'expired');
    else location.replace(location.pathname); // he had no turn that could have ended: the page that is sent knows more
    return null;
  }
  const state = STATES[answer.status] ?? seen.state;
  if (answer.passExpiresAt) seen.endsAt = Date.parse(answer.passExpiresAt);
  if (state === 'admitted' && seen.endsAt <= now()) { // it is over, may be slept through; the queue has yet to notice
    enterState('expired');
    return null;
  }
  if (answer.eventInfo) showMessage(answer.eventInfo.message);
  if (answer.position) takePosition(answer);
  enterState(state);
  everySecond();
  return answer.nextPoll ?? (state === 'admitted' ? 20 : 10);
}

function takePosition({ position, estimatedWaitRange }) {
  seen.position = Math.min(seen.position, position);
  showPosition();
  showEstimate(estimatedWaitRange);
}

// The organizer may have moved the opening.
async function learnOpening() {
  const { opensAt } = await api('GET', `/api/events/${eventId}`);
  if (!opensAt || Date.parse(opensAt) === seen.opensAt) return;
  seen.opensAt = Date.parse(opensAt);
  write('opens', dateTime(seen.opensAt));
  everySecond();
}

// A ticket that came by the socket knows a lower position than the cookie's does: the server takes it over.
async function askStatus() {
  const ticket = seen.untold;
  try {
    const answer = await api('GET', api_path('status'), { headers: ticket ? { 'X-Tiketi-Ticket': ticket } : {} });
    if (seen.untold === ticket) seen.untold = undefined;
    return answer;
  } catch (error) {
    if (!ticket || (error.status !== 401 && error.status !== 403)) throw error;
    seen.untold = undefined; // no longer his: the keys were changed, or the cookie that says who he is
    return askStatus();
  }
}

async function poll() {
  try {
    if (seen.state === 'scheduled') await learnOpening();
    if (!PLACELESS.has(seen.state)) return take(await askStatus());
    await api('POST', api_path('check'));
    location.replace(location.pathname); // the page as it is now
    return null;
  } catch (error) {
    const state = error instanceof ApiError && PROBLEMS[error.code];
    if (!state) throw error;
    enterState(state);
    return null;
  }
}

const NEWS = {
  'queue-position': (payload) => {
    if (payload.ticket) seen.ticket = seen.untold = payload.ticket;
    takePosition(payload);
    if (seen.state === 'restoring') live.ask();
  },
  'queue-entry-allowed': (payload) => {
    seen.endsAt = Date.parse(payload.passExpiresAt);
    enterState('admitted');
    everySecond();
  },
  'event-status-changed': ({ status }) => {
    if (status === 'closed' && seen.state !== 'admitted') {
      enterState('closed');
      return;
    }
    if (STATUSES[status] && seen.state !== 'admitted') enterState(STATUSES[status]);
    refreshSoon();
  },
  'queue-cleared': () => {
    setTimeout(() => location.replace(location.pathname), Math.random() * SPREAD_MS);
  },
  message: ({ text }) => showMessage(text),
  error: ({ code }) => code !== 'draining' && live.ask(),
};

// ---- the connection ----

function showLink(link) {
  const broken = link === 'lost' || link === 'unavailable';
  main.dataset.live = link;
  $('live').hidden = false;
  write('live_text', t(`live_${link}`));
  $('lost').hidden = !broken || PLACELESS.has(seen.state);
  write('lost_title', t(link === 'lost' ? 'lost_title' : 'out_title'));
  write('lost_lead', t(link === 'lost' ? 'lost_lead' : 'out_lead'));
  if (broken && lostSince === undefined) say('polite', t('say_lost'));
  if (!broken && lostSince !== undefined) say('polite', t('say_back'));
  lostSince = broken ? (lostSince ?? performance.now()) : undefined;
  showFreshness();
}

// ---- leaving ----

async function leave() {
  try {
    await api('POST', api_path('leave'));
  } catch {
    location.assign($('leave').href); // the page that needs no script says what is wrong
    return;
  }
  tabs?.postMessage('left');
  left();
}

function left() {
  seen.left = true;
  history.replaceState(null, '', `${location.pathname}?left=1`);
  enterState('left');
}

function offerLeaving() {
  const dialog = $('leave_dialog');
  $('leave').addEventListener('click', (click) => {
    if (!dialog.showModal) return; // then the page that asks
    click.preventDefault();
    dialog.returnValue = '';
    dialog.showModal();
  });
  dialog.addEventListener('close', () => dialog.returnValue === 'yes' && leave());
  tabs?.addEventListener('message', ({ data }) => data === 'left' && !FINAL.has(seen.state) && left());
}

// ---- begin ----

async function start() {
  begin(Number(document.body.dataset.now));
  await load(assets);
  for (const time of document.querySelectorAll('main time')) time.textContent = dateTime(Date.parse(time.dateTime));
  if (/[?&](lang|join)=/.test(location.search)) history.replaceState(null, '', location.pathname);
  if (FINAL.has(seen.state)) return;
  live = new Live({
    url: PLACELESS.has(seen.state) ? undefined : ws, eventId, ticket: () => seen.ticket, poll, onLink: showLink,
    quietMs: Math.max(QUIET_MS, Number(interval)),
    onMessage: (event, payload) => {
      updatedAt = performance.now();
      NEWS[event]?.(payload);
      showFreshness();
    },
  });
  if (!PLACELESS.has(seen.state)) {
    take(JSON.parse(json));
    offerLeaving();
    offerNotices({ denied: () => ($('popup_denied').hidden = false) });
    setInterval(everySecond, 1000);
  }
  if (!FINAL.has(seen.state)) live.start();
}

// Without its words this page is what the server wrote: then that is asked for again now and then.
start().catch(() => setTimeout(() => location.reload(), 5000 + Math.random() * 10000));
