// SPDX-License-Identifier: MIT
//
// The service that express.mjs compares with: the same join on Express and ioredis. It runs the same script,
// signs the same kind of ticket and sets the same two cookies. ioredis sends the commands of one loop turn as
// one pipeline. Prints its port.
//   node test/bench/express_service.mjs REDIS_PORT SCRIPT_FILE EVENT KEYS

import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import express from 'express';
import Redis from 'ioredis';

const [port, script, event, keys] = process.argv.slice(2);
const KEY = Buffer.alloc(32, 7);
const HEADER = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'JWT', kid: 'k1' })).toString('base64url');
const COOKIE = { httpOnly: true, sameSite: 'lax', maxAge: 86400000, encode: String };

function ticket(buyer, place, epoch, position) {
  const payload = Buffer.from(JSON.stringify({ e: event, b: buyer, p: place, x: epoch, l: Number(position) })).toString('base64url');
  return `${HEADER}.${payload}.${createHmac('sha256', KEY).update(`${HEADER}.${payload}`).digest('base64url')}`;
}

const redis = new Redis({ port: Number(port), enableAutoPipelining: true });
const sha = await redis.script('LOAD', readFileSync(script, 'utf8'));
const names = keys.split(' ');
const app = express();
app.disable('x-powered-by');
app.set('etag', false);

app.post('/api/queue/check/:id', async (request, response) => {
  const known = /tiketi_guest=(g:[0-9a-f]{32})/.exec(request.headers.cookie ?? '')?.[1];
  const buyer = known ?? `g:${randomBytes(16).toString('hex')}`;
  const [, status, , , epoch, queueSize, currentUsers, threshold, , , words] = await redis.evalsha(sha, names.length, ...names, '0', 'j', buyer);
  const [, place, position] = words.split(' '); // `newcomers` or `waiting`
  const signed = ticket(buyer, place, epoch, position);
  if (known === undefined) response.cookie('tiketi_guest', buyer, COOKIE);
  response.cookie(`tiketi_ticket_${event}`, signed, COOKIE);
  response.json({
    queued: true, status: status === 'open' ? 'queued' : status, position: Number(position), estimatedWait: null, estimatedWaitRange: null,
    queueSize, threshold, currentUsers, eventInfo: { title: 'A concert', artist: '' }, ticket: signed,
  });
});

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
server.keepAliveTimeout = 75000;
