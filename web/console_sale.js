// SPDX-License-Identifier: MIT
//
// console_sale: one sale on its night. It asks for the figures every second and a half, draws them, and turns the forms of
// the page into requests that say first what they will do, and can be undone where that is possible.
//
//   stats, sections, event, minutes, audit -> model -> console_sale_view, console_ready
//   a form -> console_controls -> ask -> the figures again

import { $ } from './dom.js';
import { startClock } from './clock.js';
import { Controls } from './console_controls.js';
import { Poll } from './console_poll.js';
import { ask, isSignedOut } from './console_request.js';
import { clearNotice, notice } from './console_notice.js';
import { Readiness } from './console_ready.js';
import { View } from './console_sale_view.js';
import { t } from './i18n.js';

const STATS_MS = 1500;
const SLOW_MS = 15000; // what a night looks at now and then: the course of the sale, its settings, changes
const OLD_MS = 2000;

const main = $('main');
const base = `/api/admin/events/${main.dataset.event}`;
const model = { event: null, stats: null, hall: null, minutes: [], marks: [], changes: [] };
const view = new View(model);
const readiness = new Readiness(base);

function draw() {
  view.draw();
  if (model.event) readiness.draw(model);
}

function failed(error) {
  if (isSignedOut(error)) {
    for (const poll of polls) poll.stop();
    notice(t('console_failed_unauthorized'), { kind: 'bad', name: 'failure', action: { label: t('console_sign_in_again'), run: () => location.reload() } });
    return;
  }
  notice(t('console_failed_figures'), { kind: 'bad', name: 'failure' });
}

const stats = new Poll(() => Promise.all([ask('GET', `${base}/stats`), ask('GET', `${base}/sections`)]), STATS_MS, {
  onAnswer([answer, hall]) {
    const changed = model.event && hall.version !== model.event.version;
    Object.assign(model, { stats: answer, hall });
    clearNotice('failure');
    draw();
    if (changed) slow.now();
  },
  onFailure: failed,
});

const slow = new Poll(async () => {
  const [event, course, audit] = await Promise.all([ask('GET', base), ask('GET', `${base}/minutes`), ask('GET', `${base}/audit?limit=12`)]);
  return { event, course, audit };
}, SLOW_MS, {
  onAnswer({ event, course, audit }) {
    Object.assign(model, { event, minutes: course.minutes, marks: course.marks, changes: audit.entries });
    controls.follow?.(event);
    draw();
  },
  onFailure: failed,
});
const polls = [stats, slow];

startClock(Number(main.dataset.now));
main.classList.add('live');
const controls = new Controls(model, base, {
  // What was changed shows at once, and what follows from it with the next figures.
  onChange(event) {
    if (event) model.event = event;
    if (event?.threshold !== undefined) controls.follow?.(event);
    draw();
    stats.now();
    slow.now();
  },
});
for (const poll of polls) poll.start();
setInterval(() => view.drawTime(stats.age, OLD_MS), 500);
