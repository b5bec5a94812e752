// SPDX-License-Identifier: MIT
//
// place: where the service is on its host: below PATH_PREFIX, which the page has as <html data-prefix>, and a worker in the
// address of its own script. Every path of the service that a script names goes through here.
//
//   own('/api/events') -> '/api/events', or '/.tiketi/api/events'

const prefix = globalThis.document ? document.documentElement.dataset.prefix ?? '' : self.location.pathname.replace(/\/assets\/.*/, '');

export const own = (path) => prefix + path;
