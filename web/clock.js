// SPDX-License-Identifier: MIT
//
// clock: the server's time. The browser's own clock may be an hour wrong or be put right while we
// look: it is never asked. Time goes on by performance.now(), which knows no zones; it may stand
// still while a device sleeps, so every answer of the server corrects it.

let base = Date.now(); // the server's time, ms, ...
let at = performance.now(); // ... at this moment of ours

export const now = () => base + (performance.now() - at);

// The page said what time it was when it was written; by then the answer had been asked for.
export function begin(ms) {
  const [navigation] = performance.getEntriesByType('navigation');
  base = ms;
  at = navigation?.responseStart || performance.now();
}

// A Date header has whole seconds: it corrects us only where we are off by more than that.
export function correct(header) {
  const said = Date.parse(header ?? '');
  const off = said + 500 - now();
  if (Number.isFinite(said) && Math.abs(off) > 1500) {
    base = said + 500;
    at = performance.now();
  }
}
