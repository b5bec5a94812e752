// SPDX-License-Identifier: MIT
//
// For the tests of a Redis Cluster: events on chosen shards, and a crowd in each of several events at once.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Organizer, Provider, SECRETS, runTiketi, waitUntil } from '../fixtures/index.mjs';

// An event id whose keys are served by this node.
export async function idOn(cluster, node, prefix = 'e') {
  for (let i = 0; ; i++) {
    const id = `${prefix}${i}`;
    if (await cluster.primaryOf(`config:{${id}}`) === node) return id;
  }
}

// Opens an event of this id, and waits until the ledger has counted its seats, so that the first buyers enter at once.
export async function openSale(cluster, server, settings) {
  const event = await new Organizer(server).sale(settings);
  await waitUntil(() => cluster.cli('EXISTS', `free:{${event.id}}`).then(Number), 15000, 'the count of free seats');
  return event.id;
}

// A crowd in each of the events while `during()` runs. Returns their reports.
export async function crowds({ cluster, servers: [server, ...others], database, ids, folder, args }, during) {
  const provider = await Provider.start({ server });
  const urls = others.length > 0 ? ['--url', [server, ...others].map(({ url }) => url).join(), '--ws', [server, ...others].map(({ wsUrl }) => wsUrl).join()] : [];
  const env = { ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: cluster.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' };
  let going = ids.length;
  const runs = ids.map(async (id) => {
    const file = join(folder, `${id}.json`);
    const run = await runTiketi(['crowd', '--json', file, '--event', id, '--provider', provider.url, ...urls, ...args].map(String), env,
      { timeoutMs: 900000, expect: null }).finally(() => (going -= 1));
    return { ...run, report: JSON.parse(readFileSync(file, 'utf8')) };
  });
  try {
    await during(() => going > 0);
    return await Promise.all(runs);
  } finally {
    await Promise.allSettled(runs);
    await provider.stop();
  }
}

// Every promise was checked, and none was broken.
export function assertKept({ report, stdout }) {
  assert.equal(report.checked, true, stdout);
  assert.deepEqual(Object.entries(report.broken).filter(([, count]) => count !== 0), [], stdout);
}
