// SPDX-License-Identifier: MIT
//
// wait: keeps the waiting page up to date. The server wrote the page with its first answer; later answers, by socket or
// by polling, change the model (wait_model.js), and every change is shown by one render (wait_view.js). The server
// decides; this page only keeps what it has shown.
//
// A turn is claimed by a page that the buyer sees (presence.js); a hidden one never claims and never loads itself again.

import { ApiError, api } from './api.js';
import { now, startClock } from './clock.js';
import { Warnings } from './deadline.js';
import { $, say } from './dom.js';
import { duration, number, plural, t } from './i18n.js';
import { Live } from './live.js';
import { chime, notify, offerNotices, withdrawNotification } from './notices.js';
import { own } from './place.js';
import { Presence, isSeen } from './presence.js';
import { reopening } from './reopening.js';
import { registerWorker } from './service_worker.js';
import { FINAL, HELD, PLACELESS, deadlineOf, newModel, withAnswer, withNews } from './wait_model.js';
import { consequence, render, renderStock } from './wait_view.js';

const { event: eventId, place, ws, title, opens, interval, hold, json, return: way, inPlace } = document.body.dataset;
const apiPath = (verb) => `/api/queue/${verb}/${eventId}`;
// A browser keeps the fragment of the shop's page on each redirect, and on the way back as well, if the button's link has it.
const fragment = way && location.hash !== '#main' ? location.hash : '';
// This page's own address; the way back stays part of it. In the place of a page of the shop the address in the browser is the shop's.
const address = (parameter) => {
  const query = [parameter, way].filter(Boolean).join('&');
  const path = inPlace ? own(`/wait/${eventId}`) : location.pathname.replace(/\/enter$/, '');
  return path + (query && `?${query}`) + fragment;
};

const SAY_EVERY_MS = 30000;
const QUIET_MS = 10000; // without a message for so long, or for an interval of the event, the connection is checked
const SPREAD_MS = 4000; // all buyers learn of some events at once: their requests are spread over this time
const CLAIM_AGAIN_MS = 2000; // so often a page that is seen claims an offer that waits for it
const HOLD_AFTER_MS = 1500;
const HOLD_AGAIN_MS = 10000; // the record may be behind: then the first answer has a time that ends too early
const STOCK_MS = 60000;
const STOCK_SOON_MS = 5000; // for a page that the server could not yet write it into
const BEHIND_MS = 2000; // after an answer of a pod that is behind, it is asked again
const WORKER_AFTER_MS = 10000; // who waits so long may want the offline page
const NEW_MESSAGE_MS = 60000;
const PROBLEMS = { 'event-closed': 'closed', 'unknown-event': 'unknown', 'login-required': 'login', invalid: 'unknown', 'network-limit': 'network', banned: 'banned' };

const model = newModel({ state: $('main').dataset.state, opensAt: Number(opens) || undefined, language: document.documentElement.lang, textLanguage: document.documentElement.dataset.texts });
const tabs = typeof BroadcastChannel === 'function' ? new BroadcastChannel(`tiketi:${eventId}`) : undefined;
const warnings = new Warnings();
const presence = new Presence({ claim: () => claim() });
const calm = matchMedia('(prefers-reduced-motion: reduce)');
let live;
let ticket; // the newest
let newerTicket; // from the socket: newer than the cookie's
let saidAt = -SAY_EVERY_MS; // when a position was last read out, and which
let saidAhead;
let overAt; // the deadline that is over
let claimedAt = -Infinity; // when this page last said that it is seen
let reloadDue = false; // the page has to be loaded again, once it is visible

// Before the opening there is nothing to claim, and days may pass: the screen may go off.
const needsBuyer = (state) => HELD.has(state) && state !== 'scheduled';

// ---- the model changes ----

// The only way to change the model.
function update(changes) {
  const before = { ...model };
  Object.assign(model, changes);
  if (model.state === 'gone') {
    Object.assign(model, { state: before.state });
    reload(); // the buyer had no turn that could have ended: the server writes the page anew
    return;
  }
  if (model.position !== before.position) storePosition();
  render(model);
  if (model.state !== before.state) stateChanged(before);
  if (model.state === 'admitted' && model.claimed && !(before.state === 'admitted' && before.claimed)) awaitHold();
  if (model.missed && !before.missed) missedTurn();
  if (model.state === 'admitted' && !model.claimed && (before.claimed || before.state !== 'admitted')) void claim();
  if (model.message !== before.message && model.message) newMessage();
  if (model.position !== before.position) sayPosition();
}

function stateChanged(before) {
  const { state } = model;
  const words = `${$('heading').textContent}. ${$('lead').textContent}`;
  if (!needsBuyer(state)) presence.stop();
  else if (!presence.running) presence.start();
  if (FINAL.has(state)) live?.stop();
  if (state === 'closed') void reopening(eventId).then(reload);
  if (before.state === 'admitted') void withdrawNotification();
  if (state !== 'admitted') {
    say(words);
    return;
  }
  say(words, 'assertive');
  chime();
  notify('offered', t('notification_title'), t('notification_body', { title }));
  // The focus is on nothing, or on something that is hidden now: move it to the way in.
  const focused = document.activeElement;
  if (focused === document.body || focused.checkVisibility?.() === false) $('enter').focus({ preventScroll: true });
}

// An offer ran out unseen. A visible page claims at once and is back at the head; a hidden one calls the buyer.
function missedTurn() {
  update({ missedBefore: true });
  say(t('missed'), 'assertive');
  if (isSeen()) void claim();
  else notify('parked', t('notification_title'), t('missed'));
}

function newMessage() {
  const { message } = model;
  say(t('say_message', { text: message }));
  update({ messageAt: now() });
  setTimeout(() => model.message === message && update({ messageAt: undefined }), NEW_MESSAGE_MS);
}

// Stores for this place the first position shown, for the progress bar, and the lowest one: the server may write an
// older one into the next page (wait_first.js); and when this browser first saw it. Without storage all begin with
// this visit.
function storePosition() {
  const key = `tiketi:place:${eventId}`;
  let stored;
  try {
    stored = JSON.parse(localStorage.getItem(key));
    if (stored?.place !== place) stored = undefined;
  } catch {
    // no storage
  }
  model.position = Math.min(model.position, stored?.lowest ?? Infinity);
  model.first = Math.max(model.first, stored?.first ?? 0, model.position);
  model.joinedAt ??= stored?.joinedAt ?? now();
  try {
    localStorage.setItem(key, JSON.stringify({ place, first: model.first, lowest: model.position, joinedAt: model.joinedAt }));
  } catch {
    // no storage
  }
}

// Reads the position out, at most every half minute; not the first one, which is on the page.
function sayPosition() {
  const ahead = model.position - 1;
  if (saidAhead === ahead || performance.now() - saidAt < SAY_EVERY_MS || model.state === 'scheduled') return;
  if (saidAhead !== undefined) say(ahead > 0 ? plural('say_position', ahead, { ahead: number(ahead) }) : t('ahead_none'));
  saidAhead = ahead;
  saidAt = performance.now();
}

// ---- time ----

function everySecond() {
  if ((!model.claimed || model.missed) && performance.now() - claimedAt >= CLAIM_AGAIN_MS) void claim();
  watchDeadline();
  render(model, { blink: !isSeen() && !calm.matches && Math.floor(performance.now() / 1000) % 2 === 1 });
}

// Speaks before the deadline of a turn, and ends what is over.
function watchDeadline() {
  const deadline = deadlineOf(model, now());
  if (!deadline) return;
  const left = deadline.at - now();
  const seconds = deadline.kind === 'opening' ? undefined : warnings.due(deadline, left);
  if (seconds) say(t('say_deadline', { left: duration(seconds), then: consequence(deadline) }), 'assertive');
  if (left > 0 || overAt === deadline.at) return;
  overAt = deadline.at; // once for each
  if (deadline.kind === 'turn' || deadline.kind === 'change') update({ state: 'expired' });
  else if (deadline.kind === 'claim') live.pollNow();
  else if (deadline.kind === 'opening') pollSoon();
}

function pollSoon() {
  setTimeout(() => live.pollNow(), Math.random() * SPREAD_MS);
}

// ---- claims ----

// Says that the buyer sees this page: an offer becomes a turn, and a place that was set aside is back at the head.
async function claim() {
  if (!isSeen() || !HELD.has(model.state) || model.claimFrom > now()) return;
  claimedAt = performance.now();
  if (live.send('heartbeat', { claim: true })) return;
  try {
    const answer = await api('POST', apiPath('heartbeat'), { json: { claim: true } });
    if (answer.pass) showAnswer(answer);
    else if (!model.claimed || model.missed) live.pollNow();
  } catch {
    // it is sent again: in two seconds if an offer waits
  }
}

// ---- answers and messages of the server ----

function reload() {
  live?.stop();
  if (!isSeen()) reloadDue = true;
  else if (inPlace) location.reload(); // the proxy asks the gate again
  else location.replace(address());
}

// Shows an answer of check or status. Returns the seconds until the next poll, or null: no more are needed.
function showAnswer(answer) {
  if (answer.ticket) ticket = newerTicket ?? answer.ticket;
  const changes = withAnswer(model, answer);
  if (!changes) {
    setTimeout(() => live.pollNow(), BEHIND_MS); // with a socket the next poll would be a minute away
    return BEHIND_MS / 1000;
  }
  update({ ...changes, updatedAt: performance.now() });
  if (model.state === 'admitted' && model.endsAt <= now()) update({ state: 'expired' }); // the queue has not ended it yet
  if (FINAL.has(model.state) || changes.state === 'gone') return null;
  return answer.nextPoll ?? (model.state === 'admitted' ? 20 : 10);
}

// Seats are held at the admission, and their time begins when the turn is claimed: a moment later it is known. It may
// end before the turn does.
function awaitHold() {
  if (!hold) return;
  update({ holdRead: false });
  setTimeout(readHold, HOLD_AFTER_MS);
  setTimeout(readHold, HOLD_AGAIN_MS);
}

async function readHold() {
  if (model.state !== 'admitted') return;
  try {
    const { reservations } = await api('GET', `/api/reservations?eventId=${eventId}&current=1`);
    const held = reservations.find(({ status }) => status === 'held');
    if (held) update({ holdEndsAt: Date.parse(held.expiresAt) });
  } catch {
    // the end of the turn is shown
  }
  update({ holdRead: true });
}

// The organizer may have changed the opening time.
async function readOpening() {
  const { opensAt } = await api('GET', `/api/events/${eventId}`);
  if (opensAt) update({ opensAt: Date.parse(opensAt) });
}

// A ticket from the socket has a lower position than that of the cookie; sent along, it replaces it.
async function readStatus() {
  const sent = newerTicket;
  try {
    const answer = await api('GET', apiPath('status'), { headers: sent ? { 'X-Tiketi-Ticket': sent } : {} });
    if (newerTicket === sent) newerTicket = undefined;
    return answer;
  } catch (error) {
    if (!sent || (error.status !== 401 && error.status !== 403)) throw error;
    newerTicket = undefined; // it no longer holds: the signing keys or the buyer's identity changed
    return readStatus();
  }
}

async function poll() {
  try {
    if (model.state === 'scheduled') await readOpening();
    if (!PLACELESS.has(model.state)) return showAnswer(await readStatus());
    if (!isSeen()) return 10; // nobody waits here yet
    await api('POST', apiPath('check'));
    reload(); // the server writes the page with the new place
    return null;
  } catch (error) {
    const state = error instanceof ApiError && PROBLEMS[error.code];
    if (!state) throw error;
    update({ state });
    return null;
  }
}

function onMessage(name, payload) {
  model.updatedAt = performance.now();
  if (payload.ticket) ticket = newerTicket = payload.ticket;
  if (name === 'queue-cleared') setTimeout(reload, Math.random() * SPREAD_MS);
  else if (name === 'error' && payload.code !== 'draining') live.pollNow();
  const changes = withNews(model, name, payload);
  if (changes) update(changes);
  if (name === 'event-status-changed' && !FINAL.has(model.state)) pollSoon();
  if (name === 'queue-position' && model.state === 'restoring') live.pollNow();
}

async function readStock() {
  if (isSeen() && ['scheduled', 'waiting', 'unlikely', 'paused'].includes(model.state)) {
    try {
      renderStock((await api('GET', `/api/events/${eventId}/stock`)).bands);
    } catch {
      // what is shown stays
    }
  }
  setTimeout(readStock, STOCK_MS * (0.75 + Math.random() / 2));
}

function showLink(link) {
  const broken = link === 'lost' || link === 'unavailable';
  const was = model.lostSince !== undefined;
  if (broken && !was) say(t('say_lost'));
  if (!broken && was) say(t('say_back'));
  update({ link, lostSince: broken ? (model.lostSince ?? performance.now()) : undefined });
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
  history.replaceState(null, '', address('left=1'));
  update({ state: 'left', left: true });
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
  tabs?.addEventListener('message', ({ data }) => data === 'left' && !FINAL.has(model.state) && showLeft());
}

// ---- start ----

// The page is seen again: what has waited for that is done now.
function onVisible() {
  if (!isSeen()) return;
  if (reloadDue) reload();
  void withdrawNotification();
}

function start() {
  startClock(Number(document.body.dataset.now));
  if (!inPlace && /[?&](lang|join|cookies)=/.test(location.search) && model.state !== 'return_refused') history.replaceState(null, '', address());
  document.addEventListener('visibilitychange', onVisible);
  if (fragment) $('enter').hash = fragment;
  if (model.state === 'closed') void reopening(eventId).then(reload);
  if (FINAL.has(model.state)) return;
  const placeless = PLACELESS.has(model.state);
  live = new Live({
    url: placeless ? undefined : ws, eventId, ticket: () => ticket, poll, onLink: showLink, onMessage,
    quietMs: Math.max(QUIET_MS, Number(interval)),
  });
  if (!placeless) {
    offerLeaving();
    offerNotices();
    Object.assign(model, { message: $('message').textContent, messageLanguage: $('message').lang }); // on the page: not new
    if (model.state === 'admitted') awaitHold();
    showAnswer(JSON.parse(json));
    if (needsBuyer(model.state)) presence.start();
    setInterval(everySecond, 1000);
    setTimeout(readStock, $('stock').hidden ? STOCK_SOON_MS * Math.random() : STOCK_MS);
    setTimeout(() => registerWorker().catch(() => {}), WORKER_AFTER_MS);
  }
  if (!FINAL.has(model.state)) live.start();
}

start();
