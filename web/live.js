// SPDX-License-Identifier: MIT
//
// live: keeps a page in touch with the queue. One socket, opened again after every end with full
// jitter; while there is none, the page polls, as often as the last answer asked for. Whatever comes
// here is news only: the page asks for the truth (poll) whenever it was away.
//
//   const live = new Live({ url, eventId, ticket: () => …, watchSeats, onMessage(event, payload),
//                           onLink('socket' | 'polling' | 'lost' | 'unavailable'), poll });
//   poll(): asks for the state; resolves to the seconds until the next one, or null: no more needed.
//   live.start(); live.refresh(); live.ask(); live.stop();

const FIRST_MS = 1000;
const MOST_MS = 30000;
const QUIET_MS = 25000; // then we ask whether anybody is there, unless quietMs says otherwise
const ANSWER_MS = 10000;
const STEADY_MS = 10000; // a socket that lived so long starts the waiting times anew
const POLL_MS = 10000;
const SPREAD_MS = 3000;

export class Live {
  constructor(options) {
    Object.assign(this, { onMessage() {}, onLink() {}, ticket: () => undefined, watchSeats: false, quietMs: QUIET_MS }, options);
    this.attempt = 0;
    this.link = undefined;
    this.running = false;
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.wake = () => document.visibilityState === 'visible' && this.refresh();
    for (const [target, name] of this.#wakers()) target.addEventListener(name, this.wake);
    this.offline = () => this.#say('lost');
    addEventListener('offline', this.offline);
    this.#connect();
    this.#pollIn(this.url ? POLL_MS : 0);
  }

  stop() {
    this.running = false;
    for (const [target, name] of this.#wakers()) target.removeEventListener(name, this.wake);
    removeEventListener('offline', this.offline);
    clearTimeout(this.connectTimer);
    clearTimeout(this.pollTimer);
    clearTimeout(this.quietTimer);
    this.#drop();
  }

  // The page may have been away: ask for the truth now, and do not wait for the next attempt.
  refresh() {
    if (!this.running) return;
    this.attempt = 0;
    if (!this.open) this.#connect();
    this.#pollIn(0);
  }

  // Asks for the truth now, and leaves the socket to itself.
  ask() {
    if (this.running) this.#pollIn(0);
  }

  // True when there was a socket to send it by.
  send(event, payload = {}) {
    if (!this.open) return false;
    this.socket.send(JSON.stringify({ event, payload }));
    return true;
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  #wakers() {
    return [[document, 'visibilitychange'], [window, 'online'], [window, 'pageshow']];
  }

  #say(link) {
    if (link === this.link) return;
    this.link = link;
    this.onLink(link);
  }

  // ---- the socket ----

  #connect() {
    clearTimeout(this.connectTimer);
    if (!this.url || this.socket?.readyState === WebSocket.CONNECTING || this.open) return;
    let socket;
    try {
      socket = new WebSocket(this.url, 'tiketi.v1');
    } catch {
      return; // an address of no use: polling it is
    }
    this.socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = () => this.socket === socket && this.#ended();
  }

  #opened() {
    this.openedAt = performance.now();
    this.joined = false;
    const ticket = this.ticket();
    if (ticket) this.send('join-queue', { eventId: this.eventId, ticket });
    if (this.watchSeats) this.send('watch-seats', { eventId: this.eventId });
    this.#listen();
  }

  #heard(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const { event, payload = {} } = message;
    this.#listen();
    // Somebody is there, and that is all it says: the gateway answers so with nothing behind it, too.
    if (event === 'heartbeat-ack') return;
    if (event === 'error' && payload.code === 'draining') this.retryMs = payload.retryMs;
    if (event !== 'error' || payload.code === 'draining') this.#say('socket');
    this.onMessage(event, payload);
  }

  // Silence is looked into: a dead connection may look alive for minutes.
  #listen() {
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      this.send('heartbeat');
      this.quietTimer = setTimeout(() => this.#drop(), ANSWER_MS);
    }, this.quietMs);
  }

  // Without waiting for a goodbye that may never come.
  #drop() {
    const { socket } = this;
    clearTimeout(this.quietTimer);
    if (!socket) return;
    socket.onclose = socket.onmessage = socket.onopen = null;
    socket.close();
    this.#ended();
  }

  #ended() {
    this.socket = undefined;
    clearTimeout(this.quietTimer);
    if (!this.running) return;
    if (this.openedAt && performance.now() - this.openedAt > STEADY_MS) this.attempt = 0;
    this.openedAt = undefined;
    const most = Math.min(MOST_MS, FIRST_MS * 2 ** this.attempt++);
    const wait = this.retryMs ?? Math.random() * most;
    this.retryMs = undefined;
    this.connectTimer = setTimeout(() => this.#connect(), wait);
    // Is it the socket alone? One after the other: a gateway that ends had thousands.
    if (this.link === 'socket') this.#pollIn(Math.random() * SPREAD_MS);
    else if (this.link === undefined) this.#pollIn(0);
  }

  // ---- polling ----

  #pollIn(ms) {
    clearTimeout(this.pollTimer);
    this.pollTimer = setTimeout(() => this.#poll(), ms);
  }

  async #poll() {
    if (this.polling) {
      this.again = true;
      return;
    }
    this.polling = true;
    let next = POLL_MS / 1000;
    try {
      next = await this.poll();
      if (this.running && this.link !== 'socket') this.#say('polling');
      if (this.open && this.link !== 'socket') this.#say('socket');
    } catch (error) {
      next = Math.max(error.retryAfter ?? 0, 2 + Math.random() * 6);
      if (this.running) this.#say(error.status === 0 ? 'lost' : 'unavailable');
    }
    this.polling = false;
    if (!this.running || next === null) return;
    if (this.again) next = 0;
    this.again = false;
    // With a socket the news come by themselves; now and then the truth is asked for all the same.
    this.#pollIn(1000 * (this.open && this.link === 'socket' ? Math.max(next, 60) : next));
  }
}
