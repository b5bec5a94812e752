// SPDX-License-Identifier: MIT
//
// order: what the buyer holds, pays and has bought. Every wish is asked of the server, once: the same
// wish goes out again after a broken line under the same key, so that it is never carried out twice.

import { ApiError, api } from './api.js';

const TRIES = 3;
const AGAIN_MS = 600;

// Not crypto.randomUUID: that is there over HTTPS alone.
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');

export class Order {
  constructor(eventId) {
    this.eventId = eventId;
    this.reservations = [];
  }

  // Of this event, newest first.
  take(list) {
    this.reservations = list.filter(({ eventId }) => eventId === this.eventId);
  }

  get held() {
    return this.reservations.find(({ status }) => status === 'held');
  }

  get bought() {
    return this.reservations.filter(({ status }) => status === 'confirmed');
  }

  find(id) {
    return this.reservations.find((one) => one.id === id);
  }

  async refresh() {
    this.take((await api('GET', '/api/reservations')).reservations);
    return this.held;
  }

  // wish: { seatIds } or { quantity, section }. Takes the place of what was held, or changes nothing.
  hold(wish) {
    return this.#send('/api/reservations', { eventId: this.eventId, ...wish });
  }

  async cancel() {
    if (this.held) await this.#send(`/api/reservations/${this.held.id}/cancel`);
  }

  // The address of the payment page; null: nothing was to pay, it is bought.
  async pay(language) {
    const order = await this.#send(`/api/reservations/${this.held.id}/pay`);
    if (order.status === 'confirmed') return null;
    if (!order.paymentUrl) throw new ApiError(503);
    const address = new URL(order.paymentUrl);
    for (const name of ['reference', 'reservationId', 'provider', 'amount', 'currency', 'expiresAt', 'signature']) {
      address.searchParams.set(name, order[name]);
    }
    address.searchParams.set('lang', language);
    address.searchParams.set('return', `${location.origin}${location.pathname}?reservation=${order.reservationId}`);
    return address.href;
  }

  async #send(path, json) {
    const headers = json ? { 'Idempotency-Key': newKey() } : {};
    for (let n = 1; ; n++) {
      try {
        return await api('POST', path, { json, headers });
      } catch (error) {
        const again = error.status === 0 && n < TRIES && navigator.onLine;
        if (!again) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS * n));
      }
    }
  }
}
