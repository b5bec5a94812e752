// SPDX-License-Identifier: MIT
//
// The way in for Socket.IO as docs/integrate/socket-io.md has it, by a real nginx: the unmodified client of npm, and the raw socket beside it.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Child, Client, Engine, Organizer, Server, Socket, SocketIo, freePort, privateFolder, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { blocks } from './recipe.mjs';

test('nginx leads /socket.io/ and /ws to the gateway, which knows the address of the client', async (t) => {
  const { redis, database, server } = await stage({ roles: 'api,processor' });
  const gateway = await Server.start({ redis, database, roles: 'gateway', env: { TRUSTED_PROXIES: '127.0.0.0/8', WS_SOCKETS_PER_IP: 1 } });
  t.after(() => gateway.stop());
  const [folder, port] = [privateFolder('socketio-nginx'), await freePort()];
  const { text } = blocks('socket-io.md').find(({ language }) => language === 'nginx');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; ${process.getuid() === 0 ? 'user root;' : ''} worker_processes 1; pid ${folder}/pid; error_log stderr;
events {} http { access_log off; ${paths} upstream tiketi_ws { server 127.0.0.1:${gateway.wsPort}; }
server { listen 127.0.0.1:${port}; ${text} location / { return 200 "other"; } } }`);
  const nginx = new Child('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr']);
  t.after(() => nginx.end('SIGTERM'));
  const { id } = await new Organizer(server).sale({ threshold: 0 });
  const client = new Client(server, { sub: uniqueId('fan') });
  await client.check(id);
  await waitUntil(() => {
    if (!nginx.running) throw Object.assign(new Error(nginx.tail()), { final: true });
    return Engine.open({ wsPort: port }).then((engine) => !engine.raw.terminate());
  }, 10000, 'nginx');
  await waitUntil(async () => (await gateway.metric('tiketi_websocket_open')) === 0, 5000, 'room for one');

  const socket = await SocketIo.open({ wsPort: port }, { token: client.token, join: id });
  assert.equal((await socket.next('queue-position')).position, 1);
  assert.equal(await gateway.metric('tiketi_websocket_socketio_open'), 1);
  // Whatever the client says of itself, nginx says whose it is: the second one is too many.
  await assert.rejects(Engine.open({ wsPort: port }, { headers: { 'x-forwarded-for': '192.0.2.9' } }), { status: 429 });
  await assert.rejects(Engine.open({ wsPort: port }, { query: 'EIO=4&transport=polling' }), { status: 400 });
  socket.io.disconnect();
  await waitUntil(async () => (await gateway.metric('tiketi_websocket_open')) === 0, 5000, 'its end');
  const raw = await Socket.open(gateway, { url: `ws://127.0.0.1:${port}/ws` });
  raw.join(client, id);
  assert.equal((await raw.next('queue-position')).payload.position, 1);
  raw.drop();
});
