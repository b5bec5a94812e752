// SPDX-License-Identifier: MIT
//
// live: the page's connection to the queue: one WebSocket, opened again after each close with full jitter.
// Without a socket the page polls, as often as the last answer asked for. Socket messages are hints and may
// be lost, so the page polls whenever it may have missed one.
//
//   const live = new Live({ url, eventId, ticket: () => …, watchSeats, onMessage(event, payload),
//                           onLink('socket' | 'polling' | 'lost' | 'unavailable'), poll });
//   poll(): reads the state; resolves to the seconds until the next poll, or to null: no more are needed.
//   live.start(); live.refresh(); live.pollNow(); live.stop();

const RECONNECT_MS = 1000; // the longest wait before the first attempt; doubled for each further one
const RECONNECT_MAX_MS = 30000;
const QUIET_MS = 25000; // after so long without a message a heartbeat is sent; quietMs overrides it
const HEARTBEAT_MS = 10000; // the time for its answer
const STEADY_MS = 10000; // a socket that stayed open for so long resets the reconnect wait
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
    this.onWake = () => document.visibilityState === 'visible' && this.refresh();
    for (const [target, name] of this.#wakeEvents()) target.addEventListener(name, this.onWake);
    this.onOffline = () => this.#setLink('lost');
    addEventListener('offline', this.onOffline);
    this.#connect();
    this.#pollIn(this.url ? POLL_MS : 0);
  }

  stop() {
    this.running = false;
    for (const [target, name] of this.#wakeEvents()) target.removeEventListener(name, this.onWake);
    removeEventListener('offline', this.onOffline);
    clearTimeout(this.connectTimer);
    clearTimeout(this.pollTimer);
    clearTimeout(this.quietTimer);
    this.#drop();
  }

  // The page may have missed messages: poll now, and connect now if there is no socket.
  refresh() {
    if (!this.running) return;
    this.attempt = 0;
    if (!this.open) this.#connect();
    this.#pollIn(0);
  }

  // Polls now, whatever the state of the socket.
  pollNow() {
    if (this.running) this.#pollIn(0);
  }

  // False: there is no socket.
  send(event, payload = {}) {
    if (!this.open) return false;
    this.socket.send(JSON.stringify({ event, payload }));
    return true;
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  // The page becomes visible, or the device is online again.
  #wakeEvents() {
    return [[document, 'visibilitychange'], [window, 'online'], [window, 'pageshow']];
  }

  #setLink(link) {
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
      return; // not a valid URL: the page polls
    }
    this.socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = () => this.socket === socket && this.#closed();
  }

  #opened() {
    this.openedAt = performance.now();
    const ticket = this.ticket();
    if (ticket) this.send('join-queue', { eventId: this.eventId, ticket });
    if (this.watchSeats) this.send('watch-seats', { eventId: this.eventId });
    this.#watchSilence();
  }

  #received(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    const { event, payload = {} } = message;
    this.#watchSilence();
    // It says nothing about the queue: the gateway answers heartbeats also while Redis is gone.
    if (event === 'heartbeat-ack') return;
    if (event === 'error' && payload.code === 'draining') this.retryMs = payload.retryMs;
    if (event !== 'error' || payload.code === 'draining') this.#setLink('socket');
    this.onMessage(event, payload);
  }

  // A dead connection may look open for minutes, so silence is followed by a heartbeat, and no answer to it by
  // a new connection.
  #watchSilence() {
    clearTimeout(this.quietTimer);
    this.quietTimer = setTimeout(() => {
      this.send('heartbeat', { claim: false });
      this.quietTimer = setTimeout(() => this.#drop(), HEARTBEAT_MS);
    }, this.quietMs);
  }

  // Closes the socket without waiting for the server's close frame, which may never come.
  #drop() {
    const { socket } = this;
    clearTimeout(this.quietTimer);
    if (!socket) return;
    socket.onclose = socket.onmessage = socket.onopen = null;
    socket.close();
    this.#closed();
  }

  #closed() {
    this.socket = undefined;
    clearTimeout(this.quietTimer);
    if (!this.running) return;
    if (this.openedAt && performance.now() - this.openedAt > STEADY_MS) this.attempt = 0;
    this.openedAt = undefined;
    const longest = Math.min(RECONNECT_MAX_MS, RECONNECT_MS * 2 ** this.attempt++);
    const wait = this.retryMs ?? Math.random() * longest;
    this.retryMs = undefined;
    this.connectTimer = setTimeout(() => this.#connect(), wait);
    // A poll shows whether only the socket is gone. Spread over time: a gateway that stops had thousands of sockets.
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
      this.pollAgain = true;
      return;
    }
    this.polling = true;
    let next = POLL_MS / 1000;
    try {
      next = await this.poll();
      if (this.running && this.link !== 'socket') this.#setLink('polling');
      if (this.open && this.link !== 'socket') this.#setLink('socket');
    } catch (error) {
      next = Math.max(error.retryAfter ?? 0, 2 + Math.random() * 6);
      if (this.running) this.#setLink(error.status === 0 ? 'lost' : 'unavailable');
    }
    this.polling = false;
    if (!this.running || next === null) return;
    const again = this.pollAgain;
    this.pollAgain = false;
    // With a socket, polls are rare: they only make up for lost messages.
    this.#pollIn(again ? 0 : 1000 * (this.open && this.link === 'socket' ? Math.max(next, 60) : next));
  }
}
