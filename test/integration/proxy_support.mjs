// SPDX-License-Identifier: MIT
//
// Shared by the tests of `tiketi proxy`: a service below /.tiketi, a shop, visitors and raw requests.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Client, exchange, keeper, stage, uniqueId } from '../fixtures/index.mjs';
import { Shop, ShopProxy } from '../fixtures/shop_proxy.mjs';

export const PREFIX = '/.tiketi';
export const PAGE = { accept: 'text/html,application/xhtml+xml', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };

export async function proxyStage(env = {}) {
  const parts = await stage({ env: { PATH_PREFIX: PREFIX, TRUSTED_PROXIES: '127.0.0.0/8', LOG_LEVEL: 'debug', ...env } });
  const keep = keeper();
  const shop = await Shop.start();
  const { server, organizer } = parts;
  // The organizer asks the service itself.
  const must = organizer.must.bind(organizer);
  organizer.must = (method, path, ...rest) => must(method, PREFIX + path, ...rest);
  const get = organizer.get.bind(organizer);
  organizer.get = (path, ...rest) => get(PREFIX + path, ...rest);

  const sale = async (settings) => (await organizer.sale({ id: uniqueId('proxy'), threshold: 50, autoHold: 0, ...settings })).id;
  // A proxy in front of the shop, stopped after the file's last test.
  const front = (event, args = [], options = {}) => keep(ShopProxy.start({ origin: shop.url, event, server, args, ...options }));
  // A visitor through the proxy, with a turn.
  async function inside(proxy, event) {
    const visitor = new Client({ url: proxy.url });
    assert.equal((await visitor.post(`${PREFIX}/api/queue/check/${event}`)).body.status, 'active');
    return visitor;
  }
  return { ...parts, shop, keep, sale, front, inside };
}

// A request whose target is sent as it is written. Resolves to the whole answer as text.
export const raw = (port, target, { method = 'GET', headers = {}, body = '' } = {}) => new Promise((done, reject) => {
  const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: 'close', ...PAGE, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(port, '127.0.0.1', () => socket.write(`${method} ${target} HTTP/1.1\r\n${lines.join('')}${body ? `content-length: ${Buffer.byteLength(body)}\r\n` : ''}\r\n${body}`));
  let text = '';
  socket.on('data', (part) => { text += part; });
  socket.on('error', reject);
  socket.on('close', () => done({ status: Number(text.slice(9, 12)), text }));
});

export const visit = (proxy, path, options) => exchange(proxy.url, 'GET', path, { headers: PAGE, ...options });
