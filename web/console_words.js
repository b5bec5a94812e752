// SPDX-License-Identifier: MIT
//
// console_words: sentences about a sale that more than one view of the console says.

import { now } from './clock.js';
import { venueClock, venueTimes } from './console_zone.js';
import { duration, finePercent, list, money, number, plural, t } from './i18n.js';

const moment = venueTimes('short');
const day = new Intl.DateTimeFormat('en', { dateStyle: 'short', timeZone: document.documentElement.dataset.zone || 'UTC' });

// A time at the venue; of today by the clock alone.
export const timeOf = (ms) => (day.format(ms) === day.format(now()) ? venueClock(ms) : moment.format(ms));

// Why nobody more enters, or what sets the pace: "The threshold sets the pace: 1,000 of 1,000 are inside." '' when nothing
// is known. limits: the numbers behind it.
export function limitText({ limitedBy, limits, health }) {
  if (!limitedBy) return '';
  const { inside = 0, threshold = 0, waiting = 0, outflowPerMinute = 0, seatsLeft } = limits ?? {};
  const limit = t(`console_limit_${limitedBy}`, {
    inside: number(inside), threshold: number(threshold), waiting: number(waiting), outflow: number(outflowPerMinute), seats: number(seatsLeft ?? 0),
  });
  return health?.limit === threshold ? `${limit} ${healthText(health)}` : limit;
}

// What the shop's health has done to the threshold.
const healthText = ({ limit, p95Ms, errorRate }) => t('console_health_lowered', { limit: number(limit), p95: number(p95Ms), errors: finePercent(errorRate) });

// What a change of settings does to the last in line, in one sentence: the `change` of a forecast.
export function effectText({ kind, nowMs, thenMs }) {
  return t(`console_effect_${kind.replaceAll('-', '_')}`, { before: duration((nowMs ?? 0) / 1000), after: duration((thenMs ?? 0) / 1000) });
}

// What the service warns about, the most urgent first.
export const warningTexts = ({ warnings = [], silentForMs }) => warnings.map(({ code, message }) => {
  const text = t(`console_warning_${code.replaceAll('-', '_')}`) || message;
  return code === 'no-processor' && silentForMs ? t('console_silent_for', { text, time: duration(silentForMs / 1000) }) : text;
});

// A setting as a person gives it: 10 s, 4 min, 1,000; none for 0 where 0 means that.
export function settingText(field, value) {
  if (field === 'surge') return value.length === 0 ? t('console_none') : value.map(({ queueAbove, threshold }) => `${number(queueAbove)} → ${number(threshold)}`).join(', ');
  if (field === 'promotion') return t(`console_promotion_${value}`);
  if (field === 'closeGraceMs' && !value) return t(value === 0 ? 'console_grace_now' : 'console_grace_end');
  if (field === 'returnUrls') return value.length === 0 ? t('console_none') : value.join(', ');
  if (field === 'targetP95Ms') return number(value);
  if (field.endsWith('Ms')) return duration(value / 1000);
  return value === 0 && ['outflowPerMinute', 'placesPerNetwork', 'autoHold', 'thresholdMin'].includes(field) ? t('console_none') : number(value);
}

// What closing does to those who are inside.
export const insideText = ({ closeGraceMs }) => (closeGraceMs ? t('console_close_inside_for', { time: duration(closeGraceMs / 1000) })
  : t(closeGraceMs === 0 ? 'console_close_inside_now' : 'console_close_inside_end'));

export const fieldName = (field) => t(`console_field_${field}`) || field;

const TIMES = new Set(['opensAt', 'closesAt', 'startsAt']);

function valueText(field, value) {
  if (field === 'closeGraceMs') return settingText(field, value);
  if (value === null || value === '') return t('console_none');
  if (TIMES.has(field)) return timeOf(Date.parse(value));
  if (field === 'status') return t(`state_${value}`) || value;
  if (field === 'promotion') return settingText(field, value);
  if (typeof value === 'boolean') return t(value ? 'console_yes' : 'console_no');
  return typeof value === 'number' || Array.isArray(value) ? settingText(field, value) : String(value);
}

const TEAM = new Set(['invite', 'join', 'remove', 'withdraw']);

// An entry of the audit: "Threshold 50 → 150", or what was done: "Paused".
export function changeText({ verb, changes }) {
  const parts = changes.filter(({ field }) => t(`console_field_${field}`))
    .map(({ field, from, to }) => t('console_change', { field: fieldName(field), from: valueText(field, from), to: valueText(field, to) }));
  if (['patch', 'settle'].includes(verb) && parts.length > 0) return list(parts);
  if (TEAM.has(verb)) {
    const told = Object.fromEntries(changes.map(({ field, to }) => [field, to]));
    return t(`console_verb_${verb}`, { name: told.name, role: t(`right_${told.role}`) });
  }
  if (verb === 'feedback') {
    const told = Object.fromEntries(changes.map(({ field, to }) => [field, to]));
    return t('console_verb_feedback', { before: number(told.from), after: number(told.to), cause: t(`console_cause_${told.cause}`) });
  }
  const [, ofSeats] = /^seats-(\w+)$/.exec(verb) ?? [];
  return (ofSeats ? t(`console_verb_seats_${ofSeats}`) : t(`console_verb_${verb}`)) || verb;
}

// By whom something was done, and when or what: the actor `tiketi` is the service.
export const byText = ({ who }, time) => (who === 'tiketi' ? t('console_by_itself', { time }) : t('console_by', { who, time }));

// What happened to a buyer: an entry of their story, in the language of the page.
export function storyText({ what, text, waited = 0, seats, reservationNumber = '', amount, currency, device = '' }) {
  const values = { number: reservationNumber, waited: duration(waited), device, amount: currency ? money(amount, currency) : '' };
  return (seats ? plural(`story_${what}`, seats, values) : t(`story_${what}`, values)) || text;
}
