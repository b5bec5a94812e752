// SPDX-License-Identifier: MIT
//
// console_hall: the seats of a sale: what there is, by section, with what may be done to it; and adding or replacing them
// by a grid or a file. What would come of it is checked by the service while it is typed (?check=1) and drawn, with each
// error beside its line; nothing is stored before the button says so.

import { $, element, svg } from './dom.js';
import { startClock } from './clock.js';
import { confirm } from './console_dialog.js';
import { notice } from './console_notice.js';
import { ask, failure, refusalText } from './console_request.js';
import { decimalsOf, list, money, number, plural, t } from './i18n.js';
import { own } from './place.js';

const CHECK_AFTER_MS = 400;
const DRAWN_ROWS = 40;

const { dataset } = $('main');
const base = `/api/admin/events/${dataset.event}`;
const form = $('add');
let hall = null; // the service's answer about the sections
let file = null; // that was chosen: { bytes, text }
let asked = 0; // the latest check
let typed = false; // something was, since the last time that seats were stored

const currency = () => form.elements.currency.value.trim().toUpperCase();
const scale = () => 10 ** decimalsOf(hall?.currency ?? currency());
const text = (value) => (value ? money(value, hall.currency) : money(0, hall.currency));

// ---- what there is ----

const range = ({ priceFrom, priceTo }) => (priceFrom === priceTo ? text(priceFrom) : `${text(priceFrom)} – ${text(priceTo)}`);

function drawSections() {
  const { sections, total } = hall;
  $('none').hidden = sections.length > 0;
  $('sections_table').hidden = sections.length === 0;
  const may = dataset.may.split(' ').includes('own');
  const counts = (row) => [row.free, row.held, row.sold, row.blocked].map((n) => element('td', { className: 'amount', textContent: number(n) }));
  $('section_rows').replaceChildren(...sections.map((row) => element('tr', {}, [
    element('th', { scope: 'row', dir: 'auto', textContent: row.section }),
    element('td', { className: 'amount', textContent: number(row.rows) }), element('td', { className: 'amount', textContent: number(row.seats) }),
    element('td', { className: 'amount', textContent: range(row) }), ...counts(row),
    element('td', {}, [element('div', { className: 'menu' }, may ? menuOf(row) : [])]),
  ])));
  $('section_total').replaceChildren(element('tr', {}, [
    element('th', { scope: 'row', textContent: t('hall_total') }), element('td'), element('td', { className: 'amount', textContent: number(total.seats) }), element('td'), ...counts(total), element('td'),
  ]));
}

function menuOf(row) {
  const button = (key, run, danger = false) => {
    const made = element('button', { type: 'button', className: `control ${danger ? 'danger' : ''}`, textContent: t(key) });
    made.setAttribute('aria-label', `${t(key)}: ${row.section}`);
    made.addEventListener('click', () => void run(row));
    return made;
  };
  return [button('hall_reprice', reprice), button('hall_rename', rename), button('hall_block', block), ...(row.blocked > 0 ? [button('hall_unblock', unblock)] : []), button('hall_remove', remove, true)];
}

// ---- corrections ----

const field = (label, input) => element('label', { className: 'field' }, [element('span', { textContent: label }), input]);

async function correct(verb, body, section) {
  try {
    const answer = await ask('POST', `${base}/seats/${verb}`, { json: { where: { section }, ...body } });
    notice(plural('hall_changed', answer.changed));
    if (answer.warnings?.length > 0) notice(t('refused_seats_left', [number(answer.left.held), number(answer.left.sold)]), { kind: 'warn', name: 'left' });
  } catch (error) {
    notice(failure(error), { kind: 'bad' });
  }
  await load();
}

async function reprice({ section, priceFrom }) {
  const price = element('input', { type: 'number', min: 0, step: 1 / scale(), required: true, value: priceFrom / scale() });
  if (!await confirm({ title: t('hall_ask_reprice', { section }), lead: t('hall_ask_reprice_lead'), yes: t('hall_reprice'), body: [field(`${t('hall_price')} (${hall.currency})`, price)] })) return;
  await correct('reprice', { price: Math.round(price.valueAsNumber * scale()) }, section);
}

async function rename({ section }) {
  const name = element('input', { type: 'text', maxLength: 64, required: true, value: section, dir: 'auto' });
  if (!await confirm({ title: t('hall_ask_rename', { section }), lead: t('hall_ask_unsold_lead'), yes: t('hall_rename'), body: [field(t('hall_name'), name)] })) return;
  await correct('rename', { section: name.value.trim() }, section);
}

// Seats of a section, by row and number; empty fields mean all of it.
async function block({ section }) {
  const row = element('input', { type: 'text', maxLength: 64, dir: 'auto' });
  const [from, to] = [1, 2].map(() => element('input', { type: 'number', min: 1, step: 1 }));
  const reason = element('input', { type: 'text', maxLength: 200, required: true, dir: 'auto' });
  const agreed = await confirm({
    title: t('hall_ask_block', { section }), lead: t('hall_ask_block_lead'), yes: t('hall_block'),
    body: [field(t('hall_row'), row), field(t('hall_from'), from), field(t('hall_to'), to), field(t('hall_reason'), reason)],
  });
  if (!agreed) return;
  const where = { section, ...(row.value.trim() && { row: row.value.trim() }), ...(from.valueAsNumber && { from: from.valueAsNumber }), ...(to.valueAsNumber && { to: to.valueAsNumber }) };
  await correct('block', { reason: reason.value.trim(), where }, section);
}

const unblock = ({ section }) => correct('unblock', {}, section);

async function remove({ section, seats }) {
  if (await confirm({ title: t('hall_ask_remove', { section }), lead: t('hall_ask_remove_lead', { n: number(seats) }), yes: t('hall_remove'), danger: true })) await correct('remove', {}, section);
}

// ---- adding and replacing ----

function addRow(values = {}) {
  const input = (name, type, value, extra = {}) => {
    const made = element('input', { type, name, value, required: true, ...extra });
    return field(t(`hall_${name}`), made);
  };
  const gone = element('button', { type: 'button', className: 'control', textContent: '✕' });
  gone.setAttribute('aria-label', t('hall_drop'));
  const row = element('div', { className: 'grid-row' }, [
    input('section', 'text', values.section ?? '', { maxLength: 64, dir: 'auto' }), input('rows', 'number', values.rows ?? 10, { min: 1, max: 1000 }),
    input('seatsPerRow', 'number', values.seatsPerRow ?? 20, { min: 1, max: 1000 }), input('price', 'number', values.price ?? '', { min: 0, max: 1e9, step: 'any' }), gone,
  ]);
  gone.addEventListener('click', () => { row.remove(); checkSoon(); });
  $('grid').append(row);
}

const byFile = () => form.elements.way.value === 'file';

const labelOf = (input) => input.closest('.field').querySelector('span').textContent;

// What is wrong with a field that has something in it; '' when nothing.
function slipIn(input) {
  const { name, value, valueAsNumber, validity, min, max } = input;
  if (name === 'currency') return value.trim().length === 3 ? '' : t('refused_not_a_currency');
  if (!validity.valid) return t('setup_number_between', { min: number(Number(min)), max: number(Number(max)) });
  const n = decimalsOf(currency());
  if (name !== 'price' || Math.abs(Math.round(valueAsNumber * 10 ** n) - valueAsNumber * 10 ** n) <= 1e-6) return '';
  return t('hall_price_decimals', { n, currency: currency(), section: input.closest('.grid-row').querySelector('[name="section"]').value });
}

// Marks what is wrong in the sections that are typed, beside each field. Returns why they cannot be stored yet; '' when they can.
function slipOf() {
  for (const line of form.querySelectorAll('.field .wrong')) line.remove();
  if (byFile()) return file ? '' : t('hall_incomplete', { what: t('hall_file') });
  const inputs = [form.elements.currency, ...$('grid').querySelectorAll('input')];
  const isEmpty = ({ value, validity }) => !value.trim() && !validity.badInput;
  const wrong = inputs.filter((input) => !isEmpty(input)).map((input) => [input, slipIn(input)]);
  for (const [input, text] of wrong) {
    input.toggleAttribute('aria-invalid', text !== '');
    if (text) input.closest('.field').append(element('span', { className: 'wrong', textContent: text }));
  }
  const empty = inputs.filter(isEmpty).map(labelOf);
  if (empty.length > 0) return t('hall_incomplete', { what: list([...new Set(empty)]) });
  if (inputs.length === 1) return t('hall_incomplete', { what: t('hall_section') });
  return wrong.find(([, text]) => text)?.[1] ?? '';
}

// What the form says, as a request; null: something is missing or wrong.
function request() {
  if (slipOf() !== '') return null;
  const query = form.elements.replace.checked ? 'replace=1' : '';
  if (byFile()) return { query, options: { headers: { 'Content-Type': 'text/csv' }, body: file.bytes } };
  const grid = [...$('grid').children].map((row) => {
    const { section, rows, seatsPerRow, price } = Object.fromEntries([...row.querySelectorAll('input')].map((input) => [input.name, input]));
    return { section: section.value.trim(), rows: rows.valueAsNumber, seatsPerRow: seatsPerRow.valueAsNumber, price: Math.round(price.valueAsNumber * scale()), currency: currency() };
  });
  return { query, options: { json: { grid } } };
}

const send = ({ query, options }, check) => {
  const all = [query, check ? 'check=1' : ''].filter(Boolean).join('&');
  return ask('POST', `${base}/seats${all ? `?${all}` : ''}`, options);
};

function drawPlan({ sections = [], seats = 0 }, errors) {
  const widest = Math.max(1, ...sections.map(({ widestRow }) => widestRow));
  $('summary').textContent = sections.length === 0 ? t('hall_preview_none') : plural('hall_preview_seats', seats);
  $('plan').replaceChildren(...sections.map((section) => {
    const lines = Math.min(section.rows, DRAWN_ROWS);
    const height = 80 / lines;
    const width = (100 * section.widestRow) / widest;
    return element('figure', {}, [
      svg('svg', { viewBox: '0 0 100 80', 'aria-hidden': 'true', preserveAspectRatio: 'none' }, Array.from({ length: lines }, (_, i) => svg('rect', { x: (100 - width) / 2, y: i * height, width, height: height * 0.6 }))),
      element('figcaption', {}, [
        element('strong', { dir: 'auto', textContent: section.section }),
        element('div', { className: 'soft', textContent: t('hall_preview_section', { rows: number(section.rows), seats: number(section.seats) }) }),
      ]),
    ]);
  }));
  $('errors').hidden = errors.length === 0;
  const lines = file && byFile() ? file.text.split(/\r?\n/) : [];
  $('errors').replaceChildren(...errors.map(({ line, field: name, message, ...why }) => element('li', {}, [
    element('span', { className: 'wrong', textContent: [line ? t('hall_line', { n: number(line) }) : '', refusalText({ field: name, ...why }) || message].filter(Boolean).join(': ') }),
    ...(line && lines[line - 1] ? [element('div', {}, [element('code', { textContent: lines[line - 1].slice(0, 200) })])] : name ? [element('span', { className: 'soft', textContent: ` (${name})` })] : []),
  ])));
}

async function check() {
  const wanted = request();
  const mine = ++asked;
  $('store').disabled = true;
  $('why').textContent = wanted ? t('hall_checking') : typed ? slipOf() : '';
  if (!wanted) {
    drawPlan({}, []);
    return;
  }
  try {
    const answer = await send(wanted, true);
    if (mine !== asked) return;
    drawPlan(answer, answer.errors);
    // A spreadsheet's own way of writing is taken, and said.
    const separated = { semicolon: t('hall_separated_semicolon'), tab: t('hall_separated_tab') }[answer.separator];
    if (separated) $('summary').append(` ${separated}`);
    $('store').disabled = answer.errors.length > 0 || answer.seats === 0;
    $('why').textContent = answer.errors.length > 0 ? plural('hall_errors', answer.errors.length) : '';
  } catch (error) {
    if (mine !== asked) return;
    $('why').textContent = failure(error);
    drawPlan({}, error.problem?.errors ?? [{ line: error.problem?.line, field: error.field, message: failure(error) }]);
  }
}

let timer;
function checkSoon() {
  clearTimeout(timer);
  timer = setTimeout(() => void check(), CHECK_AFTER_MS);
}

async function store() {
  const wanted = request();
  if (!wanted) return;
  if (form.elements.replace.checked && hall.total.seats > 0
    && !await confirm({ title: t('hall_ask_replace'), lead: t('hall_ask_replace_lead', { n: number(hall.total.seats) }), yes: t('hall_replace_yes'), danger: true })) return;
  $('store').disabled = true;
  try {
    const answer = await send(wanted, false);
    const isDraft = $('main').dataset.state === 'draft';
    notice([plural('hall_stored', answer.seats), isDraft && t('hall_next')].filter(Boolean).join(' '), {
      action: isDraft ? { label: t('console_night'), run: () => location.assign(own(`/console/events/${dataset.event}`)) } : null,
    });
    $('grid').replaceChildren();
    addRow();
    file = null;
    form.elements.file.value = '';
    form.elements.replace.checked = false;
    typed = false;
    drawPlan({}, []);
  } catch (error) {
    notice(failure(error), { kind: 'bad' });
    $('store').disabled = false; // to be tried again as it is
  }
  await load();
}

function showWay() {
  for (const id of ['grid', 'more_sections', 'currency_field']) $(id).hidden = byFile();
  $('file_field').hidden = !byFile();
  checkSoon();
}

async function load() {
  try {
    hall = await ask('GET', `${base}/sections`);
  } catch (error) {
    notice(failure(error), { kind: 'bad', action: { label: t('try_again'), run: () => void load() } });
    return;
  }
  $('hall').hidden = false;
  form.hidden = !dataset.may.split(' ').includes('own');
  drawSections();
  form.elements.currency.value ||= hall.currency ?? '';
  form.elements.currency.disabled = hall.currency !== null && hall.total.seats > 0;
}

async function start() {
  startClock(Number(dataset.now));
  await load();
  addRow();
  form.addEventListener('input', () => { typed = true; checkSoon(); });
  for (const way of form.elements.way) way.addEventListener('change', showWay);
  $('another').addEventListener('click', () => { addRow(); checkSoon(); });
  form.elements.file.addEventListener('change', async () => {
    const [chosen] = form.elements.file.files;
    // The bytes are sent as they are, since the service knows the encodings of spreadsheets; the text is for the lines of errors.
    file = chosen ? { text: await chosen.text(), bytes: chosen } : null;
    checkSoon();
  });
  form.addEventListener('submit', (submit) => {
    submit.preventDefault();
    void store();
  });
}

void start();
