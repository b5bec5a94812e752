// SPDX-License-Identifier: MIT
//
// presence: whether the buyer is at this page. A page that is seen claims the buyer's turn, again and again:
// the service ends the turn of a buyer who is away for too long. A hidden page claims nothing, so that a
// forgotten tab cannot keep a slot. While the page is seen, the screen of the device stays on.
//
//   const presence = new Presence({ claim });   // claim(): tells the service; its failures are its own affair
//   presence.start(); presence.stop();
//   await seen();                               // resolves once the page is visible: before what claims a turn

const CLAIM_MS = 25000; // at least every 30 s

export const isSeen = () => document.visibilityState === 'visible';

export function seen() {
  if (isSeen()) return Promise.resolve();
  return new Promise((resolve) => {
    document.addEventListener('visibilitychange', function shown() {
      if (!isSeen()) return;
      document.removeEventListener('visibilitychange', shown);
      resolve();
    });
  });
}

export class Presence {
  constructor({ claim }) {
    this.claim = claim;
    this.onChange = () => this.#changed();
  }

  start() {
    this.running = true;
    document.addEventListener('visibilitychange', this.onChange);
    this.#changed();
  }

  stop() {
    this.running = false;
    document.removeEventListener('visibilitychange', this.onChange);
    this.#changed();
  }

  #changed() {
    const here = this.running && isSeen();
    clearInterval(this.timer);
    if (here) {
      this.claim();
      this.timer = setInterval(this.claim, CLAIM_MS);
    }
    void this.#keepScreenOn(here);
  }

  // The browser ends the lock itself when the page is hidden. It may refuse one: when the battery is low.
  async #keepScreenOn(on) {
    try {
      if (!on) await this.lock?.release();
      else this.lock = await navigator.wakeLock?.request('screen');
    } catch {
      // the screen goes off as on any other page
    }
  }
}
