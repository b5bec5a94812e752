// SPDX-License-Identifier: MIT
//
// console_report: what came of a sale, from its record: once, when the page is loaded.

import { $, element, write } from './dom.js';
import { startClock } from './clock.js';
import { notice } from './console_notice.js';
import { ask, failure } from './console_request.js';
import { venueTimes } from './console_zone.js';
import { duration, eventTime, money, number, percent, t } from './i18n.js';

const { dataset } = $('main');

const time = (seconds) => (seconds === null ? '–' : duration(seconds));
const moments = venueTimes('short');
const at = (text) => (text === null ? '' : moments.format(Date.parse(text)));

function rows(id, list) {
  $(id).replaceChildren(...list.map(([key, value, note]) => element('div', {}, [
    element('dt', { textContent: t(key) }),
    element('dd', { textContent: note ? `${value} (${note})` : value }),
  ])));
}

function drawPromises({ verdict, overLimit, outOfOrder, overOutflow, seatsSoldTwice, gaps, admissions, mostInside, examples = [] }) {
  $('promises').dataset.verdict = verdict;
  write('promises_title', t(`report_promises_${verdict}`));
  write('promises_lead', t('report_promises_lead', { n: number(admissions) }));
  rows('promises_rows', [
    ['report_over_limit', number(overLimit)], ['report_out_of_order', number(outOfOrder)], ['report_over_outflow', number(overOutflow)], ['report_sold_twice', number(seatsSoldTwice)],
    ['report_gaps', number(gaps)], ['report_most_inside', number(mostInside)],
  ]);
  if (examples.length > 0) $('promises').append(element('ul', { className: 'small' }, examples.map((example) => element('li', { textContent: typeof example === 'string' ? example : JSON.stringify(example) }))));
}

function draw(report) {
  const { waiting, visit, buyers, noShows, endings, silent, withdrawn, peak, holds, revenue } = report;
  const amount = (value) => (revenue.currency ? money(value, revenue.currency) : '–');
  write('made', t('report_made', { time: eventTime(Date.parse(report.at)) }));
  drawPromises(report.promises);
  rows('waiting_rows', [
    ['report_joined', number(report.joined)], ['report_half', time(waiting.p50)], ['report_nine_tenths', time(waiting.p90)], ['report_ninety_nine', time(waiting.p99)],
    ['report_longest', time(waiting.longest)], ['report_peak_waiting', number(peak.waiting), at(peak.waitingAt)], ['report_withdrawn', number(withdrawn)],
    ['report_silent', number(silent.parked)],
  ]);
  rows('visit_rows', [
    ['report_turns', number(visit.turns)], ['report_mean', time(visit.mean)], ['report_nine_tenths', time(visit.p90)], ['report_longest', time(visit.longest)],
    ['report_peak_inside', number(peak.inside), at(peak.insideAt)], ['report_timeout', number(endings.timeout)], ['report_idle', number(endings.idle)],
  ]);
  rows('buyers_rows', [
    ['report_entered', number(buyers.entered)], ['report_direct', number(buyers.direct)], ['report_came', number(buyers.came)], ['report_bought', number(buyers.bought)],
    ['report_conversion', buyers.conversion === null ? '–' : percent(buyers.conversion)], ['report_no_shows', number(noShows.buyers)],
    ['report_holds_lost', number(holds.abandoned)],
  ]);
  rows('money_rows', [
    ['console_revenue', amount(revenue.amount)], ['report_seats_sold', number(revenue.seats)], ['report_paid', amount(revenue.paid)],
    ['report_refunded', amount(revenue.refunded)], ['report_refund_due', amount(revenue.refundDue)],
  ]);
  $('sections').hidden = revenue.sections.length === 0;
  $('section_rows').replaceChildren(...revenue.sections.map((row) => element('tr', {}, [
    element('th', { scope: 'row', dir: 'auto', textContent: row.section }),
    ...[number(row.sold), number(row.seats), amount(row.amount)].map((textContent) => element('td', { className: 'amount', textContent })),
  ])));
}

async function start() {
  startClock(Number(dataset.now));
  $('print').addEventListener('click', () => print());
  try {
    draw(await ask('GET', `/api/admin/events/${dataset.event}/report`));
    $('report').hidden = false;
  } catch (error) {
    notice(failure(error), { kind: 'bad', action: { label: t('try_again'), run: () => location.reload() } });
  }
  $('wait').hidden = true;
}

void start();
