// SPDX-License-Identifier: MIT
//
// hostile_crowd.mjs PORT COUNT KIND PATH: COUNT connections that do not play along, until standard input ends; one that is
// closed is opened again. KIND: idle (one answer, then nothing), slow (half of them heads, half bodies, a byte a second each,
// spread over the second as strangers are) or deaf (asks for PATH and reads nothing). Writes a line when all are there.

import { connect } from 'node:net';

const [port, count] = process.argv.slice(2, 4).map(Number);
const [kind, path] = process.argv.slice(4);
const AT_ONCE = 100;
const SHARES = 100; // of the slow: each writes in its share of the second
const begin = {
  idle: () => 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n',
  deaf: () => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`,
  slow: (i) => (i % 2 ? 'GET / HTTP/1.1\r\nX: ' : 'POST /api/queue/check/none HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n'),
};
const sockets = new Map();
let next = 0, there = 0, ended = 0;

function open(i, done) {
  const socket = connect({ port, host: '127.0.0.1', readableHighWaterMark: 1 });
  if (kind === 'deaf') socket.pause();
  else socket.once('data', () => kind === 'idle' && done()).resume();
  socket.on('connect', () => {
    socket.write(begin[kind](i));
    if (kind !== 'idle') done();
  });
  socket.on('error', () => {}).on('close', () => {
    if (sockets.delete(i)) ended++;
    setTimeout(() => open(i, () => {}), 100);
  });
  sockets.set(i, socket);
}

const more = () => next < count && open(next++, () => {
  if (++there === count) process.stdout.write('there\n');
  more();
});
for (let i = 0; i < AT_ONCE; i++) more();
let share = 0;
if (kind === 'slow') {
  setInterval(() => {
    for (let i = share; i < count; i += SHARES) if (sockets.get(i)?.writable) sockets.get(i).write('x');
    share = (share + 1) % SHARES;
  }, 1000 / SHARES);
}
process.stdin.resume().on('end', () => process.stdout.write(`${ended}\n`, () => process.exit(0)));
