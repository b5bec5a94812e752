// SPDX-License-Identifier: MIT
//
// A TCP proxy on one link of the world, which a fault can hurt:
//
//   const link = await Link.start(() => redis.port);     // the target may move: a failover
//   link.shape({ delayMs: 50, jitterMs: 30, bytesPerSecond: 20000 });
//   link.stall('back');    // 'back': answers stay in the proxy, as with a reader that stalls; 'forth'; 'both': half-open
//   link.refuse(true); link.cut(); link.reset(); link.heal();
//
// Bytes are never changed, lost or reordered within a connection: TCP would not do that either.

import { createServer, connect } from 'node:net';
import { freePort, pause } from '../fixtures/index.mjs';

const HELD_MAX = 4 << 20; // bytes of one direction that wait in the proxy; then it reads no more
const PIECE = 1460;

// One direction of one connection.
class Pipe {
  constructor(link, direction, from, to) {
    Object.assign(this, { link, direction, from, to });
    this.waiting = []; // { chunk, due }; chunk null: the end
    this.bytes = 0;
    from.on('data', (chunk) => this.take(chunk));
    from.on('end', () => this.take(null));
  }

  take(chunk) {
    const { delayMs, jitterMs } = this.link.how;
    const due = delayMs || jitterMs ? performance.now() + delayMs + jitterMs * this.link.roll() : 0;
    this.waiting.push({ chunk, due });
    this.bytes += chunk?.length ?? 0;
    if (this.bytes > HELD_MAX) this.from.pause();
    void this.carry();
  }

  async carry() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length > 0 && !this.to.destroyed && !this.link.holds(this.direction)) {
      const { chunk, due } = this.waiting[0];
      const late = due - performance.now();
      if (late > 0) {
        await pause(late, 'the delay of this link');
        continue;
      }
      this.waiting.shift();
      if (chunk === null) this.to.end();
      else await this.write(chunk);
    }
    this.busy = false;
  }

  async write(chunk) {
    const { bytesPerSecond } = this.link.how;
    this.bytes -= chunk.length;
    if (this.bytes <= HELD_MAX && this.from.isPaused()) this.from.resume();
    for (let at = 0; at < chunk.length && !this.to.destroyed;) {
      const piece = bytesPerSecond ? chunk.subarray(at, at + PIECE) : chunk.subarray(at);
      at += piece.length;
      if (bytesPerSecond) await pause((piece.length / bytesPerSecond) * 1000, 'the speed of this link');
      if (!this.to.write(piece)) {
        await new Promise((resolve) => {
          const done = () => {
            this.to.off('drain', done).off('close', done);
            resolve();
          };
          this.to.on('drain', done).on('close', done);
        });
      }
    }
  }
}

const WHOLE = { delayMs: 0, jitterMs: 0, bytesPerSecond: 0 };

export class Link {
  // target: a function that returns the port to connect to. roll: numbers from 0 to 1, for the jitter.
  static async start(target, roll = () => 0.5) {
    const link = new Link();
    Object.assign(link, { target, roll, how: WHOLE, stalled: null, refusing: false, pairs: new Set() });
    link.port = await freePort();
    link.server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => link.accept(near));
    await new Promise((resolve, reject) => {
      link.server.once('error', reject).listen(link.port, '127.0.0.1', 1024, resolve);
    });
    link.server.unref();
    return link;
  }

  accept(near) {
    near.on('error', () => {});
    if (this.refusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: this.target(), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const pair = { near, far, pipes: [new Pipe(this, 'forth', near, far), new Pipe(this, 'back', far, near)] };
    this.pairs.add(pair);
    far.on('error', () => near.resetAndDestroy());
    near.on('close', () => {
      far.destroy();
      this.pairs.delete(pair);
    });
    far.on('close', () => {
      if (!pair.pipes[1].waiting.length) near.destroySoon();
    });
  }

  holds(direction) {
    return this.stalled === 'both' || this.stalled === direction;
  }

  shape(how) {
    this.how = { ...WHOLE, ...how };
  }

  stall(direction) {
    this.stalled = direction;
  }

  // New connections are reset at once.
  refuse(on) {
    this.refusing = on;
  }

  // A FIN to both ends.
  cut() {
    for (const { near, far } of this.pairs) {
      near.destroy();
      far.destroy();
    }
  }

  // An RST to both ends.
  reset() {
    for (const { near, far } of this.pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  // As it should be. What a half-open link has kept arrives now, as after a network that was away for a moment.
  heal() {
    this.how = WHOLE;
    this.stalled = null;
    this.refusing = false;
    for (const { pipes } of this.pairs) for (const pipe of pipes) void pipe.carry();
  }

  stop() {
    this.server.close();
    this.cut();
  }
}
