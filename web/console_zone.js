// SPDX-License-Identifier: MIT
//
// console_zone: times as a clock at the venue shows them, as <input type="datetime-local"> takes them: "2027-05-14T20:00".

const parts = (ms, timeZone) => Object.fromEntries(new Intl.DateTimeFormat('en', {
  timeZone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
}).formatToParts(ms).map(({ type, value }) => [type, value]));

// An RFC 3339 time as the clock in the zone shows it; '' for none.
export function toLocal(time, timeZone) {
  if (!time) return '';
  const { year, month, day, hour, minute } = parts(Date.parse(time), timeZone);
  return `${year}-${month}-${day}T${hour}:${minute}`;
}

// How far the zone's clock is ahead of UTC at a time, in ms.
function offset(ms, timeZone) {
  const { year, month, day, hour, minute, second } = parts(ms, timeZone);
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(ms / 1000) * 1000;
}

// The RFC 3339 time at which the clock in the zone shows this; null for ''. Where clocks are put forward, a time that no
// clock shows counts as an hour later; where they are put back, the first of the two counts.
export function fromLocal(local, timeZone) {
  if (!local) return null;
  const asUtc = Date.parse(`${local}Z`);
  const day = 86400000;
  const [before, after] = [offset(asUtc - day, timeZone), offset(asUtc + day, timeZone)];
  const first = asUtc - before;
  const ms = offset(first, timeZone) === before ? first : offset(asUtc - after, timeZone) === after ? asUtc - after : first;
  return new Date(ms).toISOString();
}

export const zones = () => Intl.supportedValuesOf?.('timeZone') ?? ['UTC'];
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

export function isZone(name) {
  try {
    return Boolean(new Intl.DateTimeFormat('en', { timeZone: name }));
  } catch {
    return false;
  }
}

// Writes times as a clock at the venue shows them. timeStyle: 'short', or 'medium' with seconds; the zone is that of the
// page's event.
export const venueTimes = (timeStyle, timeZone = document.documentElement.dataset.zone || 'UTC') => new Intl.DateTimeFormat(document.documentElement.lang, {
  dateStyle: 'medium', timeStyle, timeZone,
});

// The time of day at the venue: "18:42".
const atVenue = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short', timeZone: document.documentElement.dataset.zone || 'UTC' });
export const venueClock = (ms) => atVenue.format(ms);
