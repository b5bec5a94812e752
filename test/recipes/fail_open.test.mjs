// SPDX-License-Identifier: MIT
//
// nginx.md, "Fail open, within a bound": tiketi is away, the shop is open, and no more than the bound gets through.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { exchange, freePort, privateFolder, waitUntil } from '../fixtures/index.mjs';
import { shop } from '../../docs/integrate/shop/shop.mjs';
import { nginxOpen } from './recipe.mjs';

test('while the gate is away the shop is open within its bound, and the rest get 503 with Retry-After', async () => {
  const [port, away] = [await freePort(), await freePort()];
  const stall = shop();
  await new Promise((resolve) => stall.listen(0, '127.0.0.1', resolve));
  after(() => stall.close());
  const proxy = nginxOpen({ tiketi: away, gateway: away, shop: stall.address().port, port, folder: privateFolder('recipe-open') });
  const url = `http://127.0.0.1:${port}`;
  await waitUntil(async () => {
    if (!proxy.running) throw Object.assign(new Error(proxy.tail()), { final: true });
    return (await exchange(url, 'GET', '/healthz')).status === 200;
  }, 15000, 'nginx');
  const order = await exchange(url, 'POST', '/order', { body: 'name=kim', headers: { 'x-tiketi-buyer': 'u:boss' } });
  assert.deepEqual([order.status, order.body.body, order.body.buyer], [200, 'name=kim', null]);
  assert.equal(order.headers['retry-after'], undefined);
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: 300 }, () => exchange(url, 'GET', '/product/7')));
  const seconds = (performance.now() - began) / 1000;
  const passed = answers.filter(({ status }) => status === 200).length;
  assert.ok(passed >= 20 && passed <= 22 + 50 * seconds, `${passed} in ${seconds} s`);
  for (const { status, headers } of answers) assert.ok(status === 200 || (status === 503 && headers['retry-after'] === '5'), `${status}`);
  assert.ok(passed < 300, 'the bound was reached');
  await proxy.end('SIGTERM');
});
