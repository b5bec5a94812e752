// SPDX-License-Identifier: MIT
//
// What the page says of the machine and of the commands that gave its figures, as they ran.

import { execFile } from 'node:child_process';
import { cpus, release, totalmem, type } from 'node:os';
import { basename, relative } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../fixtures/index.mjs';

const run = promisify(execFile);
const noted = new Set();

// Ports, ids and folders are of one run only.
function plain(word) {
  const text = String(word).replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, 'EVENT').replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT').replace(/^\d{5}$/, 'PORT');
  if (!text.startsWith('/') || text.startsWith('/api/')) return text;
  return text.startsWith(`${ROOT}/`) ? relative(ROOT, text) : basename(text);
}

const quoted = (word) => (/[ "{}]/.test(word) ? `'${word}'` : word);

export function noteCommand(program, args, env = {}) {
  const settings = Object.entries(env).filter(([, value]) => value !== '').map(([name, value]) => `${name}=${quoted(plain(value))}`);
  noted.add([...settings, ...[program, ...args].map((word) => quoted(plain(word)))].join(' '));
}

export const commands = () => [...noted].sort();

const first = async (program, args) => (await run(program, args)).stdout.split('\n')[0].trim();

export async function machine({ programs }) {
  const version = async (name) => `${name} ${(await first('pkg-config', ['--modversion', name])).replace(/-$/, '')}`;
  const libraries = await Promise.all(['libmicrohttpd', 'libwebsockets', 'hiredis', 'libuv', 'openssl'].map(version));
  const redis = /v=(\S+)/.exec(await first('redis-server', ['--version']))[1];
  const postgres = /(\d[\d.]*)/.exec(await first(`${programs}/postgres`, ['--version']))[1];
  return `${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release().split('-')[0]}; Redis ${redis}, PostgreSQL ${postgres}, ${libraries.join(', ')}, Node ${process.versions.node}`;
}
