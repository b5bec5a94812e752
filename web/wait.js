// SPDX-License-Identifier: MIT
//
// wait: keeps the waiting page up to date. The server wrote the page with its first answer; later answers,
// by socket or by polling, are shown in the same elements. The server decides; this page only keeps what it
// has shown.

import { ApiError, api } from './api.js';
import { now, startClock } from './clock.js';
import { $, say, write } from './dom.js';
import { countdown, dateTime, duration, durationRange, load, number, percent, plural, t } from './i18n.js';
import { Live } from './live.js';
import { chime, notify, offerNotices } from './notices.js';

const { event: eventId, place, assets, ws, title, opens, interval, json } = document.body.dataset;
const main = $('main');
const apiPath = (verb) => `/api/queue/${verb}/${eventId}`;

const SAY_EVERY_MS = 30000;
const QUIET_MS = 10000; // without a message for so long, or for an interval of the event, the connection is checked
const SPREAD_MS = 4000; // all buyers learn of some events at once: their requests are spread over this time
const BEHIND_MS = 5000; // for so long a pod may not have learned yet that a buyer was admitted
const ASK_AGAIN_MS = 2000; // after an answer of such a pod

// The status of an answer -> the state of the page.
const STATES = {
  queued: 'waiting', scheduled: 'scheduled', paused: 'paused', restoring: 'restoring', sold_out: 'sold_out', active: 'admitted',
};
// The status of the event -> the state of a page whose buyer waits.
const STATUSES = { open: 'waiting', scheduled: 'scheduled', paused: 'paused', sold_out: 'sold_out' };
// In these states nothing more can change.
const FINAL = new Set(['expired', 'left', 'closed', 'unknown', 'login']);
const PROBLEMS = { 'event-closed': 'closed', 'unknown-event': 'unknown', 'login-required': 'login', invalid: 'unknown' };
// The states in which the buyer has no place yet; the page asks for one.
const PLACELESS = new Set(['unavailable', 'busy']);

const seen = { state: main.dataset.state, position: Infinity, ticket: undefined, endsAt: undefined, enteredAt: 0, opensAt: Number(opens) };
const tabs = typeof BroadcastChannel === 'function' ? new BroadcastChannel(`tiketi:${eventId}`) : undefined;
let live;
let updatedAt = performance.now();
let saidAt = -SAY_EVERY_MS; // when a position was last read out, and which
let saidAhead;
let lostSince; // when the connection was lost, by performance.now(); undefined: it is not

// ---- showing ----

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
  else say(`${t(`wait_${state}_title`)}. ${t(`wait_${state}_lead`)}`);
  if (before === 'admitted') document.title = t('title_other', { heading: $('heading').textContent, title });
  if (FINAL.has(state)) live?.stop();
  everySecond();
}

function admit() {
  say(`${t('wait_admitted_title')}. ${t('wait_admitted_lead')}`, 'assertive');
  chime();
  notify(t('notification_title'), t('notification_body', { title }));
  // The focus is on nothing, or on something that is hidden now: move it to the way in.
  const focused = document.activeElement;
  if (focused === document.body || focused.checkVisibility?.() === false) $('enter').focus({ preventScroll: true });
}

// Stores for this place the first position shown, for the progress bar, and the lowest one: the server may
// write an older one into the next page (wait_first.js). Without storage both begin with this visit.
function storePosition() {
  const key = `tiketi:place:${eventId}`;
  let stored;
  try {
    stored = JSON.parse(localStorage.getItem(key));
    if (stored?.place !== place) stored = undefined;
  } catch {
    // no storage
  }
  seen.position = Math.min(seen.position, stored?.lowest ?? Infinity);
  seen.first = Math.max(seen.first ?? 0, stored?.first ?? 0, seen.position);
  try {
    localStorage.setItem(key, JSON.stringify({ place, first: seen.first, lowest: seen.position }));
  } catch {
    // no storage
  }
}

function showPosition() {
  if (!Number.isFinite(seen.position)) return;
  storePosition();
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

// Reads the position out, at most every half minute; not the first one, which is on the page.
function sayPosition(ahead) {
  if (saidAhead === ahead || performance.now() - saidAt < SAY_EVERY_MS || seen.state === 'scheduled') return;
  if (saidAhead !== undefined) say(ahead > 0 ? plural('say_position', ahead, { ahead: number(ahead) }) : t('ahead_none.other'));
  saidAhead = ahead;
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

// One countdown: to the opening of the event, or to the end of the buyer's turn.
function showCountdown() {
  const until = seen.state === 'scheduled' ? seen.opensAt : seen.state === 'admitted' ? seen.endsAt : 0;
  $('countdown').hidden = !until;
  if (!until) return;
  const left = until - now();
  write('countdown_label', seen.state === 'admitted' ? t('turn_ends_in') : left > 0 ? t('opens_in') : t('opening'));
  write('countdown_number', countdown(left));
  if (left > 0 || seen.overAt === until) return;
  seen.overAt = until; // once for each countdown
  if (seen.state === 'admitted') enterState('expired');
  else pollSoon();
}

function pollSoon() {
  setTimeout(() => live.pollNow(), Math.random() * SPREAD_MS);
}

function everySecond() {
  showCountdown();
  showFreshness();
}

// ---- answers and messages of the server ----

// The buyer was admitted a moment ago; the pod that answers has not learned it yet.
const isBehind = ({ status }) => seen.state === 'admitted' && status !== 'active' && performance.now() - seen.enteredAt < BEHIND_MS;

// Shows an answer of check or status. Returns the seconds until the next poll, or null: no more are needed.
function showAnswer(answer) {
  if (isBehind(answer)) {
    setTimeout(() => live.pollNow(), ASK_AGAIN_MS); // with a socket the next poll would be a minute away
    return ASK_AGAIN_MS / 1000;
  }
  updatedAt = performance.now();
  if (answer.ticket) seen.ticket = seen.newerTicket ?? answer.ticket;
  if (answer.status === 'not_in_queue') {
    if (seen.left || seen.state === 'admitted') enterState(seen.left ? 'left' : 'expired');
    else location.replace(location.pathname); // the buyer had no turn that could have ended: load the page again
    return null;
  }
  const state = STATES[answer.status] ?? seen.state;
  if (answer.passExpiresAt) seen.endsAt = Date.parse(answer.passExpiresAt);
  if (state === 'admitted' && seen.endsAt <= now()) { // the turn is over, but the queue has not ended it yet
    enterState('expired');
    return null;
  }
  if (answer.eventInfo) showMessage(answer.eventInfo.message);
  if (answer.position) showPositionAndEstimate(answer);
  enterState(state);
  everySecond();
  return answer.nextPoll ?? (state === 'admitted' ? 20 : 10);
}

function showPositionAndEstimate({ position, estimatedWaitRange }) {
  seen.position = Math.min(seen.position, position);
  showPosition();
  showEstimate(estimatedWaitRange);
}

// The organizer may have changed the opening time.
async function readOpening() {
  const { opensAt } = await api('GET', `/api/events/${eventId}`);
  if (!opensAt || Date.parse(opensAt) === seen.opensAt) return;
  seen.opensAt = Date.parse(opensAt);
  write('opens', dateTime(seen.opensAt));
  everySecond();
}

// A ticket from the socket has a lower position than that of the cookie; sent along, it replaces it.
async function readStatus() {
  const ticket = seen.newerTicket;
  try {
    const answer = await api('GET', apiPath('status'), { headers: ticket ? { 'X-Tiketi-Ticket': ticket } : {} });
    if (seen.newerTicket === ticket) seen.newerTicket = undefined;
    return answer;
  } catch (error) {
    if (!ticket || (error.status !== 401 && error.status !== 403)) throw error;
    seen.newerTicket = undefined; // it no longer holds: the signing keys or the buyer's identity changed
    return readStatus();
  }
}

async function poll() {
  try {
    if (seen.state === 'scheduled') await readOpening();
    if (!PLACELESS.has(seen.state)) return showAnswer(await readStatus());
    await api('POST', apiPath('check'));
    location.replace(location.pathname); // the server writes the page with the new place
    return null;
  } catch (error) {
    const state = error instanceof ApiError && PROBLEMS[error.code];
    if (!state) throw error;
    enterState(state);
    return null;
  }
}

// By the name of a socket message.
const HANDLERS = {
  'queue-position': (payload) => {
    if (payload.ticket) seen.ticket = seen.newerTicket = payload.ticket;
    showPositionAndEstimate(payload);
    if (seen.state === 'restoring') live.pollNow();
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
    pollSoon();
  },
  'queue-cleared': () => {
    setTimeout(() => location.replace(location.pathname), Math.random() * SPREAD_MS);
  },
  message: ({ text }) => showMessage(text),
  error: ({ code }) => code !== 'draining' && live.pollNow(),
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
  if (broken && lostSince === undefined) say(t('say_lost'));
  if (!broken && lostSince !== undefined) say(t('say_back'));
  lostSince = broken ? (lostSince ?? performance.now()) : undefined;
  showFreshness();
}

// ---- leaving ----

async function leave() {
  try {
    await api('POST', apiPath('leave'));
  } catch {
    location.assign($('leave').href); // the page that works without a script shows the problem
    return;
  }
  tabs?.postMessage('left');
  showLeft();
}

function showLeft() {
  seen.left = true;
  history.replaceState(null, '', `${location.pathname}?left=1`);
  enterState('left');
}

function offerLeaving() {
  const dialog = $('leave_dialog');
  $('leave').addEventListener('click', (click) => {
    if (!dialog.showModal) return; // no dialogs in this browser: the link leads to a page that asks
    click.preventDefault();
    dialog.returnValue = '';
    dialog.showModal();
  });
  dialog.addEventListener('close', () => dialog.returnValue === 'yes' && leave());
  tabs?.addEventListener('message', ({ data }) => data === 'left' && !FINAL.has(seen.state) && showLeft());
}

// ---- start ----

async function start() {
  startClock(Number(document.body.dataset.now));
  await load(assets);
  for (const time of document.querySelectorAll('main time')) time.textContent = dateTime(Date.parse(time.dateTime));
  if (/[?&](lang|join)=/.test(location.search)) history.replaceState(null, '', location.pathname);
  if (FINAL.has(seen.state)) return;
  live = new Live({
    url: PLACELESS.has(seen.state) ? undefined : ws, eventId, ticket: () => seen.ticket, poll, onLink: showLink,
    quietMs: Math.max(QUIET_MS, Number(interval)),
    onMessage: (event, payload) => {
      updatedAt = performance.now();
      HANDLERS[event]?.(payload);
      showFreshness();
    },
  });
  if (!PLACELESS.has(seen.state)) {
    showAnswer(JSON.parse(json));
    offerLeaving();
    offerNotices({ onDenied: () => ($('popup_denied').hidden = false) });
    setInterval(everySecond, 1000);
  }
  if (!FINAL.has(seen.state)) live.start();
}

// Without its messages this script cannot write; then the page is loaded again from time to time.
start().catch(() => setTimeout(() => location.reload(), 5000 + Math.random() * 10000));
