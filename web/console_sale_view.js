// SPDX-License-Identifier: MIT
//
// console_sale_view: draws the model of one sale into its page. It decides nothing and asks nobody.

import { $, element, write } from './dom.js';
import { now } from './clock.js';
import { Chart } from './console_chart.js';
import { columns, perMinute } from './console_sale_model.js';
import { byText, changeText, limitText, timeOf, warningTexts } from './console_words.js';
import { countdown, duration, money, number, percent, plural, t } from './i18n.js';

const rate = (n) => (n === null || n === undefined ? '–' : number(Math.round(n)));

export class View {
  #charts;

  constructor(model) {
    this.model = model;
  }

  draw() {
    const { stats, event } = this.model;
    if (stats) this.#drawFigures(stats);
    if (event) {
      write('title', event.title);
      $('rehearsal').hidden = event.rehearsal !== true;
      this.#drawState(stats?.status ?? event.status);
    }
    this.#drawWarnings();
    this.#drawCharts();
    this.#drawSections();
    this.#drawChanges();
  }

  // What changes with time alone. `age`: of the figures, ms.
  drawTime(age, oldMs) {
    const old = age > oldMs + 1000; // a question may take a second
    $('age').hidden = age === Infinity;
    $('age').toggleAttribute('data-old', old);
    write('age', old ? t('console_age_old', { time: duration(Math.round(age / 1000)) }) : t('console_age_new'));
    const event = this.model.event;
    const status = this.model.stats?.status ?? event?.status;
    const [key, at] = [['console_opens_in', event?.opensAt], ['console_closes_in', event?.closesAt]]
      .find(([, time]) => time && Date.parse(time) > now()) ?? [];
    const shown = Boolean(at) && status !== 'closed';
    $('countdown').hidden = !shown;
    if (shown) write('countdown', t(key, { time: countdown(Date.parse(at) - now()) }));
  }

  #drawState(status) {
    $('main').dataset.state = status;
    $('state').dataset.state = status;
    write('state', t(`state_${status}`));
  }

  // Those of the figures, which have the alerts; before the first figures, and of a page without them, the server's stand.
  #drawWarnings() {
    if (!this.model.stats) return;
    const texts = warningTexts(this.model.stats);
    const lines = [...$('warnings').children].map(({ textContent }) => textContent);
    $('warnings').hidden = texts.length === 0;
    if (texts.join('\n') !== lines.join('\n')) $('warnings').replaceChildren(...texts.map((textContent) => element('li', { textContent })));
  }

  #drawFigures(stats) {
    const { queueSize, currentUsers, threshold, minutes = [] } = stats;
    const { total, currency } = this.model.hall;
    $('figures').hidden = false;
    const limit = limitText(stats);
    $('limit').hidden = limit === '';
    write('limit', limit);
    write('waiting', queueSize === undefined ? '–' : number(queueSize));
    write('inside', currentUsers === undefined ? '–' : number(currentUsers));
    write('threshold_of', threshold === undefined ? '' : t('console_of_threshold', { n: number(threshold) }));
    $('inside_meter').firstElementChild.setAttribute('width', threshold ? Math.min(100, (100 * currentUsers) / threshold) : 0);
    write('arrivals', rate(perMinute(minutes, 'joined')));
    write('admissions', rate(perMinute(minutes, 'admitted')));
    write('purchases', rate(perMinute(minutes, 'completed')));
    const { conversion = null, holds, meanVisit = null } = stats;
    write('conversion', conversion === null ? '' : t('console_conversion', { share: percent(conversion) }));
    write('sold', number(total.sold));
    write('stock_of', t('console_of_stock', { n: number(total.seats - total.blocked) }));
    write('revenue', currency ? money(total.revenue, currency) : '–');
    write('refunds', total.refunded > 0 ? t('console_refunded', { amount: money(total.refunded, currency) }) : '');
    write('visit', meanVisit === null || meanVisit < 1 ? '' : t('console_visit', { time: duration(meanVisit) }));
    this.#drawEnd(stats, queueSize);
    write('abandoned', holds?.abandoned ? plural('console_abandoned', holds.abandoned) : '');
  }

  // When the last in line enters, or when the seats are gone, whichever comes first.
  #drawEnd({ expectedEnd, expectedEndBy }, queueSize) {
    const end = expectedEnd ? Date.parse(expectedEnd) : null;
    const bySeats = expectedEndBy === 'seats';
    write('empty_at', queueSize === 0 ? t('console_nobody_waits') : end === null || bySeats ? '–' : timeOf(end));
    write('last_waits', end === null || bySeats ? '' : t('console_last_waits', { time: duration(Math.max(0, end - now()) / 1000) }));
    write('sold_out_at', end !== null && bySeats ? t('console_sold_out_at', { time: timeOf(end) }) : '');
  }

  #drawCharts() {
    const { minutes, marks } = this.model;
    $('charts').hidden = minutes.length < 2;
    if (minutes.length < 2) return;
    this.#charts ??= {
      queue: new Chart($('chart_queue'), [{ label: t('console_waiting'), colour: '--chart-1', filled: true }]),
      inside: new Chart($('chart_inside'), [{ label: t('console_inside'), colour: '--chart-1', filled: true }, { label: t('console_field_threshold'), colour: '--chart-2', dash: [6, 4] }]),
      minute: new Chart($('chart_minute'), [{ label: t('console_arrivals'), colour: '--chart-3' }, { label: t('console_admissions'), colour: '--chart-1' }, { label: t('console_purchases'), colour: '--chart-2' }]),
    };
    const lines = marks.map(({ at }) => Date.parse(at) / 1000);
    this.#charts.queue.set(columns(minutes, ['queueSize']), lines);
    this.#charts.inside.set(columns(minutes, ['currentUsers', 'threshold']), lines);
    this.#charts.minute.set(columns(minutes, ['joined', 'admitted', 'completed']), lines);
    write('marks', lines.length > 0 ? plural('console_marks', lines.length) : '');
  }

  #drawSections() {
    const { sections: rows = [], currency } = this.model.hall ?? {};
    $('sections').hidden = rows.length === 0;
    const amounts = ({ free, held, sold, blocked, revenue }) => [number(free), number(held), number(sold), number(blocked), money(revenue, currency)];
    $('section_rows').replaceChildren(...rows.map((row) => element('tr', {}, [
      element('th', { scope: 'row', dir: 'auto', textContent: row.section }),
      ...amounts(row).map((textContent) => element('td', { className: 'amount', textContent })),
    ])));
  }

  #drawChanges() {
    const { changes } = this.model;
    $('changes').hidden = changes.length === 0;
    $('change_list').replaceChildren(...changes.map((entry) => element('li', {}, [
      element('span', { dir: 'auto', textContent: changeText(entry) }),
      element('span', { className: 'soft small', dir: 'auto', textContent: byText(entry, timeOf(Date.parse(entry.at))) }),
    ])));
  }
}
