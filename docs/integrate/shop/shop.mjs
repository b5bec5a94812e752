// SPDX-License-Identifier: MIT
//
// A shop that knows nothing of a waiting room: what the recipes of docs/integrate are put in front of. It sells nothing, and
// shows what reached it.
//
//   node docs/integrate/shop/shop.mjs [PORT]      (3000; on the loopback)
//
//   GET  /                    the products          GET  /product/7?size=m    one of them: a deep link with a query
//   POST /order               answers with what it was sent; without JavaScript, a form of the product's page
//   POST /upload              the bytes that came, and their SHA-256, read as a stream
//   WS   /live                says back what it is told
//   POST /payment/callback    what a payment provider calls: no buyer, and no waiting room may be in the way
//   GET  /healthz             for a load balancer

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const PRODUCTS = ['Balcony, row 3', 'Stalls, row 12', 'Standing'];

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(title)} · The demo shop</title><style>body{font:1rem/1.5 system-ui;max-width:40rem;margin:2rem auto;padding:0 1rem}</style>
<h1>${escape(title)}</h1>${body}`;

// Who the proxy says the buyer is: the shop believes these two headers because the proxy sets them.
const buyerOf = ({ headers }) => ({ buyer: headers['x-tiketi-buyer'] ?? null, until: headers['x-tiketi-pass-expires'] ?? null });

async function read(request, most = 1 << 20) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size <= most) parts.push(part);
  }
  return { size, text: Buffer.concat(parts).toString('utf8') };
}

const json = (response, status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
const html = (response, status, text) => response.writeHead(status, { 'content-type': 'text/html; charset=utf-8', 'set-cookie': 'basket=1; Path=/' }).end(text);

const about = (request, url) => ({ method: request.method, path: url.pathname, query: url.search, client: request.headers['x-forwarded-for'] ?? null, ...buyerOf(request) });

async function answer(request, response) {
  const url = new URL(`http://shop${request.url.startsWith('/') ? request.url : '/'}`);
  const { buyer, until } = buyerOf(request);
  const who = `<p>The proxy says that you are <b id="buyer">${escape(buyer ?? 'nobody')}</b>${until ? `, until <time>${escape(until)}</time>` : ''}.</p>`;
  const product = /^\/product\/(\d{1,3})$/.exec(url.pathname);
  if (request.method === 'POST' && url.pathname === '/order') {
    json(response, 200, { ...about(request, url), body: (await read(request)).text });
  } else if (request.method === 'POST' && url.pathname === '/upload') {
    const hash = createHash('sha256');
    let size = 0;
    for await (const part of request) {
      size += part.length;
      hash.update(part);
    }
    json(response, 200, { size, sha256: hash.digest('hex') });
  } else if (request.method === 'POST' && url.pathname === '/payment/callback') {
    json(response, 200, { ...about(request, url), paid: (await read(request)).text });
  } else if (url.pathname === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
  } else if (url.pathname === '/whoami') {
    json(response, 200, about(request, url));
  } else if (url.pathname === '/') {
    const links = PRODUCTS.map((name, i) => `<li><a href="/product/${i + 1}?colour=blue&amp;size=m">${escape(name)}</a>`).join('');
    html(response, 200, page('Tickets', `${who}<ul>${links}</ul>`));
  } else if (product) {
    html(response, 200, page(PRODUCTS[product[1] - 1] ?? `Product ${product[1]}`, `${who}<p>You asked for <code id="query">${escape(url.search)}</code></p>
<form method="post" action="/order"><label>Your name <input name="name" autocomplete="name"></label> <button>Order</button></form><p><a href="/">Back</a></p>`));
  } else {
    html(response, 404, page('There is no such page', who));
  }
}

// Frames of up to 64 KiB, text, not in fragments: enough to say something back.
function socket(request, stream) {
  stream.on('error', () => stream.destroy());
  const key = request.headers['sec-websocket-key'];
  if (new URL(`http://shop${request.url}`).pathname !== '/live' || !key) return stream.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  stream.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  const send = (opcode, payload) => stream.write(Buffer.concat([
    payload.length < 126 ? Buffer.from([0x80 | opcode, payload.length]) : Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 255]), payload]));
  send(1, Buffer.from(`hello ${request.headers['x-tiketi-buyer'] ?? 'nobody'}`));
  let read = Buffer.alloc(0);
  stream.on('data', (bytes) => {
    read = Buffer.concat([read, bytes]);
    for (;;) {
      if (read.length < 2) return;
      const short = read[1] & 127;
      const at = short === 126 ? 4 : 2;
      if (short === 127 || !(read[1] & 128)) return stream.destroy();
      if (read.length < at) return;
      const length = short === 126 ? read.readUInt16BE(2) : short;
      if (read.length < at + 4 + length) return;
      const payload = Buffer.from(read.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ read[at + (i & 3)]));
      const opcode = read[0] & 15;
      read = read.subarray(at + 4 + length);
      if (opcode === 8) return stream.end(Buffer.from([0x88, 0]));
      if (opcode === 1) send(1, payload);
      if (opcode === 9) send(10, payload);
    }
  });
}

export function shop() {
  return createServer((request, response) => {
    answer(request, response).catch((error) => { if (!response.headersSent) json(response, 500, { error: error.message }); });
  }).on('upgrade', socket);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const port = Number(process.argv[2] ?? 3000);
  shop().listen(port, '127.0.0.1', () => console.log(`the demo shop: http://127.0.0.1:${port}/`));
}
