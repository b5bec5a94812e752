// SPDX-License-Identifier: MIT
//
// offline: the page that the service worker shows instead of a waiting page that cannot be loaded. Loads that page again
// as soon as there is a network, and from time to time; never while nobody sees it, since a loaded page claims a turn.

const AGAIN_MS = 8000;

const tryAgain = () => document.visibilityState === 'visible' && location.reload();

addEventListener('online', tryAgain);
document.addEventListener('visibilitychange', tryAgain);
setInterval(tryAgain, AGAIN_MS);
