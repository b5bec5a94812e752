// SPDX-License-Identifier: MIT
//
// turn.js as it is served to the pages of shops. What it does there: test/browser/turn_module.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stage } from '../fixtures/index.mjs';

const SHOP = 'https://shop.example.com';
const { server } = await stage({ env: { ALLOWED_ORIGINS: `https://queue.example.com,${SHOP}`, ASSETS_URL: 'https://cdn.example.com' } });

test('turn.js is at most 1 KiB, kept for minutes, and asked for again by its tag', async () => {
  const { status, headers, text, bytes } = await server.get('/turn.js?event=e1');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/javascript; charset=utf-8');
  assert.equal(headers['cache-control'], 'public, max-age=300');
  assert.ok(bytes <= 1024, `${bytes} bytes`);
  assert.doesNotMatch(text, /^\s*\/\//, 'it is minified');
  assert.equal((await server.get('/turn.js', { headers: { 'if-none-match': headers.etag } })).status, 304);
});

test('turn.js may be loaded by any origin, and a module by its hash too; one header names it', async () => {
  const [, hash] = /\/assets\/(\w+)\//.exec((await server.get('/')).text);
  for (const path of ['/turn.js', `/assets/${hash}/turn.js`]) {
    for (const [origin, allowed] of [[SHOP, SHOP], ['https://elsewhere.example', '*'], [undefined, '*']]) {
      const { status, headers } = await server.get(path, { headers: origin ? { origin } : {} });
      assert.equal(status, 200, path);
      assert.equal(headers['access-control-allow-origin'], allowed, `${path} for ${origin}`);
      assert.match(headers.vary, /Origin/);
    }
  }
});

test('a status is read with credentials by an origin of ALLOWED_ORIGINS alone', async () => {
  const ask = (origin) => server.get('/api/queue/status/e1', { headers: { origin } });
  const allowed = (await ask(SHOP)).headers;
  assert.equal(allowed['access-control-allow-origin'], SHOP);
  assert.equal(allowed['access-control-allow-credentials'], 'true');
  assert.equal((await ask('https://elsewhere.example')).headers['access-control-allow-origin'], undefined);
});
