// SPDX-License-Identifier: MIT
//
// i18n: the texts, which the build takes from the file that the server writes the page with (src/web.sh); numbers, times
// and durations in the language of the page.

import messages from 'messages';

const language = document.documentElement.lang;
const pluralRules = new Intl.PluralRules(language);

// The links to other languages show the page as it is now, which the script may have changed since the server wrote them
// (the buyer has left the queue, has come back from paying). What acts is not repeated.
document.querySelector('.languages')?.addEventListener('click', ({ target }) => {
  const link = target.closest('a');
  if (!link || document.body.dataset.inPlace) return; // the query is the shop's
  const query = new URLSearchParams(location.search);
  for (const name of ['join', 'cookies']) query.delete(name);
  query.set('lang', link.lang);
  link.search = query;
  link.hash = location.hash;
});

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));

export const t = (key, values = {}) => fill(messages[key] ?? '', values);

// The text of key.one, key.other …, whichever the language uses for n; {n} is the number.
export function plural(key, n, values = {}) {
  const chosen = `${key}.${pluralRules.select(n)}`;
  return t(chosen in messages ? chosen : `${key}.other`, { n: number(n), ...values });
}

const numbers = new Intl.NumberFormat(language);
export const number = (n) => numbers.format(n);

const percents = new Intl.NumberFormat(language, { style: 'percent' });
const finePercents = new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 1 });
export const finePercent = (fraction) => finePercents.format(fraction); // for shares that are small
export const percent = (fraction) => percents.format(fraction);

// The decimals of ISO 4217, in which amounts are counted; Intl has others for some currencies. src/base/locale.c
// has the same list.
const DECIMALS = [
  ['BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF', 0],
  ['BHD IQD JOD KWD LYD OMR TND', 3],
];
export const decimalsOf = (currency) => DECIMALS.find(([list]) => list.includes(currency))?.[1] ?? 2;

const moneyFormats = {};
export const money = (amount, currency) => {
  const digits = decimalsOf(currency);
  moneyFormats[currency] ??= new Intl.NumberFormat(language, { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits });
  return moneyFormats[currency].format(amount / 10 ** digits);
};

// Texts one behind the other: "a, b", "a、b".
const separator = language === 'ja' ? '、' : ', ';
export const list = (texts) => texts.join(separator);

// ---- times ----

const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
const dateTime = (ms, timeZone) => new Intl.DateTimeFormat(language, { dateStyle: 'full', timeStyle: 'short', timeZone }).format(ms);
const zoneName = (ms, timeZone) => new Intl.DateTimeFormat(language, { timeZoneName: 'long', timeZone })
  .formatToParts(ms).find(({ type }) => type === 'timeZoneName').value;

// A time of the event, in its own zone, as the server writes it.
export function eventTime(ms) {
  const timeZone = document.documentElement.dataset.zone || 'UTC';
  return t('time_in_zone', { time: dateTime(ms, timeZone), zone: zoneName(ms, timeZone) });
}

// The same time where the reader is; '' when the clocks there and at the event agree.
export function timeHere(ms) {
  const timeZone = document.documentElement.dataset.zone || 'UTC';
  return dateTime(ms, here) === dateTime(ms, timeZone) ? '' : t('time_here', { time: dateTime(ms, here) });
}

// ---- durations ----

const unitFormats = {};
const unit = (name) => (unitFormats[name] ??= new Intl.NumberFormat(language, { style: 'unit', unit: name, unitDisplay: 'long', maximumFractionDigits: 0 }));

// The unit for a duration and its seconds: 59 seconds, 12 minutes, 3 hours.
const unitOf = (seconds) => (seconds < 120 ? ['second', 1] : seconds < 5400 ? ['minute', 60] : ['hour', 3600]);

export function duration(seconds) {
  const [name, size] = unitOf(seconds);
  return unit(name).format(Math.round(seconds / size));
}

// The time of day where the reader is: "18:42".
const timesOfDay = new Intl.DateTimeFormat(language, { timeStyle: 'short' });
export const clock = (ms) => timesOfDay.format(ms);

// "4:05", "1:02:09"; from a day on "2 days 1 hour", which may break between the two alone.
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  if (hours >= 24) return `${unit('day').format(Math.floor(hours / 24))} ${unit('hour').format(hours % 24)}`.replace(/(\d) /g, '$1\u00a0');
  return hours > 0 ? `${hours}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}` : `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
}
