// SPDX-License-Identifier: MIT
//
// reopening: the wait of a page whose sale is closed. The organizer may take a closing back, and then everybody has their
// place again, so the page asks for the state of the event: only while it is seen, first after about a minute and then
// ever less often, at a time of its own. Pages that are left open after a sale cost next to nothing.
//
//   await reopening(eventId);   // resolves once the sale is no longer closed; never for an event that is gone

import { api } from './api.js';
import { seen } from './presence.js';

const FIRST_MS = 60000;
const LONGEST_MS = 600000;
const GROWTH = 1.25;

export async function reopening(eventId) {
  for (let wait = FIRST_MS; ; wait = Math.min(LONGEST_MS, wait * GROWTH)) {
    const ms = wait * (0.75 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, ms));
    await seen();
    try {
      const { status } = await api('GET', `/api/events/${eventId}`);
      if (status !== 'closed') return;
    } catch (error) {
      if (error.status === 404) await new Promise(() => {});
    }
  }
}
