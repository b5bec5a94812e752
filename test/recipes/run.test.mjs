// SPDX-License-Identifier: MIT
//
// `make run SHOP=1`: a shop, nginx with the configuration of docs/integrate/nginx.md, and tiketi. In a folder of its own, since a
// demo may run from the checkout.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BIN, Child, Client, ROOT, exchange, freePort, privateFolder, waitUntil } from '../fixtures/index.mjs';

const PAGE = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'user-agent': 'Mozilla/5.0' };

test('a shop behind nginx: the first visitor sees it, the second waits; all of it ends with the script', async () => {
  const folder = privateFolder('run-shop');
  mkdirSync(join(folder, 'docs'));
  cpSync(join(ROOT, 'docs/integrate'), join(folder, 'docs/integrate'), { recursive: true });
  for (const name of ['src', 'sql']) symlinkSync(join(ROOT, name), join(folder, name));
  const [http, ws, shop] = [await freePort(), await freePort(), await freePort()];
  const kept = Object.fromEntries(['PATH', 'HOME', 'LANG'].map((name) => [name, process.env[name]]).filter(([, value]) => value));
  // Its own last signal is SIGTERM, so that it stops what it has started.
  const run = new Child('bash', [join(folder, 'src/run.sh')], {
    cwd: folder, lastSignal: 'TERM', env: { ...kept, TIKETI_BIN: BIN, SHOP: '1', QUEUE_THRESHOLD: '1', HTTP_PORT: String(http), WS_PORT: String(ws), SHOP_PORT: String(shop) },
  });
  const url = `http://127.0.0.1:${shop}`;
  await waitUntil(() => {
    if (!run.running) throw Object.assign(new Error(run.tail()), { final: true });
    return run.output.includes('Ctrl-C stops everything');
  }, 60000, 'the shop');
  assert.ok(run.output.includes(`Open this page:     ${url}/product/1?size=m`), run.tail());
  const [first, second] = [new Client({ url }), new Client({ url })];
  const seen = await waitUntil(async () => {
    const answer = await first.get('/product/1?size=m', { headers: PAGE });
    return answer.status === 200 && answer;
  }, 10000, 'the shop to be open');
  assert.match(seen.text, /<b id="buyer">g:[0-9a-f]{32}<\/b>/);
  const led = await second.get('/product/2?size=l', { headers: PAGE });
  assert.equal(led.status, 302);
  assert.equal(new URL(led.headers.location).origin, url);
  assert.equal((await second.get(led.headers.location, { headers: PAGE })).status, 200);
  assert.deepEqual((await exchange(`http://127.0.0.1:${http}`, 'GET', '/.tiketi/api/seats/demo')).body.seats, [], 'the seats are the shop\'s own');
  const config = readFileSync(join(folder, '.run/shop/shop.conf'), 'utf8');
  assert.equal(config.split('\n').length, /^```nginx\n(.*?)^```$/ms.exec(readFileSync(join(ROOT, 'docs/integrate/nginx.md'), 'utf8'))[1].split('\n').length, 'the whole of it');
  await run.end('SIGTERM', 30000);
  for (const port of [http, ws, shop]) await assert.rejects(exchange(`http://127.0.0.1:${port}`, 'GET', '/healthz'), /ECONNREFUSED/, `${port}`);
});
