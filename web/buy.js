// SPDX-License-Identifier: MIT
//
// buy: the page where seats are chosen and paid. The server decides; this page shows its answers: the
// reservations of the buyer (order), the hall (seats, drawn by hall or sections), and the draft: seats that
// the buyer has marked on the map but not yet asked for. What may have been missed is read again.

import { ApiError, api } from './api.js';
import { now, startClock } from './clock.js';
import { $, say, write } from './dom.js';
import { Hall } from './hall.js';
import { countdown, dateTime, load, money, number, plural, t } from './i18n.js';
import { Live } from './live.js';
import { Order } from './order.js';
import { Seats, nextBest, pack } from './seats.js';
import { Sections, areasOf } from './sections.js';

const { event: eventId, assets, ws, title, max, auto, json, reservations } = document.body.dataset;
const main = $('main');
const maxSeats = Number(max) || 4;
const search = new URLSearchParams(location.search);

// In ACTIVE states the page is kept up to date; in all others it no longer changes.
const CHOOSING = new Set(['choose', 'sold_out']);
const ACTIVE = new Set(['choose', 'sold_out', 'last']);
const STEPS = { choose: 'choose', sold_out: 'choose', last: 'pay', confirming: 'pay', bought: 'done' };
const RETRY = new Set(['unavailable', 'busy']);
// Problem codes that have a message of their own, buy_notice_<code>.
const NOTICES = new Set(['seat-taken', 'no-adjacent', 'no-seats', 'limit', 'expired', 'not-payable', 'already-paid']);
const AUTO_HOLD_MS = 6000; // the time in which seats are set aside for a buyer who was just admitted
const SLOW_MS = 20000; // a payment confirmation that takes longer is explained
const LATE_MS = 15000; // a hold that ended for so long without a confirmation was paid too late
const MAP_AGE_MS = 1000; // the map may be so old
const MAP_TRIES = 5;
const MARKED_MS = 3000; // after so long the map shows what markTaken marked before

const order = new Order(eventId);
const seen = { state: main.dataset.state, ticket: undefined, endsAt: undefined, busy: false, arrivedAt: performance.now() };
let draft = []; // indices of the seats marked on the map
let held = []; // indices of the seats that the buyer holds
let seats;
let hall;
let overview; // of sections; undefined: the hall is shown in one piece
let areas = [];
let live;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- state and notice ----

// Shows a notice; no text: hides it. `offer`: a button that asks for other seats instead.
function showNotice(text, offer) {
  $('notice').hidden = !text;
  write('notice_text', text ?? '');
  $('offer').hidden = !offer;
  write('offer', offer?.text ?? '');
  seen.offer = offer?.indices;
  if (text) say(offer ? `${text} ${offer.text}` : text, 'assertive');
}

function enterState(state, { quietly = false } = {}) {
  if (seen.state === state) return;
  seen.state = state;
  main.dataset.state = state;
  write('heading', t(`buy_${state}_title`));
  write('lead', t(`buy_${state}_lead`));
  document.title = t('title_other', { heading: $('heading').textContent, title });
  showStep();
  if (!ACTIVE.has(state)) live?.stop();
  if (quietly) return;
  say(`${t(`buy_${state}_title`)}. ${t(`buy_${state}_lead`)}`, 'assertive');
  if (!CHOOSING.has(state)) {
    scrollTo({ top: 0 });
    $('heading').focus({ preventScroll: true });
  }
}

function showStep() {
  for (const step of ['choose', 'pay', 'done']) $(`step_${step}`).removeAttribute('aria-current');
  if (STEPS[seen.state]) $(`step_${STEPS[seen.state]}`).setAttribute('aria-current', 'step');
}

// ---- seats as text ----

function seatName(i) {
  const row = seats.row(i);
  return t('seat_name', { section: row.section, row: row.row, number: seats.numbers[i] });
}

const listOf = new Intl.ListFormat(document.documentElement.lang, { type: 'conjunction' });

// "Floor, row 3, seats 5 and 6; Balcony, row 1, seat 2": one entry for each row.
function namesOf(indices) {
  const rows = new Map();
  for (const i of indices) rows.set(seats.row(i), [...(rows.get(seats.row(i)) ?? []), i]);
  return listOf.format([...rows].map(([row, list]) => (list.length === 1
    ? seatName(list[0])
    : t('seat_names', { section: row.section, row: row.row, numbers: listOf.format(list.map((i) => String(seats.numbers[i]))) }))));
}

const reservedName = ({ section, row, number: n }) => t('seat_name', { section, row, number: n });

function seatItem(name, price) {
  const item = document.createElement('li');
  for (const [className, text] of [['seat-name', name], ['seat-price', price]]) {
    item.append(Object.assign(document.createElement('span'), { className, textContent: text }), ' ');
  }
  return item;
}

const itemsOf = (reservation) => reservation.seats.map((seat) => seatItem(reservedName(seat), money(seat.price, seat.currency)));

// ---- the hall ----

const same = (a, b) => a.length === b.length && a.every((i) => b.includes(i));
const isDraft = () => !same(draft, held);

function stateOf(i) {
  if (draft.includes(i)) return held.includes(i) ? 'own' : 'chosen';
  return seats.isFree(i) || held.includes(i) ? 'free' : 'taken';
}

// Updates these seats on the map, and those that are or were held or in the draft.
function redraw(indices = []) {
  hall?.changed(new Set([...indices, ...held, ...draft, ...(seen.marked ?? [])]));
  seen.marked = [...held, ...draft];
}

function choose(i) {
  if (!seats || seen.busy || !CHOOSING.has(seen.state)) return;
  const state = stateOf(i);
  $('limit').textContent = '';
  if (state === 'taken') {
    say(hall.label(i));
    return;
  }
  if (state === 'free' && draft.length >= maxSeats) {
    write('limit', t('buy_limit', { n: number(maxSeats) }));
    say(t('buy_limit', { n: number(maxSeats) }));
    return;
  }
  draft = state === 'free' ? [...draft, i].sort((a, b) => a - b) : draft.filter((k) => k !== i);
  say(state === 'free' ? plural('buy_say_chosen', draft.length, { seat: seatName(i) }) : t('buy_say_dropped', { seat: seatName(i) }));
  showOrder();
  redraw([i]);
}

function showSpot(i) {
  write('spot', i === undefined ? '' : `${seatName(i)} · ${money(seats.prices[i], seats.currency)} · ${t(`seat_${stateOf(i)}`)}`);
}

// The legend of an area: its prices, and the states of seats.
function showLegend(area) {
  const entry = (className, text) => {
    const item = document.createElement('li');
    item.append(Object.assign(document.createElement('span'), { className: `swatch ${className}` }), text);
    return item;
  };
  const prices = [...new Set(seats.prices.subarray(area.first, area.end))].sort((a, b) => b - a).slice(0, 8);
  $('legend').replaceChildren(
    ...prices.map((price) => entry(`t${seats.tier(price)}`, money(price, seats.currency))), entry('own', t('buy_own')), entry('taken', t('buy_taken')));
}

function showTools() {
  const onMap = hall.shown;
  $('tools').hidden = !onMap;
  $('back').hidden = !overview || !onMap;
  $('smaller').disabled = !hall.canShrink;
  $('larger').disabled = !hall.canGrow;
  $('legend').hidden = $('spot').hidden = !onMap;
}

function showArea(area, { at, focus = false } = {}) {
  write('hall_title', area.name);
  hall.show(area, { at });
  showLegend(area);
  showTools();
  if (focus) hall.focus();
}

function showOverview({ from } = {}) {
  write('hall_title', t('buy_hall'));
  overview.show();
  showTools();
  if (from) overview.focus(from);
}

const areaOf = (i) => areas.find(({ first, end }) => i >= first && i < end);

// Scrolls to the seats that the buyer holds.
function showHeld() {
  if (held.length === 0 || !hall) return;
  const area = areaOf(held[0]);
  if (!hall.shown || hall.area !== area) showArea(area, { at: held[0] });
  else hall.center(held[0]);
}

function fillSections() {
  $('section_label').hidden = seats.sections.length < 2;
  const names = seats.sections.map(({ name }) => name);
  $('section').append(...[...new Set(names)].map((name) => new Option(name, name)));
}

function showHall(packed) {
  seats = new Seats(packed);
  areas = areasOf(seats);
  hall = new Hall($('hall'), { seats, stateOf, onChoose: choose, onSpot: showSpot, onZoom: () => hall && showTools() });
  overview = areas.length > 1
    ? new Sections($('hall'), { seats, areas, onChoose: (area) => showArea(area, { focus: true }) })
    : undefined;
  $('map_state').hidden = true;
  $('section').length = 1;
  fillSections();
  updateHeld();
  draft = [...held];
  if (held.length > 0) showHeld();
  else if (overview) showOverview();
  else showArea(areas[0]);
  checkSoldOut();
}

// ---- the map ----

let worker; // null: this browser has no module workers

// Reads the map, if its version differs; undefined otherwise.
function fetchMap(version) {
  const path = `/api/seats/${eventId}`;
  worker ??= startWorker();
  if (!worker) return api('GET', path, { headers: version === undefined ? {} : { 'If-None-Match': `"${version}"` } }).then((map) => map && pack(map));
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { hall: packed, error } }) => {
      if (error) reject(new ApiError(error.status, error.problem, error.retryAfter));
      else resolve(packed);
    };
    worker.onerror = () => {
      worker = null;
      fetchMap(version).then(resolve, reject);
    };
    worker.postMessage({ path, version });
  });
}

function startWorker() {
  if (worker === null || typeof Worker !== 'function') return null;
  return new Worker(new URL('./seats_worker.js', import.meta.url), { type: 'module' });
}

let mapRead;

// Reads the map and shows what changed. Concurrent calls share one request.
function readMap() {
  mapRead ??= (async () => {
    try {
      const packed = await fetchMap(seats?.version);
      if (!packed) return;
      const changed = seats?.update(packed);
      if (changed) seatsChanged(changed);
      else showHall(packed);
    } catch (error) {
      $('map_state').hidden = seats !== undefined;
      write('map_state', t('buy_map_failed'));
      throw error;
    } finally {
      mapRead = undefined;
    }
  })();
  return mapRead;
}

let wanted = 0; // the newest version of the map that is known to exist
let catchingUp;

// Reads the map until it has the wanted version: an answer may be older than the message that named the
// version, and the next message may take long.
function catchUp(version = 0) {
  wanted = Math.max(wanted, version);
  catchingUp ??= (async () => {
    for (let n = 0; n < MAP_TRIES && ACTIVE.has(seen.state); n++) {
      if (n > 0) await sleep(MAP_AGE_MS * (1 + Math.random()));
      await readMap().catch(() => {});
      if (seats?.version >= wanted) break;
    }
    catchingUp = undefined;
  })();
}

function applyDelta(payload) {
  if (!seats && !CHOOSING.has(seen.state)) return;
  const changed = seats?.apply(payload);
  if (changed) seatsChanged(changed);
  else catchUp(payload.version);
}

// Shows seats as taken that a refused hold named, before a map does. If they are free again before any map
// shows them as taken, no message comes: so the marks end after a while.
async function markTaken(taken) {
  seats?.markTaken(taken);
  await sleep(MARKED_MS);
  await readMap().catch(() => {});
  const back = seats?.releaseUnconfirmed(taken) ?? [];
  if (back.length > 0) seatsChanged(back);
}

function seatsChanged(changed) {
  overview?.changed(changed);
  const lost = draft.filter((i) => changed.includes(i) && !seats.isFree(i) && !held.includes(i));
  if (lost.length > 0 && !seen.busy) {
    draft = draft.filter((i) => !lost.includes(i));
    showNotice(t('buy_notice_swept', { seats: namesOf(lost) }), offerFor([...draft, ...lost].sort((a, b) => a - b)));
    showOrder();
  }
  redraw([...changed, ...lost]);
  checkSoldOut();
}

function checkSoldOut() {
  if (!CHOOSING.has(seen.state) || !seats) return;
  const soldOut = seats.free === 0 && !order.held && seats.count > 0;
  enterState(soldOut ? 'sold_out' : 'choose', { quietly: !soldOut });
}

// ---- the order ----

// Updates `held` from the reservation; true: it changed.
function updateHeld() {
  const before = held;
  held = order.held && seats ? order.held.seats.map(({ id }) => seats.index(id)).filter((i) => i >= 0).sort((a, b) => a - b) : [];
  return !same(before, held);
}

// Shows the reservations in `order`. The draft follows them, unless the buyer has changed it.
function updateOrder() {
  const untouched = !isDraft();
  const moved = updateHeld();
  if (untouched) draft = [...held];
  showOrder();
  showTime();
  if (moved) redraw();
  if (moved && untouched && !seen.touched && held.length > 0) { // seats were set aside for the buyer
    showHeld();
    say(plural('buy_say_held', held.length, { seats: namesOf(held), total: money(order.held.totalAmount, order.held.currency) }));
  }
}

function showOrder() {
  const reservation = order.held;
  const changing = isDraft();
  const list = changing ? draft.map((i) => seatItem(seatName(i), money(seats.prices[i], seats.currency))) : reservation ? itemsOf(reservation) : [];
  const total = changing ? money(seats.total(draft), seats.currency) : reservation ? money(reservation.totalAmount, reservation.currency) : '';
  write('order_title', changing ? t('buy_choice') : t('buy_yours'));
  $('seats').replaceChildren(...list);
  $('total_line').hidden = list.length === 0;
  write('total', total);
  $('none').hidden = list.length > 0;
  write('none', settingAside() ? t('buy_setting_aside') : t('buy_none_held'));
  $('held_for').hidden = !reservation;
  $('draft').hidden = !changing;
  $('take').disabled = seen.busy || draft.length === 0;
  write('take', plural('buy_take', draft.length));
  $('pay').hidden = changing || !reservation;
  $('reservation').value = reservation?.id ?? '';
  write('pay_button', seen.paying ? t('buy_paying') : t('buy_pay', { amount: total }));
  for (const id of ['pay_button', 'cancel', 'best_button', 'keep']) $(id).disabled = seen.busy;
  $('order').dataset.empty = list.length === 0;
  $('order').dataset.changing = changing;
  if (draft.length < maxSeats) write('limit', '');
}

// The service sets seats aside a moment after the buyer was admitted.
const settingAside = () => Boolean(auto) && seen.state === 'choose' && !order.held && !seen.touched
  && performance.now() - seen.arrivedAt < AUTO_HOLD_MS;

async function awaitAutoHold() {
  while (settingAside()) {
    await sleep(700);
    await order.refresh().catch(() => {});
    updateOrder();
  }
  showOrder();
}

// Runs one step at a time; the buttons are disabled while it runs.
async function whileBusy(step) {
  if (seen.busy) return;
  seen.busy = true;
  seen.touched = true;
  showOrder();
  try {
    await step();
  } finally {
    seen.busy = false;
    showOrder();
  }
}

// Holds seats, see Order.hold. `wanted`: their indices, if they were chosen on the map.
async function hold(request, wanted) {
  await whileBusy(async () => {
    showNotice();
    try {
      const reservation = await order.hold(request);
      order.replace([{ ...reservation, eventId }, ...order.reservations.filter(({ status }) => status !== 'held')]);
      updateHeld();
      draft = [...held];
      redraw();
      say(plural('buy_say_held', held.length, { seats: namesOf(held), total: money(reservation.totalAmount, reservation.currency) }));
      if (!wanted) showHeld();
    } catch (error) {
      await showRefusal(error, wanted);
    }
  });
}

// Says what happened, that the seats held before are kept, and offers the closest free seats.
async function showRefusal(error, wanted = []) {
  if (error.code === 'not-admitted') {
    await readTurn();
    return;
  }
  const key = NOTICES.has(error.code) ? error.code : error.status === 0 ? 'offline' : error.transient ? 'unavailable' : 'failed';
  if (key === 'seat-taken' || key === 'expired') await Promise.allSettled([readMap(), order.refresh()]);
  updateHeld();
  const taken = (error.problem?.seats ?? []).map((id) => seats?.index(id)).filter((i) => i >= 0);
  if (key === 'seat-taken') markTaken(taken);
  const offer = key === 'seat-taken' ? offerFor(wanted) : undefined;
  if (key === 'seat-taken') draft = [...held];
  redraw(taken);
  const words = key === 'seat-taken' && taken.length > 0 ? t('buy_notice_seat-taken_named', { seats: namesOf(taken) }) : t(`buy_notice_${key}`);
  showNotice(held.length > 0 && key === 'seat-taken' ? `${words} ${t('buy_notice_seat-taken_kept')}` : words, offer);
  if (offer) $('offer').focus();
}

function offerFor(wanted) {
  const indices = seats ? nextBest(seats, wanted, held) : undefined;
  return indices && { indices, text: t('buy_offer', { seats: namesOf(indices) }) };
}

async function pay() {
  await whileBusy(async () => {
    seen.paying = true;
    showOrder();
    try {
      const url = await order.pay(document.documentElement.lang);
      if (url) location.assign(url);
      else location.replace(`${location.pathname}?reservation=${order.held.id}&payment=paid`);
      await new Promise(() => {}); // until the browser leaves this page
    } catch (error) {
      seen.paying = false;
      await showRefusal(error);
      await readTurn();
    }
  });
}

async function giveBack() {
  await whileBusy(async () => {
    try {
      await order.cancel();
      showNotice();
      say(t('buy_say_given_back'));
    } catch (error) {
      await showRefusal(error);
    }
    await order.refresh().catch(() => {});
    updateOrder();
    if (seen.state === 'last' && !order.held) enterState('over');
    checkSoldOut();
  });
}

// ---- time ----

function showTime() {
  const reservation = order.held;
  if (reservation && ACTIVE.has(seen.state)) {
    const left = Date.parse(reservation.expiresAt) - now();
    write('held_label', t('buy_held_for'));
    write('held_time', countdown(left));
    $('held_for').classList.toggle('soon', left < 60000);
    if (left < 60000 && left > 50000 && seen.warned !== reservation.id) {
      seen.warned = reservation.id;
      say(t('buy_say_minute'), 'assertive');
    }
    if (left <= 0) endHold(reservation);
  }
  if (!CHOOSING.has(seen.state) || !seen.endsAt) return;
  const left = seen.endsAt - now();
  $('turn').hidden = false;
  write('turn_text', t('buy_turn_left', { time: countdown(left) }));
  if (left <= 0) checkTurn();
}

// A pass may expire before the turn ends, so the queue is asked.
async function checkTurn() {
  if (seen.checking) return;
  seen.checking = true;
  await readTurn().catch(() => {});
  seen.checking = false;
  if (CHOOSING.has(seen.state) && seen.endsAt <= now()) endTurn();
}

function endHold(reservation) {
  reservation.status = 'expired';
  seen.touched = true;
  updateOrder();
  if (seen.state === 'last') {
    enterState('over');
    return;
  }
  showNotice(t('buy_notice_expired'));
  checkSoldOut();
  readMap().catch(() => {});
}

function endTurn() {
  draft = [...held];
  if (order.held) enterState('last');
  else enterState('over');
  showOrder();
}

// ---- answers and messages of the server ----

// Takes over an answer of the queue; true: the buyer is inside.
function updateTurn(answer) {
  if (answer.ticket) seen.ticket = answer.ticket;
  if (answer.status !== 'active') return false;
  if (answer.passExpiresAt) seen.endsAt = Date.parse(answer.passExpiresAt);
  return true;
}

// Reads the buyer's turn and reservations, whenever a message may have been missed. The answer counts at once:
// the request carries the pass as a cookie, and with a pass no pod answers from what it remembers.
async function readTurn() {
  const [turn] = await Promise.all([api('GET', `/api/queue/status/${eventId}`), order.refresh()]);
  const inside = updateTurn(turn);
  updateOrder();
  if (!inside && CHOOSING.has(seen.state)) {
    if (order.held) enterState('last');
    else if (order.bought.length > 0 && seen.paying) location.replace(location.pathname);
    else if (turn.status === 'not_in_queue') enterState('over');
    else location.replace(`/wait/${eventId}`); // the buyer waits in the queue
  }
  showTime();
  return turn;
}

async function poll() {
  const turn = await readTurn();
  if (CHOOSING.has(seen.state)) await readMap();
  if (!ACTIVE.has(seen.state)) return null;
  return Math.min(turn.nextPoll ?? 15, 15);
}

// By the name of a socket message.
const HANDLERS = {
  'seats-changed': applyDelta,
  'queue-entry-allowed': ({ passExpiresAt, reservation }) => {
    if (passExpiresAt) seen.endsAt = Date.parse(passExpiresAt);
    if (reservation && !order.held) order.refresh().then(updateOrder, () => {});
  },
  'event-status-changed': ({ status }) => {
    if (status === 'closed' && !order.held) enterState('closed');
    else live.refresh();
  },
  'queue-cleared': () => live.refresh(),
  // The gateway finds the buyer waiting: the turn may have ended on another device.
  'queue-position': () => live.pollNow(),
  error: ({ code }) => code !== 'draining' && live.pollNow(),
};

function showLink(link) {
  const broken = link === 'lost' || link === 'unavailable';
  main.dataset.live = link;
  write('live_text', t(`live_${link}`));
  $('lost').hidden = !broken;
  write('lost_title', t(link === 'lost' ? 'lost_title' : 'out_title'));
  if (broken !== Boolean(seen.broken)) say(t(broken ? 'lost_title' : 'say_back'));
  seen.broken = broken;
}

// ---- after the payment page ----

// The payment page says that the buyer has paid. Waits until the provider has reported it to the service.
async function awaitConfirmation(id) {
  const began = performance.now();
  for (let wait = 500; ; wait = Math.min(wait * 1.3, 4000)) {
    await sleep(wait);
    const reservation = await api('GET', `/api/reservations/${id}`).catch(() => undefined);
    const status = reservation?.status;
    const waited = performance.now() - began;
    if (status === 'confirmed' || status === 'refunded') {
      showBought(reservation);
      enterState(status === 'confirmed' ? 'bought' : 'refunded');
      return;
    }
    if ((status === 'expired' || status === 'cancelled') && waited > LATE_MS) {
      enterState('late');
      return;
    }
    if (waited > SLOW_MS) write('lead', t('buy_confirming_slow'));
  }
}

function showBought(reservation) {
  if (!reservation) return;
  write('number', reservation.reservationNumber);
  $('own_seats').replaceChildren(...itemsOf(reservation));
  write('own_total', money(reservation.totalAmount, reservation.currency));
}

// ---- start ----

function enableControls() {
  $('best').addEventListener('submit', (submit) => {
    submit.preventDefault();
    const section = $('section').value;
    hold({ quantity: Number($('quantity').value), ...(section ? { section } : {}) });
  });
  $('pay').addEventListener('submit', (submit) => {
    submit.preventDefault();
    if (submit.submitter?.value === 'cancel') giveBack();
    else pay();
  });
  $('take').addEventListener('click', () => hold({ seatIds: draft.map((i) => seats.id(i)) }, [...draft]));
  $('keep').addEventListener('click', () => {
    draft = [...held];
    showOrder();
    redraw();
  });
  $('offer').addEventListener('click', () => {
    const indices = seen.offer;
    const area = areaOf(indices[0]);
    if (!hall.shown || hall.area !== area) showArea(area, { at: indices[0] });
    hall.center(indices[0]);
    hold({ seatIds: indices.map((i) => seats.id(i)) }, indices);
  });
  $('back').addEventListener('click', () => showOverview({ from: hall.area }));
  $('larger').addEventListener('click', () => hall.zoom(1.4));
  $('smaller').addEventListener('click', () => hall.zoom(1 / 1.4));
}

function startActive() {
  enableControls();
  updateTurn(JSON.parse(json));
  showOrder();
  if (CHOOSING.has(seen.state)) {
    $('map_state').hidden = false;
    write('map_state', t('buy_map_loading'));
    readMap().then(updateOrder, () => {});
  }
  live = new Live({
    url: ws, eventId, ticket: () => seen.ticket, watchSeats: true, poll, onLink: showLink,
    onMessage: (event, payload) => HANDLERS[event]?.(payload),
  });
  live.start();
  awaitAutoHold();
  showTime();
  setInterval(showTime, 500);
  // The browser's back button may bring this page back from its cache as it was: load it again.
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
}

// Removes from the URL what must not be shown again after a reload.
function tidyUrl() {
  search.delete('notice');
  search.delete('lang');
  if (search.get('payment') === 'cancelled') search.delete('payment');
  if (!search.has('payment')) search.delete('reservation');
  const rest = search.toString();
  history.replaceState(null, '', location.pathname + (rest && `?${rest}`));
}

async function start() {
  startClock(Number(document.body.dataset.now));
  await load(assets);
  const starts = $('starts');
  if (starts) starts.textContent = dateTime(Date.parse(starts.dateTime));
  if (reservations) order.replace(JSON.parse(reservations).reservations);
  const returned = search.get('reservation');
  if (search.get('payment') === 'paid') $('heading').focus({ preventScroll: true });
  tidyUrl();
  showStep();
  if (ACTIVE.has(seen.state)) startActive();
  else if (RETRY.has(seen.state)) setTimeout(() => location.reload(), 4000 + Math.random() * 6000);
  if (seen.state === 'confirming') awaitConfirmation(returned);
  if (['confirming', 'bought', 'late', 'refunded'].includes(seen.state)) showBought(order.find(returned) ?? order.bought[0]);
}

start();
