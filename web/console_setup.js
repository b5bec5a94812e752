// SPDX-License-Identifier: MIT
//
// console_setup: creates a sale, and changes what it is: times, pace, look. Each part is saved by itself, with If-Match, so
// that two people who work on one sale do not undo each other unseen.

import { $, element } from './dom.js';
import { startClock } from './clock.js';
import { confirm } from './console_dialog.js';
import { clearNotice, notice } from './console_notice.js';
import { ask, failure } from './console_request.js';
import { FORECAST, difference } from './console_sale_model.js';
import { warningTexts } from './console_words.js';
import { fromLocal, isZone, ownZone, toLocal, zones } from './console_zone.js';
import { duration, number, t } from './i18n.js';
import { own } from './place.js';

const STATES = ['scheduled', 'waiting', 'admitted', 'paused', 'unlikely', 'sold_out', 'closed', 'unavailable'];
const PREVIEW_AFTER_MS = 400;
const FORECAST_AFTER_MS = 300;

const { dataset } = $('main');
const base = `/api/admin/events/${dataset.event}`;
const may = new Set((dataset.may ?? '').split(' '));
let event = null; // as the service has it; null: not created yet
const shown = new Map(); // form -> its values as they were filled in: what differs from them was typed

// ---- failures beside the field ----

function clearWrong(form) {
  for (const line of form.querySelectorAll('.wrong')) line.remove();
  for (const input of form.elements) input.removeAttribute('aria-invalid');
}

function mark(input, textContent) {
  const line = element('span', { className: 'wrong', id: `wrong_${input.name}`, textContent });
  input.setAttribute('aria-invalid', 'true');
  input.setAttribute('aria-describedby', line.id);
  input.closest('.field')?.append(line);
  input.focus();
}

// Shows a failure beside the field that it names; else at the head of the page.
function show(form, error) {
  const [name] = (error.field ?? '').match(/[A-Za-z]\w*/g)?.slice(-1) ?? []; // of returnUrls[1], say
  const input = name && form.elements.namedItem(name);
  if (input instanceof HTMLElement) mark(input, failure(error));
  else notice(failure(error), { kind: 'bad' });
}

// What is wrong with a field before anybody is asked; '' when nothing. A time that is half typed has the value '', and
// would otherwise count as none.
function slipOf(input) {
  const { name, type, value, validity } = input;
  if (name === 'title' && !value.trim()) return t('setup_needed');
  if (name === 'timeZone' && value.trim() && !isZone(value.trim())) return t('setup_zone_unknown');
  if (type === 'datetime-local' && validity.badInput) return t('setup_time_unfinished');
  if (type === 'number' && !validity.valid) return t('setup_number_between', { min: number(Number(input.min)), max: number(Number(input.max)) });
  return '';
}

function warn(answer) {
  for (const text of warningTexts(answer)) notice(text, { kind: 'warn', name: `warning_${text}` });
}

// ---- the parts ----

function fillBasics() {
  const { elements } = $('basics');
  const zone = event?.timeZone ?? ownZone();
  elements.timeZone.value = zone;
  for (const name of ['title', 'artist', 'venue']) elements[name].value = event?.[name] ?? '';
  for (const name of ['startsAt', 'opensAt', 'closesAt']) elements[name].value = toLocal(event?.[name], zone);
  elements.allowGuests.checked = event?.allowGuests ?? true;
  elements.rehearsal.checked = event?.rehearsal ?? false;
  elements.returnUrls.value = (event?.returnUrls ?? []).join('\n');
  elements.rehearsal.disabled = event !== null && event.status !== 'draft';
}

function readBasics() {
  const { elements } = $('basics');
  const zone = elements.timeZone.value.trim() || 'UTC';
  const values = { timeZone: zone };
  for (const name of ['title', 'artist', 'venue']) values[name] = elements[name].value.trim();
  for (const name of ['startsAt', 'opensAt', 'closesAt']) values[name] = fromLocal(elements[name].value, zone);
  values.allowGuests = elements.allowGuests.checked;
  values.returnUrls = elements.returnUrls.value.split(/\s+/).filter(Boolean);
  if (!elements.rehearsal.disabled) values.rehearsal = elements.rehearsal.checked;
  // A sale that has opened did so at that moment, whatever the clock at the venue is called.
  const opened = event && !['draft', 'scheduled'].includes(event.status);
  if (opened && elements.opensAt.value === toLocal(event.opensAt, event.timeZone ?? ownZone())) delete values.opensAt;
  return values;
}

const numbers = (form) => [...form.elements].filter(({ type, name }) => type === 'number' && !['expected', 'visit'].includes(name));

function fillPace() {
  for (const input of numbers($('pace'))) input.value = event[input.name] === null ? '' : event[input.name] / Number(input.dataset.unit ?? 1);
}

// An empty field is null: only one that may be empty counts as valid then.
const readPace = () => Object.fromEntries(numbers($('pace')).map((input) => [input.name, input.value === '' ? null : Math.round(input.valueAsNumber * Number(input.dataset.unit ?? 1))]));

function fillLook() {
  const { elements } = $('look');
  elements.name.value = event.branding.name ?? '';
  elements.primary.value = event.branding.primary ?? '#0b5d50';
  elements.background.value = event.branding.background ?? '#f5f4f0';
  for (const name of ['primary', 'background']) elements[name].dataset.set = event.branding[name] ? '1' : '';
  for (const name of ['help', 'terms', 'refunds', 'privacy']) elements[name].value = event.links[name] ?? '';
  for (const [name, url] of [['logo', event.branding.logo], ['image', event.branding.image]]) {
    elements[name].value = '';
    elements[`drop_${name}`].checked = false;
    $(`drop_${name}`).hidden = !url;
  }
}

const dataUrl = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

async function readLook() {
  const { elements } = $('look');
  const branding = { name: elements.name.value.trim() };
  for (const name of ['primary', 'background']) branding[name] = elements[name].dataset.set ? elements[name].value : null;
  for (const name of ['logo', 'image']) {
    const [file] = elements[name].files;
    if (file) branding[name] = await dataUrl(file);
    else if (elements[`drop_${name}`].checked) branding[name] = null;
  }
  const links = Object.fromEntries(['help', 'terms', 'refunds', 'privacy'].map((name) => [name, elements[name].value.trim() || null]));
  return { branding, links };
}

// Is there anything that was typed or chosen, and not saved?
const isTyped = (form) => form !== null && ([...form.querySelectorAll('[type="file"]')].some(({ files }) => files.length > 0) || form.dataset.typed === '1');

// Fills the form that was saved; all of them without one. What was typed into the others stays.
function fill(saved = null) {
  $('title').textContent = event?.title ?? t('console_new');
  for (const [id, fillForm, read] of [['basics', fillBasics, readBasics], ['pace', fillPace, readPace], ['look', fillLook, null]]) {
    const form = $(id);
    if (!form || (saved && saved !== form)) continue;
    fillForm();
    delete form.dataset.typed;
    if (read) shown.set(form, read());
  }
  if (!event) return;
  $('state').dataset.state = event.status;
  $('state').textContent = t(`state_${event.status}`);
  $('rehearsal').hidden = event.rehearsal !== true;
  $('do_delete').hidden = event.status !== 'draft' || !may.has('all');
  $('do_reset').hidden = event.rehearsal !== true || !may.has('all');
  $('do_copy').hidden = $('do_rehearse').hidden = !may.has('own');
}

// Saves what was typed into a part. Somebody else's change since this page was read is not overwritten: it is shown, and what
// was typed stays.
async function save(form, read) {
  clearWrong(form);
  clearNotice('last');
  const slip = [...form.elements].find(slipOf);
  if (slip) {
    mark(slip, slipOf(slip));
    return;
  }
  try {
    const values = await read();
    if (!event) {
      const created = await ask('POST', '/api/admin/events', { json: values });
      delete form.dataset.typed;
      location.assign(own(`/console/events/${created.id}/hall`));
      return;
    }
    const before = shown.get(form);
    const typed = before ? Object.fromEntries(difference(before, values, Object.keys(values)).map(({ field, to }) => [field, to])) : values;
    if (Object.keys(typed).length === 0) {
      delete form.dataset.typed;
      notice(t('console_nothing_changed'), { kind: 'warn' });
      return;
    }
    event = await ask('PATCH', base, { json: typed, version: event.version });
    notice(t('setup_saved'));
    warn(event);
    fill(form);
    showPreview();
  } catch (error) {
    if (error.status === 412) {
      event = await ask('GET', base).catch(() => event);
      notice(t('setup_conflict'), { kind: 'warn', action: { label: t('setup_take_theirs'), run: () => fill() } });
      return;
    }
    show(form, error);
  }
}

function onSubmit(id, read) {
  const form = $(id);
  form?.addEventListener('input', ({ target }) => { if (!['expected', 'visit'].includes(target.name)) form.dataset.typed = '1'; });
  form?.addEventListener('submit', async (submit) => {
    submit.preventDefault();
    const button = form.querySelector('[type="submit"]');
    button.disabled = true;
    try {
      await save(form, read);
    } finally {
      button.disabled = false;
    }
  });
}

// ---- the calculator ----

async function showForecast() {
  const form = $('pace');
  const { expected, visit } = form.elements;
  const settings = Object.fromEntries(Object.entries(readPace()).filter(([field]) => FORECAST.has(field)));
  if (![...numbers(form), expected, visit].every(({ validity }) => validity.valid) || !expected.value || !visit.value) {
    $('forecast').textContent = '';
    return;
  }
  const assume = { waiting: expected.valueAsNumber, inside: 0, arrivalsPerMinute: 0, visitMs: Math.round(visit.valueAsNumber * 60000) };
  try {
    const { then } = await ask('POST', `${base}/forecast`, { json: { ...settings, assume } });
    $('forecast').textContent = then.lastWaitMs === null && then.soldOutMs !== null ? t('setup_forecast_sold', { n: number(then.entered), time: duration(then.soldOutMs / 1000) })
      : then.lastWaitMs === null ? t('setup_forecast_never') : t('setup_forecast', { n: number(expected.valueAsNumber), time: duration(then.lastWaitMs / 1000), rate: number(Math.round(then.admissionsPerMinute)) });
  } catch (error) {
    $('forecast').textContent = failure(error);
  }
}

function offerThresholds() {
  const form = $('pace');
  for (const minutes of [10, 30, 60]) {
    const button = element('button', { type: 'button', className: 'control', textContent: t('setup_suggest', { time: duration(minutes * 60) }) });
    button.addEventListener('click', () => {
      const { expected, visit, threshold } = form.elements;
      threshold.value = Math.max(1, Math.ceil((expected.valueAsNumber * visit.valueAsNumber) / (minutes + visit.valueAsNumber)));
      void showForecast();
    });
    $('suggestions').append(button);
  }
}

// ---- the preview ----

function showPreview() {
  const frame = $('preview');
  if (!frame) return;
  const query = new URLSearchParams({ state: $('preview_state').value, lang: $('preview_language').value });
  const { elements } = $('look');
  query.set('name', elements.name.value);
  for (const name of ['primary', 'background']) if (elements[name].dataset.set) query.set(name, elements[name].value);
  frame.style.colorScheme = $('preview_theme').value;
  frame.src = `${frame.dataset.path}?${query}`;
}

// ---- start ----

function later(run, afterMs) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, afterMs);
  };
}

function startParts() {
  onSubmit('pace', readPace);
  onSubmit('look', readLook);
  const forecast = later(() => void showForecast(), FORECAST_AFTER_MS);
  $('pace').addEventListener('input', forecast);
  offerThresholds();
  void showForecast();
  for (const state of STATES) $('preview_state').append(element('option', { value: state, textContent: t(`setup_preview_${state}`), selected: state === 'waiting' }));
  $('preview_language').value = document.documentElement.lang;
  $('preview_theme').value = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  for (const id of ['preview_state', 'preview_language', 'preview_theme']) $(id).addEventListener('change', showPreview);
  const preview = later(showPreview, PREVIEW_AFTER_MS);
  $('look').addEventListener('input', ({ target }) => {
    if (target.type === 'color') target.dataset.set = '1';
    preview();
  });
  $('no_colours').addEventListener('click', () => {
    for (const name of ['primary', 'background']) $('look').elements[name].dataset.set = '';
    showPreview();
  });
  showPreview();
}

function startMore() {
  const go = async (work) => {
    try {
      await work();
    } catch (error) {
      notice(failure(error), { kind: 'bad' });
    }
  };
  const copy = (rehearsal) => go(async () => {
    const made = await ask('POST', `${base}/copy`, { json: rehearsal ? { rehearsal: true } : {} });
    location.assign(own(`/console/events/${made.id}/setup`));
  });
  $('do_copy').addEventListener('click', () => void copy(false));
  $('do_rehearse').addEventListener('click', () => void copy(true));
  $('do_reset').addEventListener('click', () => void go(async () => {
    if (!await confirm({ title: t('setup_ask_reset'), lead: t('setup_ask_reset_lead'), yes: t('setup_reset'), danger: true, typed: event.title })) return;
    event = await ask('POST', `${base}/reset`, { json: { confirm: event.title } });
    notice(t('setup_done_reset'));
    fill();
  }));
  $('do_delete').addEventListener('click', () => void go(async () => {
    if (!await confirm({ title: t('setup_ask_delete'), lead: t('setup_ask_delete_lead'), yes: t('setup_delete'), danger: true })) return;
    await ask('DELETE', base);
    location.assign(own('/console'));
  }));
}

async function start() {
  startClock(Number(dataset.now));
  $('zones').append(...zones().map((value) => element('option', { value })));
  try {
    if (dataset.event) event = await ask('GET', base);
  } catch (error) {
    notice(failure(error), { kind: 'bad', action: { label: t('try_again'), run: () => location.reload() } });
    return;
  }
  $('setup').hidden = false;
  onSubmit('basics', readBasics);
  fill();
  // What was typed and not saved is not left by a slip.
  addEventListener('beforeunload', (leaving) => {
    if (['basics', 'pace', 'look'].some((id) => isTyped($(id)))) leaving.preventDefault();
  });
  if (!event) return;
  startParts();
  startMore();
  if (!may.has('operate')) for (const control of document.querySelectorAll('#setup :is(input, select, button)')) control.disabled = !control.id.startsWith('preview');
}

void start();
