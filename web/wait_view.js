// SPDX-License-Identifier: MIT
//
// wait_view: writes the model of the waiting page into its document. render(model) is the only thing that changes what
// the page shows; it may be called at any time, and again with the same model.

import { now } from './clock.js';
import { phaseOf } from './deadline.js';
import { $, markLanguage, write } from './dom.js';
import { clock, countdown, duration, eventTime, money, number, percent, plural, t, timeHere } from './i18n.js';
import { own } from './place.js';
import { PLACELESS, deadlineOf, estimateWords, roughly } from './wait_model.js';

const main = $('main');
const icon = document.querySelector('link[rel="icon"]');
const TURN_DOT = "%3Ccircle cx='25' cy='7' r='6' fill='%23e5484d' stroke='%23fff' stroke-width='2'/%3E%3C/svg%3E";
const icons = { calm: icon.href, turn: icon.href.replace(/%3C\/svg%3E$/, TURN_DOT) };
const { title } = document.body.dataset;
const ago = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: 'always' });

const isLost = ({ link }) => link === 'lost' || link === 'unavailable';

// Shows an element with this text, or hides it when there is none.
function show(id, text) {
  const element = $(id);
  if (text) write(id, text);
  element.hidden = !text;
}

function renderState({ state }) {
  if (main.dataset.state === state) return;
  main.dataset.state = state;
  write('heading', t(`wait_${state}_title`));
  // Where the turn is for another shop, nothing is said of ours.
  const shop = document.body.dataset.return && ['admitted', 'expired'].includes(state);
  // Where buyers sign in here, they need not go to the shop.
  const here = state === 'login' && document.querySelector(`.actions[data-in~="login"] a[href^="${own('/wait/')}"]`);
  write('lead', t(here ? 'wait_login_here_lead' : shop ? `wait_return_${state}_lead` : `wait_${state}_lead`));
}

function renderTitle({ state, position, missed }, blink) {
  const heading = $('heading').textContent;
  const turn = state === 'admitted';
  icon.href = turn ? icons.turn : icons.calm;
  if (turn && !blink) document.title = t('title_admitted', { title });
  else if (missed && !blink) document.title = t('title_missed', { title });
  else if (['waiting', 'unlikely', 'paused'].includes(state) && Number.isFinite(position)) document.title = t('title_waiting', { position: number(position), title });
  else if (title) document.title = t('title_other', { heading, title });
}

function renderPlace({ state, position, first, joinedAt, perMinute, wait }) {
  if (!Number.isFinite(position)) return;
  const ahead = position - 1;
  const fraction = (first - position) / first;
  $('place').hidden = false;
  write('position', number(position));
  $('position').dataset.digits = String(position).length;
  write('ahead', ahead > 0 ? plural('ahead', ahead) : t(state === 'scheduled' ? 'ahead_first' : 'ahead_none'));
  $('progress').hidden = !(fraction > 0);
  $('way').hidden = !(fraction > 0);
  $('progress').value = Math.round(fraction * 100);
  $('progress').setAttribute('aria-valuetext', t('progress_text', { percent: percent(fraction) }));
  const [key, values] = estimateWords(wait);
  write('estimate', t(key, values));
  const more = wait?.seconds >= 60 ? t('estimate_clock', { time: clock(now() + wait.seconds * 1000) }) : '';
  show('estimate_more', !wait ? t('estimate_hint') : wait.rough ? t('estimate_measuring') : more);
  const pace = perMinute >= 1 ? plural('pace', roughly(Math.round(perMinute))) : '';
  const joined = joinedAt ? t('joined_at', { time: clock(joinedAt) }) : '';
  show('pace', [pace, joined].filter(Boolean).join(' · '));
}

function renderSeats({ state, seats }) {
  const told = seats && (state === 'waiting' || state === 'unlikely') && seats.high > 0;
  show('seats_text', told ? plural('seats_at_turn', roughly(seats.about)) : '');
  show('seats_range', told && seats.low < seats.high ? t('seats_range', { low: number(roughly(seats.low)), high: number(roughly(seats.high)) }) : '');
  $('seats').hidden = !told;
}

// What a deadline is called, and what happens then.
const DEADLINES = {
  opening: ['opens_in', ''],
  claim: ['claim_ends_in', 'claim_then'],
  turn: ['turn_ends_in', 'turn_then'],
  change: ['turn_ends_in', 'change_then'],
  hold: ['hold_ends_in', 'hold_then'],
};

// Never longer than it is.
const awayTime = (seconds) => duration(seconds < 120 ? seconds : seconds - (seconds % 60));

export const consequence = ({ kind }) => t(DEADLINES[kind][1]);

function renderDeadline(model) {
  const deadline = deadlineOf(model, now());
  $('countdown').hidden = !deadline || !model.holdRead; // a nearer one may be about to come
  if (!deadline) return;
  const left = deadline.at - now();
  const opening = deadline.kind === 'opening';
  const text = countdown(left);
  write('countdown_label', t(opening && left <= 0 ? 'opening' : DEADLINES[deadline.kind][0]));
  write('countdown_number', text);
  $('countdown_number').dataset.length = text.length;
  const phase = opening ? 'calm' : phaseOf(left);
  if (main.dataset.phase !== phase) main.dataset.phase = phase;
  show('countdown_then', consequence(deadline));
  show('countdown_away', !opening && model.claimed && model.idleMs ? t('turn_away', { time: awayTime(model.idleMs / 1000) }) : '');
}

function renderMessage({ message, messageLanguage, messageAt }) {
  show('message', message);
  markLanguage($('message'), messageLanguage);
  $('organizer').hidden = !message;
  $('organizer').classList.toggle('is-new', messageAt !== undefined);
  show('message_new', messageAt === undefined ? '' : `${t('message_new')} · ${t('message_at', { time: clock(messageAt) })}`);
}

function renderLink(model) {
  const { link, state, updatedAt } = model;
  if (!link) return;
  const seconds = Math.max(0, Math.floor((performance.now() - updatedAt) / 1000));
  const [n, unit] = seconds < 60 ? [seconds, 'second'] : [Math.floor(seconds / 60), 'minute'];
  if (main.dataset.live !== link) main.dataset.live = link;
  $('live').hidden = false;
  write('live_text', t(`live_${link}`));
  write('updated', seconds < 3 ? t('updated_now') : ago.format(-n, unit));
  $('lost').hidden = !isLost(model) || PLACELESS.has(state);
  write('lost_lead', t(link === 'lost' ? 'lost_lead' : 'out_lead'));
}

// When the sale opens: by the clock of the event, and by the reader's own.
function renderOpening({ opensAt }) {
  if (!opensAt || !$('opens')) return;
  write('opens', eventTime(opensAt));
  show('opens_here', timeHere(opensAt));
}

function missedText({ missed, missedBefore, claimFrom }) {
  if (claimFrom > now()) return t('missed_often', { time: clock(claimFrom) });
  return missed || missedBefore ? t('missed') : '';
}

export function render(model, { blink = false } = {}) {
  renderState(model);
  renderPlace(model);
  renderSeats(model);
  renderDeadline(model);
  renderOpening(model);
  renderMessage(model);
  show('missed', missedText(model));
  renderLink(model);
  renderTitle(model, blink);
}

// ---- the price bands ----

function band({ from, to, currency, level }) {
  const item = document.createElement('li');
  const price = document.createElement('span');
  const word = document.createElement('span');
  price.textContent = from === to ? money(from, currency) : `${money(from, currency)} – ${money(to, currency)}`;
  word.textContent = t(`stock_${level}`);
  word.className = 'level';
  item.dataset.level = level;
  item.append(price, word);
  return item;
}

export function renderStock(bands) {
  $('stock_bands').replaceChildren(...bands.map(band));
  $('stock').hidden = bands.length === 0;
}
