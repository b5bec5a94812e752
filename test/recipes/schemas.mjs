// SPDX-License-Identifier: MIT
//
// What configurations of programs are held to that no package of Debian has: the types of their resources, and the definitions of
// their API. They are parts of npm packages, of which nothing else is needed: so each is fetched by itself, in the version and with
// the contents that are written here, into build/schemas.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../fixtures/index.mjs';

const run = promisify(execFile);

const PACKAGES = {
  envoy: { spec: '@grpc/grpc-js-xds@1.14.1', integrity: 'sha512-F2mVXwEeMWw1znPUrp+8ykjsIOVnf7Rv+EyIvXOfz73w5tNolCnzokpLkE/d2Ehx30PJmZXqCQdMpx8DcBJohA==' },
  'gateway-api': { spec: '@kubernetes-models/gateway-api@2.0.0', integrity: 'sha512-e7SY7EkCGRHy5wHkaGhP32v7V1L+gBalfoqZDFDWn5k9Q7+IW6uz9jNWgOZ9R/Hv5NWyAFYaA01ET2qsysVt5A==' },
  traefik: { spec: '@kubernetes-models/traefik@1.0.1', integrity: 'sha512-rprxxAN6/hGHZ+nJgLQnaIBzXDiUPap8BeFHZNXK/3iCUqtX2ww7T3Jo8SzggSuGJtzHT+Yeu8wb6Zot7j1Nuw==' },
};

// The folder of one.
export async function schemas(name) {
  const { spec, integrity } = PACKAGES[name];
  const folder = join(ROOT, 'build/schemas', name);
  const mark = join(folder, `.${createHash('sha256').update(spec + integrity).digest('hex')}`);
  if (existsSync(mark)) return join(folder, 'package');
  const fresh = `${folder}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const { stdout } = await run('npm', ['pack', spec, '--silent', '--pack-destination', fresh], { cwd: fresh });
  const archive = join(fresh, stdout.trim().split('\n').at(-1));
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (found !== integrity) throw new Error(`${spec} is ${found}, not ${integrity}`);
  await run('tar', ['-xzf', archive, '-C', fresh]);
  await run('touch', [join(fresh, mark.slice(folder.length + 1))]);
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  return join(folder, 'package');
}
