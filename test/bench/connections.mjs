// SPDX-License-Identifier: MIT
//
// What an open HTTP connection costs that is idle: the service's own memory, soon after it was served a join, and when it
// has been idle for long. Run by hand, since it takes half a minute:
//
//   node test/bench/connections.mjs [CONNECTIONS]

import { connect } from 'node:net';
import { Client, Organizer, Postgres, Redis, Server, jwt, many, sleep } from '../fixtures/index.mjs';
import { anonymous } from './clients.mjs';

const count = Number(process.argv[2] ?? 4000);

// Opens a kept-alive connection that has had one answer.
function open(port, event, sub) {
  return new Promise((accept, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject);
    socket.once('data', () => accept(socket));
    socket.write(`POST /api/queue/check/${event} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${jwt({ sub })}\r\nContent-Length: 0\r\n\r\n`);
  });
}

const redis = await Redis.start();
const postgres = await Postgres.start();
const server = await Server.start({ redis, database: await postgres.migrated(), roles: 'api', env: { LOG_LEVEL: 'warn' } });
const event = await new Organizer(server).sale({ threshold: 0 });
await new Client(server, { sub: 'first' }).check(event.id);
const before = anonymous(server.pid);
const each = () => Math.round((anonymous(server.pid) - before) / count);
await many(Array.from({ length: count }, (_, i) => i), 50, (i) => open(server.port, event.id, `idle-${i}`));
await sleep(1500); // until temporary memory is freed
const soon = each();
await sleep(16000 + count); // they are idle for 15 s; then so many a second give their memory back
console.log(`${count} idle connections: ${soon} B each after 1.5 s, ${each()} B after ${Math.round((17500 + count) / 1000)} s`);
await server.kill();
await postgres.stop();
await redis.stop();
process.exit(0);
