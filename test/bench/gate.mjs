// SPDX-License-Identifier: MIT
//
// What the gate and a status cost of buyers who are inside, who send all three cookies as their browsers do, compared with a
// bare hello that gets the same requests; and the gate's answer to strangers.

import { writeFileSync } from 'node:fs';
import { Client, Organizer, Redis, Server, many } from '../fixtures/index.mjs';
import { compared, inTurns } from './measure.mjs';

const BUYERS = 200;

export async function gate({ hello, postgres, folder, servers }) {
  const redis = await Redis.start();
  const database = await postgres.migrated();
  const api = await Server.start({ redis, database, roles: 'api' });
  servers.push(api);
  const event = await new Organizer(api).sale({ threshold: BUYERS, autoHold: 0, idleTimeoutMs: 600000 });
  const buyers = Array.from({ length: BUYERS }, () => new Client(api));
  await many(buyers, 4, (buyer) => buyer.check(event.id));
  // Each of them has asked once, as on any later page.
  await many(buyers, 4, (buyer) => buyer.get(`/api/gate/${event.id}`));
  const file = (name, headers) => {
    writeFileSync(`${folder}/${name}`, headers.map((header) => `${header}\n`).join(''));
    return `${folder}/${name}`;
  };
  const three = file('gate-three', buyers.map((buyer) => `Cookie: ${buyer.cookieHeader}`));
  const pass = file('gate-pass', buyers.map((buyer) => `X-Tiketi-Pass: ${buyer.pass}`));
  const requests = {
    gate: { method: 'GET', path: `/api/gate/${event.id}`, lines: three },
    pass: { method: 'GET', path: `/api/gate/${event.id}`, lines: pass },
    status: { method: 'GET', path: `/api/queue/status/${event.id}`, lines: three },
  };
  const rounds = {};
  for (const [name, request] of Object.entries(requests)) rounds[name] = await inTurns([hello, api], 64, request);
  const row = (name, field) => ({ beside: 'libmicrohttpd hello', ...compared(rounds[name], ([, own]) => own[field], ([bare]) => bare[field]) });
  await api.stop();
  await redis.stop();
  return [
    { id: 'gate', what: 'CPU per question at the gate', means: `a buyer inside, with guest, ticket and pass as cookies, 64 connections, ${BUYERS} buyers`, unit: 'µs', ...row('gate', 'cpu'), bar: 1.6 },
    { id: 'gate-rate', what: 'questions at the gate a second', means: 'with the load generator and Redis on the same cores', unit: '/s', ...row('gate', 'rate') },
    { id: 'gate-pass', what: 'CPU per question with the pass alone', means: 'in a header, as a program of the shop sends it', unit: 'µs', ...row('pass', 'cpu'), bar: 1.6 },
    { id: 'inside', what: 'CPU per status of a buyer inside', means: 'with all three cookies, 64 connections', unit: 'µs', ...row('status', 'cpu'), bar: 1.6 },
  ];
}
