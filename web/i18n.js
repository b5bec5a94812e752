// SPDX-License-Identifier: MIT
//
// i18n: the texts, from the same file that the server wrote the page with; numbers, times and durations in
// the language of the page.

const language = document.documentElement.lang;
let messages = {};
let pluralRules;

// Loads the messages of the page's language. Rejects when they cannot be loaded: the page then stays as the
// server wrote it.
export async function load(assets) {
  const response = await fetch(`${assets}/messages/${language}.json`);
  if (!response.ok) throw new Error(`messages: HTTP ${response.status}`);
  messages = await response.json();
  pluralRules = new Intl.PluralRules(language);
}

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));

const has = (key) => key in messages;

export const t = (key, values = {}) => fill(messages[key] ?? '', values);

// The text of key.one, key.other …, whichever the language uses for n; {n} is the number.
export function plural(key, n, values = {}) {
  const chosen = `${key}.${pluralRules.select(n)}`;
  return t(has(chosen) ? chosen : `${key}.other`, { n: number(n), ...values });
}

const numbers = new Intl.NumberFormat(language);
export const number = (n) => numbers.format(n);

const percents = new Intl.NumberFormat(language, { style: 'percent' });
export const percent = (fraction) => percents.format(fraction);

export const money = (amount, currency) => {
  const format = new Intl.NumberFormat(language, { style: 'currency', currency });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
};

export const dateTime = (ms, options = { dateStyle: 'full', timeStyle: 'short' }) => new Intl.DateTimeFormat(language, options).format(ms);

const unitFormats = {};
const unit = (name) => (unitFormats[name] ??= new Intl.NumberFormat(language, { style: 'unit', unit: name, unitDisplay: 'long', maximumFractionDigits: 0 }));

// The unit for a duration and its seconds: 59 seconds, 12 minutes, 3 hours.
const unitOf = (seconds) => (seconds < 90 ? ['second', 1] : seconds < 5400 ? ['minute', 60] : ['hour', 3600]);

export function duration(seconds) {
  const [name, size] = unitOf(seconds);
  return unit(name).format(Math.round(seconds / size));
}

// "8–12 minutes": low rounded down, high rounded up, both in the unit of high.
export function durationRange(low, high) {
  const [name, size] = unitOf(high);
  const from = Math.floor(low / size);
  const to = Math.ceil(high / size);
  if (from >= to || from === 0) return t('estimate_about', { high: unit(name).format(to) });
  if (unit(name).formatRange) return unit(name).formatRange(from, to);
  return t('estimate_range', { low: number(from), high: unit(name).format(to) });
}

// "4:05", "1:02:09", "2 days 1:02:09".
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (n) => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const clock = `${hours > 0 ? `${hours % 24}:${two(Math.floor(seconds / 60) % 60)}` : Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  return hours < 24 ? clock : `${unit('day').format(Math.floor(hours / 24))} ${clock}`;
}
