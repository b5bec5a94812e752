// SPDX-License-Identifier: MIT
//
// What people and spreadsheets write: texts that look the same are the same, texts that move others are refused, and
// the files that Excel writes are read, or refused with the way out.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client, runTiketi, stage } from '../fixtures/index.mjs';

const { database, server, organizer } = await stage();

const path = (id, rest) => `/api/admin/events/${id}/${rest}`;
const HEADER = 'section,row,number,price,currency';
const draft = (more = {}) => organizer.sale({ open: false, ...more });
const upload = (id, body, type = 'text/csv') => organizer.post(path(id, 'seats'), { body, headers: { 'content-type': type }, timeoutMs: 20000 });
const add = (id, json) => organizer.post(path(id, 'seats'), { json });
const seat = (section, number, more = {}) => ({ section, row: '1', number, price: 5, currency: 'EUR', ...more });
const seatsOf = async (id) => (await database.query('SELECT section, row, number FROM seats WHERE event_id = $1 ORDER BY section_rank, row_rank, number', [id]))
  .map(({ section, row, number }) => `${section}|${row}|${number}`);
const create = (json) => organizer.post('/api/admin/events', { json });

// Each is the name of its line's first, in another form.
const SAME = [
  ['Café', 'Cafe\u0301', '\u00a0Café', 'Café\u3000', ' Café ', '\ufeffCafé', 'Café\u200b', 'Ca\u00adfé', 'Café\u200e', '\u2003Cafe\u0301\u202f'],
  ['한국 A', '한국 A'.normalize('NFD'), '한국\u00a0A', '한국\u3000A', '한국  A', '한국 \u200bA\u2800'],
];

// ---- names ----

test('a section is one section, however its accents and blanks are written: JSON', async () => {
  for (const [name, ...others] of SAME) {
    const event = await draft();
    assert.equal((await add(event.id, { seats: [seat(name, 1)] })).status, 201);
    for (const [at, other] of others.entries()) {
      assert.equal((await add(event.id, { seats: [seat(other, 1)] })).status, 409, JSON.stringify(other));
      assert.equal((await add(event.id, { seats: [seat(name, 1, { section: 'B', row: '7' }), seat('B', 1, { row: '\u00a07' })] })).status, 409);
      assert.equal((await add(event.id, { seats: [seat(other, at + 2, { row: '\u00a01 ' })] })).status, 201);
    }
    assert.deepEqual(await seatsOf(event.id), [name, ...others].map((_, at) => `${name}|1|${at + 1}`));
    const ranks = await database.query('SELECT DISTINCT section_rank, row_rank FROM seats WHERE event_id = $1', [event.id]);
    assert.equal(ranks.length, 1);
  }
});

test('a section is one section, however its accents and blanks are written: CSV and grid', async () => {
  for (const [name, ...others] of SAME) {
    const event = await draft();
    assert.equal((await upload(event.id, `${HEADER}\n${name},1,1,5,EUR\n`)).status, 201);
    for (const other of others) {
      const answer = await upload(event.id, `${HEADER}\n${name},1,2,5,EUR\n${other},1,1,5,EUR\n`);
      assert.deepEqual([answer.status, answer.body.line], [409, 3], `${JSON.stringify(other)} ${answer.text}`);
      const twice = await upload(event.id, `${HEADER}\n${name},\u00a01,9,5,EUR\n"${other}",1\u00a0,9,5,EUR\n`);
      assert.deepEqual([twice.status, twice.body.line], [409, 3], JSON.stringify(other));
      assert.equal((await add(event.id, { grid: { section: other, rows: 1, seatsPerRow: 1, price: 5, currency: 'EUR' } })).status, 409);
    }
    assert.deepEqual(await seatsOf(event.id), [`${name}|1|1`]);
  }
});

test('a hold finds the section in any form, and the same request in another form is the same request', async () => {
  const [name, ...others] = SAME[1];
  const event = await organizer.sale({ threshold: 9, autoHold: 0, grid: { section: name, rows: 1, seatsPerRow: 4 } });
  const buyer = new Client(server, { sub: 'reader' });
  await buyer.check(event.id);
  let first;
  for (const section of [name, ...others]) {
    const { status, body, text } = await buyer.reserve({ eventId: event.id, quantity: 2, section }, { 'idempotency-key': 'once' });
    assert.ok(status === 201 || status === 200, text);
    assert.equal(body.seats[0].section, name);
    first ??= body.id;
    assert.equal(body.id, first);
  }
  const long = '🎫'.repeat(64);
  await add(event.id, { seats: [seat(long, 1), seat(long, 2)] });
  assert.equal((await buyer.reserve({ eventId: event.id, quantity: 2, section: long })).status, 201, '64 characters are a name, whatever their bytes');
});

test('a section or row of blanks alone, or that turns the text after it, is refused by name', async () => {
  const event = await draft();
  for (const bad of ['', ' ', '\u00a0', '\u3000\u200b', '\u3164', 'A\u202eB', 'A\u2066B', 'A\u0085', 'A\u2028B', 'A\u0007', 'x'.repeat(65), '한'.repeat(65)]) {
    for (const key of ['section', 'row']) {
      const one = await add(event.id, { seats: [seat('A', 1), seat('A', 2, { [key]: bad })] });
      assert.deepEqual([one.status, one.body.field], [400, `seats[1].${key}`], JSON.stringify(bad));
      const cells = { section: 'A', row: '1', number: 1, price: 5, currency: 'EUR', [key]: `"${bad}"` };
      const file = await upload(event.id, `${HEADER}\n${Object.values(cells).join(',')}\n`);
      assert.deepEqual([file.status, file.body.field, file.body.line], [400, key, 2], JSON.stringify(bad));
    }
  }
  assert.equal((await add(event.id, { grid: { section: '\u00a0', rows: 1, seatsPerRow: 1, price: 5, currency: 'EUR' } })).body.field, 'grid.section');
  assert.deepEqual(await seatsOf(event.id), []);
});

test('an identity is bytes: `sub` in NFD and in NFC are two buyers', async () => {
  const event = await organizer.sale({ threshold: 9, autoHold: 0, grid: { rows: 1, seatsPerRow: 2 } });
  const places = [];
  for (const sub of ['José', 'Jose\u0301']) {
    const buyer = new Client(server, { sub });
    await buyer.check(event.id);
    const answer = await buyer.reserve({ eventId: event.id, quantity: 1 });
    places.push(answer.status);
  }
  const buyers = await database.query("SELECT buyer FROM reservations WHERE event_id = $1 ORDER BY buyer", [event.id]);
  assert.deepEqual([places, buyers.map(({ buyer }) => buyer)], [[201, 201], ['u:Jose\u0301', 'u:José']]);
});

// ---- the texts of an event ----

const LIMITS = { title: 200, artist: 200, venue: 200 };

test('200 characters are 200 characters, in any script; 201 are refused in characters', async () => {
  for (const character of ['x', 'é', '한', '🎫']) {
    for (const [key, most] of Object.entries(LIMITS)) {
      const made = await create({ title: 'T', [key]: character.repeat(most) });
      assert.equal(made.status, 201, `${key}: ${character} ${made.text}`);
      assert.equal(made.body[key], character.normalize('NFC').repeat(most));
      const long = await create({ title: 'T', [key]: character.repeat(most + 1) });
      assert.deepEqual([long.status, long.body.field], [400, key]);
      assert.match(long.body.detail, new RegExp(`at most ${most} characters`));
    }
    const branded = await create({ title: 'T', branding: { name: character.repeat(80) } });
    assert.equal(branded.body.branding?.name, character.normalize('NFC').repeat(80), branded.text);
    assert.equal((await create({ title: 'T', branding: { name: character.repeat(81) } })).body.field, 'branding.name');
  }
});

// docs/openapi.json cannot say that the limit is that of the composed form: these requests are not checked against it.
test('the characters of the composed form are counted', async () => {
  for (const character of ['한', 'é', 'ệ']) {
    const answer = await fetch(`${server.url}/api/admin/events`, { method: 'POST', body: JSON.stringify({ title: character.normalize('NFD').repeat(200) }),
      headers: { authorization: `Bearer ${organizer.token}`, 'content-type': 'application/json' } });
    assert.equal(answer.status, 201);
    assert.equal((await answer.json()).title, character.repeat(200));
  }
});

test('a long title reaches the buyer whole: poll, pages, home, and after it was read from Redis', async () => {
  const title = '🎫'.repeat(199).concat('한');
  const event = await organizer.sale({ title, artist: '가'.repeat(200), threshold: 0 });
  await organizer.act(event.id, 'message', { text: '한'.repeat(500) });
  const buyer = new Client(server);
  const { body } = await buyer.check(event.id);
  assert.equal(body.eventInfo.title, title);
  assert.equal(body.eventInfo.artist, '가'.repeat(200));
  assert.ok((await buyer.get(`/wait/${event.id}`, { headers: { accept: 'text/html' } })).text.includes(`>${title}</h1>`));
  assert.equal((await server.get('/api/events')).body.events.find(({ id }) => id === event.id).title, title);
});

test('blanks at the edges of texts are dropped, blanks inside stay; what shows nothing is no title', async () => {
  const made = await create({ title: '\u00a0 Cafe\u0301  au\u00a0lait\u3000\u200b', artist: ' \u00a0', venue: '\u3164Hall\ufeff', branding: { name: ' B\u00a0' } });
  assert.deepEqual([made.body.title, made.body.artist, made.body.venue, made.body.branding.name], ['Café  au\u00a0lait', '', 'Hall', 'B']);
  for (const title of [' ', '\u00a0', '\u3000\u2003', '\u200b', '\ufeff', '\u3164', '\u2800', '\u200d\ufe0f', '\u115f\u1160', '\u00ad']) {
    const answer = await create({ title });
    assert.deepEqual([answer.status, answer.body.field], [400, 'title'], JSON.stringify(title));
    const patched = await organizer.request('PATCH', `/api/admin/events/${made.body.id}`, { json: { title } });
    assert.deepEqual([patched.status, patched.body.field], [400, 'title'], JSON.stringify(title));
  }
});

test('control characters and such as turn the direction of text are refused by name, in every text', async () => {
  const event = await draft();
  for (const bad of ['\u0001', '\n', '\u007f', '\u0080', '\u0085', '\u009f', '\u2028', '\u2029', '\u202a', '\u202b', '\u202c', '\u202d', '\u202e', '\u2066', '\u2067', '\u2068', '\u2069', '\uffff']) {
    const text = `a${bad}b`;
    for (const [field, json] of [['title', { title: text }], ['artist', { title: 'T', artist: text }], ['venue', { title: 'T', venue: text }], ['branding.name', { title: 'T', branding: { name: text } }]]) {
      const answer = await create(json);
      assert.deepEqual([answer.status, answer.body.field], [400, field], JSON.stringify(bad));
    }
    const message = await organizer.post(path(event.id, 'message'), { json: { text } });
    assert.deepEqual([message.status, message.body.field], bad === '\n' ? [200, undefined] : [400, 'text'], JSON.stringify(bad)); // a message has lines
  }
  for (const good of ['שלום\u200f!', '\u061cالقاعة', '👩\u200d👩\u200d👧', 'می\u200cخواهم', '❤\ufe0f']) {
    assert.equal((await create({ title: good })).body.title, good);
  }
});

// ---- files as spreadsheets write them ----

const utf16 = (text, big = false) => {
  const bytes = Buffer.from(`\ufeff${text}`, 'utf16le');
  return big ? bytes.swap16() : bytes;
};
const lines = (separator, ...rows) => rows.map((row) => `${row.join(separator)}\r\n`).join('');
const ROWS = [['section', 'row', 'number', 'price', 'currency'], ['관람석 🎫', '가', 1, 5000, 'EUR'], ['Café', '1', 2, 5000, 'EUR']];
const FILES = {
  'Unicode Text (UTF-16LE, tabs)': utf16(lines('\t', ...ROWS)),
  'UTF-16BE, semicolons': utf16(lines(';', ...ROWS), true),
  'CSV UTF-8 (mark, commas)': `\ufeff${lines(',', ...ROWS)}`,
  'CSV UTF-8 where a comma is the decimal point (mark, semicolons)': `\ufeff${lines(';', ...ROWS)}`,
  'a first line "sep=;"': `sep=;\r\n${lines(';', ...ROWS)}`,
  'UTF-16LE, "sep=;"': utf16(`sep=;\r\n${lines(';', ...ROWS)}`),
  'tabs, UTF-8': lines('\t', ...ROWS),
  'quoted, semicolons': lines(';', ...ROWS.map((row) => row.map((cell) => `"${cell}"`))),
  'rows of empty cells before, between and after': lines(';', ['', '', '', '', ''], ...ROWS.flatMap((row) => [row, ['', '', '', '', ''], ['\u00a0', ' ', '', '', ''], ['']]), ['', '', '', '', '', '', '']),
  'names and numbers between blanks': lines(',', ...ROWS.map((row) => row.map((cell) => `\u00a0${cell} `))),
  'a Mac: names decomposed': lines(';', ...ROWS.map((row) => row.map((cell) => String(cell).normalize('NFD')))),
};
for (const [what, file] of Object.entries(FILES)) {
  test(`read: ${what}`, async () => {
    const event = await draft();
    const answer = await upload(event.id, file);
    assert.equal(answer.status, 201, answer.text);
    assert.deepEqual(await seatsOf(event.id), ['관람석 🎫|가|1', 'Café|1|2']);
  });
}

for (const [what, file, line, detail] of [
  ['UTF-16 without a mark', Buffer.from(lines(',', ...ROWS), 'utf16le'), 1, /NUL.*CSV UTF-8/],
  ['UTF-16 cut in the middle of a character', utf16(lines(',', ...ROWS)).subarray(0, -1), 3, /UTF-16.*CSV UTF-8/],
  ['UTF-16 with half a pair', Buffer.concat([utf16(`${HEADER}\n`), Buffer.from([0x3d, 0xd8, 0x41, 0])]), 2, /UTF-16.*CSV UTF-8/],
  ['UTF-32', Buffer.concat([Buffer.from([0xff, 0xfe, 0, 0]), Buffer.from('s\0\0\0')]), 1, /NUL.*CSV UTF-8/],
  ['the code page of Korean Windows', Buffer.concat([Buffer.from(`${HEADER}\r\n`), Buffer.from([0xb0, 0xfc, 0xb6, 0xf7]), Buffer.from(',1,1,5,EUR\r\n')]), 2, /UTF-8.*CSV UTF-8/],
  ['the line ends of an old Mac', `${HEADER}\rA,1,1,5,EUR\r`, 1, /CRLF.*CSV UTF-8/],
  ['seats after rows of empty cells: the line is that of the file', `${HEADER}\n,,,,\nA,1,1,5,EUR\n\n\n,,,,\nA,1,x,5,EUR\n`, 7, /integer/],
  ['nothing but rows of empty cells', lines(';', ['', '', ''], [''], ['', '', '', '', '']), 1, /header/],
]) {
  test(`refused with the way out: ${what}`, async () => {
    const event = await draft();
    const answer = await upload(event.id, file);
    assert.deepEqual([answer.status, answer.body.line], [400, line], answer.text);
    assert.match(answer.body.detail, detail);
    assert.deepEqual(await seatsOf(event.id), []);
  });
}

test('a refusal by PostgreSQL names the line of the file, empty rows counted', async () => {
  const event = await draft({ grid: { section: 'A', rows: 1, seatsPerRow: 2 } });
  for (const [body, line] of [
    [`${HEADER}\nB,1,1,5,EUR\n\n;\n`, undefined],
    [`\n,,,,\n${HEADER}\n\nB,1,3,5,EUR\n,,,,\n,,\nB,1,4,5,EUR\nA,1,2,5,EUR\n`, 9],
    [`sep=;\n${HEADER.replaceAll(',', ';')}\nB;1;5;5;EUR\nB;1;5;5;EUR\n`, 4],
    [`${HEADER}\n\nB,1,1,5,USD\n`, 3],
  ]) {
    const answer = await upload(event.id, body);
    assert.notEqual(answer.status, 201, answer.text);
    if (line) assert.equal(answer.body.line, line, answer.text);
  }
});

// ---- the export ----

test('the export for a spreadsheet begins with a byte order mark, and none runs its cells', async () => {
  const event = await draft();
  const dangerous = ['=1+1', '+1', '-1', '@SUM(A1)', '＝1+1', '＋1', '－1', '＠SUM(A1)'];
  const hidden = ['x;=1+1', 'x;＝1+1', 'a;b;+1'];
  await add(event.id, { seats: [...dangerous, ...hidden, 'x=1', 'x;y'].map((section, at) => seat(section, at + 1)) });
  const response = await fetch(`${server.url}${path(event.id, 'export.csv?bom=1')}`, { headers: { authorization: `Bearer ${organizer.token}` } });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.deepEqual([...bytes.subarray(0, 3)], [0xef, 0xbb, 0xbf]);
  assert.equal(bytes.indexOf('\ufeff', 3), -1, 'one mark');
  const sections = bytes.toString().split('\r\n').slice(1, -1).map((line) => line.split(',')[1]);
  assert.deepEqual(sections, [...dangerous.map((text) => `'${text}`), `"x;'=1+1"`, `"x;'＝1+1"`, `"a;b;'+1"`, 'x=1', '"x;y"']);
});

// ---- the database ----

test('migrate brings stored names into one form, and refuses by name where two seats would become one', async () => {
  const again = async (expect) => (await runTiketi(['migrate'], { DATABASE_URL: database.url }, { expect })).stderr;
  const before = async () => {
    await database.query('ALTER TABLE seats DROP CONSTRAINT seats_names_nfc');
    await database.query("DELETE FROM schema_migrations WHERE name = '0003_names.sql'");
  };
  const event = await draft({ grid: { section: 'Café', rows: 2, seatsPerRow: 2 } });
  await before();
  const insert = (section, row, number, ranks = [9, 9]) => database.query(
    "INSERT INTO seats (event_id, section, row, number, section_rank, row_rank, price, currency) VALUES ($1, $2, $3, $4, $5, $6, 5, 'EUR')", [event.id, section, row, number, ...ranks]);
  await insert('Cafe\u0301', '1', 1);
  const refused = await again(1);
  assert.match(refused, new RegExp(`event ${event.id}: seats .*'Cafe\u0301', '1'.*rename or delete one`));
  await database.query("DELETE FROM seats WHERE event_id = $1 AND section = 'Cafe\u0301'", [event.id]);
  await insert('Cafe\u0301', '\u00a01', 3);
  await insert('\u3000Café', '3\u200b', 1);
  await insert('B\u00a0\u00a01', '1', 1, [10, 1]);
  await database.query("UPDATE events SET title = E'\\u00a0Cafe\\u0301' WHERE id = $1", [event.id]);
  await again(0);
  assert.deepEqual(await seatsOf(event.id), ['Café|1|1', 'Café|1|2', 'Café|1|3', 'Café|2|1', 'Café|2|2', 'Café|3|1', 'B 1|1|1']);
  assert.equal((await organizer.get(`/api/admin/events/${event.id}`)).body.title, 'Café');
  await assert.rejects(insert('Cafe\u0301', '9', 9), /seats_names_nfc/);
  assert.equal((await add(event.id, { seats: [seat('Café', 4)] })).status, 201);
});

// ---- the pages ----

test('every element of a template that shows what people wrote has dir="auto"', () => {
  const web = new URL('../../web/', import.meta.url);
  const shown = /<([^<>]*)>[^<>]*?\{\{(title|artist|venue|message|brand_name|seat)\}\}/g;
  let found = 0;
  for (const name of readdirSync(web).filter((one) => one.endsWith('.html') && one !== 'pay.html')) {
    for (const [whole, tag] of readFileSync(new URL(name, web), 'utf8').replaceAll(/\{\{[#^/]\w+\}\}|<img [^>]*>/g, '').matchAll(shown)) {
      found++;
      assert.match(tag, /dir="auto"/, `${name}: ${whole}`);
    }
  }
  assert.ok(found >= 8, `${found} elements`);
});
