// SPDX-License-Identifier: MIT
//
// console_request: one request of the console, and what its failure is called in words. The session is a cookie, so
// each request that changes something carries the page's CSRF token.
//
//   problem: { code, reason, values, field, detail } -> refused_<reason>, else console_failed_<code>, else its detail

import { ApiError, api } from './api.js';
import { fieldName } from './console_words.js';
import { duration, number, t } from './i18n.js';

const { dataset } = document.body;

// ask('POST', `${event}/pause`, { json: {}, version: 12 }) -> the body. `version`: the change is refused with 412 when
// the event is no longer this version.
export function ask(method, path, { version, headers = {}, ...options } = {}) {
  const all = { ...headers };
  if (method !== 'GET') all['X-CSRF-Token'] = dataset.csrf;
  if (version) all['If-Match'] = `"${version}"`;
  return api(method, path, { ...options, headers: all });
}

const key = (name) => name.replaceAll('-', '_');
const COUNTS = new Set(['not-in-range', 'too-long', 'surge-too-low', 'seats-taken']);

// Why an input was refused, in the language of the page; '' when the page has no words for it. refusal: a problem, or an
// error of a list of seats.
export function refusalText({ code = '', reason, values = [], field = '' }) {
  if (!reason) return t(`console_failed_${key(code)}`);
  const name = /(\w*)$/.exec(field)[1]; // of surge[0].threshold, say
  const shown = values.map((value) => {
    if (!COUNTS.has(reason) || !/^-?\d+$/.test(value)) return value;
    return name.endsWith('Ms') ? duration(value / 1000) : number(Number(value));
  });
  return t(`refused_${key(reason)}`, { ...shown, field: fieldName(name) }) || t(`console_failed_${key(code)}`);
}

// A sentence for a person: the console's own words for the failures that it can explain, else those of the service.
export function failure(error) {
  if (!(error instanceof ApiError)) return t('console_failed');
  if (error.status === 0) return t('console_failed_offline');
  if (error.status === 401) return t('console_failed_unauthorized');
  if (error.status === 412) return t('console_failed_stale');
  const told = refusalText({ ...error.problem, code: error.code });
  if (told) return told;
  return error.status >= 500 ? t('console_failed_backend') : error.problem.detail ?? t('console_failed');
}

// The session is over: the person has to sign in again before anything works.
export const isSignedOut = (error) => error instanceof ApiError && error.status === 401;
