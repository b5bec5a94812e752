// SPDX-License-Identifier: MIT
//
// The corpus test/http through a real nginx and a real HAProxy, which keep their connections to tiketi for the next client.
// A recorder stands between proxy and tiketi: what the proxy forwarded as one request never gets two answers, and whoever
// comes next on the same connections gets the answer to their own request.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { after, test } from 'node:test';
import { Child, exchange, freePort, many, privateFolder, ROOT, SLOW, stage, waitUntil } from '../fixtures/index.mjs';

const { server } = await stage();
const folder = `${ROOT}/test/http`;
const cases = readdirSync(folder).filter((name) => name.endsWith('.http') && !name.startsWith('handshake-'))
  .map((name) => ({ name, bytes: readFileSync(`${folder}/${name}`, 'latin1') }));

// A TCP relay to tiketi. links: what went each way on each connection.
async function recorder() {
  const links = [];
  const relay = createServer((near) => {
    const link = { sent: '', got: '' };
    links.push(link);
    const far = connect(server.port, '127.0.0.1');
    near.on('data', (data) => (link.sent += data.toString('latin1'))).on('error', () => far.destroy());
    far.on('data', (data) => (link.got += data.toString('latin1'))).on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  const port = await freePort();
  await new Promise((resolve) => relay.listen(port, '127.0.0.1', resolve));
  after(() => relay.close());
  return { port, links };
}

const PROXIES = {
  nginx: async (port, upstream, extra = '') => {
    const path = privateFolder('nginx');
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${path}/${name};`).join(' ');
    writeFileSync(`${path}/conf`, `daemon off; master_process off; pid ${path}/pid; error_log stderr warn; events {}
      http { access_log off; ${temp} upstream tiketi { server 127.0.0.1:${upstream}; keepalive 2; }
        server { listen 127.0.0.1:${port}; location / {
          proxy_pass http://tiketi; proxy_http_version 1.1; proxy_set_header Connection ""; ${extra} } } }`);
    return new Child('nginx', ['-p', path, '-c', `${path}/conf`]);
  },
  haproxy: async (port, upstream, extra = '') => {
    const path = privateFolder('haproxy');
    writeFileSync(`${path}/conf`, `defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n http-reuse always\n ${extra}
      \nlisten tiketi\n bind 127.0.0.1:${port}\n server one 127.0.0.1:${upstream}\n`);
    return new Child('haproxy', ['-db', '-f', `${path}/conf`]);
  },
};

// The messages (requests or answers) at the start of the text. A rest that is none counts as one more.
function messages(text, isAnswer) {
  let count = 0;
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n\r\n', at);
    const head = end < 0 ? '' : text.slice(at, end + 2);
    if (!(isAnswer ? /^HTTP\/1\.[01] \d{3} / : /^[A-Za-z]+ \S+ HTTP\/1\.[01]\r\n/).test(head)) return count + 1;
    at = end + 4;
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head);
    if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) {
      for (;;) {
        const size = /^([0-9a-f]+)[^\n]*\n/i.exec(text.slice(at, at + 400));
        if (!size) return count + 1;
        at += size[0].length;
        if (Number.parseInt(size[1], 16) === 0) {
          const over = text.indexOf('\r\n\r\n', at - 2); // trailers may come before it
          if (over < 0) return count + 1;
          at = over + 4;
          break;
        }
        at += Number.parseInt(size[1], 16) + 2;
      }
    } else if (length && !(isAnswer && /^HTTP\/1\.[01] (1\d\d|204|304) /.test(head))) {
      at += Number(length[1]);
    }
    count += isAnswer && /^HTTP\/1\.[01] 1\d\d /.test(head) ? 0 : 1;
  }
  return count;
}

// Sends the case, and behind it a request that closes the connection; waits for its end, at most two seconds.
async function send(port, bytes) {
  const socket = connect(port, '127.0.0.1').on('error', () => {}).on('data', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes, 'latin1');
  socket.write('GET /livez?behind HTTP/1.1\r\nHost: behind\r\nConnection: close\r\n\r\n');
  let over = false;
  closed.then(() => (over = true));
  await waitUntil(() => over, 2000 * SLOW, 'the end').catch(() => socket.destroy());
}

for (const [name, kind, extra] of [
  ['nginx', 'nginx'], ['nginx that does not buffer', 'nginx', 'proxy_request_buffering off;'],
  ['HAProxy', 'haproxy'], ['HAProxy that takes what is invalid', 'haproxy', 'option accept-invalid-http-request'],
]) {
  test(`no case of test/http gets two answers for what ${name} forwarded as one request`, { timeout: 60000 * SLOW }, async () => {
    const { port: upstream, links } = await recorder();
    const port = await freePort();
    const proxy = await PROXIES[kind](port, upstream, extra);
    try {
      const ask = () => exchange(`http://127.0.0.1:${port}`, 'GET', '/livez?victim');
      await waitUntil(() => ask().then(({ status }) => status === 200, () => false), 10000 * SLOW, `${name} answers: ${proxy.output}`);
      const wrong = [];
      await many(cases, 8, async ({ name: file, bytes }) => {
        await send(port, bytes);
        for (let i = 0; i < 2; i++) {
          const victim = await ask().catch((error) => ({ status: String(error) }));
          if (victim.status !== 200 || victim.text.includes('tiketi_http')) wrong.push(`${file}: the next client got ${victim.status} ${victim.text}`);
        }
      });
      assert.deepEqual(wrong, []);
      for (const { sent, got } of links) {
        const [requests, answers] = [messages(sent, false), messages(got, true)];
        assert.ok(answers <= requests, `${answers} answers to ${requests} requests:\n${sent.slice(0, 2000)}\n----\n${got.slice(0, 2000)}`);
      }
      assert.ok(links.reduce((sum, { sent }) => sum + messages(sent, false), 0) > cases.length, 'the recorder saw requests');
    } finally {
      await proxy.end(kind === 'nginx' ? 'SIGQUIT' : 'SIGUSR1').catch(() => proxy.end('SIGKILL'));
    }
  });
}
