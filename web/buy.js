// SPDX-License-Identifier: MIT
//
// buy: the page where seats are chosen and paid. The server decides; this page shows its answers. All that is
// known is in `state`: the reservations of the buyer (order), the hall (seats), and the draft, which are the
// seats that the buyer has marked on the map but not yet asked for. update() changes the state and renders
// the page from it (buy_view). What may have been missed is read again.

import { ApiError, api } from './api.js';
import { ACTIVE, CHOOSING, announceView, deadlineOf, isDraft, labelOf, openHall, render, renderTime, seconds, zoom } from './buy_view.js';
import { now, startClock } from './clock.js';
import { Warnings } from './deadline.js';
import { $, say } from './dom.js';
import { money, number, plural, t } from './i18n.js';
import { Live } from './live.js';
import { Order } from './order.js';
import { own } from './place.js';
import { Presence, isSeen, seen } from './presence.js';
import { reopening } from './reopening.js';
import { namesOf, seatName } from './seat_text.js';
import { Seats, mapRequest, nextBest, pack } from './seats.js';
import { areasOf } from './sections.js';
import { ownScript } from './trusted.js';

const { event: eventId, ws, max, auto, json, reservations } = document.body.dataset;
const search = new URLSearchParams(location.search);

const RETRY = new Set(['unavailable', 'busy']);
// Problem codes that have a message of their own, buy_notice_<code>.
const NOTICES = new Set(['seat-taken', 'no-adjacent', 'no-seats', 'limit', 'held-too-long', 'expired', 'not-payable', 'already-paid']);
const AUTO_HOLD_MS = 6000; // the time in which seats are set aside for a buyer who was just admitted
const CLAIM_KNOWN_MS = 3000; // after so long the time of these seats counts from the beginning of the turn
const MAP_AGE_MS = 1000; // the map may be so old
const MAP_TRIES = 5;
const MARKED_MS = 3000; // after so long the map shows what markTaken marked before

const arrivedAt = performance.now();
const draftKey = `tiketi:draft:${eventId}`;
const tabs = typeof BroadcastChannel === 'function' ? new BroadcastChannel(`tiketi:${eventId}`) : undefined;
const warnings = new Warnings();
let live;
let presence;

const state = {
  view: $('main').dataset.state,
  maxSeats: Number(max) || 4,
  turn: {}, // ticket; endsAt: the end of the buyer's turn; idleMs: after so long without a heartbeat it ends; version, revision: of the answer it is from
  link: undefined, // the connection, see Live
  aliveAt: now(), // when the service last heard that the buyer is here
  order: new Order(eventId),
  seats: undefined,
  areas: [],
  area: undefined, // the one that is shown; undefined: the plan
  at: undefined, // a seat to bring into view
  draft: [], // indices of the seats marked on the map
  held: [], // indices of the seats that the buyer holds
  changed: [], // indices of seats that changed since the last rendering
  busy: undefined, // 'hold', 'pay' or 'cancel', while a request that changes the order is on its way
  touched: false, // the buyer has begun to choose
  settingAside: false, // the service is about to hold seats for the buyer
  open: false, // the sheet with the order, on a phone
  limited: false, // the buyer tried to take more seats than one person may
  notice: undefined, // { text, offer: { text, indices } }
};

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const same = (a, b) => a.length === b.length && a.every((i) => b.includes(i));
const ordered = (indices) => [...indices].sort((a, b) => a - b);
// A background step: its failure shows in the state of the connection, and the next poll repeats it.
const quietly = (promise) => promise.catch(() => {});

// ---- state ----

function update(changes = {}) {
  Object.assign(state, changes);
  state.marked = [...state.held, ...state.draft];
  render(state);
  state.changed = [];
  state.at = undefined;
}

function enter(view) {
  if (state.view === view) return;
  update({ view, notice: CHOOSING.has(view) ? state.notice : undefined });
  if (!ACTIVE.has(view)) stop();
  if (view === 'closed') void reopening(eventId).then(() => location.reload());
  if (view !== 'choose') announceView(view);
}

function stop() {
  live?.stop();
  presence?.stop();
}

// Shows a notice. `offer`: a button that asks for other seats instead.
function show(text, offer) {
  update({ notice: { text, offer } });
  say(offer ? `${text} ${offer.text}` : text, 'assertive');
}

// A page that is not seen must not load one that claims a turn.
async function leaveFor(url) {
  await seen();
  location.replace(url);
}

// ---- the choice ----

function stateOf(i) {
  const { seats, draft, held } = state;
  if (draft.includes(i)) return held.includes(i) ? 'own' : 'chosen';
  return seats.isFree(i) || held.includes(i) ? 'free' : 'taken';
}

function toggleSeat(i) {
  const { draft, maxSeats } = state;
  if (state.busy || !CHOOSING.has(state.view)) return;
  const before = stateOf(i);
  if (before === 'taken') {
    say(labelOf(i));
    return;
  }
  if (before === 'free' && draft.length >= maxSeats) {
    update({ limited: true });
    say(t('buy_limit', { n: number(maxSeats) }));
    return;
  }
  setDraft(before === 'free' ? ordered([...draft, i]) : draft.filter((k) => k !== i), { limited: false });
  say(before === 'free' ? plural('buy_say_chosen', state.draft.length, { seat: seatName(state.seats, i) }) : t('buy_say_dropped', { seat: seatName(state.seats, i) }));
}

// The draft outlives a reload and the browser's Back button.
function setDraft(draft, changes = {}) {
  update({ ...changes, draft });
  if (!state.seats) return;
  try {
    if (isDraft(state)) sessionStorage.setItem(draftKey, JSON.stringify(draft.map((i) => state.seats.id(i))));
    else sessionStorage.removeItem(draftKey);
  } catch {
    // no storage
  }
}

function storedDraft(seats, held) {
  try {
    const ids = JSON.parse(sessionStorage.getItem(draftKey) ?? 'null');
    const indices = ids?.map((id) => seats.index(id)).filter((i) => i >= 0 && (seats.isFree(i) || held.includes(i)));
    return indices && ordered(indices).slice(0, state.maxSeats);
  } catch {
    return undefined; // no storage
  }
}

// Takes over the reservations in state.order. The draft follows them: what the buyer added to it and removed
// from it stays so.
function takeOrder({ focusMap = false } = {}) {
  const { seats, order, draft, held: before } = state;
  const held = seats && order.held ? ordered(order.held.seats.map(({ id }) => seats.index(id)).filter((i) => i >= 0)) : [];
  const untouched = same(draft, before);
  const moved = !same(held, before);
  const kept = held.filter((i) => !before.includes(i) || draft.includes(i));
  const added = draft.filter((i) => !before.includes(i) && !held.includes(i));
  const next = untouched ? held : ordered([...kept, ...added]).slice(0, state.maxSeats);
  state.held = held;
  state.settingAside = state.settingAside && !order.held;
  if (focusMap && moved && held.length > 0) showSeats(held, { stay: true });
  setDraft(next);
  return moved;
}

const held = () => state.order.held;

function sayHeld() {
  const { seats, totalAmount, currency } = held();
  say(plural('buy_say_held', seats.length, { seats: namesOf(state.seats, state.held), total: money(totalAmount, currency) }));
}

// ---- the areas of a large hall ----

const isPlan = () => state.areas.length > 1;
const areaOf = (i) => state.areas.find(({ first, end }) => i >= first && i < end);

// Opens an area as a step of the browser's history, so that its Back button leads to the plan.
function openArea(area, at) {
  if (isPlan() && area !== state.area) {
    const entry = [{ area: state.areas.indexOf(area) }, ''];
    if (state.area) history.replaceState(...entry);
    else history.pushState(...entry);
    scrollTo({ top: 0 });
  }
  update({ area, at });
}

function backToPlan() {
  if (history.state?.area === undefined) update({ area: undefined });
  else history.back();
}

// Brings seats into view. `stay`: the plan is not left for it, since the buyer did nothing.
function showSeats(indices, { stay = false } = {}) {
  const area = areaOf(indices[0]);
  if (stay && isPlan() && area !== state.area) return;
  if (state.seats) openArea(area, indices[0]);
}

// ---- the map ----

let worker; // null: this browser has no module workers

// Reads the map, if its version differs; undefined otherwise.
function fetchMap(version) {
  const { path, headers } = mapRequest(eventId, version);
  worker ??= startWorker();
  if (!worker) return api('GET', path, { headers }).then((map) => map && pack(map));
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { hall: packed, error } }) => {
      if (error) reject(new ApiError(error.status, error.problem, error.retryAfter));
      else resolve(packed);
    };
    worker.onerror = () => {
      worker = null;
      fetchMap(version).then(resolve, reject);
    };
    worker.postMessage({ path, headers });
  });
}

function startWorker() {
  if (worker === null || typeof Worker !== 'function') return null;
  return new Worker(ownScript('seats_worker.js'), { type: 'module' });
}

let mapRead;

// Reads the map and shows what changed. Concurrent calls share one request.
function readMap() {
  mapRead ??= (async () => {
    try {
      const packed = await fetchMap(state.seats?.version);
      state.mapFailed = false;
      if (!packed) return;
      const changed = state.seats?.update(packed);
      if (changed) seatsChanged(changed);
      else takeHall(packed);
    } catch (error) {
      update({ mapFailed: !state.seats });
      throw error;
    } finally {
      mapRead = undefined;
    }
  })();
  return mapRead;
}

function takeHall(packed) {
  const seats = new Seats(packed);
  const areas = areasOf(seats);
  const { order } = state;
  const stored = storedDraft(seats, order.held?.seats.map(({ id }) => seats.index(id)) ?? []);
  openHall(seats, areas, { stateOf, onSeat: toggleSeat, onArea: (area) => openArea(area) });
  Object.assign(state, { seats, areas, held: [], draft: [], area: areas.length > 1 ? areas[history.state?.area] : areas[0] });
  takeOrder();
  if (stored) setDraft(stored);
  checkSoldOut();
}

let wanted = 0; // the newest version of the map that is known to exist
let catchingUp;

// Reads the map until it has the wanted version: an answer may be older than the message that named the
// version, and the next message may take long.
function catchUp(version = 0) {
  wanted = Math.max(wanted, version);
  catchingUp ??= (async () => {
    for (let n = 0; n < MAP_TRIES && ACTIVE.has(state.view); n++) {
      if (n > 0) await sleep(MAP_AGE_MS * (1 + Math.random()));
      await quietly(readMap());
      if (state.seats?.version >= wanted) break;
    }
    catchingUp = undefined;
  })();
}

function applyDelta(payload) {
  if (!state.seats && !CHOOSING.has(state.view)) return;
  const changed = state.seats?.apply(payload);
  if (changed) seatsChanged(changed);
  else catchUp(payload.version);
}

// Shows seats as taken that a refused hold named, before a map does. If they are free again before any map
// shows them as taken, no message comes: so the marks end after a while.
async function markTaken(taken) {
  state.seats?.markTaken(taken);
  await sleep(MARKED_MS);
  await quietly(readMap());
  const back = state.seats?.releaseUnconfirmed(taken) ?? [];
  if (back.length > 0) seatsChanged(back);
}

function seatsChanged(changed) {
  const { seats, draft, held: own, busy } = state;
  const lost = busy ? [] : draft.filter((i) => changed.includes(i) && !seats.isFree(i) && !own.includes(i));
  state.changed = [...state.changed, ...changed];
  if (lost.length > 0) {
    setDraft(draft.filter((i) => !lost.includes(i)));
    show(t('buy_notice_swept', { seats: namesOf(seats, lost) }), offerFor(ordered([...state.draft, ...lost])));
  } else {
    update();
  }
  checkSoldOut();
}

function checkSoldOut() {
  const { view, seats, order } = state;
  if (!CHOOSING.has(view) || !seats) return;
  enter(seats.free === 0 && !order.held && seats.count > 0 ? 'sold_out' : 'choose');
}

// ---- the order ----

// The service sets seats aside a moment after the buyer was admitted.
async function awaitAutoHold() {
  if (!auto) return;
  const waits = () => state.view === 'choose' && !held() && !state.touched && performance.now() - arrivedAt < AUTO_HOLD_MS;
  state.settingAside = waits();
  while (waits()) {
    await sleep(700);
    await quietly(state.order.refresh());
    if (takeOrder({ focusMap: !state.touched }) && !state.touched && held()) sayHeld();
  }
  update({ settingAside: false });
  // Their time begins with the turn, which the processor has to learn first.
  await sleep(Math.max(0, arrivedAt + CLAIM_KNOWN_MS - performance.now()));
  await quietly(state.order.refresh());
  if (!state.busy) takeOrder();
}

// Runs one step at a time; what the buyer presses meanwhile has no effect.
async function whileBusy(busy, step) {
  if (state.busy) return;
  update({ busy, touched: true, settingAside: false });
  try {
    await step();
  } finally {
    update({ busy: undefined });
    tabs?.postMessage('order');
  }
}

// Holds seats, see Order.hold. `chosen`: their indices, if they were chosen on the map.
async function hold(request, chosen) {
  await whileBusy('hold', async () => {
    update({ notice: undefined });
    try {
      const reservation = await state.order.hold(request);
      state.order.replace([{ ...reservation, eventId }, ...state.order.reservations.filter(({ status }) => status !== 'held')]);
      state.draft = [...state.held];
      takeOrder();
      sayHeld();
      if (!chosen) showSeats(state.held);
    } catch (error) {
      await showRefusal(error, chosen);
    }
  });
}

// Says what happened, that the seats held before are kept, and offers the closest free seats.
async function showRefusal(error, chosen = []) {
  if (!(error instanceof ApiError)) throw error;
  if (error.code === 'not-admitted' || TURNED_AWAY.has(error.code)) {
    await quietly(readTurn());
    return;
  }
  const key = NOTICES.has(error.code) ? error.code : error.status === 0 ? 'offline' : error.transient ? 'unavailable' : 'failed';
  if (key === 'seat-taken' || key === 'expired') await Promise.allSettled([readMap(), state.order.refresh()]);
  const { seats } = state;
  const taken = (error.problem?.seats ?? []).map((id) => seats?.index(id)).filter((i) => i >= 0);
  if (key === 'seat-taken') {
    void quietly(markTaken(taken));
    state.changed = [...state.changed, ...taken];
    state.draft = [...state.held];
  }
  takeOrder();
  const words = key === 'seat-taken' && taken.length > 0 ? t('buy_notice_seat-taken_named', { seats: namesOf(seats, taken) }) : t(`buy_notice_${key}`);
  const offer = key === 'seat-taken' ? offerFor(chosen) : undefined;
  show(state.held.length > 0 && key === 'seat-taken' ? `${words} ${t('buy_notice_seat-taken_kept')}` : words, offer);
  if (offer) $('offer').focus({ preventScroll: true });
}

function offerFor(chosen) {
  const indices = state.seats ? nextBest(state.seats, chosen, state.held) : undefined;
  return indices && { indices, text: t('buy_offer', { seats: namesOf(state.seats, indices) }) };
}

async function pay() {
  await whileBusy('pay', async () => {
    try {
      const { lang: language, dataset: { zone } } = document.documentElement;
      const url = await state.order.pay({ language, zone, email: $('email')?.value.trim() });
      if (url) location.assign(url);
      else location.replace(own(`/tickets/${eventId}?reservation=${held().id}`));
      await new Promise(() => {}); // until the browser leaves this page
    } catch (error) {
      if (error.field === 'email') refuseEmail();
      else await showRefusal(error);
      await quietly(readTurn());
    }
  });
}

// A page that was loaded before the event asked for an address has no field for it.
function refuseEmail() {
  if (!$('email')) {
    location.reload();
    return;
  }
  update({ open: true });
  show(t('buy_notice_email'));
  $('email').setAttribute('aria-invalid', 'true');
  $('email').focus();
}

// The field for the address is in the sheet, which may be closed: the buyer sees it before they pay.
function askEmail(press) {
  const email = $('email');
  if (!email || state.open || (email.checkVisibility?.() ?? true)) return;
  press.preventDefault();
  update({ open: true });
  email.focus();
}

async function release() {
  await whileBusy('cancel', async () => {
    try {
      await state.order.cancel();
      update({ notice: undefined, open: false });
      say(t('buy_say_given_back'));
    } catch (error) {
      await showRefusal(error);
    }
    await quietly(state.order.refresh());
    state.draft = [...state.held];
    takeOrder();
    if (state.view === 'last' && !held()) enter('over');
    checkSoldOut();
  });
}

// ---- time ----

function tick() {
  const deadline = deadlineOf(state);
  renderTime(state);
  if (!deadline) return;
  const left = deadline.at - now();
  const warning = warnings.due(deadline, left);
  if (warning) say(t('buy_say_left', { time: seconds(warning * 1000), then: t(`buy_deadline_${deadline.kind}_then`) }), 'assertive');
  if (held() && Date.parse(held().expiresAt) <= now()) endHold();
  if (CHOOSING.has(state.view) && state.turn.endsAt <= now()) void quietly(checkTurn());
}

// A pass may expire before the turn ends, so the queue is asked.
async function checkTurn() {
  if (state.checking) return;
  state.checking = true;
  await quietly(readTurn());
  state.checking = false;
  if (CHOOSING.has(state.view) && state.turn.endsAt <= now()) endTurn();
}

function endHold() {
  held().status = 'expired';
  state.touched = true;
  takeOrder();
  if (state.view === 'last') {
    enter('over');
    return;
  }
  show(t('buy_notice_expired'));
  checkSoldOut();
  void quietly(readMap());
}

function endTurn() {
  setDraft([...state.held]);
  enter(held() ? 'last' : 'over');
}

// ---- answers and messages of the server ----

// Answers and messages say of which version of the event and of which moment they are; what is older than
// what is known is not news.
function isOld({ version, revision }) {
  const { turn } = state;
  if (revision === undefined || turn.revision === undefined) return false;
  return version < turn.version || (version === turn.version && revision < turn.revision);
}

// Takes over an answer or a message of the queue; true: the buyer is inside.
function takeTurn(answer) {
  const { turn } = state;
  if (answer.revision !== undefined) Object.assign(turn, { version: answer.version, revision: answer.revision });
  if (answer.ticket) turn.ticket = answer.ticket;
  if (answer.idleTimeoutMs) turn.idleMs = answer.idleTimeoutMs;
  const ends = answer.turnEndsAt ?? answer.passExpiresAt;
  if (ends) turn.endsAt = Date.parse(ends);
  return answer.status === 'active';
}

const TURNED_AWAY = new Set(['event-closed', 'banned']);

// The turn is over since the sale has closed, or the buyer was shut out. What is held may still be paid.
async function turnedAway(code) {
  if (code === 'banned') await leaveFor(own(`/wait/${eventId}`));
  else if (!held()) enter('closed');
  else if (CHOOSING.has(state.view)) enter('last');
  return { status: code };
}

// Reads the buyer's turn and reservations, whenever a message may have been missed. The answer counts at once:
// the request carries the pass as a cookie, and with a pass no pod answers from what it remembers.
async function readTurn() {
  let answer;
  try {
    [answer] = await Promise.all([api('GET', `/api/queue/status/${eventId}`), state.order.refresh()]);
  } catch (error) {
    if (!(error instanceof ApiError) || !TURNED_AWAY.has(error.code)) throw error;
    return turnedAway(error.code);
  }
  takeOrder();
  if (isOld(answer)) return answer;
  const inside = takeTurn(answer);
  if (inside && answer.claimed === false && isSeen()) void claim();
  if (!inside && CHOOSING.has(state.view)) {
    if (held()) enter('last');
    else if (state.order.bought.length > 0 && state.busy === 'pay') await leaveFor(own(`/tickets/${eventId}`));
    else if (answer.status === 'not_in_queue') enter('over');
    else await leaveFor(own(`/wait/${eventId}`)); // the buyer waits in the queue
  }
  tick();
  return answer;
}

async function poll() {
  const answer = await readTurn();
  if (CHOOSING.has(state.view)) await readMap();
  if (!ACTIVE.has(state.view)) return null;
  return Math.min(answer.nextPoll ?? 15, 15);
}

// Tells the service that the buyer is at this page: over the socket, or else by a request.
async function claim() {
  try {
    const sent = state.link === 'socket' && live.send('heartbeat', { claim: true });
    if (!sent) takeTurn(await api('POST', `/api/queue/heartbeat/${eventId}`, { json: { claim: true } }));
    state.aliveAt = now();
  } catch {
    // the next one may get through
  }
}

// By the name of a socket message.
const HANDLERS = {
  'seats-changed': applyDelta,
  'queue-entry-allowed': (payload) => {
    if (payload.claimed !== false) takeTurn(payload);
    if (payload.reservation && !held()) void quietly(state.order.refresh().then(() => takeOrder()));
    tick();
  },
  'turn-claimed': (payload) => {
    takeTurn(payload);
    tick();
  },
  'event-status-changed': ({ status }) => {
    // Those inside may go on for a while: the turn says it.
    if (status === 'closed') void quietly(readTurn());
    else live.refresh();
  },
  'queue-cleared': () => live.refresh(),
  // The gateway finds the buyer waiting: the turn may have ended on another device.
  'queue-position': () => live.pollNow(),
  error: ({ code }) => code !== 'draining' && live.pollNow(),
};

function showLink(link) {
  const isBroken = (one) => one === 'lost' || one === 'unavailable';
  if (isBroken(link) !== isBroken(state.link)) say(t(isBroken(link) ? 'lost_title' : 'say_back'));
  update({ link });
}

// Another tab of this browser has changed the order, or left the queue.
async function followTab() {
  await quietly(readTurn());
  catchUp();
}

// ---- start ----

function enableControls() {
  const on = (id, step) => $(id).addEventListener('click', step);
  $('best').addEventListener('submit', (submit) => {
    submit.preventDefault();
    const section = $('section').value;
    void hold({ quantity: Number($('quantity').value), ...(section ? { section } : {}) });
  });
  $('pay').addEventListener('submit', (submit) => {
    submit.preventDefault();
    void (submit.submitter?.value === 'cancel' ? release() : pay());
  });
  on('pay_button', askEmail);
  on('take', () => {
    const { draft, seats } = state;
    void (draft.length === 0 ? release() : hold({ seatIds: draft.map((i) => seats.id(i)) }, [...draft]));
  });
  on('keep', () => setDraft([...state.held], { limited: false }));
  on('offer', () => {
    const { indices } = state.notice.offer;
    showSeats(indices);
    void hold({ seatIds: indices.map((i) => state.seats.id(i)) }, indices);
  });
  on('notice_close', () => update({ notice: undefined }));
  on('order_toggle', () => update({ open: !state.open }));
  on('back', backToPlan);
  on('larger', () => zoom(1.4));
  on('smaller', () => zoom(1 / 1.4));
}

function startActive() {
  enableControls();
  takeTurn(JSON.parse(json));
  const written = $('notice_text').textContent; // by the server, about the form that led here
  if (written) state.notice = { text: written };
  if (CHOOSING.has(state.view)) void quietly(readMap());
  live = new Live({
    url: ws, eventId, ticket: () => state.turn.ticket, watchSeats: true, poll, onLink: showLink,
    onMessage: (event, payload) => isOld(payload) || HANDLERS[event]?.(payload),
  });
  presence = new Presence({ claim });
  update();
  live.start();
  presence.start();
  void quietly(awaitAutoHold());
  tick();
  setInterval(tick, 500);
  addEventListener('popstate', () => isPlan() && update({ area: state.areas[history.state?.area] }));
  // The browser's back button may bring this page back from its cache as it was: load it again.
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  tabs?.addEventListener('message', () => ACTIVE.has(state.view) && void followTab());
}

// Removes from the URL what must not be shown again after a reload.
function tidyUrl() {
  search.delete('notice');
  search.delete('lang');
  search.delete('payment');
  search.delete('reservation');
  const rest = search.toString();
  history.replaceState(history.state, '', location.pathname + (rest && `?${rest}`));
}

// The height of what covers the lower edge: what gets the focus is scrolled above it.
function measureOrder() {
  const order = $('order');
  new ResizeObserver(() => document.documentElement.style.setProperty('--order-height', `${order.offsetHeight}px`)).observe(order);
}

function start() {
  startClock(Number(document.body.dataset.now));
  measureOrder();
  if (reservations) state.order.replace(JSON.parse(reservations).reservations);
  tidyUrl();
  if (ACTIVE.has(state.view)) startActive();
  else update();
  if (state.view === 'closed') void reopening(eventId).then(() => location.reload());
  if (RETRY.has(state.view)) setTimeout(() => void seen().then(() => location.reload()), 4000 + Math.random() * 6000);
}

start();
