// SPDX-License-Identifier: MIT
//
// The hall as CSV: import and export, refused files, large files, and backends lost in the middle.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, bearer, jwt, pay, stage, waitUntil } from '../fixtures/index.mjs';

const { postgres, database, server, organizer } = await stage();

const path = (id, rest) => `/api/admin/events/${id}/${rest}`;
const HEADER = 'section,row,number,price,currency';
const COLUMNS = 'id,section,row,number,price,currency,status,blockReason,reservationNumber,reservationId,buyer,heldUntil,soldAt,soldFor,paidAt,provider,paymentReference,timeZone';
const upload = (id, body, { who = organizer, headers = {}, query = '', ...rest } = {}) =>
  who.post(path(id, `seats${query}`), { body, headers: { 'content-type': 'text/csv', ...headers }, timeoutMs: 60000, ...rest });
const download = async (id, who = organizer) => {
  const answer = await who.get(path(id, 'export.csv'), { timeoutMs: 60000 });
  assert.equal(answer.status, 200, answer.text);
  return answer;
};
const seatsOf = (id) => database.query('SELECT section, row, number, price, currency FROM seats WHERE event_id = $1 ORDER BY section_rank, row_rank, number', [id]);
const draft = (more = {}) => organizer.sale({ open: false, ...more });

// A separate CSV reader, so that the export is not checked by the code that wrote it.
function read(text) {
  const rows = [[]];
  assert.notEqual(text[0], '\ufeff', 'a mark is sent only if it is asked for');
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    assert.ok(found, `no cell at ${cell.lastIndex}`);
    rows.at(-1).push(found[1] === undefined ? found[2] : found[1].replaceAll('""', '"'));
    if (found[3] !== ',') rows.push([]);
  }
  assert.deepEqual(rows.pop(), []);
  return rows;
}

// ---- import and export ----

test('round trip: quotes, commas, any script, columns in any order; the order of the file is the hall\'s', async () => {
  const event = await draft();
  const seats = [
    ['Parkett', 'B', 2, 5000, 'EUR'], ['Parkett', 'B', 1, 5000, 'EUR'], ['Balcony, "left"', 'a,b', 7, 0, 'EUR'],
    ['観客席 🎫', 'é', 1000000, 1000000000000, 'EUR'], ['back\\slash {x}', 'NULL', 3, 1, 'EUR'], ['Parkett', 'A', 1, 4000, 'EUR'], ["'", '"', 1, 1, 'EUR'],
  ];
  const quote = (value) => `"${String(value).replaceAll('"', '""')}"`;
  const lines = seats.map(([section, row, number, price, currency]) => [price, quote(row), currency, quote(section), number].join(','));
  const added = await upload(event.id, `price,row,currency,section,number\r\n${lines.join('\r\n')}\r\n`);
  assert.equal(added.status, 201, added.text);
  assert.deepEqual(added.body, { added: 7, seats: 7, version: event.version + 1, separator: 'comma', isExport: false });

  const answer = await download(event.id);
  assert.equal(answer.headers['content-type'], 'text/csv; charset=utf-8');
  assert.equal(answer.headers['content-disposition'], `attachment; filename="${event.id}.csv"`);
  const [header, ...rows] = read(answer.text);
  assert.equal(header.join(','), COLUMNS);
  const inOrder = [1, 0, 5, 2, 3, 4, 6].map((at) => seats[at].map(String));
  assert.deepEqual(rows.map((row) => row.slice(1, 6)), inOrder.map((row) => (row[0] === "'" ? row : row)));
  assert.ok(rows.every((row) => /^\d+$/.test(row[0]) && row.slice(6).join() === 'available,,,,,,,,,,,UTC'));

  // The export is imported again, into another hall.
  const other = await draft();
  const again = rows.map((row) => [1, 2, 3, 4, 5].map((column) => quote(row[column])).join(','));
  assert.equal((await upload(other.id, `${HEADER}\n${again.join('\n')}`)).status, 201);
  assert.deepEqual(await seatsOf(other.id), await seatsOf(event.id));
});

test('import accepts any line ends, a byte order mark, a last line without end and empty lines at the end', async () => {
  const expected = [{ section: 'A', row: '1', number: 1, price: '5', currency: 'EUR' }, { section: 'A', row: '1', number: 2, price: '5', currency: 'EUR' }];
  for (const body of [`${HEADER}\r\nA,1,1,5,EUR\r\nA,1,2,5,EUR\r\n`, `${HEADER}\nA,1,1,5,EUR\nA,1,2,5,EUR`, `\ufeff${HEADER}\nA,1,1,5,EUR\r\n"A","1","2","5","EUR"\n\n\r\n`]) {
    const event = await draft();
    const { status, text } = await upload(event.id, body, { headers: { 'content-type': 'Text/CSV; charset=utf-8' } });
    assert.equal(status, 201, text);
    assert.deepEqual(await seatsOf(event.id), expected);
  }
});

test('import behaves as the JSON route does: audit, version, If-Match, more seats later in the same rows', async () => {
  const event = await draft({ grid: { section: 'A', rows: 2, seatsPerRow: 2, price: 7 } });
  const { headers } = await organizer.get(path(event.id, ''.replace(/^/, '')).replace(/\/$/, ''));
  const stale = await upload(event.id, `${HEADER}\nA,1,3,7,EUR\n`, { headers: { 'if-match': '"1"' } });
  assert.equal(stale.status, 412);
  assert.equal((await upload(event.id, `${HEADER}\nA,1,3,7,EUR\n`, { headers: { 'if-match': 'x' } })).status, 400);
  const added = await upload(event.id, `${HEADER}\nB,1,1,7,EUR\nA,3,1,7,EUR\nA,1,3,7,EUR\n`, { headers: { 'if-match': headers.etag } });
  assert.equal(added.status, 201, added.text);
  assert.deepEqual(added.body, { added: 3, seats: 7, version: event.version + 2, separator: 'comma', isExport: false });
  assert.deepEqual((await seatsOf(event.id)).map(({ section, row, number }) => `${section}${row}-${number}`), ['A1-1', 'A1-2', 'A1-3', 'A2-1', 'A2-2', 'A3-1', 'B1-1']);
  const [entry] = (await organizer.get(path(event.id, 'audit'))).body.entries;
  assert.deepEqual([entry.verb, entry.who, entry.before, entry.after], ['seats', 'organizer', { seats: 4 }, { seats: 7 }]);
});

test('export lists holders and buyers in the order of the hall, with times of the event\'s zone; an expired hold is not listed', async () => {
  const event = await organizer.sale({ threshold: 9, autoHold: 0, holdMs: 600000, timeZone: 'Asia/Seoul', grid: { rows: 1, seatsPerRow: 5 } });
  const map = (await server.get(`/api/seats/${event.id}`)).body.seats;
  const orders = [];
  for (const [at, sub] of ['buyer', 'holder', 'late'].entries()) {
    const client = new Client(server, { sub });
    await client.check(event.id);
    const { status, body, text } = await client.reserve({ eventId: event.id, seatIds: [map[at].id] });
    assert.equal(status, 201, text);
    orders.push(body);
  }
  assert.equal((await pay(server, orders[0])).body.payment, 'paid');
  assert.equal((await organizer.post(path(event.id, 'seats/block'), { json: { where: { seatIds: [map[4].id] }, reason: 'camera' } })).status, 200);
  assert.equal((await organizer.post(path(event.id, 'seats/reprice'), { json: { where: { all: true }, price: 70 } })).body.left.sold, 1);
  await database.query("UPDATE seats SET held_until = now() - interval '1 s' WHERE holder = $1", [orders[2].id]);
  const [{ sold, paid, until, reference }] = await database.query(`SELECT to_char(r.ended_at AT TIME ZONE 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') AS sold,
    to_char(p.settled_at AT TIME ZONE 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') AS paid, p.reference,
    (SELECT to_char(expires_at AT TIME ZONE 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') FROM reservations WHERE id = $2) AS until
    FROM reservations r JOIN payments p ON p.reservation_id = r.id WHERE r.id = $1`, [orders[0].id, orders[1].id]);
  const [, ...rows] = read((await download(event.id)).text);
  const price = String(map[0].price);
  assert.deepEqual(rows.map((row) => row.slice(4).join()), [
    `${price},${map[0].currency},sold,,${orders[0].reservationNumber},${orders[0].id},u:buyer,,${sold},${price},${paid},${orders[0].provider ?? 'test'},${reference},Asia/Seoul`,
    `70,${map[0].currency},held,,${orders[1].reservationNumber},${orders[1].id},u:holder,${until},,,,,,Asia/Seoul`,
    `70,${map[0].currency},available,,,,,,,,,,,Asia/Seoul`, `70,${map[0].currency},available,,,,,,,,,,,Asia/Seoul`,
    `70,${map[0].currency},blocked,camera,,,,,,,,,,Asia/Seoul`,
  ]);
});

test('an export is taken by the import again as it is: names with the apostrophes that it got, its further columns passed over', async () => {
  const event = await draft();
  const names = ['=1+1', "'=quoted", 'A;-b', 'plain', "o'clock"];
  assert.equal((await upload(event.id, `${HEADER}\n${names.map((name, at) => `"${name}",1,${at + 1},100,EUR`).join('\n')}\n`)).status, 201);
  const { text } = await download(event.id);
  const dearer = text.replaceAll(',100,EUR', ',150,EUR');
  const { status, body, text: answer } = await upload(event.id, dearer, { query: '?replace=1' });
  assert.equal(status, 201, answer);
  assert.deepEqual([body.added, body.removed, body.changed, body.isExport], [0, 0, 5, true]);
  assert.deepEqual((await seatsOf(event.id)).map(({ section, price }) => `${section} ${price}`), names.map((name) => `${name.replace(/^'/, '')} 150`));
});

test('the export begins with a byte order mark if it is asked for', async () => {
  const event = await draft();
  const answer = await organizer.get(path(event.id, 'export.csv?bom=1'));
  assert.equal(answer.text, `\ufeff${COLUMNS}\r\n`);
  assert.equal((await organizer.get(path(event.id, 'export.csv?bom=yes'))).body.field, 'bom');
});

test('export puts an apostrophe before text that a spreadsheet would run as a formula', async () => {
  const event = await draft();
  const dangerous = ['=1+1', '+1', '-1', '@SUM(A1)', '=cmd|"x",1'];
  const lines = dangerous.map((text, at) => `"${text.replaceAll('"', '""')}",a=b,${at + 1},0,EUR`);
  assert.equal((await upload(event.id, `${HEADER}\n${lines.join('\n')}\n`)).status, 201);
  const [, ...rows] = read((await download(event.id)).text);
  assert.deepEqual(rows.map((row) => row[1]), dangerous.map((text) => `'${text}`));
  assert.ok(rows.every((row) => row[2] === 'a=b'));
  assert.deepEqual((await seatsOf(event.id)).map(({ section }) => section), dangerous);
});

test('the export of an empty hall is the header alone', async () => {
  const event = await draft();
  assert.equal(read((await download(event.id)).text).length, 1);
});

test('the export of a hall around the size of a page (2,000 seats) has each seat once', async () => {
  for (const seats of [1999, 2000, 2001, 4000]) {
    const event = await draft();
    await database.query("INSERT INTO seats (event_id, section, section_rank, row, row_rank, number, price, currency) SELECT $1, 'A', 1, '1', 1, n, 100, 'KRW' FROM generate_series(1, $2::integer) AS n", [event.id, seats]);
    const rows = read((await download(event.id)).text).slice(1);
    assert.deepEqual(rows.map((row) => Number(row[3])), Array.from({ length: seats }, (_, i) => i + 1));
  }
});

// An answer that has begun cannot become an error: the fewer statements it still needs, the fewer are cut off.
test('the export of a small hall reads its seats in one statement, so that nothing can fail once it has begun', async () => {
  await database.query(`CREATE SEQUENCE pages; ALTER FUNCTION seats_csv(text, integer, integer, integer, integer) RENAME TO seats_csv_uncounted;
    CREATE FUNCTION seats_csv(text, integer, integer, integer, integer) RETURNS TABLE (lines text, section_rank integer, row_rank integer, number integer) LANGUAGE sql AS $$
      SELECT nextval('pages'); SELECT * FROM seats_csv_uncounted($1, $2, $3, $4, $5) $$`);
  const event = await organizer.sale({ grid: { rows: 2, seatsPerRow: 3 } });
  assert.equal(read((await download(event.id)).text).length, 7);
  assert.equal(Number((await database.query('SELECT last_value AS n FROM pages'))[0].n), 1);
  await database.query(`DROP FUNCTION seats_csv(text, integer, integer, integer, integer);
    ALTER FUNCTION seats_csv_uncounted(text, integer, integer, integer, integer) RENAME TO seats_csv; DROP SEQUENCE pages`);
});

// ---- what people send ----

test('the answer says which separator the file has', async () => {
  for (const [separator, name] of [[',', 'comma'], [';', 'semicolon'], ['\t', 'tab']]) {
    const event = await draft();
    const answer = await upload(event.id, `${HEADER}\nA,1,1,5,EUR\n`.replaceAll(',', separator));
    assert.deepEqual([answer.status, answer.body.separator], [201, name], answer.text);
  }
});

test('a file with errors is refused with all of them, and the first 100 of more', async () => {
  const event = await draft();
  const lines = ['A,1,x,5,EUR', 'A,1,1,5,EUR', 'A,1,1,"150,000",KRW', '', 'B,,3,5,USD'];
  const { status, body } = await upload(event.id, `${HEADER}\n${lines.join('\n')}\n`);
  assert.equal(status, 400);
  assert.deepEqual(body.errors.map(({ line, field }) => `${line} ${field}`), ['2 number', '4 price', '4 currency', '6 row', '6 currency']);
  assert.match(body.detail, /^Line 2: number must be an integer from 1 to 1000000\.$/);
  const many = await upload(event.id, `${HEADER}\n${'A,1,0,5,EUR\n'.repeat(300)}`);
  assert.deepEqual([many.body.errors.length, many.body.errors.at(-1).line], [100, 101]);
});

test('a price that is no whole number is answered with what to write', async () => {
  const event = await draft();
  for (const [price, currency, wanted] of [
    ['"150,000"', 'KRW', /write 150000\.$/], ['₩150000', 'KRW', /smallest unit of KRW, .* write 150000\.$/], ['150000.00', 'KRW', /write 150000\.$/],
    ['12.50', 'EUR', /write 1250\.$/], ['"1.234,56"', 'EUR', /write 123456\.$/], ['"1,234"', 'EUR', /write 123400\.$/], ['1.5', 'BHD', /write 1500\.$/],
    ['-5', 'EUR', /without separators and signs\.$/], ['12.34', 'KRW', /without separators and signs\.$/], ['free', 'EUR', /without separators and signs\.$/],
  ]) {
    const { body } = await upload(event.id, `${HEADER}\nA,1,1,${price},${currency}\n`);
    assert.deepEqual([body.line, body.field], [2, 'price'], price);
    assert.match(body.detail, wanted, price);
  }
  assert.match((await upload(event.id, `${HEADER}\nA,1,1,150,000,KRW\n`)).body.detail, /150000 and not 150,000/);
});

test('a currency is one of ISO 4217 that is in use, and the hall\'s', async () => {
  const event = await draft({ grid: { section: 'A', rows: 1, seatsPerRow: 1, price: 90000, currency: 'KRW' } });
  for (const code of ['WON', 'DEM', 'CNH', 'XXX']) {
    const { body } = await upload(event.id, `${HEADER}\nB,1,1,5,${code}\n`);
    assert.deepEqual([body.field, body.detail], ['currency', `Line 2: ${code} is no currency in use: currency must be a code of ISO 4217, such as KRW.`]);
    const json = await organizer.post(path(event.id, 'seats'), { json: { grid: { section: 'B', rows: 1, seatsPerRow: 1, price: 1, currency: code } } });
    assert.deepEqual([json.status, json.body.field], [400, 'grid.currency']);
  }
  assert.equal((await upload(event.id, `${HEADER}\nB,1,1,5,EUR\n`)).body.detail, 'Line 2: This event sells in KRW.');
});

test('a file that came without its line ends, as a form, without its type, or empty is answered with what to do', async () => {
  const event = await draft();
  const file = `${HEADER}\nA,1,1,5,EUR\nA,1,2,5,EUR\n`;
  for (const body of [file.replaceAll('\n', ''), `${HEADER}${'A,1,1,5,EUR'.repeat(40)}`]) assert.match((await upload(event.id, body)).body.detail, /curl -d removes the line ends.*--data-binary/);
  const send = async (type, body) => (await organizer.post(path(event.id, 'seats'), { body, headers: { 'content-type': type } })).body;
  assert.match((await send('application/x-www-form-urlencoded', file)).detail, /not JSON.*Content-Type: text\/csv/);
  assert.match((await send('multipart/form-data; boundary=x', `--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n${file}\r\n--x--`)).detail, /form.*by itself/);
  const large = await send('application/x-www-form-urlencoded', file + 'A,1,3,5,EUR\n'.repeat(10000));
  assert.deepEqual([large.status, large.code], [413, 'too-large']);
  assert.match(large.detail, /text\/csv/);
  assert.equal((await upload(event.id, '')).body.detail, 'The file is empty.');
  assert.deepEqual(await seatsOf(event.id), []);
});

test('a check changes nothing: the errors of the file and of the hall together, by line, and the hall that it would be', async () => {
  const event = await draft({ grid: { section: 'A', rows: 1, seatsPerRow: 2, price: 500, currency: 'EUR' } });
  const before = await seatsOf(event.id);
  const lines = ['B,1,1,900,EUR', 'A,1,2,5,EUR', 'B,1,2,9.00,EUR', '', 'B,1,1,900,EUR', 'B,2,1,700,EUR'];
  const { status, body, text } = await upload(event.id, `${HEADER}\n${lines.join('\n')}\n`, { query: '?check=1' });
  assert.equal(status, 200, text);
  assert.deepEqual(body.errors.map(({ line, field, message }) => `${line} ${field} ${message}`), ['3 number Seat A 1 2 exists already.',
    '4 price price must be an integer in the smallest unit of EUR, without separators and signs: write 900.', '6 number Seat B 1 1 is given twice.']);
  assert.deepEqual([body.complete, body.separator, body.seats, body.sections], [true, 'comma', 4, [
    { section: 'A', rows: 1, seats: 2, widestRow: 2, priceFrom: 500, priceTo: 500 }, { section: 'B', rows: 2, seats: 2, widestRow: 1, priceFrom: 700, priceTo: 900 }]]);
  assert.deepEqual(await seatsOf(event.id), before);
  const broken = await upload(event.id, `${HEADER}\nC,1,1,5,EUR\nC,"1,2,5,EUR\n`, { query: '?check=1&replace=1' });
  assert.deepEqual([broken.body.complete, broken.body.seats, broken.body.errors.map(({ line }) => line)], [false, 1, [3]]);
  assert.equal((await upload(event.id, `${HEADER}\nA,1,1,5,EUR\n`, { query: '?check=true' })).body.field, 'check');
  assert.equal((await organizer.get(path(event.id, 'audit'))).body.entries.length, 2);
});

// ---- refused ----

const good = 'A,1,1,5,EUR';
const long = 'x'.repeat(65);
for (const [what, body, line, field, detail] of [
  ['a number that is none', `${HEADER}\n${good}\nA,1,12x,5,EUR\n`, 3, 'number', /integer from 1 to 1000000/],
  ['number 0', `${HEADER}\nA,1,0,5,EUR\n`, 2, 'number', /integer/],
  ['number too high', `${HEADER}\nA,1,1000001,5,EUR\n`, 2, 'number', /integer/],
  ['a price below 0', `${HEADER}\nA,1,1,-5,EUR\n`, 2, 'price', /integer from 0/],
  ['a price with a point', `${HEADER}\nA,1,1,5.00,EUR\n`, 2, 'price', /integer/],
  ['a price far too high', `${HEADER}\nA,1,1,99999999999999999999,EUR\n`, 2, 'price', /integer/],
  ['a currency', `${HEADER}\nA,1,1,5,eur\n`, 2, 'currency', /capital/],
  ['two currencies', `${HEADER}\n${good}\nA,1,2,5,USD\n`, 3, 'currency', /one currency/],
  ['no section', `${HEADER}\n,1,1,5,EUR\n`, 2, 'section', /1 to 64/],
  ['a text too long', `${HEADER}\n${good}\nA,${long},1,5,EUR\n`, 3, 'row', /1 to 64/],
  ['a text far too long', `${HEADER}\n${good}\n${'x'.repeat(5000)},1,1,5,EUR\n`, 3, 'section', /too long/],
  ['a line end in a text', `${HEADER}\n${good}\n"A\r\nB",1,1,5,EUR\n`, 3, 'section', /1 to 64/],
  ['a control character', `${HEADER}\nA\t,1,1,5,EUR\n`, 2, 'section', /1 to 64/],
  ['a control character of the other kind', `${HEADER}\nA\u0085,1,1,5,EUR\n`, 2, 'section', /1 to 64/],
  ['a missing column', `section,row,number,price\nA,1,1,5\n`, 1, 'currency', /needed/],
  ['an unknown column', `${HEADER},colour\n${good},red\n`, 1, 'colour', /no column/],
  ['an unknown column, its name cut at a character', `${HEADER},${'é'.repeat(40)}\n${good},red\n`, 1, 'é'.repeat(31), /no column/],
  ['a column twice', `${HEADER},row\n${good},1\n`, 1, 'row', /twice/],
  ['too few cells', `${HEADER}\n${good}\nA,1,1\n`, 3, 'price', /fewer/],
  ['too many cells', `${HEADER}\n${good},\n`, 2, '', /more cells/],
  ['a quote that stays open', `${HEADER}\n${good}\nA,"1,2,5,EUR\nA,1,3,5,EUR\n`, 3, 'row', /not closed/],
  ['a quote in the middle', `${HEADER}\nA"B",1,1,5,EUR\n`, 2, 'section', /quote/],
  ['text after a quote', `${HEADER}\nA,"1"b,1,5,EUR\n`, 2, 'row', /quote/],
  ['a CR alone', `${HEADER}\rA,1,1,5,EUR\r`, 1, '', /CRLF/],
  ['bytes that are no UTF-8', Buffer.concat([Buffer.from(`${HEADER}\n${good}\nA,`), Buffer.from([0xff, 0xfe]), Buffer.from(',1,5,EUR\n')]), 3, 'row', /UTF-8/],
  ['a NUL', `${HEADER}\nA,1\0,1,5,EUR\n`, 2, 'row', /NUL/],
  ['no seats', `${HEADER}\r\n`, 2, '', /no seat/],
  ['nothing but a mark', '\ufeff', 1, 'section', /header/],
]) test(`refused: ${what}`, async () => {
  const event = await draft();
  const answer = await upload(event.id, body);
  assert.equal(answer.status, 400, answer.text);
  assert.deepEqual([answer.body.code, answer.body.line, answer.body.field], ['invalid', line, field], answer.text);
  assert.match(answer.body.detail, detail);
  assert.deepEqual(await seatsOf(event.id), []);
  assert.equal((await organizer.get(path(event.id, 'audit'))).body.entries.length, 1);
});

test('refused: a seat twice in the file or in the hall, another currency than the hall\'s, a closed event', async () => {
  const event = await draft({ grid: { section: 'A', rows: 1, seatsPerRow: 2 } });
  const before = await seatsOf(event.id);
  for (const [lines, status, line, field] of [
    ['B,1,1,5,EUR\nB,1,2,5,EUR\nB,1,1,9,EUR', 409, 4, 'number'], ['B,1,1,5,EUR\nA,1,2,5,EUR', 409, 3, 'number'], ['B,1,1,5,USD', 400, 2, 'currency'],
  ]) {
    const answer = await upload(event.id, `${HEADER}\n${lines}\n`);
    assert.deepEqual([answer.status, answer.body.line, answer.body.field], [status, line, field], answer.text);
  }
  await organizer.act(event.id, 'open');
  await organizer.act(event.id, 'close');
  assert.equal((await upload(event.id, `${HEADER}\nB,1,1,5,EUR\n`)).status, 409);
  assert.deepEqual(await seatsOf(event.id), before);
});

test('refused: a caller without the right, whatever the size; an unknown event; no body', async () => {
  const event = await draft();
  const large = `${HEADER}\n${Array.from({ length: 20000 }, (_, at) => `A,1,${at + 1},5,EUR`).join('\n')}\n`;
  for (const [token, status] of [['', 401], ['x', 401], [jwt({ sub: 'b' }), 403], [jwt({ sub: 'v', role: 'viewer' }), 403], [jwt({ sub: 's', role: 'sre' }), 403], [jwt({ sub: 'o', role: 'organizer' }), 403]]) {
    for (const body of [large, `${HEADER}\n`]) {
      const who = new Client(server, { token });
      const answer = await upload(event.id, body, { who });
      assert.equal(answer.status, status, answer.text);
    }
    assert.equal((await new Client(server, { token }).get(path(event.id, 'export.csv'))).status, status);
  }
  assert.equal((await upload('nobody-knows-it', large)).status, 404);
  assert.equal((await upload(event.id, undefined)).status, 400);
  assert.equal((await upload(event.id, '')).status, 400);
  assert.deepEqual(await seatsOf(event.id), []);
});

// ---- large ----

const MIB = 1 << 20;
const SEATS = 100000;
const hall = (width = 1) => `${HEADER}\r\n${Array.from({ length: SEATS }, (_, at) =>
  `${`Block ${Math.floor(at / 10000)}`.padEnd(width, '.')},${Math.floor(at / 100) % 100 + 1},${at % 100 + 1},${5000 + at % 7},EUR`).join('\r\n')}\r\n`;

// The highest memory use of the program since the last call, and its use now.
const proc = (name) => `/proc/${server.pid}/${name}`;
const status = (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(proc('status'), 'utf8'))[1]) * 1024;
const forgetPeak = () => writeFileSync(proc('clear_refs'), '5');

test('100,000 seats are imported and exported in bounded memory; one more is refused', { timeout: 180000 }, async (t) => {
  const event = await draft();
  const file = hall();
  const before = status('VmRSS');
  forgetPeak();
  let began = performance.now();
  const added = await upload(event.id, file);
  assert.equal(added.status, 201, added.text);
  assert.equal(added.body.added, SEATS);
  t.diagnostic(`in: ${(file.length / MIB).toFixed(1)} MiB, ${Math.round(performance.now() - began)} ms, peak +${Math.round((status('VmHWM') - before) / MIB)} MiB`);
  if (!process.env.TIKETI_SAN) assert.ok(status('VmHWM') - before < 60 * MIB, `${(status('VmHWM') - before) / MIB} MiB`);

  const resting = status('VmRSS');
  forgetPeak();
  began = performance.now();
  const { text } = await download(event.id);
  t.diagnostic(`out: ${(text.length / MIB).toFixed(1)} MiB, ${Math.round(performance.now() - began)} ms, peak +${Math.round((status('VmHWM') - resting) / MIB)} MiB`);
  if (!process.env.TIKETI_SAN) assert.ok(status('VmHWM') - resting < 8 * MIB, `${(status('VmHWM') - resting) / MIB} MiB`);
  const [, ...rows] = read(text);
  assert.equal(`${[HEADER, ...rows.map((row) => row.slice(1, 6).join(','))].join('\r\n')}\r\n`, file);

  const more = await upload(event.id, `${HEADER}\nX,1,1,5,EUR\n`);
  assert.deepEqual([more.status, more.body.line], [400, 2], more.text);
  const other = await draft();
  const tooMany = await upload(other.id, `${file}X,1,1,5,EUR\r\n`);
  assert.deepEqual([tooMany.status, tooMany.body.line], [400, SEATS + 2], tooMany.text);
});

test('a file over 16 MiB is 413, with and without a Content-Length', { timeout: 60000 }, async () => {
  const event = await draft();
  const body = `${HEADER}\n${'A,1,1,5,EUR\n'.repeat(Math.ceil(16 * MIB / 12))}`;
  for (const headers of [{ 'content-length': Buffer.byteLength(body) }, { 'transfer-encoding': 'chunked' }]) {
    const answer = await upload(event.id, body, { headers });
    assert.equal(answer.status, 413, answer.text);
  }
  assert.deepEqual(await seatsOf(event.id), []);
  assert.equal((await server.get('/livez')).status, 200);
});

test('four imports run at once, the next is told to come again; a dropped connection frees its slot', { timeout: 60000 }, async () => {
  const event = await draft();
  const { hostname, port } = new URL(server.url);
  const half = `POST ${path(event.id, 'seats')} HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAuthorization: ${bearer(organizer.token).authorization}\r\nContent-Length: 1000\r\n\r\n${HEADER}\r\nA,1,1`;
  const sockets = [];
  try {
    await waitUntil(async () => {
      // A new import each time: the one before may have been refused itself.
      sockets.push(connect(Number(port), hostname, function open() { this.write(half); }).on('error', () => {}));
      const answer = await upload(event.id, `${HEADER}\n`);
      if (answer.status !== 503) return false;
      assert.equal(answer.body.code, 'overloaded');
      return true;
    }, 15000, 'the fifth to be refused');
    assert.ok(sockets.length >= 4, `${sockets.length} are being read`);
  } finally {
    // Cut off in the middle: nothing of it is applied, and its slot is free again.
    for (const socket of sockets) socket.destroy();
  }
  await waitUntil(async () => (await upload(event.id, `${HEADER}\n`)).status === 400, 15000, 'room');
  assert.deepEqual(await seatsOf(event.id), []);
});

// ---- lost in the middle ----

test('PostgreSQL stops during an import: nothing has changed', { timeout: 120000 }, async () => {
  const event = await draft();
  const answering = upload(event.id, hall());
  await waitUntil(async () => (await database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%seats_import%' AND state = 'active' AND pid <> pg_backend_pid()")).length > 0, 15000, 'the import');
  const answer = await answering;
  assert.equal(answer.status, 503, answer.text);
  assert.deepEqual(await seatsOf(event.id), []);
  await waitUntil(async () => (await upload(event.id, `${HEADER}\nA,1,1,5,EUR\n`)).status === 201, 15000, 'service to resume');
});

test('PostgreSQL stops during an export: the answer is cut off and does not look complete', { timeout: 180000 }, async () => {
  const event = await draft();
  const added = await upload(event.id, hall(60));
  assert.equal(added.status, 201, added.text);
  const whole = (await download(event.id)).text.length;
  const outcome = await new Promise((accept, reject) => {
    const call = request(new URL(path(event.id, 'export.csv'), server.url), { headers: bearer(organizer.token), agent: false }, (response) => {
      let got = 0;
      assert.equal(response.statusCode, 200);
      assert.equal(response.headers['transfer-encoding'], 'chunked');
      response.once('data', async () => {
        response.pause(); // the answer stops in the middle of the hall
        await postgres.halt('SIGQUIT');
        response.resume();
      });
      response.on('data', (data) => { got += data.length; });
      response.on('error', () => {});
      response.on('close', () => accept({ complete: response.complete, got }));
    });
    call.on('error', reject);
    call.end();
  });
  await postgres.restart();
  assert.equal(outcome.complete, false);
  assert.ok(outcome.got < whole, `${outcome.got} of ${whole}`);
  await waitUntil(async () => (await organizer.get(path(event.id, 'export.csv'))).text.length === whole, 30000, 'service to resume');
});
