// SPDX-License-Identifier: MIT
//
// What the wire fuzzer sends: good requests and messages of buyers and staff, and what becomes of them when lines,
// headers, framings and bytes are changed. Every choice comes from `roll` (test/fixtures/random.mjs). Texts are latin1.

import { webhookHeaders } from '../fixtures/index.mjs';

const CRLF = '\r\n';
const utf8 = (text) => Buffer.from(text, 'utf8').toString('latin1');
const json = (value) => utf8(JSON.stringify(value));
const LONG = [300, 4000, 8100, 9000, 11700, 16384, 17000];

// Bytes that parsers stumble over.
const WORDS = ['\0', '\r', '\n', '\r\n', '\r\n\r\n', ' ', '\t', ':', ';', ',', '=', '"', '\\', '%', '%00', '%2F', '%2e%2e', '?', '#', '&', '+', '-1', '0', '0x2', '9'.repeat(20),
  'ffffffffffffffff', '\x7f', '\x80', '\xff', '\xc0\xaf', '\xed\xa0\x80', '\xef\xbb\xbf', 'chunked', 'Host: b', 'Content-Length: 2', 'Transfer-Encoding: chunked', ': v', 'HTTP/1.1',
  '{', '}', '[', '[[[[', '"a":', '\\u0000', '\\ud800', 'null', '1e999', 'tiketi_guest=', '; ', '../', '//', '{{', '<b>', '\u202e', '=1+1'];

const bytes = {
  flip: (roll, text, at) => text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << roll.below(8))) + text.slice(at + 1),
  set: (roll, text, at) => text.slice(0, at) + String.fromCharCode(roll.below(256)) + text.slice(at + 1),
  word: (roll, text, at) => text.slice(0, at) + roll.any(WORDS) + text.slice(at),
  over: (roll, text, at) => { const word = roll.any(WORDS); return text.slice(0, at) + word + text.slice(at + word.length); },
  cut: (roll, text, at) => text.slice(0, at) + text.slice(at + 1 + roll.below(1 + roll.below(40))),
  twice: (roll, text, at) => { const end = at + roll.below(40); return text.slice(0, end) + text.slice(at, end) + text.slice(end); },
  end: (roll, text, at) => text.slice(0, at),
};
const BYTES = { flip: 4, set: 2, word: 6, over: 2, cut: 4, twice: 2, end: 1 };

export function mutateBytes(roll, text, times = 1 + roll.below(3)) {
  for (let i = 0; i < times && text.length > 0; i++) text = bytes[roll.weighted(BYTES)](roll, text, roll.below(text.length));
  return utf8ToBytes(text);
}
const utf8ToBytes = (text) => (/[^\0-\xff]/.test(text) ? utf8(text) : text); // a word of WORDS may be beyond latin1

// ---- HTTP ----

// Bodies that routes take; the rest take none.
const BODIES = [
  [/^POST \/api\/reservations$/, (roll, world) => json(roll.chance(0.5) ? { eventId: roll.any(world.events), quantity: 1 + roll.below(3) } : { eventId: roll.any(world.events), seatIds: [String(1 + roll.below(400))] })],
  [/^POST \/api\/payments\/webhook$/, (roll, world) => json({ reservationId: roll.any(world.reservations), provider: 'demo', reference: `ch_${roll.below(1000)}`, amount: 5000, currency: 'EUR', status: roll.any(['paid', 'failed', 'refunded']) })],
  [/^POST \/api\/admin\/events$/, (roll) => json({ title: roll.any(['One Night Only', '한 밤', '="x"', 'a'.repeat(190)]), threshold: roll.below(1000), surge: [{ queueAbove: 5, threshold: 9 }] })],
  [/^PATCH /, (roll) => json(roll.any([{ threshold: roll.below(50) }, { artist: 'B', venue: null }, { opensAt: '2027-01-01T00:00:00Z' }, { branding: { name: 'A', primary: '#112233' } }, { surge: null, allowGuests: true }]))],
  [/\/seats$/, (roll) => (roll.chance(0.5) ? json({ grid: { section: `S${roll.below(1000)}`, rows: 1, seatsPerRow: 2, price: 5000, currency: 'EUR' } })
    : utf8(`section,row,number,price,currency${CRLF}"S${roll.below(1000)}",1,${roll.below(1000)},5000,EUR${CRLF}`))],
  [/\/message$/, (roll) => json({ text: roll.any([null, 'Doors at eight', '문은 여덟 시에'])})],
  [/\/admit$/, () => json({ count: 1 })],
  [/\/refund$/, (roll, world) => json({ reservationId: roll.any(world.reservations) })],
  [/^POST \/buy\//, (roll, world) => roll.any([`action=hold&quantity=2&section=A`, `action=pay&reservation=${roll.any(world.reservations)}`, `action=cancel&reservation=${roll.any(world.reservations)}`])],
];
// Seldom: what would end or fill the world that the others need.
const SELDOM = /^POST \/api\/admin\/events$|\/(close|clear|seats|pause)$/;

const HEADERS = [
  (roll) => ['Accept-Language', roll.any(['ko', 'ja,en;q=0.5', 'de-DE;q=0.9, *;q=0', ';;q=,'])],
  (roll) => ['Accept-Encoding', roll.any(['gzip', 'br, gzip;q=0.1', 'identity;q=0, *;q=0'])],
  (roll) => ['Origin', roll.any(['http://tiketi.test', 'https://evil.example', 'null', 'http://[::1'])],
  (roll) => ['X-Forwarded-For', roll.any(['203.0.113.9', `198.51.100.${roll.below(255)}, 127.0.0.2`, '[2001:db8::1]:443', '64:ff9b::1.2.3.4', ',,;,', '2002:c000:204::1'])],
  (roll) => ['X-Forwarded-Proto', roll.any(['https', 'https, http', 'HTTPS', 'x'])],
  (roll) => ['X-Forwarded-Host', roll.any(['tickets.example', 'a b', 'a:b:c', '[::1]:8'])],
  (roll) => ['Forwarded', roll.any(['for=192.0.2.1;proto=https;host=x', 'for="[2001:db8::1]:4711"', 'for="unterminated', ';;,=', 'by=_a;for=unknown'])],
  (roll) => ['Sec-Fetch-Site', roll.any(['same-origin', 'cross-site'])],
  (roll) => ['Sec-Fetch-Dest', roll.any(['document', 'image', 'empty'])],
  (roll) => ['Sec-Purpose', roll.any(['prefetch', 'prefetch;prerender'])],
  (roll) => ['If-None-Match', roll.any(['*', '"1"', 'W/"1", "2"', '"'])],
  (roll) => ['If-Match', roll.any(['*', '"1"', '"999"', '1'])],
  (roll) => ['Idempotency-Key', roll.any(['k1', `k${roll.below(50)}`, 'x'.repeat(300)])],
  (roll) => ['Connection', roll.any(['close', 'keep-alive', 'Upgrade', 'close, Upgrade'])],
  (roll) => ['Upgrade', roll.any(['websocket', 'h2c', 'h2c, websocket'])],
  (roll) => ['Expect', roll.any(['100-continue', 'tea'])],
  (roll) => ['Range', roll.any(['bytes=0-1', 'bytes=-1'])],
  () => ['Purpose', 'prefetch'],
];

function cookies(roll, world) {
  const list = [];
  if (roll.chance(0.8)) list.push(`${roll.any(['tiketi_guest', '__Host-tiketi_guest'])}=${roll.any(world.guests)}`);
  for (const event of world.events) if (roll.chance(0.4)) list.push(`tiketi_ticket_${event}=${roll.any(world.tickets)}`);
  if (roll.chance(0.2)) list.push(`tiketi_pass_${roll.any(world.events)}=${roll.any(world.passes)}`);
  if (roll.chance(0.1)) list.unshift('tiketi_guest="garbage"');
  return list.join('; ');
}

function request(roll, world) {
  let [method, target] = roll.any(world.routes);
  if (SELDOM.test(`${method} ${target}`) && roll.chance(0.9)) [method, target] = roll.any(world.pages);
  target = target.replace(/\{eventId\}/g, () => roll.any(world.events)).replace(/\{id\}/g, () => roll.any(world.reservations)).replace(/\{path\}/g, 'wait.js');
  const one = { method, target, version: 'HTTP/1.1', headers: [['Host', 'tiketi.test']], body: undefined, chunks: roll.chance(0.15) };
  const name = `${method} ${target.split('?')[0]}`;
  if (target.startsWith('/api/admin') || roll.chance(0.02)) one.headers.push(['Authorization', `Bearer ${roll.any(world.staff)}`]);
  else if (roll.chance(0.5)) one.headers.push(['Cookie', cookies(roll, world)]);
  else if (roll.chance(0.8)) one.headers.push(['Authorization', `Bearer ${roll.any(world.buyers)}`], ['X-Tiketi-Ticket', roll.any(world.tickets)]);
  if (name.startsWith('PATCH') || /admin\/.*\/(open|pause|resume|message)$/.test(name)) one.headers.push(['If-Match', '*']);
  while (roll.chance(0.4)) one.headers.push(roll.any(HEADERS)(roll));
  const body = BODIES.find(([route]) => route.test(name))?.[1](roll, world) ?? (method === 'POST' && roll.chance(0.2) ? '{}' : undefined);
  if (body !== undefined) {
    one.body = body;
    one.headers.push(['Content-Type', /^[{[]/.test(body) ? 'application/json' : body.includes(CRLF) ? 'text/csv' : 'application/x-www-form-urlencoded']);
    if (/webhook$/.test(name) && roll.chance(0.8)) one.headers.push(['X-Tiketi-Signature', webhookHeaders(body)['x-tiketi-signature']]);
  }
  if (roll.chance(0.03)) one.method = roll.any(['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE', 'CONNECT', 'BREW', 'get']);
  return one;
}

// Changes of one request before it is written. `one.after` changes the text.
const STRUCTURE = {
  repeat: (roll, one) => one.headers.push(roll.any(one.headers)),
  drop: (roll, one) => one.headers.splice(roll.below(one.headers.length), 1),
  host: (roll, one) => one.headers.push(['Host', roll.any(['b', '', 'a b', 'a,b', 'x@y', '[::1', 'a\0b'])]),
  length: (roll, one) => one.headers.push(['Content-Length', roll.any(['+2', '0x2', '-1', '', '2x', '"2"', '2, 2', '2', '0', '00', '1e1', '99999999', '9'.repeat(25), '0\x0038'])]),
  coding: (roll, one) => one.headers.push([roll.any(['Transfer-Encoding', 'transfer-encoding', 'Transfer-Encoding ']), roll.any(['chunked', 'gzip, chunked', 'identity', 'chunked\0x', '\tchunked', 'chunked;q=1', 'xchunked', '"chunked"'])]),
  fold: (roll, one) => { const at = roll.below(one.headers.length); const [name, value] = one.headers[at]; const cut = roll.below(name.length + 1); one.headers[at] = roll.chance(0.5) ? [name.slice(0, cut), ` x${CRLF} ${name.slice(cut)}`] : [name, `${value}${CRLF}${roll.any([' ', '\t'])}y`]; },
  noname: (roll, one) => one.headers.splice(roll.below(one.headers.length + 1), 0, ['', 'v']),
  control: (roll, one) => { const at = roll.below(one.headers.length); const [name, value] = one.headers[at]; const odd = roll.any(['\0', '\x01', '\x7f', '\r', '\n', ' ', '\t']); one.headers[at] = roll.chance(0.4) ? [name + odd, value] : [name, value.slice(0, roll.below(value.length + 1)) + odd + value.slice(roll.below(value.length + 1))]; },
  long: (roll, one) => one.headers.push([roll.chance(0.8) ? 'X-Pad' : `X-${'p'.repeat(roll.any(LONG))}`, 'v'.repeat(roll.any(LONG))]),
  two: (roll, one) => one.headers.push(['A', 'a'.repeat(5000)], ['B', 'b'.repeat(4500)]),
  many: (roll, one) => { for (let i = 40 + roll.below(300); i > 0; i--) one.headers.push([`X-${i}`, '']); },
  cookies: (roll, one) => { const more = roll.any([2, 30, 300]); one.headers.push(['Cookie', Array.from({ length: more }, (_, i) => `tiketi_ticket_e${i}=${'x'.repeat(roll.below(60))}`).join('; ')]); },
  query: (roll, one) => { one.target += `?${Array.from({ length: roll.any([1, 20, 180, 300, 1500]) }, (_, i) => `a${i}${roll.any(['', '=', '=%zz', '=1'])}`).join('&')}`; },
  path: (roll, one) => { one.target = roll.any(['/', '//', '*', '/./', '/%', '/%00', '/livez\0/../x', '/wait/', '/wait/%2D', `/${'p'.repeat(roll.any(LONG))}`, 'http://tiketi.test/livez', 'http://a@b/livez', 'livez', '/livez#x', '/livez?a b', '']); },
  version: (roll, one) => { one.version = roll.any(['HTTP/1.0', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1.1 ', 'HTTP/11', '']); },
  body: (roll, one) => { one.body = roll.any(['', '{', '[1]', '{"a":1,"a":2}', '['.repeat(5000), `{"pad":"${'x'.repeat(70000)}"}`, '\xff\xfe{\0}\0', 'null', '{"eventId":"\\u0000"}']); },
  newline: (roll, one) => { one.after = (text) => { const at = text.indexOf(CRLF, roll.below(text.length)); return at < 0 ? text : text.slice(0, at) + text.slice(at + 1); }; },
  chunks: (roll, one) => { one.chunks = true; one.body ??= '{}'; one.odd = roll.any(['lf', 'extension', 'huge', 'hex', 'trailer', 'short', 'sign']); },
  expect: (roll, one) => { one.headers.push(['Expect', '100-continue'], ['Content-Length', roll.any(['99999999', '70000', '3'])]); },
};
const structures = Object.keys(STRUCTURE);

function write(roll, one) {
  const { body, odd } = one;
  const lines = [...one.headers];
  if (body !== undefined && !one.headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name))) lines.push(one.chunks ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(body.length)]);
  let sent = body ?? '';
  if (body !== undefined && one.chunks) {
    const cut = roll.below(body.length + 1);
    const chunk = (text) => (text === '' ? '' : `${odd === 'sign' ? '+' : ''}${text.length.toString(16)}${odd === 'extension' ? roll.any([';a=b', ';\n', ';a="\r\n"', ';'.repeat(300)]) : ''}${odd === 'lf' ? '\n' : CRLF}${text}${odd === 'short' ? '' : CRLF}`);
    const last = { huge: `ffffffffffffffff${CRLF}x`, hex: `0x0${CRLF}${CRLF}`, trailer: `0${CRLF}X-T: 1${CRLF}${roll.any(['', 'Host: b\r\n', ' fold\r\n', ': v\r\n'])}${CRLF}` }[odd] ?? `0${CRLF}${CRLF}`;
    sent = chunk(body.slice(0, cut)) + chunk(body.slice(cut)) + last;
  }
  const text = `${one.method} ${one.target} ${one.version}${CRLF}${lines.map(([name, value]) => `${name}: ${value}${CRLF}`).join('')}${CRLF}${sent}`;
  return one.after ? one.after(text) : text;
}

// The bytes of one connection: one to four requests.
export function httpBytes(roll, world) {
  const wild = roll.weighted({ good: 3, structure: 5, bytes: 4 });
  let text = '';
  for (let left = roll.weighted({ 1: 6, 2: 2, 3: 1, 4: 1 }); left > 0; left--) {
    const one = request(roll, world);
    for (let n = wild === 'structure' ? 1 + roll.below(2) : 0; n > 0 && one.headers.length > 0; n--) STRUCTURE[roll.any(structures)](roll, one);
    text += write(roll, one);
  }
  return wild === 'bytes' ? mutateBytes(roll, text) : text;
}

// ---- WebSocket ----

const QUERIES = ['?EIO=4&transport=websocket', '?transport=websocket&EIO=4&t=x', '?EIO=4&transport=websocket&sid=x', '?EIO=4&transport=polling', '?EIO=3&transport=websocket', '', '?'];

function handshakeBytes(roll, world, socketio) {
  const target = socketio ? `/socket.io/${roll.chance(0.8) ? QUERIES[0] : roll.any(QUERIES)}` : '/ws';
  const one = { method: 'GET', target, version: 'HTTP/1.1', headers: [['Host', 'tiketi.test'], ['Upgrade', 'websocket'], ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='], ['Sec-WebSocket-Version', '13']] };
  if (!socketio || roll.chance(0.1)) one.headers.push(['Sec-WebSocket-Protocol', roll.any(['tiketi.v1', 'a, tiketi.v1'])]);
  if (roll.chance(0.8)) one.headers.push(['Cookie', cookies(roll, world)]);
  if (roll.chance(0.3)) one.headers.push(['Origin', 'http://tiketi.test']);
  while (roll.chance(0.2)) one.headers.push(roll.any(HEADERS)(roll));
  const wild = roll.weighted({ good: 7, structure: 2, bytes: 2 });
  if (wild === 'structure') STRUCTURE[roll.any(structures)](roll, one);
  const text = write(roll, one);
  return wild === 'bytes' ? mutateBytes(roll, text) : text;
}

const MESSAGES = [
  (roll, world) => ({ event: 'join-queue', payload: { eventId: roll.any(world.events), ticket: roll.chance(0.5) ? roll.any(world.tickets) : null, token: roll.chance(0.5) ? roll.any(world.buyers) : null } }),
  (roll, world) => ({ event: 'watch-seats', payload: { eventId: roll.any([...world.events, `unknown-${roll.below(1000)}`]) } }),
  () => ({ event: 'heartbeat' }),
  () => ({ event: 'leave-queue', payload: null }),
];

function frame(roll, opcode, payload, { fin = true, masked = true, rsv = 0, length } = {}) {
  const size = length ?? payload.length;
  const head = [(fin ? 128 : 0) | rsv | opcode];
  const flag = masked ? 128 : 0;
  if (size < 126) head.push(flag | size);
  else if (size < 65536) head.push(flag | 126, size >> 8, size & 255);
  else head.push(flag | 127, 0, 0, Math.floor(size / 2 ** 40) & 255, Math.floor(size / 2 ** 32) & 255, (size >>> 24) & 255, (size >>> 16) & 255, (size >>> 8) & 255, size & 255);
  const key = masked ? [roll.below(256), roll.below(256), roll.below(256), roll.below(256)] : [];
  const body = masked ? [...payload].map((char, i) => String.fromCharCode(char.charCodeAt(0) ^ key[i % 4])).join('') : payload;
  return String.fromCharCode(...head, ...key) + body;
}

const FRAMES = {
  unmasked: (roll, text) => frame(roll, 1, text, { masked: false }),
  reserved: (roll, text) => frame(roll, 1, text, { rsv: 16 << roll.below(3) }),
  opcode: (roll, text) => frame(roll, roll.any([3, 5, 7, 11, 15]), text),
  continuation: (roll, text) => frame(roll, 0, text),
  binary: (roll, text) => frame(roll, 2, text),
  fragments: (roll, text) => { const cut = roll.below(text.length); return frame(roll, 1, text.slice(0, cut), { fin: false }) + (roll.chance(0.5) ? frame(roll, 9, 'x') : '') + frame(roll, roll.any([0, 0, 0, 1]), text.slice(cut)); },
  control: (roll) => frame(roll, roll.any([8, 9, 10]), 'x'.repeat(roll.any([126, 300])), { fin: roll.chance(0.5) }),
  long: (roll) => frame(roll, 1, `{"pad":"${'x'.repeat(roll.any([8100, 8192, 9000, 70000]))}"}`),
  huge: (roll, text) => frame(roll, 1, text, { length: roll.any([1e6, 2 ** 31, 2 ** 40]) }),
  pings: (roll) => frame(roll, 9, 'p').repeat(roll.any([2, 50, 500])),
  text: (roll) => frame(roll, 1, roll.any(['', '{', 'null', '[]', '{"event":1}', '{"event":"join-queue","event":"x"}', '['.repeat(4000), '\xff\xfe', '\xed\xa0\x80', '{"event":"join-queue","payload":{"eventId":"\\u0000"}}'])),
  close: (roll) => frame(roll, 8, roll.any(['', '\x03\xe8', '\x03\xe8bye', '\x00\x00', '\x03', '\x03\xed', '\x03\xe8\xff\xfe'])),
  bytes: (roll, text) => mutateBytes(roll, frame(roll, 1, text)),
};
const frames = Object.keys(FRAMES);

// A packet of Socket.IO. A message is an event, with an acknowledgement or without.
const PACKETS = [
  (roll, world) => `40${json({ token: roll.any(world.buyers) })}`,
  (roll) => roll.any(['40', '40/admin,{}', '41', '41/admin,', '1', '3', '3', '2', '2probe', '5', '6', '43[]', '451-["x",{"_placeholder":true,"num":0}]', '42[]', '42{', '42["x"', '4', '49', '0{}']),
  (roll, world) => `42${roll.any(['', '', '0', '7', '123456789012345', '1234567890123456', '/a,', '-1'])}${json(roll.any([['join-event', { eventId: roll.any(world.events) }], ['leave-event', { eventId: roll.any(world.events) }], [7], ['seat-selection-changed', null], ['join-event', [[]]]]))}`,
  (roll, world) => { const { event, payload } = roll.any(MESSAGES)(roll, world); return `42${json(payload === undefined ? [event] : [event, payload])}`; },
  (roll, world) => { const { event, payload } = roll.any(MESSAGES)(roll, world); return `42${roll.below(100)}${json([event, payload ?? {}])}`; },
];

function frameBytes(roll, world, socketio) {
  let text = socketio && roll.chance(0.8) ? frame(roll, 1, PACKETS[0](roll, world)) : '';
  for (let left = 1 + roll.below(4); left > 0; left--) {
    let message = socketio ? roll.any(PACKETS)(roll, world) : json(roll.any(MESSAGES)(roll, world));
    if (roll.chance(0.15)) message = mutateBytes(roll, message);
    text += roll.chance(0.6) ? frame(roll, 1, message) : FRAMES[roll.any(frames)](roll, message);
  }
  return text;
}

// A handshake and what follows it, in one of the two framings.
export function socketBytes(roll, world) {
  const socketio = roll.chance(0.4);
  return [handshakeBytes(roll, world, socketio), frameBytes(roll, world, socketio)];
}

export const closeFrame = (roll) => frame(roll, 8, '\x03\xe8');
