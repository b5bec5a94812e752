// SPDX-License-Identifier: MIT
//
// The words of the pages, and what is written with them by the server and by the script alike.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROOT } from '../fixtures/index.mjs';

const read = (path) => readFileSync(`${ROOT}/${path}`, 'utf8');

test('the server and the script know the same currencies of none and of three decimals', () => {
  const lists = (path) => read(path).match(/['"](?:[A-Z]{3} ){3,}[A-Z]{3}['"]/g).map((list) => list.slice(1, -1));
  assert.deepEqual(lists('src/base/locale.c'), lists('web/i18n.js'));
});

// ---- the messages ----

const LANGUAGES = ['en', 'ko', 'ja'];
const messages = Object.fromEntries(LANGUAGES.map((language) => [language, JSON.parse(read(`web/messages/${language}.json`))]));
const keys = Object.keys(messages.en);
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'web', 'src', 'include', 'sql/functions'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n')
  .filter((path) => /\.(?:html|m?js|c|h|sql)$/.test(path) && existsSync(`${ROOT}/${path}`));
const texts = files.map(read);
const namesIn = (text) => [...new Set([...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))].sort();
// Of a plural, the values of all its forms: "Hold this seat", "Hold these {n} seats".
const valuesOf = (all, key) => namesIn(key.endsWith('.one') ? all[key] + all[key.replace(/one$/, 'other')] : all[key]);

// Every quoted text of the code; those with a part that is computed are patterns: `wait_${state}_title`, "home_%s".
function quoted() {
  const literals = new Set();
  const patterns = [];
  for (const text of texts) {
    for (const [, key] of text.matchAll(/\{\{t\.([\w.-]+)\}\}/g)) literals.add(key);
    for (const [, key] of text.matchAll(/\b(?:t|plural)\('([\w.-]+)'/g)) literals.add(key);
    for (const [, , literal] of text.matchAll(/(["'`])((?:(?!\1)[^\\\n])*)\1/g)) {
      const parts = literal.split(/\$\{[^}]*\}|%s/);
      if (parts.length === 1) literals.add(literal);
      else if (/^[a-z]+_/.test(parts[0]) && parts.every((part) => /^[\w.-]*$/.test(part))) patterns.push(new RegExp(`^${parts.join('([A-Za-z0-9_-]+)')}$`));
    }
  }
  return { literals, patterns };
}

test('every text exists in every language, with the same values', () => {
  for (const language of LANGUAGES.slice(1)) {
    assert.deepEqual(Object.keys(messages[language]), keys, language);
    for (const key of keys) assert.deepEqual(valuesOf(messages[language], key), valuesOf(messages.en, key), `${language}: ${key}`);
  }
});

test('every plural has the forms of each language, and no others that differ', () => {
  const forms = /\.(?:zero|one|two|few|many|other)$/;
  const plurals = new Set(keys.filter((key) => forms.test(key)).map((key) => key.replace(forms, '')));
  for (const language of LANGUAGES) {
    const { pluralCategories } = new Intl.PluralRules(language).resolvedOptions();
    for (const plural of plurals) {
      for (const form of pluralCategories) assert.ok(`${plural}.${form}` in messages[language], `${language}: ${plural}.${form}`);
      const unused = keys.filter((key) => forms.test(key) && key.replace(forms, '') === plural && !pluralCategories.includes(key.split('.').at(-1)));
      for (const key of unused) assert.equal(messages[language][key], messages[language][`${plural}.other`], `${language}: ${key} is never chosen`);
    }
  }
});

test('every text is used', () => {
  const { literals, patterns } = quoted();
  const used = (key) => literals.has(key) || patterns.some((pattern) => pattern.exec(key)?.slice(1).every((part) => literals.has(part) || literals.has(part.replaceAll('_', '-'))));
  const unused = keys.filter((key) => !used(key) && !used(key.replace(/\.(?:one|other)$/, '')));
  assert.deepEqual(unused, []);
});

test('every text that is asked for exists', () => {
  const missing = new Set();
  for (const [i, text] of texts.entries()) {
    const asked = files[i].endsWith('.html') ? text.matchAll(/\{\{t\.([\w.-]+)\}\}/g) : text.matchAll(/(?<![\w.])(?:t|plural)\('([\w.-]+)'/g);
    for (const [, key] of asked) if (!(key in messages.en) && !(`${key}.other` in messages.en)) missing.add(`${files[i]}: ${key}`);
    if (!files[i].endsWith('.c') || files[i].endsWith('/messages.c')) continue;
    for (const [, key] of text.matchAll(/\bmessage(?:_write|_count)?\([^;"]*"([a-z][\w.-]*)"/g)) {
      if (!(key in messages.en) && !(`${key}.other` in messages.en)) missing.add(`${files[i]}: ${key}`);
    }
  }
  assert.deepEqual([...missing], []);
});

// ---- what the console says when the service refuses ----

// Reasons and codes that only programs meet: the console sends nothing that leads to them.
const PROGRAMS = new Set(('not-a-text not-a-boolean not-a-flag not-a-list not-an-object not-an-id not-a-pass one-of-three not-one-of one-of-two unknown-field read-only unknown-page body-needed '
  + 'body-too-long not-json not-csv no-time-zone no-time-of-day not-a-step not-a-language surge-rule unknown-name refund-id endpoint not-a-key key-not-in-use '
  + 'not-a-number not-an-event-type feed-forgotten webhook-url unknown-webhook webhooks-too-many '
  + 'return-not-a-url return-too-long return-scheme return-host return-ambiguous return-not-allowed handoff-not-valid handoff-expired handoff-used handoff-target').split(' '));

// The arguments of each call of a function in C, as texts.
function calls(text, name) {
  const found = [];
  for (const { index } of text.matchAll(new RegExp(`\\b${name}\\(`, 'g'))) {
    const parts = [''];
    let depth = 1, quoted = false;
    for (let i = index + name.length + 1; depth > 0; i++) {
      const c = text[i];
      if (c === '"' && text[i - 1] !== '\\') quoted = !quoted;
      if (!quoted) depth += '([{'.includes(c) ? 1 : ')]}'.includes(c) ? -1 : 0;
      if (c === ',' && depth === 1 && !quoted) parts.push('');
      else if (depth > 0) parts[parts.length - 1] += c;
    }
    found.push(parts);
  }
  return found;
}

const named = (argument = '') => [...argument.matchAll(/"([a-z]+(?:-[a-z]+)*)"/g)].map(([, name]) => name);

// [function, which of its arguments is the reason]
const REFUSALS = [['json_refuse', 2], ['api_refuse_as', 3], ['give_up', 3], ['refuse', 3], ['refuse_token', 1]];

test('every reason of a refusal is documented, and the console has words for those that it can meet', () => {
  const section = /`detail` is an English sentence[^]*?\n## /.exec(read('docs/http-api.md'))[0];
  const documented = new Set([...section.matchAll(/^\| .*$/gm)].flatMap(([row]) => [...row.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name)));
  const used = new Set(texts.flatMap((text, i) => (files[i].endsWith('.sql') ? [...text.matchAll(/p_reason => '([a-z-]+)'/g)].map(([, name]) => name)
    : REFUSALS.flatMap(([name, at]) => calls(text, name).flatMap((call) => named(call[at]))))));
  assert.ok(used.size > 60, String(used.size));
  assert.deepEqual([...used].filter((name) => !documented.has(name)), []);
  for (const name of documented) assert.ok(texts.some((text) => text.includes(`"${name}"`) || text.includes(`'${name}'`)), `${name} is no reason any more`);
  for (const name of documented) assert.equal(`refused_${name.replaceAll('-', '_')}` in messages.en, !PROGRAMS.has(name), name);
});

test('the console has words for every problem of the routes of staff', () => {
  const staff = files.filter((path) => /\/api_(?:admin|answer|change|forecast|hall|operate|people|readiness|report|staff|team)\.c$/.test(path));
  const codes = new Set(staff.flatMap((path) => calls(read(path), 'api_problem').flatMap((call) => named(call[2]))));
  for (const [, code] of read('src/api/api_answer.c').matchAll(/= \{\d+, "([a-z-]+)"/g)) codes.add(code);
  assert.ok(codes.has('id-taken') && codes.has('busy') && codes.has('csrf'), [...codes].join(' '));
  // The failure of a part of the service and the end of a session are told by their status.
  const byStatus = ['invalid', 'unavailable', 'version-changed', 'unauthorized', 'session-ended', 'confirm-needed'];
  const failures = messages.en;
  for (const code of codes) if (!byStatus.includes(code)) assert.ok(`console_failed_${code.replaceAll('-', '_')}` in failures, code);
});

// Width in columns of a Latin letter: letters of Korean and Japanese take two.
const width = (text) => [...text.replace(/\{\w+\}/g, '00')].reduce((sum, letter) => sum + (/[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff01-\uff60]/.test(letter) ? 2 : 1), 0);

// [what, the keys, the most columns that its place has on a phone of 360 pixels]
const PLACES = [
  ['a step of the head', /^buy_step_/, 10],
  ['a badge', /^home_(?:scheduled|open|paused|sold_out)$/, 16],
  ['the state of the connection', /^live_/, 26],
  ['a button', /^(?:enter|join|join_again|my_tickets|all_events|try_again|leave|leave_yes|leave_no|buy_keep|buy_cancel|buy_best|buy_take\.\w+|buy_pay|buy_paying|pay_button|pay_cancel|pay_back|buy_confirming_again|home_retry|home_search_button)$/, 30],
  ['a label of a figure', /^(?:position|opens_in|opening|turn_ends_in|estimate|turn_length|buy_total|buy_quantity|buy_section|reference)$/, 32],
  ['a heading', /_title$/, 48],
  ['a sentence or two', /_lead$/, 330],
];

test('every text fits its place', () => {
  for (const language of LANGUAGES) {
    for (const [what, which, columns] of PLACES) {
      for (const key of keys.filter((one) => which.test(one))) {
        assert.ok(width(messages[language][key]) <= columns, `${language}: ${key}, ${what}, has ${width(messages[language][key])} of ${columns} columns`);
      }
    }
  }
});

test('every text is set as its language sets it', () => {
  for (const language of LANGUAGES) {
    for (const [key, text] of Object.entries(messages[language])) {
      const where = `${language}: ${key}: ${text}`;
      const written = /^console_preset_\w+_(en|ko|ja)$/.exec(key)?.[1] ?? language; // what buyers of that language get
      assert.doesNotMatch(text, /\.\.\.|["']| {2}|\s$/, where); // …, “ ”, ’
      if (key !== 'mail_price') assert.doesNotMatch(text, /^\s/, where); // it stands behind the seat
      if (/_title$/.test(key) && !/^(?:title_|say_)/.test(key)) assert.doesNotMatch(text, /[.。]$/, where);
      if (written === 'ja') assert.doesNotMatch(text, /[\u3040-\u30ff\u4e00-\u9fff][,.:?!]|あなた/, where);
      if (written === 'ko') assert.doesNotMatch(text, /[\u3000-\u303f\uff01-\uff60]|당신|이벤트|주최자/, where);
      if (written !== 'en' && /[a-z]{4}/i.test(text.replace(/\{\w+\}/g, ''))) assert.match(text, /JavaScript|https|Cookie|Enter|Demo Pay|example|WebP|Asia\/(?:Seoul|Tokyo)|section, row|section、row/, where);
    }
  }
});
