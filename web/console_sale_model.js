// SPDX-License-Identifier: MIT
//
// console_sale_model: what the page of one sale knows, and what follows from it. No document, no time but what it is
// given, so that each sentence can be tested.

// The figures a minute, from the last whole minutes: they swing less than the running one.
export function perMinute(minutes, field, over = 3) {
  const whole = minutes.slice(0, -1).slice(-over);
  if (whole.length === 0) return minutes.at(-1)?.[field] ?? null;
  return whole.reduce((sum, minute) => sum + minute[field], 0) / whole.length;
}

// The columns of the charts: times in seconds, then a column for each field.
export const columns = (minutes, fields) => [
  minutes.map(({ at }) => Date.parse(at) / 1000),
  ...fields.map((field) => minutes.map((minute) => minute[field] ?? null)),
];

// What changes between two versions of the settings: [{ field, from, to }].
export function difference(before, after, fields) {
  const changes = [];
  for (const field of fields) {
    if (JSON.stringify(before[field]) !== JSON.stringify(after[field])) changes.push({ field, from: before[field], to: after[field] });
  }
  return changes;
}

// The settings that the page changes, with the unit in which a person gives them: ms as seconds or minutes. optional: an
// empty field is null.
export const SETTINGS = [
  { field: 'threshold', unit: 1, min: 0, max: 10000000 },
  { field: 'intervalMs', unit: 1000, min: 0.01, max: 3600 },
  { field: 'outflowPerMinute', unit: 1, min: 0, max: 100000000 },
  { field: 'thresholdMin', unit: 1, min: 0, max: 10000000 },
  { field: 'targetP95Ms', unit: 1, min: 1, max: 600000 },
  { field: 'targetErrorPercent', unit: 1, min: 1, max: 100 },
  { field: 'sessionLimitMs', unit: 60000, min: 0.1, max: 10080 },
  { field: 'idleTimeoutMs', unit: 1000, min: 1, max: 86400 },
  { field: 'claimMs', unit: 1000, min: 1, max: 86400 },
  { field: 'holdMs', unit: 60000, min: 0.1, max: 1440 },
  { field: 'silentMs', unit: 1000, min: 1, max: 86400 },
  { field: 'closeGraceMs', unit: 60000, min: 0, max: 10080, optional: true },
  { field: 'maxSeats', unit: 1, min: 1, max: 100 },
  { field: 'autoHold', unit: 1, min: 0, max: 100 },
  { field: 'placesPerNetwork', unit: 1, min: 0, max: 10000000 },
];

// Those that a forecast takes.
export const FORECAST = new Set(['threshold', 'intervalMs', 'promotion', 'outflowPerMinute', 'autoHold', 'claimMs', 'silentMs', 'idleTimeoutMs', 'sessionLimitMs', 'surge']);

export const unitName = (unit) => (unit === 1000 ? 'second' : unit === 60000 ? 'minute' : '');
