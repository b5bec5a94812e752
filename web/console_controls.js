// SPDX-License-Identifier: MIT
//
// console_controls: the forms of a sale's page as requests. Each says first what it will do, and what can be undone offers
// that afterwards. Settings are changed with If-Match: when somebody else was faster, both versions are shown, and the
// person chooses.

import { $, element } from './dom.js';
import { choose, confirm } from './console_dialog.js';
import { clearNotice, notice } from './console_notice.js';
import { ask, failure } from './console_request.js';
import { FORECAST, SETTINGS, difference, unitName } from './console_sale_model.js';
import { effectText, fieldName, insideText, settingText, warningTexts } from './console_words.js';
import { number, t } from './i18n.js';

const UNDERWAY_MS = 400;
const EFFECT_AFTER_MS = 350; // typing is not asked about letter by letter
const LANGUAGES = ['en', 'ko', 'ja'];
const RULE = /^\d+[\s,;:→>]+\d+$/; // "5000 200"
const PRESETS = ['late', 'soon', 'break'];

// The service's warnings about a change, in the language of the page.
function warn(answer) {
  for (const text of warningTexts(answer ?? {})) notice(text, { kind: 'warn', name: `warning_${text}` });
}

export class Controls {
  #asking = false; // one question or request of the controls at a time: a second press is none

  // onChange(event): the event as the service answered it; null: it has changed, ask for it.
  constructor(model, base, { onChange }) {
    Object.assign(this, { model, base, onChange });
    for (const form of document.querySelectorAll('form.act')) {
      form.addEventListener('submit', (submit) => {
        submit.preventDefault();
        void this.#once(() => this.#verb(form));
      });
    }
    this.#threshold();
    this.#message();
    this.#more();
  }

  // Does what a control is for, unless another one is under way: its answer may be slow.
  async #once(work) {
    if (this.#asking) return;
    this.#asking = true;
    try {
      await work();
    } finally {
      this.#asking = false;
      clearNotice('underway');
      this.#underway(false);
    }
  }

  // What is on its way is told, when it takes longer than a person expects.
  #underway(on) {
    clearTimeout(this.slow);
    if (on) this.slow = setTimeout(() => notice(t('console_underway'), { kind: 'warn', name: 'underway' }), UNDERWAY_MS);
  }

  // Sends a request, and tells how it went. Returns the answer; undefined: it failed, which was said.
  async #send(method, path, options, done, action = null) {
    this.#underway(true);
    try {
      const answer = await ask(method, `${this.base}${path}`, options);
      notice(done, { action });
      warn(answer);
      this.onChange(answer?.id ? answer : null);
      return answer;
    } catch (error) {
      notice(failure(error), { kind: 'bad' });
      this.onChange(null);
      return undefined;
    }
  }

  // ---- verbs ----

  async #verb(form) {
    const { verb } = form.dataset;
    const title = this.model.event?.title ?? $('title').textContent;
    const waiting = this.model.stats?.queueSize ?? 0;
    const counted = { n: number(waiting), inside: number(this.model.stats?.currentUsers ?? 0) };
    const typed = verb === 'close' ? title : null;
    const lead = [t(`console_ask_${verb}_lead`, counted), verb === 'close' && this.model.event ? insideText(this.model.event) : ''].filter(Boolean).join(' ');
    const agreed = await confirm({
      title: t(`console_ask_${verb}`), lead, yes: t(`console_${verb}`), danger: verb === 'close', typed,
    });
    if (!agreed) return;
    const back = { pause: 'resume', resume: 'pause', close: 'reopen', reopen: 'close' }[verb];
    const action = back ? { label: t('console_undo'), run: () => this.#once(() => this.#send('POST', `/${back}`, { json: back === 'close' ? { confirm: title } : {} }, t(`console_done_${back}`))) } : null;
    await this.#send('POST', `/${verb}`, { json: typed === null ? {} : { confirm: title } }, t(`console_done_${verb}`), action);
  }

  // ---- settings ----

  // Applies {field: value} to the version that this page has shown.
  async change(values) {
    const before = this.model.event;
    if (!before) return;
    const changes = difference(before, { ...before, ...values }, Object.keys(values));
    if (changes.length === 0) {
      notice(t('console_nothing_changed'), { kind: 'warn' });
      return;
    }
    const agreed = await confirm({
      title: t('console_ask_settings'), yes: t('console_apply'), effect: this.#effect(values),
      body: [element('ul', {}, changes.map(({ field, from, to }) => element('li', { textContent: t('console_change', { field: fieldName(field), from: settingText(field, from), to: settingText(field, to) }) })))],
    });
    if (agreed) await this.#apply(values, before);
  }

  async #apply(values, before) {
    const old = Object.fromEntries(Object.keys(values).map((field) => [field, before[field]]));
    this.#underway(true);
    try {
      const event = await ask('PATCH', this.base, { json: values, version: before.version });
      notice(t('console_done_settings'), { action: { label: t('console_undo'), run: () => this.#once(() => this.#apply(old, this.model.event)) } });
      warn(event);
      this.onChange(event);
    } catch (error) {
      if (error.status === 412) await this.#conflict(values, before);
      else notice(failure(error), { kind: 'bad' });
    }
  }

  // Somebody else has changed the event since this page read it.
  async #conflict(values, before) {
    this.#underway(false);
    clearNotice('underway');
    let theirs;
    try {
      theirs = await ask('GET', this.base);
    } catch (error) {
      notice(failure(error), { kind: 'bad' });
      return;
    }
    this.onChange(theirs);
    const fields = [...new Set([...difference(before, theirs, [...SETTINGS.map(({ field }) => field), 'promotion', 'surge']).map(({ field }) => field), ...Object.keys(values)])];
    const cell = (field, event) => element('td', { textContent: settingText(field, event[field]) });
    const table = element('table', { className: 'table' }, [
      element('thead', {}, [element('tr', {}, ['', t('console_before'), t('console_theirs'), t('console_yours')].map((textContent) => element('th', { scope: 'col', textContent })))]),
      element('tbody', {}, fields.map((field) => element('tr', {}, [
        element('th', { scope: 'row', textContent: fieldName(field) }), cell(field, before), cell(field, theirs), cell(field, { ...theirs, ...values }),
      ]))),
    ]);
    const choice = await choose({
      title: t('console_conflict'), lead: t('console_conflict_lead'), body: [table],
      choices: [{ value: 'theirs', label: t('console_keep_theirs'), main: true }, { value: 'yours', label: t('console_use_yours') }],
    });
    if (choice === 'yours') await this.#apply(values, theirs);
  }

  // A sentence about what these settings would do, from the measured rates; '' when they change nothing that can be told.
  async #effect(values) {
    const settings = Object.fromEntries(Object.entries(values).filter(([field]) => FORECAST.has(field)));
    if (Object.keys(settings).length === 0) return '';
    return effectText((await ask('POST', `${this.base}/forecast`, { json: settings })).change);
  }

  #threshold() {
    const form = $('threshold_form');
    if (!form) return;
    const input = $('threshold');
    let timer;
    const tell = () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const value = input.valueAsNumber;
        if (!Number.isInteger(value) || value === this.model.event?.threshold) $('threshold_effect').textContent = t('console_threshold_hint');
        else $('threshold_effect').textContent = await this.#effect({ threshold: value }).catch(() => '') || t('console_threshold_hint');
      }, EFFECT_AFTER_MS);
    };
    for (const button of form.querySelectorAll('[data-step]')) {
      button.hidden = false;
      button.addEventListener('click', () => {
        const value = input.valueAsNumber || 0;
        const step = value < 20 ? 1 : 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1) * (value < 200 ? 1 : 5);
        input.value = Math.max(0, value + Number(button.dataset.step) * step);
        tell();
      });
    }
    input.addEventListener('input', tell);
    form.addEventListener('submit', (submit) => {
      submit.preventDefault();
      void this.#once(() => this.change({ threshold: input.valueAsNumber }));
    });
    // The field follows what somebody else sets, until something is typed into it.
    let shown = Number(input.value);
    this.follow = ({ threshold }) => {
      if (input.valueAsNumber === shown && document.activeElement !== input) input.value = threshold;
      shown = threshold;
    };
  }

  // ---- the message ----

  #message() {
    const form = $('message_form');
    if (!form) return;
    const languages = element('div', { className: 'controls' });
    const button = element('button', { type: 'button', className: 'control', textContent: t('console_message_languages') });
    button.addEventListener('click', () => this.#once(() => this.#compose()));
    languages.append(button);
    form.append(languages);
    form.addEventListener('submit', (submit) => {
      submit.preventDefault();
      const text = submit.submitter?.value === 'unmessage' ? null : $('message_text').value.trim() || null;
      void this.#once(() => this.#send('POST', '/message', { json: { text } }, t(text === null ? 'console_done_unmessage' : 'console_done_message', { n: number(this.model.stats?.queueSize ?? 0) })));
      if (text === null) $('message_text').value = '';
    });
  }

  // The message in three languages, with texts to begin from, and as buyers see it.
  async #compose() {
    const given = this.model.event?.messages ?? {};
    const fields = LANGUAGES.map((language) => element('textarea', { rows: 2, maxLength: 500, lang: language, dir: 'auto', value: given[language] ?? '' }));
    const preview = element('p', { className: 'effect', dir: 'auto' });
    const show = (field) => { preview.textContent = field.value || t('console_message_empty'); preview.lang = field.lang; };
    fields.forEach((field) => ['input', 'focus'].forEach((type) => field.addEventListener(type, () => show(field))));
    const presets = element('div', { className: 'controls' }, PRESETS.map((preset) => {
      const button = element('button', { type: 'button', className: 'control', textContent: t(`console_preset_${preset}`) });
      button.addEventListener('click', () => {
        fields.forEach((field) => { field.value = t(`console_preset_${preset}_${field.lang}`); });
        show(fields[0]);
      });
      return button;
    }));
    show(fields[0]);
    const agreed = await confirm({
      title: t('console_message'), yes: t('console_send'), lead: t('console_message_hint'),
      body: [presets, ...fields.map((field) => element('label', { className: 'field' }, [element('span', { textContent: t(`console_language_${field.lang}`) }), field])), preview],
    });
    if (!agreed) return;
    const texts = Object.fromEntries(fields.filter(({ value }) => value.trim()).map(({ lang, value }) => [lang, value.trim()]));
    const text = Object.keys(texts).length === 0 ? null : texts;
    await this.#send('POST', '/message', { json: { text } }, t(text === null ? 'console_done_unmessage' : 'console_done_message', { n: number(this.model.stats?.queueSize ?? 0) }));
  }

  // ---- what is needed less often ----

  #more() {
    const box = $('more_controls');
    const may = new Set(document.getElementById('main').dataset.may.split(' '));
    const add = (key, run, { danger = false, not = [] } = {}) => {
      const button = element('button', { type: 'button', className: `control ${danger ? 'danger' : ''} ${not.map((state) => `not-${state}`).join(' ')}`, textContent: t(key) });
      button.addEventListener('click', () => this.#once(run));
      box.append(button);
    };
    if (may.has('operate')) add('console_more_settings', () => this.#settings());
    if (may.has('own')) add('console_admit', () => this.#admit(), { not: ['draft', 'closed'] });
    if (may.has('all')) add('console_clear', () => this.#clear(), { danger: true, not: ['draft'] });
    box.hidden = box.childElementCount === 0;
  }

  async #settings() {
    const { event } = this.model;
    if (!event) return;
    const inputs = SETTINGS.map(({ field, unit, min, max, optional = false }) => {
      const input = element('input', { type: 'number', min, max, step: unit === 1 ? 1 : 'any', required: !optional, value: event[field] === null ? '' : event[field] / unit });
      input.dataset.field = field;
      return input;
    });
    const promotion = element('select', {}, ['continuous', 'interval'].map((value) => element('option', { value, selected: value === event.promotion, textContent: settingText('promotion', value) })));
    const surge = element('textarea', { rows: 2, placeholder: '5000 200', value: event.surge.map(({ queueAbove, threshold }) => `${queueAbove} ${threshold}`).join('\n') });
    const lines = () => surge.value.split('\n').map((line) => line.trim());
    const wrong = element('span', { className: 'wrong' });
    wrong.setAttribute('role', 'alert');
    surge.addEventListener('input', () => {
      const at = lines().findIndex((line) => line && !RULE.test(line));
      wrong.textContent = at < 0 ? '' : t('console_surge_line', { n: number(at + 1), line: lines()[at] });
      surge.setCustomValidity(wrong.textContent);
    });
    const labelled = (input, name, hint) => element('label', { className: 'field' }, [element('span', { textContent: name }), input, ...(hint ? [element('span', { className: 'hint', textContent: hint })] : [])]);
    const agreed = await confirm({
      title: t('console_more_settings'), yes: t('console_review'),
      body: [...SETTINGS.map(({ field, unit }, i) => labelled(inputs[i], [fieldName(field), unitName(unit) && t(`console_in_${unitName(unit)}s`)].filter(Boolean).join(' '), t(`console_hint_${field}`))), labelled(promotion, fieldName('promotion'), t('console_hint_promotion')), labelled(surge, fieldName('surge'), t('console_hint_surge')), wrong],
    });
    if (!agreed) return;
    const values = Object.fromEntries(SETTINGS.map(({ field, unit }, i) => [field, inputs[i].value === '' ? null : Math.round(inputs[i].valueAsNumber * unit)]));
    values.promotion = promotion.value;
    values.surge = lines().filter(Boolean).map((line) => line.split(/[\s,;:→>]+/).map(Number)).map(([queueAbove, threshold]) => ({ queueAbove, threshold })).sort((a, b) => a.queueAbove - b.queueAbove);
    const changed = Object.fromEntries(difference(event, values, Object.keys(values)).map(({ field, to }) => [field, to]));
    await this.change(changed);
  }

  async #admit() {
    const input = element('input', { type: 'number', min: 1, max: 100000, step: 1, required: true, value: 10 });
    const agreed = await confirm({
      title: t('console_ask_admit'), lead: t('console_ask_admit_lead'), yes: t('console_admit'),
      body: [element('label', { className: 'field' }, [element('span', { textContent: t('console_admit_count') }), input])],
    });
    if (!agreed || !input.valueAsNumber) return;
    try {
      const { admitted, limitedBy } = await ask('POST', `${this.base}/admit`, { json: { count: input.valueAsNumber } });
      const why = admitted < input.valueAsNumber && limitedBy ? t(`console_limited_${limitedBy}`) : '';
      notice([t('console_done_admit', { n: number(admitted) }), why].filter(Boolean).join(' '), { kind: admitted > 0 ? 'good' : 'warn' });
      this.onChange(null);
    } catch (error) {
      notice(failure(error), { kind: 'bad' });
    }
  }

  async #clear() {
    const { title } = this.model.event ?? {};
    const { queueSize = 0, currentUsers = 0 } = this.model.stats ?? {};
    const agreed = await confirm({
      title: t('console_ask_clear'), lead: t('console_ask_clear_lead', { n: number(queueSize), inside: number(currentUsers) }), yes: t('console_clear'), danger: true, typed: title,
    });
    if (agreed) await this.#send('POST', '/clear', { json: { confirm: title } }, t('console_done_clear'));
  }
}
