// SPDX-License-Identifier: MIT
//
// docs/sale-day.md: every command of its tables is run, in their order, against a real service, and says what the third
// column has. Only Kubernetes is not there: of what is scaled, the name must be that of a deployment in k8s/base.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ARCHIVING, Client, Organizer, Postgres, Provider, ROOT, Redis, Server, Shell, keeper, waitUntil } from '../fixtures/index.mjs';

const text = readFileSync(join(ROOT, 'docs/sale-day.md'), 'utf8');
// A "\|" is a bar within a cell.
const rows = text.split('\n').filter((line) => /^\| .* \|$/.test(line) && !line.startsWith('| | command'))
  .map((line) => line.replaceAll('\\|', '\0').split('|').slice(1, -1).map((cell) => cell.trim().replaceAll('\0', '|')));
const spans = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, span]) => span);

const keep = keeper();
const redis = await keep(Redis.start());
const postgres = await keep(Postgres.start({ args: ARCHIVING }));
const database = await postgres.migrated();
const provider = await keep((async () => {
  const server = await keep(Server.start({ redis, database }));
  return Object.assign(await Provider.start({ server }), { server });
})());
const { server } = provider;
const organizer = new Organizer(server);
const event = (await organizer.sale({ id: 'gala', threshold: 2000, opensAt: new Date(Date.now() - 1000).toISOString(), grid: { rows: 10, seatsPerRow: 10 } })).id;
const buyer = new Client(server, { sub: 'early' });
await waitUntil(async () => (await buyer.check(event)).body.status === 'active', 10000, 'a buyer inside');
const { body: reservation } = await buyer.reserve({ eventId: event, quantity: 1 });
const { body: order } = await buyer.post(`/api/reservations/${reservation.id}/pay`);
assert.equal((await provider.charge(order)).status, 201);
await waitUntil(async () => (await buyer.get(`/api/reservations/${reservation.id}`)).body.status === 'confirmed', 10000, 'a sale');

const shell = await keep(new Shell({ redis, database, server, places: { EVENT: event, PROVIDER_URL: provider.url } }));
for (const name of ['BACKUP', 'DUMP', 'CHARGES', 'COOKIES']) shell.places[name] = shell.path(name);

test('every command of the checklist runs, and says what it must', async () => {
  let commands = 0;
  const wrong = []; // all of it at once
  for (const [what, cell, says] of rows) {
    const [command, ...more] = spans(cell);
    if (!command) {
      assert.equal(says, '', what);
      continue;
    }
    assert.deepEqual(more, [], `one command a row: ${cell}`);
    commands++;
    if (command.includes('CHARGES')) writeFileSync(shell.places.CHARGES, JSON.stringify({ charges: (await provider.books()).filter(({ reservationId }) => reservationId === reservation.id) }));
    const { code, output } = await shell.run(command);
    if (code !== 0) wrong.push(`${command}: exit ${code}\n${output}`);
    if (says === 'nothing' && output !== '') wrong.push(`${command} says\n${output}`);
    if (!/^(?:nothing|–)$/.test(says) && spans(says).length === 0) wrong.push(`nothing is said of ${command}`);
    for (const one of spans(says)) if (!output.includes(shell.filled(one))) wrong.push(`${command} does not say ${one}:\n${output}`);
  }
  assert.deepEqual(wrong, [], wrong.join('\n\n'));
  assert.ok(commands >= 35, `${commands} commands`);
  for (const file of [shell.places.DUMP, join(shell.places.BACKUP, 'base.tar.gz')]) assert.ok(existsSync(file), file);
});
