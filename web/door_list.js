// SPDX-License-Identifier: MIT
//
// door_list: what a door knows without a network: the tickets that were valid when it last asked, the keys that verify
// their codes, and the scans that it still has to send. The list and the keys are kept in the cache of this origin, the
// scans in localStorage, so that a reload or an empty battery loses none.

const CACHE = 'tiketi-door';

const bytes = (base64url) => Uint8Array.from(atob(base64url.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const json = (base64url) => JSON.parse(new TextDecoder().decode(bytes(base64url)));
export const isCode = (text) => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);

// Reads a JSON answer kept under this name; undefined: none is kept, or there is no cache (no secure origin).
async function kept(name) {
  try {
    return await (await (await caches.open(CACHE)).match(`/door-kept/${name}`))?.json();
  } catch {
    return undefined;
  }
}

async function keep(name, value) {
  try {
    await (await caches.open(CACHE)).put(`/door-kept/${name}`, new Response(JSON.stringify(value)));
  } catch {
    // without a cache the list lasts as long as the page
  }
}

export class DoorList {
  #event;
  #seats = new Map(); // "number.seatId" -> ticket
  #keys = new Map(); // kid -> CryptoKey
  at; // when the list was read; undefined: never
  sold = 0;
  inside = 0;

  constructor(event) {
    this.#event = event;
    this.pendingKey = `door.${event}.scans`;
  }

  async load() {
    const [list, keys] = await Promise.all([kept(`${this.#event}/list`), kept('keys')]);
    if (list) this.#take(list);
    if (keys) await this.#takeKeys(keys);
    for (const { ticket } of this.pending) this.markUsed(this.find(ticket), '', new Date().toISOString());
  }

  #take({ tickets, at, sold, inside }) {
    this.#seats = new Map(tickets.map((ticket) => [`${ticket.reservationNumber}.${ticket.seatId}`, ticket]));
    Object.assign(this, { at, sold, inside });
  }

  async #takeKeys({ keys }) {
    for (const jwk of keys) {
      if (jwk.kty !== 'EC' || jwk.crv !== 'P-256' || !globalThis.crypto?.subtle) continue;
      const { kty, crv, x, y } = jwk;
      this.#keys.set(jwk.kid, await crypto.subtle.importKey('jwk', { kty, crv, x, y }, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']));
    }
  }

  // Reads the list and the keys anew. Throws where there is no network.
  async refresh(get) {
    const tickets = [];
    let page, next = '0';
    do {
      page = await get(`/api/checkin/${this.#event}?after=${next}`);
      tickets.push(...page.tickets);
      next = page.next;
    } while (next);
    const list = { tickets, at: page.at, sold: page.sold, inside: page.in };
    const before = this.pending;
    this.#take(list);
    for (const scan of before) if (scan.letIn) this.markUsed(this.find(scan.ticket), scan.device, scan.scannedAt);
    await keep(`${this.#event}/list`, list);
    const keys = await get('/.well-known/jwks.json');
    await this.#takeKeys(keys);
    await keep('keys', keys);
  }

  // The entry of the list that a typed number (with a dot, and a seat's id), or the jti of a code, names.
  find(text) {
    const [number, seat] = (isCode(text) ? this.#claims(text)?.jti ?? '' : text).toUpperCase().split('.');
    return seat ? this.#seats.get(`${number}.${seat}`) : undefined;
  }

  ofNumber(number) {
    return [...this.#seats.values()].filter((ticket) => ticket.reservationNumber === number.toUpperCase());
  }

  #claims(code) {
    try {
      return json(code.split('.')[1]);
    } catch {
      return undefined;
    }
  }

  // What a door without a network can say of a ticket: accepted, used, choose, other_event, not_valid, or unlisted: our
  // signature, or a number, that the list does not have (bought later, or refunded).
  async judge(text) {
    if (!isCode(text)) {
      const seats = text.includes('.') ? [this.find(text)].filter(Boolean) : this.ofNumber(text);
      if (seats.length > 1) return { outcome: 'choose', seats };
      return this.#told(seats[0]);
    }
    const [head, payload, signature] = text.split('.');
    try {
      const key = this.#keys.get(json(head).kid);
      const signed = key && await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, bytes(signature), new TextEncoder().encode(`${head}.${payload}`));
      if (json(head).alg !== 'ES256' || !signed) return { outcome: 'not_valid' };
    } catch {
      return { outcome: 'not_valid' };
    }
    const { aud } = json(payload);
    if (!String(aud).startsWith('ticket:')) return { outcome: 'not_valid' };
    if (aud !== `ticket:${this.#event}`) return { outcome: 'other_event' };
    return this.#told(this.find(text));
  }

  #told(ticket) {
    if (!ticket) return { outcome: 'unlisted' };
    return { outcome: ticket.used ? 'used' : 'accepted', reservationNumber: ticket.reservationNumber, seat: ticket };
  }

  markUsed(ticket, device, at) {
    if (!ticket || ticket.used) return;
    ticket.used = { at, device };
    this.inside += 1;
  }

  // ---- scans that are still to be sent ----

  get pending() {
    try {
      return JSON.parse(localStorage.getItem(this.pendingKey) ?? '[]');
    } catch {
      return [];
    }
  }

  add(scan) {
    localStorage.setItem(this.pendingKey, JSON.stringify([...this.pending, scan]));
  }

  drop(count) {
    localStorage.setItem(this.pendingKey, JSON.stringify(this.pending.slice(count)));
  }
}
