// SPDX-License-Identifier: MIT
//
// buy: from the hall to the ticket. The server decides everything; this page shows what it said: the
// seats he holds (order), the hall as it stands (seats, drawn by hall or sections), and what he has
// marked in it but not yet asked for (draft). Whatever may have been missed is asked for again.

import { ApiError, api } from './api.js';
import { begin, now } from './clock.js';
import { Hall } from './hall.js';
import { countdown, dateTime, load, money, number, plural, t } from './i18n.js';
import { Live } from './live.js';
import { Order } from './order.js';
import { Seats, nextBest, pack } from './seats.js';
import { Sections, areasOf } from './sections.js';

const $ = (id) => document.getElementById(id);
const { event: eventId, assets, ws, title, max, auto, json, reservations } = document.body.dataset;
const main = $('main');
const maxSeats = Number(max) || 4;
const search = new URLSearchParams(location.search);

// In these the page lives; all others are at their end.
const CHOOSING = new Set(['choose', 'sold_out']);
const ACTIVE = new Set(['choose', 'sold_out', 'last']);
const STEPS = { choose: 'choose', sold_out: 'choose', last: 'pay', confirming: 'pay', bought: 'done' };
const RETRY = new Set(['unavailable', 'busy']);
const KNOWN = new Set(['seat-taken', 'no-adjacent', 'no-seats', 'limit', 'expired', 'not-payable', 'already-paid']);
const SETTING_ASIDE_MS = 6000;
const SLOW_MS = 20000;
const LATE_MS = 15000;
const MAP_AGE_MS = 1000; // a map may be so old
const MAP_TRIES = 5;
const NOTED_MS = 3000; // by then the map has what was said before

const order = new Order(eventId);
const seen = { state: main.dataset.state, ticket: undefined, endsAt: undefined, busy: false, arrivedAt: performance.now() };
let draft = []; // indices of seats, as marked
let held = []; // of those he holds
let seats;
let hall;
let plan; // sections; undefined: the hall is shown whole
let areas = [];
let live;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- saying ----

function write(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function say(text, how = 'polite') {
  $(how).textContent = '';
  setTimeout(() => write(how, text), 50);
}

function notice(text, offer) {
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

// ---- seats in words ----

function seatName(i) {
  const row = seats.row(i);
  return t('seat_name', { section: row.section, row: row.row, number: seats.numbers[i] });
}

const listOf = new Intl.ListFormat(document.documentElement.lang, { type: 'conjunction' });

// "Floor, row 3, seats 5 and 6; Balcony, row 1, seat 2": each row once.
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

// Shows again those seats, and all that is his or was.
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

// The colours of what is shown.
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
  $('back').hidden = !plan || !onMap;
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

function showPlan({ from } = {}) {
  write('hall_title', t('buy_hall'));
  plan.show();
  showTools();
  if (from) plan.focus(from);
}

const areaOf = (i) => areas.find(({ first, end }) => i >= first && i < end);

// What he holds, in view: its area, and it in the middle.
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
  plan = areas.length > 1
    ? new Sections($('hall'), { seats, areas, onChoose: (area) => showArea(area, { focus: true }) })
    : undefined;
  $('map_state').hidden = true;
  $('section').length = 1;
  fillSections();
  takeHeld();
  draft = [...held];
  if (held.length > 0) showHeld();
  else if (plan) showPlan();
  else showArea(areas[0]);
  judgeSoldOut();
}

// ---- the map ----

let worker;

function askMap(version) {
  const path = `/api/seats/${eventId}`;
  worker ??= startWorker();
  if (!worker) return api('GET', path, { headers: version === undefined ? {} : { 'If-None-Match': `"${version}"` } }).then((map) => map && pack(map));
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { hall: packed, error } }) => {
      if (error) reject(new ApiError(error.status, error.problem, error.retryAfter));
      else resolve(packed);
    };
    worker.onerror = () => {
      worker = null; // no module workers here: the page does it by itself
      askMap(version).then(resolve, reject);
    };
    worker.postMessage({ path, version });
  });
}

function startWorker() {
  if (worker === null || typeof Worker !== 'function') return null;
  return new Worker(new URL('./seats_worker.js', import.meta.url), { type: 'module' });
}

let asking;

// The map, or what is new in it. One question at a time.
function readMap() {
  asking ??= (async () => {
    try {
      const packed = await askMap(seats?.version);
      if (!packed) return;
      const changed = seats?.update(packed);
      if (changed) seatsChanged(changed);
      else showHall(packed);
    } catch (error) {
      $('map_state').hidden = seats !== undefined;
      write('map_state', t('buy_map_failed'));
      throw error;
    } finally {
      asking = undefined;
    }
  })();
  return asking;
}

let wanted = 0; // the version of the map that is known to exist
let catchingUp;

// The map may be older than the news that made us read it, and the next news may be long in coming.
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

function takeDelta(payload) {
  if (!seats && !CHOOSING.has(seen.state)) return;
  const changed = seats?.apply(payload);
  if (changed) seatsChanged(changed);
  else catchUp(payload.version);
}

// These are gone, an answer says. Where that is over sooner than it is in the map, no change is ever told.
async function noteGone(gone) {
  seats?.note(gone);
  await sleep(NOTED_MS);
  await readMap().catch(() => {});
  const back = seats?.settle(gone) ?? [];
  if (back.length > 0) seatsChanged(back);
}

function seatsChanged(changed) {
  plan?.changed(changed);
  const lost = draft.filter((i) => changed.includes(i) && !seats.isFree(i) && !held.includes(i));
  if (lost.length > 0 && !seen.busy) {
    draft = draft.filter((i) => !lost.includes(i));
    notice(t('buy_notice_swept', { seats: namesOf(lost) }), offerFor([...draft, ...lost].sort((a, b) => a - b)));
    showOrder();
  }
  redraw([...changed, ...lost]);
  judgeSoldOut();
}

function judgeSoldOut() {
  if (!CHOOSING.has(seen.state) || !seats) return;
  const nothing = seats.free === 0 && !order.held && seats.count > 0;
  enterState(nothing ? 'sold_out' : 'choose', { quietly: !nothing });
}

// ---- the order ----

// What the reservation says, as seats of the map.
function takeHeld() {
  const before = held;
  held = order.held && seats ? order.held.seats.map(({ id }) => seats.index(id)).filter((i) => i >= 0).sort((a, b) => a - b) : [];
  return !same(before, held);
}

function takeOrder() {
  const untouched = !isDraft();
  const moved = takeHeld();
  if (untouched) draft = [...held];
  showOrder();
  showTime();
  if (moved) redraw();
  if (moved && untouched && !seen.touched && held.length > 0) { // what was set aside for him
    showHeld();
    say(plural('buy_say_held', held.length, { seats: namesOf(held), total: money(order.held.totalAmount, order.held.currency) }));
  }
  return moved;
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

// Seats are set aside a moment after he was let in.
const settingAside = () => Boolean(auto) && seen.state === 'choose' && !order.held && !seen.touched
  && performance.now() - seen.arrivedAt < SETTING_ASIDE_MS;

async function awaitSeats() {
  while (settingAside()) {
    await sleep(700);
    await order.refresh().catch(() => {});
    takeOrder();
  }
  showOrder();
}

async function busy(step) {
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

// Takes the answer of a hold as what he holds now.
async function hold(wish, wanted) {
  await busy(async () => {
    notice();
    try {
      const reservation = await order.hold(wish);
      order.take([{ ...reservation, eventId }, ...order.reservations.filter(({ status }) => status !== 'held')]);
      takeHeld();
      draft = [...held];
      redraw();
      say(plural('buy_say_held', held.length, { seats: namesOf(held), total: money(reservation.totalAmount, reservation.currency) }));
      if (!wanted) showHeld();
    } catch (error) {
      await refused(error, wanted);
    }
  });
}

// Kindly: what has happened, that he has lost nothing by it, and what comes closest.
async function refused(error, wanted = []) {
  if (error.code === 'not-admitted') {
    await lookAround();
    return;
  }
  const key = KNOWN.has(error.code) ? error.code : error.status === 0 ? 'offline' : error.passing ? 'unavailable' : 'failed';
  if (key === 'seat-taken' || key === 'expired') await Promise.allSettled([readMap(), order.refresh()]);
  takeHeld();
  const taken = (error.problem?.seats ?? []).map((id) => seats?.index(id)).filter((i) => i >= 0);
  if (key === 'seat-taken') noteGone(taken);
  const offer = key === 'seat-taken' ? offerFor(wanted) : undefined;
  if (key === 'seat-taken') draft = [...held];
  redraw(taken);
  const words = key === 'seat-taken' && taken.length > 0 ? t('buy_notice_seat-taken_named', { seats: namesOf(taken) }) : t(`buy_notice_${key}`);
  notice(held.length > 0 && key === 'seat-taken' ? `${words} ${t('buy_notice_seat-taken_kept')}` : words, offer);
  if (offer) $('offer').focus();
}

function offerFor(wanted) {
  const indices = seats ? nextBest(seats, wanted, held) : undefined;
  return indices && { indices, text: t('buy_offer', { seats: namesOf(indices) }) };
}

async function pay() {
  await busy(async () => {
    seen.paying = true;
    showOrder();
    try {
      const address = await order.pay(document.documentElement.lang);
      if (address) location.assign(address);
      else location.replace(`${location.pathname}?reservation=${order.held.id}&payment=paid`);
      await new Promise(() => {}); // the page goes
    } catch (error) {
      seen.paying = false;
      await refused(error);
      await lookAround();
    }
  });
}

async function giveBack() {
  await busy(async () => {
    try {
      await order.cancel();
      notice();
      say(t('buy_say_given_back'));
    } catch (error) {
      await refused(error);
    }
    await order.refresh().catch(() => {});
    takeOrder();
    if (seen.state === 'last' && !order.held) enterState('over');
    judgeSoldOut();
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
    if (left <= 0) holdOver(reservation);
  }
  if (!CHOOSING.has(seen.state) || !seen.endsAt) return;
  const left = seen.endsAt - now();
  $('turn').hidden = false;
  write('turn_text', t('buy_turn_left', { time: countdown(left) }));
  if (left <= 0) askTurn();
}

// A pass may end before the turn does: the queue knows.
async function askTurn() {
  if (seen.asking) return;
  seen.asking = true;
  await lookAround().catch(() => {});
  seen.asking = false;
  if (CHOOSING.has(seen.state) && seen.endsAt <= now()) turnOver();
}

function holdOver(reservation) {
  reservation.status = 'expired';
  seen.touched = true;
  takeOrder();
  if (seen.state === 'last') {
    enterState('over');
    return;
  }
  notice(t('buy_notice_expired'));
  judgeSoldOut();
  readMap().catch(() => {});
}

function turnOver() {
  draft = [...held];
  if (order.held) enterState('last');
  else enterState('over');
  showOrder();
}

// ---- what the server says ----

// What the queue says of him.
function takeTurn(answer) {
  if (answer.ticket) seen.ticket = answer.ticket;
  if (answer.status === 'active') {
    if (answer.passExpiresAt) seen.endsAt = Date.parse(answer.passExpiresAt);
    return true;
  }
  return false;
}

// Where does he stand? Called when something may have been missed. The answer is believed at once: his pass,
// a cookie since this page was sent, goes with the question, and no pod answers that from memory.
async function lookAround() {
  const [turn] = await Promise.all([api('GET', `/api/queue/status/${eventId}`), order.refresh()]);
  const inside = takeTurn(turn);
  takeOrder();
  if (!inside && CHOOSING.has(seen.state)) {
    if (order.held) enterState('last');
    else if (order.bought.length > 0 && seen.paying) location.replace(location.pathname);
    else if (turn.status === 'not_in_queue') enterState('over');
    else location.replace(`/wait/${eventId}`); // he waits
  }
  showTime();
  return turn;
}

async function poll() {
  const turn = await lookAround();
  if (CHOOSING.has(seen.state)) await readMap();
  if (!ACTIVE.has(seen.state)) return null;
  return Math.min(turn.nextPoll ?? 15, 15);
}

const NEWS = {
  'seats-changed': takeDelta,
  'queue-entry-allowed': ({ passExpiresAt, reservation }) => {
    if (passExpiresAt) seen.endsAt = Date.parse(passExpiresAt);
    if (reservation && !order.held) order.refresh().then(takeOrder, () => {});
  },
  'event-status-changed': ({ status }) => {
    if (status === 'closed' && !order.held) enterState('closed');
    else live.refresh();
  },
  'queue-cleared': () => live.refresh(),
  // He is not inside, says the gateway; his turn may have ended elsewhere.
  'queue-position': () => live.ask(),
  error: ({ code }) => code !== 'draining' && live.ask(),
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

// He has paid, says the payment page; here it is shown when the provider has told us, too.
async function confirm(id) {
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

// ---- begin ----

function offerForms() {
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
  $('back').addEventListener('click', () => showPlan({ from: hall.area }));
  $('larger').addEventListener('click', () => hall.zoom(1.4));
  $('smaller').addEventListener('click', () => hall.zoom(1 / 1.4));
}

function chooseSeats() {
  offerForms();
  takeTurn(JSON.parse(json));
  showOrder();
  if (CHOOSING.has(seen.state)) {
    $('map_state').hidden = false;
    write('map_state', t('buy_map_loading'));
    readMap().then(takeOrder, () => {});
  }
  live = new Live({
    url: ws, eventId, ticket: () => seen.ticket, watchSeats: true, poll, onLink: showLink,
    onMessage: (event, payload) => NEWS[event]?.(payload),
  });
  live.start();
  awaitSeats();
  showTime();
  setInterval(showTime, 500);
  // Back from the payment page by the browser's own button: the page as it was, unfrozen.
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
}

// The address without what has been said once.
function tidyAddress() {
  search.delete('notice');
  search.delete('lang');
  if (search.get('payment') === 'cancelled') search.delete('payment');
  if (!search.has('payment')) search.delete('reservation');
  const rest = search.toString();
  history.replaceState(null, '', location.pathname + (rest && `?${rest}`));
}

async function start() {
  begin(Number(document.body.dataset.now));
  await load(assets);
  const starts = $('starts');
  if (starts) starts.textContent = dateTime(Date.parse(starts.dateTime));
  order.take(JSON.parse(reservations || '[]'));
  const returned = search.get('reservation');
  if (search.get('payment') === 'paid') $('heading').focus({ preventScroll: true });
  tidyAddress();
  showStep();
  if (ACTIVE.has(seen.state)) chooseSeats();
  else if (RETRY.has(seen.state)) setTimeout(() => location.reload(), 4000 + Math.random() * 6000);
  if (seen.state === 'confirming') confirm(returned);
  if (['confirming', 'bought', 'late', 'refunded'].includes(seen.state)) showBought(order.find(returned) ?? order.bought[0]);
}

start();
