// SPDX-License-Identifier: MIT
//
// console_poll: asks again and again while the page is seen, one question at a time. It knows how old the last answer
// is, since figures on a night must not be trusted when they are old.

const SLOWEST_MS = 15000;

export class Poll {
  #timer;
  #running = false;
  #failures = 0;
  #answeredAt = 0; // performance.now(), of the last answer

  // question: () => a promise of the answer. onAnswer and onFailure get it, or the error.
  constructor(question, everyMs, { onAnswer, onFailure }) {
    Object.assign(this, { question, everyMs, onAnswer, onFailure });
    document.addEventListener('visibilitychange', () => this.#running && document.visibilityState === 'visible' && this.now());
  }

  start() {
    this.#running = true;
    this.now();
  }

  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  // How long ago the last answer came, in ms; Infinity: there was none yet.
  get age() {
    return this.#answeredAt === 0 ? Infinity : performance.now() - this.#answeredAt;
  }

  // Asks at once. A question that is under way serves as well: its answer is newer than what called for it only by chance,
  // so another one follows it.
  now() {
    clearTimeout(this.#timer);
    if (this.asking) {
      this.again = true;
      return;
    }
    void this.#ask();
  }

  async #ask() {
    this.asking = true;
    this.again = false;
    try {
      const answer = await this.question();
      this.#answeredAt = performance.now();
      this.#failures = 0;
      this.onAnswer(answer);
    } catch (error) {
      this.#failures++;
      this.onFailure?.(error);
    }
    this.asking = false;
    if (!this.#running) return;
    const wait = this.again ? 0 : Math.min(this.everyMs * 2 ** Math.min(this.#failures, 4), Math.max(SLOWEST_MS, this.everyMs));
    this.#timer = setTimeout(() => document.visibilityState === 'visible' && this.now(), wait);
  }
}
