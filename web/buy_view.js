// SPDX-License-Identifier: MIT
//
// buy_view: the buying page as it follows from its state. render(state) writes everything; what is as before
// is not touched. Nothing else writes to the document, but for the map, which buy.js has opened here.
// The keyboard focus is kept: if what had it disappears, it moves on to the next thing to do.
//
//   openHall(seats, areas, { stateOf, onSeat, onArea });   render(state);

import { now } from './clock.js';
import { nearest, phaseOf } from './deadline.js';
import { $, markLanguage, say, write } from './dom.js';
import { Hall } from './hall.js';
import { countdown, money, number, plural, t } from './i18n.js';
import { isolated, namesOf, reservedName, reservedNames, seatName } from './seat_text.js';
import { Sections } from './sections.js';

export const CHOOSING = new Set(['choose', 'sold_out']);
export const ACTIVE = new Set(['choose', 'sold_out', 'last']);
const STEPS = { choose: 'choose', sold_out: 'choose', last: 'pay' };
const LEGEND_PRICES = 8;

const main = $('main');
const language = document.documentElement.lang;
const title = document.body.dataset.title;
const drawn = {}; // what the document shows, where it does not say so itself
let hall;
let overview; // undefined: the hall is shown in one piece

const same = (a, b) => a.length === b.length && a.every((i) => b.includes(i));
export const isDraft = ({ draft, held }) => !same(draft, held);

// True once for each value of a part of the page: that part is to be written again.
function isNew(name, value) {
  if (drawn[name] === value) return false;
  drawn[name] = value;
  return true;
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- time ----

// The time limit that is shown. Away from the service, the turn ends after the idle time.
export function deadlineOf({ view, turn, link, order, aliveAt }) {
  if (!ACTIVE.has(view)) return undefined;
  const choosing = CHOOSING.has(view);
  const broken = link === 'lost' || link === 'unavailable';
  return nearest({
    turn: choosing ? turn.endsAt : undefined,
    hold: order.held && Date.parse(order.held.expiresAt),
    idle: choosing && broken && turn.idleMs ? aliveAt + turn.idleMs : undefined,
  });
}

export function seconds(ms) {
  const [unit, size] = ms % 60000 === 0 ? ['minute', 60000] : ['second', 1000];
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(Math.round(ms / size));
}

function renderDeadline(state) {
  const deadline = deadlineOf(state);
  $('clock').hidden = !deadline;
  $('deadline').hidden = !deadline;
  if (!deadline) return;
  const left = deadline.at - now();
  const phase = phaseOf(left);
  write('clock_label', t(`buy_deadline_${deadline.kind}`));
  write('clock_time', countdown(left));
  write('deadline', t(`buy_deadline_${deadline.kind}_then`));
  if (isNew('phase', phase)) $('clock').dataset.phase = $('deadline').dataset.phase = phase;
}

// ---- the map ----

export function openHall(seats, areas, { stateOf, onSeat, onArea }) {
  hall = new Hall($('hall'), { seats, stateOf, onChoose: onSeat, onSpot: (i) => renderSpot(seats, stateOf, i), onZoom: () => hall && renderTools() });
  overview = areas.length > 1 ? new Sections($('hall'), { seats, areas, onChoose: onArea }) : undefined;
  drawn.area = null; // neither an area nor the plan
  $('section_label').hidden = seats.sections.length < 2;
  $('section').length = 1;
  const names = new Set(seats.sections.map(({ name }) => name));
  $('section').append(...[...names].map((name) => markLanguage(Object.assign(new Option(name, name), { dir: 'auto' }))));
}

export const labelOf = (i) => hall.label(i);

function renderSpot(seats, stateOf, i) {
  write('spot', i === undefined ? '' : `${seatName(seats, i)} · ${money(seats.prices[i], seats.currency)} · ${t(`seat_${stateOf(i)}`)}`);
}

function renderTools() {
  $('tools').hidden = !hall.shown;
  $('smaller').disabled = !hall.canShrink;
  $('larger').disabled = !hall.canGrow;
}

const legendItem = (className, text) => element('li', {}, element('span', { className: `swatch ${className}` }), text);

// The prices of an area and the states of seats; on the plan, how much is left of an area.
function renderLegend(seats, area) {
  const items = area
    ? [...new Set(seats.prices.subarray(area.first, area.end))].sort((a, b) => b - a).slice(0, LEGEND_PRICES)
      .map((price) => legendItem(`t${seats.tier(price)}`, money(price, seats.currency)))
      .concat(legendItem('own', t('buy_own')), legendItem('taken', t('buy_taken')))
    : ['many', 'few', 'none'].map((left) => legendItem(`left-${left}`, t(`buy_left_${left}`)));
  const legend = $('legend');
  legend.replaceChildren(...items);
  // What scrolls must be in the reach of the keyboard.
  if (legend.scrollWidth > legend.clientWidth) legend.tabIndex = 0;
  else legend.removeAttribute('tabindex');
}

// Shows the area of the state, or the plan, and brings `state.at` into view.
function renderMap(state) {
  const { seats, area, at, marked, changed } = state;
  $('map').hidden = !seats;
  $('map_state').hidden = Boolean(seats) && !state.mapFailed;
  write('map_state', state.mapFailed ? t('buy_map_failed') : t('buy_map_loading'));
  if (!seats) return;
  const focused = $('hall').contains(document.activeElement) || document.activeElement === $('back');
  const before = drawn.area;
  if (isNew('area', area)) {
    write('hall_title', area?.name ?? t('buy_hall'));
    markLanguage($('hall_title'), area && area.name === area.section ? undefined : '');
    if (area) hall.show(area, { at });
    else overview.show();
    renderLegend(seats, area);
    if (focused && area) hall.focus();
    else if (focused) overview.focus(before);
  } else if (area && at !== undefined) {
    hall.center(at);
  }
  $('back').hidden = !overview || !area;
  renderTools();
  const touched = new Set([...changed, ...(drawn.marked ?? []), ...marked]);
  drawn.marked = marked;
  hall.changed(touched);
  overview?.changed(changed, state.held);
}

// ---- the order ----

const seatItem = (name, price) => element('li', {},
  element('span', { className: 'seat-name', textContent: name, dir: 'auto' }), ' ',
  element('span', { className: 'seat-price', textContent: price, dir: 'auto' }));

const itemsOf = (reservation) => reservation.seats.map((seat) => seatItem(reservedName(seat), money(seat.price, seat.currency)));

// The seats that the order shows: the draft, or what is held.
function orderOf(state) {
  const { draft, seats, order } = state;
  if (isDraft(state)) {
    return {
      count: draft.length, names: namesOf(seats, draft), total: money(seats.total(draft), seats.currency),
      items: () => draft.map((i) => seatItem(seatName(seats, i), money(seats.prices[i], seats.currency))),
    };
  }
  const { held } = order;
  if (!held) return { count: 0, names: '', total: '', items: () => [] };
  return { count: held.seats.length, names: reservedNames(held.seats), total: money(held.totalAmount, held.currency), items: () => itemsOf(held) };
}

function renderOrder(state) {
  const { order, busy, maxSeats } = state;
  const changing = isDraft(state);
  const { count, names, total, items } = orderOf(state);
  write('order_title', changing ? t('buy_choice') : t('buy_yours'));
  if (isNew('seats', `${names}|${total}`)) $('seats').replaceChildren(...items());
  $('total_line').hidden = count === 0;
  write('total', total);
  $('none').hidden = count > 0 || changing;
  write('none', state.settingAside ? t('buy_setting_aside') : t('buy_none_held'));
  $('order_toggle').hidden = count === 0 && !changing;
  $('order_toggle').setAttribute('aria-expanded', state.open);
  write('order_count', plural('buy_count', count));
  write('order_names', names);
  $('take').hidden = !changing;
  write('take', count > 0 ? plural('buy_take', count) : t('buy_cancel'));
  $('keep').hidden = !changing;
  $('pay').hidden = changing || !order.held;
  $('cancel').hidden = changing || !order.held;
  $('reservation').value = order.held?.id ?? '';
  write('pay_button', busy === 'pay' ? t('buy_paying') : t('buy_pay', { amount: total }));
  for (const id of ['take', 'pay_button', 'cancel', 'best_button', 'keep']) $(id).setAttribute('aria-disabled', Boolean(busy));
  $('rule').hidden = !state.turn.idleMs || !CHOOSING.has(state.view);
  if (state.turn.idleMs) write('rule', t('buy_rule_idle', { time: seconds(state.turn.idleMs) }));
  Object.assign($('order').dataset, { changing, open: state.open, empty: count === 0 && !changing });
  write('limit', state.limited && state.draft.length >= maxSeats ? t('buy_limit', { n: number(maxSeats) }) : '');
}

function renderNotice({ notice }) {
  $('notice').hidden = !notice;
  $('notice_close').hidden = !notice;
  write('notice_text', notice?.text ?? '');
  $('offer').hidden = !notice?.offer;
  write('offer', notice?.offer?.text ?? '');
}

// ---- the rest ----

function renderView({ view }) {
  if (isNew('view', view) && main.dataset.state !== view) main.dataset.state = view;
  write('heading', t(`buy_${view}_title`));
  write('lead', t(`buy_${view}_lead`));
  if (title) document.title = t('title_other', { heading: $('heading').textContent, title: isolated(title) });
  for (const step of ['choose', 'pay']) {
    if (STEPS[view] === step) $(`step_${step}`).setAttribute('aria-current', 'step');
    else $(`step_${step}`).removeAttribute('aria-current');
  }
}

function renderLink({ link }) {
  if (link === undefined) return;
  main.dataset.live = link;
  write('live_text', t(`live_${link}`));
  $('lost').hidden = link !== 'lost' && link !== 'unavailable';
  write('lost_title', t(link === 'lost' ? 'lost_title' : 'out_title'));
}

const isUsable = (one) => one?.isConnected && (one.checkVisibility?.() ?? true) && !one.disabled;

// If what had the focus is gone or hidden, the focus goes to what the buyer does next, or else to the heading.
function keepFocus(before) {
  const active = document.activeElement;
  if (before === document.body || (active !== document.body && isUsable(active))) return;
  const next = [$('take'), $('pay_button'), hall?.shown ? hall.focusable : overview?.focusable, $('heading')].find(isUsable);
  next?.focus({ preventScroll: true });
}

export function render(state) {
  const focused = document.activeElement;
  renderView(state);
  renderLink(state);
  if (ACTIVE.has(state.view)) {
    renderMap(state);
    renderOrder(state);
    renderNotice(state);
  }
  renderDeadline(state);
  keepFocus(focused);
}

// The parts that change with the time alone.
export const renderTime = renderDeadline;

// A state without seats to choose is new to the buyer: they are told, from its heading on.
export function announceView(view) {
  say(`${t(`buy_${view}_title`)}. ${t(`buy_${view}_lead`)}`, 'assertive');
  if (CHOOSING.has(view)) return;
  scrollTo({ top: 0 });
  $('heading').focus({ preventScroll: true });
}

// ---- what the buyer does with the map alone ----

export const zoom = (factor) => hall?.zoom(factor);
