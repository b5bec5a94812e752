// SPDX-License-Identifier: MIT
//
// api: sends one request to the service. A failure is an ApiError, which carries what the caller needs to
// decide about a retry.

import { correctClock } from './clock.js';
import { own } from './place.js';

const TIMEOUT_MS = 15000;

export class ApiError extends Error {
  // status 0: there was no answer. code: that of the problem document, or 'offline'.
  constructor(status, problem = {}, retryAfter = 0) {
    super(problem.detail ?? problem.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? (status === 0 ? 'offline' : 'unavailable');
    this.field = problem.field;
    this.problem = problem;
    this.retryAfter = retryAfter; // seconds
  }

  // The same request may succeed later.
  get transient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

async function readBody(response) {
  const type = response.headers.get('content-type') ?? '';
  try {
    return type.includes('json') ? await response.json() : undefined;
  } catch {
    return undefined; // the body was cut off: the status says enough
  }
}

// api('POST', '/api/reservations', { json: {…}, headers: {…} }) -> the body; null for 204 and 304.
// `body` in place of `json`: bytes, whose Content-Type the headers say.
export async function api(method, path, { json, body: bytes, headers = {}, timeoutMs = TIMEOUT_MS } = {}) {
  let response;
  try {
    response = await fetch(own(path), {
      method,
      headers: json === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
      body: json === undefined ? bytes : JSON.stringify(json),
      credentials: 'same-origin',
      signal: AbortSignal.timeout?.(timeoutMs),
    });
  } catch {
    throw new ApiError(0);
  }
  correctClock(response.headers.get('date'));
  if (response.status === 204 || response.status === 304) return null;
  const body = await readBody(response);
  if (!response.ok) throw new ApiError(response.status, body, Number(response.headers.get('retry-after')) || 0);
  return body;
}
