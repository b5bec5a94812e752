// SPDX-License-Identifier: MIT
//
// tiketi ctl: a sale run from the terminal, against a real service; its exit codes; its completion.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BIN, Client, decode, environment, freePort, jwt, pay, privateFolder, removeFolder, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { ctlIn, token } from './ctl_support.mjs';

const { server, organizer } = await stage();
const home = privateFolder('ctl');
after(() => removeFolder(home));

const ctl = ctlIn(home);
await ctl(['login', `${server.url}/`], { input: `${token()}\n` });

const json = async (args, options) => JSON.parse((await ctl([...args, '--json'], options)).stdout);

test('login keeps the token for its owner alone, and says who it is for', async () => {
  const folder = privateFolder('login');
  try {
    const { stdout } = await ctl(['login', server.url], { folder, input: `${token({ sub: 'kim', role: 'organizer' })}\n` });
    assert.match(stdout, /^Logged in to http:\/\/127\.0\.0\.1:\d+ as kim \(organizer\), until 20\d\d-.*Z\.$/m);
    const file = join(folder, 'tiketi', 'ctl.json');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(folder, 'tiketi')).mode & 0o777, 0o700);
    assert.equal(JSON.parse(readFileSync(file, 'utf8')).url, server.url);
    await ctl(['events'], { folder });
    chmodSync(file, 0o644);
    assert.match((await ctl(['events'], { folder, expect: 5 })).stderr, /can be read by others/);
    chmodSync(file, 0o600);
    await ctl(['login', server.url], { folder, input: `${jwt({ sub: 'kim', role: 'organizer' }, { secret: 'another secret of thirty-two bytes' })}\n`, expect: 5 });
    await ctl(['events'], { folder }); // the old token is still there
    await ctl(['logout'], { folder });
    assert.ok(!existsSync(file));
    assert.match((await ctl(['events'], { folder, expect: 2 })).stderr, /no service is known: `tiketi ctl login URL`/);
    await ctl(['events'], { folder, env: { TIKETI_URL: server.url, TIKETI_TOKEN: token() } });
  } finally {
    removeFolder(folder);
  }
});

test('a token is sent to no other service than the one it was stored for', async () => {
  assert.match((await ctl(['events', '--url', 'http://127.0.0.1:1'], { expect: 2 })).stderr, /no token for http:\/\/127\.0\.0\.1:1 is known/);
});

test('an event is made, set, shown, opened, paused and closed', async () => {
  const id = uniqueId('sale');
  const made = await ctl(['create', '서울의 밤', 'threshold=50', '--id', id]);
  assert.equal(made.stdout, `${id}: draft, version 1\n`);
  assert.match(made.stderr, /^warning: .*no seats/m);
  const changed = await ctl(['set', id, 'threshold=80', 'interval=5s', 'surge=500:100,1000:200', 'outflow=600', 'branding.primary=#aa0000', 'venue=Olympic Hall', 'allowGuests=true']);
  assert.match(changed.stdout, new RegExp(`^${id}: draft, version 2$`, 'm'));
  const event = await json(['show', id]);
  assert.deepEqual(
    [event.title, event.threshold, event.intervalMs, event.outflowPerMinute, event.surge, event.branding.primary, event.venue],
    ['서울의 밤', 80, 5000, 600, [{ queueAbove: 500, threshold: 100 }, { queueAbove: 1000, threshold: 200 }], '#aa0000', 'Olympic Hall']);
  assert.match((await ctl(['show', id])).stdout, /^threshold +80$/m);
  assert.match((await ctl(['show', id])).stdout, /^branding\.primary +#aa0000$/m);
  assert.match((await ctl(['open', id])).stdout, /: open, version 3\n$/);
  const paused = await ctl(['pause', id]);
  assert.match(paused.stdout, /: paused, /);
  assert.equal(paused.stderr, '', 'that it has no seats was told when it was made');
  assert.match((await ctl(['resume', id])).stdout, /: open, /);
  assert.match((await ctl(['message', id, 'Doors at seven.'])).stdout, /: open, /);
  assert.equal((await organizer.must('GET', `/api/admin/events/${id}`)).message, 'Doors at seven.');
  await ctl(['message', id, '잠시만', '--language', 'ko']);
  assert.deepEqual((await organizer.must('GET', `/api/admin/events/${id}`)).messages, { ko: '잠시만' });
  await ctl(['message', id]);
  assert.equal((await organizer.must('GET', `/api/admin/events/${id}`)).message, null);
  const list = (await ctl(['events'])).stdout.split('\n');
  assert.match(list[0], /^id +status +threshold +opens +title$/);
  assert.ok(list.some((line) => line.startsWith(id) && /open +80 /.test(line) && line.endsWith('서울의 밤')), list.join('\n'));
  assert.ok((await ctl(['events', '--ids'])).stdout.split('\n').includes(id));
  assert.match((await ctl(['close', id], { expect: 2 })).stderr, /--yes is needed/);
  assert.match((await ctl(['close', id, '--yes'])).stdout, /: closed, /);
  assert.match((await ctl(['reopen', id])).stdout, /: open, /);
  const { epoch } = await json(['show', id]);
  await ctl(['clear', id, '--yes']);
  assert.equal((await json(['show', id])).epoch, epoch + 1);
});

test('a draft is copied, published and deleted; a rehearsal is reset', async () => {
  const id = uniqueId('play');
  await ctl(['create', 'Rehearsal', '--id', id, 'rehearsal=true', 'threshold=9', 'opensAt=2099-01-01T20:00:00Z']);
  await ctl(['copy', id, '--id', `${id}-b`, '--title', 'Again']);
  const copy = await json(['show', `${id}-b`]);
  assert.deepEqual([copy.title, copy.status, copy.threshold], ['Again', 'draft', 9]);
  assert.match((await ctl(['publish', id])).stdout, /: scheduled, /);
  await ctl(['reset', id, '--yes']);
  await ctl(['delete', `${id}-b`], { expect: 2 });
  await ctl(['delete', `${id}-b`, '--yes']);
  await ctl(['show', `${id}-b`], { expect: 1 });
  const sale = await organizer.sale({ threshold: 5 });
  await ctl(['delete', sale.id, '--yes'], { expect: 4 }); // not a draft
});

test('a change on top of one that was not seen is a conflict', async () => {
  const { id } = await organizer.sale({ threshold: 5 });
  const { version } = await json(['show', id]);
  await ctl(['set', id, 'threshold=6', '--version', String(version)]);
  assert.match((await ctl(['set', id, 'threshold=7', '--version', String(version)], { expect: 4 })).stderr, /^tiketi ctl set: /);
  assert.equal((await json(['show', id])).threshold, 6);
  await ctl(['pause', id]);
  assert.match((await ctl(['pause', id], { expect: 4 })).stderr, /paused/);
});

test('a queue: top, admit and forecast', async () => {
  const { id } = await organizer.sale({ promotion: 'interval', threshold: 0, intervalMs: 3600000 });
  await new Client(server, { sub: uniqueId('u') }).check(id);
  await new Client(server, { sub: uniqueId('u') }).check(id);
  await waitUntil(async () => (await organizer.stats(id)).queueSize === 2, 15000, 'two who wait');
  await ctl(['set', id, 'threshold=1']);
  const admitted = await waitUntil(async () => json(['admit', id, '5']), 15000, 'a processor');
  assert.equal(admitted.admitted, 1);
  await waitUntil(async () => (await organizer.stats(id)).currentUsers === 1, 15000, 'one inside');
  const once = (await ctl(['top', id, '--once'])).stdout;
  assert.match(once, new RegExp(`^${id}: open$`, 'm'));
  assert.match(once, /^ +waiting +1$/m);
  assert.match(once, /^ +inside +1 of 1$/m);
  assert.match(once, /^ +limited by +threshold: 1 of 1 inside$/m);
  assert.ok(!once.includes('\u001b'));
  const live = await ctl(['top', id, '--every', '500ms'], { until: (text) => text.split(`${id}: open`).length > 2 });
  assert.ok(live.stdout.split(`${id}: open`).length > 2);
  const forecast = (await ctl(['forecast', id, 'threshold=1000', 'interval=5s', 'waiting=99000', 'inside=1000', 'visit=25s', 'visitSpread=0', 'noShow=0', 'idle=0', 'arrivalsPerMinute=0'])).stdout;
  assert.match(forecast, /^The last in line waits 4[12] min instead of never entering\.$/m);
  assert.match(forecast, /^the last in line waits +never +4[12] min$/m);
  assert.match(forecast, /^Assumed, because it was not measured: .*\bbuy 0\.7\b/m);
  assert.equal((await json(['forecast', id, 'threshold=10'])).then.settings.threshold, 10);
});

test('exit codes say what went wrong', async () => {
  const { id } = await organizer.sale({ threshold: 5 });
  assert.match((await ctl(['set', id, 'threshold=-1'], { expect: 1 })).stderr, /^tiketi ctl set: .*\(threshold\)$/m);
  assert.equal(JSON.parse((await ctl(['set', id, 'threshold=-1', '--json'], { expect: 1 })).stdout).field, 'threshold');
  await ctl(['show', 'no-such-event'], { expect: 1 });
  assert.match((await ctl(['show'], { expect: 2 })).stderr, /it needs EVENT/);
  assert.match((await ctl(['show', '../x'], { expect: 2 })).stderr, /no event's id/);
  assert.match((await ctl(['show', id, '--colour'], { expect: 2 })).stderr, /--colour is not an option/);
  assert.match((await ctl(['set', id, 'threshold'], { expect: 2 })).stderr, /NAME=VALUE/);
  assert.match((await ctl(['set', id, 'interval=soon'], { expect: 2 })).stderr, /interval must be a time/);
  assert.match((await ctl(['nonsense'], { expect: 2 })).stderr, /'nonsense' is not a command/);
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await ctl(['events'], { expect: 3, env: { TIKETI_URL: nobody, TIKETI_TOKEN: token() } });
  const viewer = { TIKETI_URL: server.url, TIKETI_TOKEN: token({ sub: 'eyes', role: 'viewer' }) };
  await ctl(['show', id], { env: viewer });
  await ctl(['pause', id], { expect: 5, env: viewer });
  assert.match((await ctl(['events'], { expect: 5, env: { ...viewer, TIKETI_TOKEN: 'nonsense' } })).stderr, /`tiketi ctl login` stores a new token/);
});

test('a turn is released, a purchase refunded by its number, and the report knows both', async () => {
  const { id } = await organizer.sale({ threshold: 5, autoHold: 0, grid: { rows: 1, seatsPerRow: 5 } });
  const buyer = new Client(server, { sub: uniqueId('u') });
  await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 15000, 'an admission');
  const { body: reservation } = await buyer.reserve({ eventId: id, quantity: 2 });
  await buyer.post(`/api/reservations/${reservation.id}/pay`, {});
  assert.equal((await pay(server, reservation)).status, 200);
  assert.equal((await json(['report', id])).eventId, id);
  assert.match((await ctl(['report', id, '--csv'])).stdout, /^[^\n]+,[^\n]+\r?\n/);
  await ctl(['refund', id, reservation.reservationNumber, '--seats', 'A1'], { expect: 2 });
  await ctl(['refund', id, reservation.reservationNumber, '--seats', reservation.seats[0].id]);
  await ctl(['refund', id, reservation.reservationNumber]);
  await ctl(['refund', id, '00000000-0000-4000-8000-000000000000'], { expect: 1 });
  const other = new Client(server, { sub: uniqueId('u') });
  await waitUntil(async () => (await other.check(id)).body.status === 'active', 15000, 'another admission');
  const who = `u:${decode(other.token).sub}`;
  assert.equal((await json(['release', id, who])).released, true);
  assert.equal((await json(['release', id, who])).released, false);
  assert.equal((await json(['ban', id, who, 'resells'])).banned, true);
  assert.match((await ctl(['bans', id])).stdout, new RegExp(`${who} +\\S+ +resells`));
  assert.equal((await json(['bans', id]))[0].reason, 'resells');
  assert.equal((await json(['unban', id, who])).changed, true);
  assert.deepEqual(await json(['bans', id]), []);
  await ctl(['ban', id, who], { expect: 2 });
  await ctl(['admit', id, 'many'], { expect: 2 });
});

test('every command explains itself, without a service and without settings', async () => {
  const { stdout } = await ctl(['--help'], { folder: '/nowhere' });
  const names = [...stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?) .*$/gm)].map(([, name]) => name);
  assert.ok(names.length >= 39 && names.includes('seats') && names.includes('seats import'), names.join());
  assert.match(stdout, /Exit codes: 0 done; 1 refused/);
  for (const name of names) assert.match((await ctl([...name.split(' '), '--help'], { folder: '/nowhere' })).stdout, new RegExp(`^Usage: tiketi ctl ${name}\\b`));
  assert.match((await ctl(['set', '--help'])).stdout, /threshold interval promotion outflow surge/);
});

test('bash completes commands, options, their values, events and settings', async () => {
  const { id } = await organizer.sale({ threshold: 5 });
  const script = join(home, 'completion.bash');
  writeFileSync(script, (await ctl(['completion', 'bash'])).stdout);
  const complete = (...words) => new Promise((accept, reject) => {
    const text = `tiketi() { ${BIN} "$@"; }; source ${script}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _tiketi; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const child = spawn('bash', ['-c', text], { env: environment({ XDG_CONFIG_HOME: home }), stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    child.on('error', reject);
    child.on('close', () => accept(out.trim().split('\n')));
  });
  assert.deepEqual(await complete('tiketi', 'c'), ['console-link', 'console-revoke', 'crowd', 'ctl']);
  assert.deepEqual(await complete('tiketi', 'help', 'mig'), ['migrate']);
  assert.deepEqual(await complete('tiketi', 'serve', '--ro'), ['--roles']);
  assert.deepEqual(await complete('tiketi', 'serve', '--roles', ''), ['api', 'gateway', 'processor']);
  assert.deepEqual(await complete('tiketi', 'token', '--role', 'o'), ['organizer']);
  assert.deepEqual(await complete('tiketi', 'serve', '--set', 'QUEUE_TH'), ['QUEUE_THRESHOLD=']);
  assert.deepEqual(await complete('tiketi', 'migrate', '--config', `${home}/compl`), [script]);
  assert.deepEqual(await complete('tiketi', 'token', '--sub', ''), ['']); // anything
  assert.deepEqual(await complete('tiketi', 'nonsense', ''), ['']);
  assert.deepEqual(await complete('tiketi-simulate', '--promotion', ''), ['continuous', 'interval']);
  assert.deepEqual(await complete('tiketi-crowd', '--no-s'), ['--no-sockets']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'pu'), ['publish']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'top', '--o'), ['--once']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'show', id.slice(0, -2)), [id]);
  assert.deepEqual(await complete('tiketi', 'ctl', 'set', id, 'thr'), ['threshold=']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'forecast', id, 'noS'), ['noShow=']);
  assert.deepEqual(await complete('tiketi-ctl', 'rel'), ['release']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'se'), ['set', 'seats']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'seats', 're'), ['reprice', 'rename', 'remove']);
  assert.deepEqual(await complete('tiketi', 'ctl', 'seats', id), [id]);
  assert.deepEqual(await complete('tiketi', 'ctl', 'seats', 'import', id), [id]);
  assert.deepEqual(await complete('tiketi', 'ctl', 'seats', 'import', id, `${home}/compl`), [script]);
  assert.deepEqual(await complete('tiketi', 'ctl', 'seats', 'reprice', id, '--pr'), ['--price']);
  const zsh = (await ctl(['completion', 'zsh'])).stdout; // which is not installed here: what it would quote
  assert.equal(zsh.split('\n').filter((line) => /^ {12}"[a-z]+:[^"$`\\]+"$/.test(line)).length, 37);
  assert.match((await ctl(['completion', 'fish'], { expect: 2 })).stderr, /neither bash nor zsh/);
});
