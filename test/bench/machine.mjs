// SPDX-License-Identifier: MIT
//
// The machine and the versions that the figures were measured with.

import { execFile } from 'node:child_process';
import { cpus, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);
const first = async (program, args) => (await run(program, args)).stdout.split('\n')[0].trim();

export async function machine({ programs }) {
  const version = async (name) => `${name} ${(await first('pkg-config', ['--modversion', name])).replace(/-$/, '')}`;
  const libraries = await Promise.all(['libmicrohttpd', 'libwebsockets', 'hiredis', 'libuv', 'openssl'].map(version));
  const redis = /v=(\S+)/.exec(await first('redis-server', ['--version']))[1];
  const postgres = /(\d[\d.]*)/.exec(await first(`${programs}/postgres`, ['--version']))[1];
  return `${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release().split('-')[0]}; Redis ${redis}, PostgreSQL ${postgres}, ${libraries.join(', ')}, Node ${process.versions.node}`;
}
