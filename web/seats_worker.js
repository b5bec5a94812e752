// SPDX-License-Identifier: MIT
//
// seats_worker: reads the seat map outside of the page's own thread: the map of a large hall is megabytes of
// JSON.
//   <- { path, headers }   -> { hall } | {} (unchanged) | { error: { status, problem, retryAfter } }

import { api } from './api.js';
import { pack, transferable } from './seats.js';

addEventListener('message', async ({ data: { path, headers } }) => {
  try {
    const map = await api('GET', path, { headers, timeoutMs: 30000 });
    if (!map) return postMessage({});
    const hall = pack(map);
    return postMessage({ hall }, { transfer: transferable(hall) });
  } catch (error) {
    return postMessage({ error: { status: error.status ?? 0, problem: error.problem, retryAfter: error.retryAfter } });
  }
});
