// SPDX-License-Identifier: MIT
//
// order: the buyer's reservations of one event: held, paid and bought. A request that changes something is
// sent again after a network failure, with the same idempotency key, so it is never carried out twice.

import { ApiError, api } from './api.js';

const TRIES = 3;
const RETRY_MS = 600;

// crypto.randomUUID only exists on HTTPS pages.
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join('-');

export class Order {
  constructor(eventId) {
    this.eventId = eventId;
    this.reservations = [];
  }

  // `list`: reservations of any event, newest first.
  replace(list) {
    this.reservations = list.filter(({ eventId }) => eventId === this.eventId);
  }

  get held() {
    return this.reservations.find(({ status }) => status === 'held');
  }

  get bought() {
    return this.reservations.filter(({ status }) => status === 'confirmed');
  }

  async refresh() {
    this.replace((await api('GET', `/api/reservations?eventId=${this.eventId}&current=1`)).reservations);
    return this.held;
  }

  // seats: { seatIds } or { quantity, section }. They replace the seats held before, or nothing changes.
  hold(seats) {
    return this.#post('/api/reservations', { eventId: this.eventId, ...seats });
  }

  async cancel() {
    if (this.held) await this.#post(`/api/reservations/${this.held.id}/cancel`);
  }

  // language, zone: of the payment page; email: where the tickets are sent; empty or absent: nowhere. Returns the URL of the payment page; null: nothing was to
  // pay, the seats are bought.
  async pay({ language, zone, email }) {
    const order = await this.#post(`/api/reservations/${this.held.id}/pay`, email ? { email, language } : undefined);
    if (order.status === 'confirmed') return null;
    if (!order.paymentUrl || !order.returnUrl) throw new ApiError(503);
    const url = new URL(order.paymentUrl);
    for (const name of ['reference', 'reservationId', 'provider', 'amount', 'currency', 'expiresAt', 'signature']) {
      url.searchParams.set(name, order[name]);
    }
    url.searchParams.set('lang', language);
    if (zone) url.searchParams.set('zone', zone);
    url.searchParams.set('return', order.returnUrl);
    return url.href;
  }

  async #post(path, json) {
    const headers = json ? { 'Idempotency-Key': newKey() } : {};
    for (let n = 1; ; n++) {
      try {
        return await api('POST', path, { json, headers });
      } catch (error) {
        const retry = error.status === 0 && n < TRIES && navigator.onLine;
        if (!retry) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS * n));
      }
    }
  }
}
