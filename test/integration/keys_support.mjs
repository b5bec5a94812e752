// SPDX-License-Identifier: MIT
//
// A small crowd behind pods that come and go: it notices whatever a roll of keys does to a buyer.
//
//   const crowd = new Crowd([a, b], event, { guests: 8, users: 8, token: () => … });
//   await crowd.join();
//   crowd.start(); … await crowd.rounds(2); … assert.deepEqual(crowd.faults, []); … await crowd.stop();

import { Client, decode, many, pause, waitUntil } from '../fixtures/index.mjs';

const GONE = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE']);

// A client that asks a pod at random, and another one where that is gone, as behind a load balancer.
export class Roamer extends Client {
  constructor(pods, dice, options) {
    super(pods[0], options);
    Object.assign(this, { pods, dice });
  }

  async request(method, path, options) {
    for (let tries = 0; ; tries++) {
      this.server = this.pods[this.dice.below(this.pods.length)];
      try {
        return await super.request(method, path, options);
      } catch (error) {
        if (!GONE.has(error.code) || tries > 200) throw error;
        await pause(20, 'a balancer tries the next pod');
      }
    }
  }
}

export const kidOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString('utf8')).kid;

export class Crowd {
  // users: as many buyers with token(i) as their JWT; guests: as many without.
  constructor(pods, event, dice, { guests, users, token }) {
    this.event = event;
    this.token = token;
    this.faults = [];
    this.round = 0;
    this.buyers = [...Array(guests + users).keys()].map((i) => new Roamer(pods, dice, i < guests ? {} : { token: token(i) }));
    this.users = this.buyers.slice(guests);
  }

  // All take their places, in this order; the first of them are inside.
  async join() {
    for (const buyer of this.buyers) {
      const answer = await buyer.check(this.event.id);
      if (answer.status !== 200) throw new Error(answer.text);
      const { p: place, b: id } = decode(answer.body.ticket);
      Object.assign(buyer, { place, id, state: answer.body.status, position: answer.body.position ?? 0 });
    }
    this.inside = this.buyers.filter(({ state }) => state === 'active');
  }

  // One question of each buyer, as their page asks it.
  async ask() {
    await many(this.buyers, 8, async (buyer) => {
      const answer = await buyer.check(this.event.id);
      const fault = (what) => this.faults.push(`${buyer.id} in round ${this.round}: ${what}: ${answer.text}`);
      if (answer.status !== 200) return fault(`status ${answer.status}`);
      const { p: place, b: id } = decode(answer.body.ticket);
      if (id !== buyer.id) fault('another buyer');
      if (place !== buyer.place) fault(`place ${place} instead of ${buyer.place}`);
      if (buyer.state === 'active' && answer.body.status !== 'active') fault('thrown out');
      if ((answer.body.position ?? 0) > buyer.position) fault(`position ${answer.body.position} after ${buyer.position}`);
      buyer.state = answer.body.status;
      return undefined;
    });
    this.round++;
  }

  start() {
    this.going = true;
    this.running = (async () => {
      while (this.going) await this.ask();
    })();
  }

  async rounds(count) {
    const until = this.round + count + 1; // the one under way began before
    await waitUntil(() => this.round >= until, 20000, 'a round of the crowd');
  }

  async stop() {
    this.going = false;
    await this.running;
  }

  // The first of those inside, who leaves the crowd.
  async take() {
    const [buyer] = this.inside.splice(0, 1);
    this.buyers = this.buyers.filter((other) => other !== buyer);
    await this.rounds(1);
    return buyer;
  }

  // The shop signs with another key from now on.
  renewTokens(token) {
    for (const buyer of this.users) buyer.token = token(Number(buyer.id.split('-')[1]));
  }
}
