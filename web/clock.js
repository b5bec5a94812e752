// SPDX-License-Identifier: MIT
//
// clock: the server's time. The clock of the device is not used: it may be wrong by hours, or be set while
// the page is open. Time advances by performance.now(), which may stop while the device sleeps; therefore
// each answer of the server corrects it.

let serverMs = Date.now(); // the server's time at `readAt`
let readAt = performance.now();

export const now = () => serverMs + (performance.now() - readAt);

// `ms`: the server's time when it wrote the page. The answer began to arrive at about that moment.
export function startClock(ms) {
  const [navigation] = performance.getEntriesByType('navigation');
  serverMs = ms;
  readAt = navigation?.responseStart || performance.now();
}

// A Date header has whole seconds, so smaller differences are ignored.
export function correctClock(header) {
  const serverNow = Date.parse(header ?? '') + 500;
  if (Number.isFinite(serverNow) && Math.abs(serverNow - now()) > 1500) {
    serverMs = serverNow;
    readAt = performance.now();
  }
}
