// SPDX-License-Identifier: MIT
//
// A recipe of docs/integrate as it stands there, run by the real program before the demo shop.
//
//   blocks('nginx.md')                       the fenced blocks of a page: [{ language, text }]
//   await RECIPES.nginx.start({ tiketi, gateway, shop, port, event, folder })      a Child
//
// A block is changed in nothing but the addresses and the event that it names.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Child, ROOT } from '../fixtures/index.mjs';

export const page = (name) => readFileSync(join(ROOT, 'docs/integrate', name), 'utf8');

export function blocks(name) {
  return [...page(name).matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language, text]) => ({ language, text }));
}

// The first block of a language, with the places of this test. Each stands in the block, or the block is not what it was.
export function filled(name, language, places) {
  const block = blocks(name).find((one) => one.language === language);
  if (!block) throw new Error(`${name} has no block of ${language}`);
  let { text } = block;
  for (const [from, to] of Object.entries(places)) {
    if (!text.includes(from)) throw new Error(`${name}: its ${language} does not name ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

const modules = (...names) => names.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n');

// The addresses in the pages: tiketi's HTTP_PORT and WS_PORT, the shop, and where the proxy listens.
const addresses = ({ tiketi, gateway, shop }) => ({ '127.0.0.1:8080': `127.0.0.1:${tiketi}`, '127.0.0.1:8081': `127.0.0.1:${gateway}`, '127.0.0.1:3000': `127.0.0.1:${shop}` });

const haproxy = (file, { folder, ...places }, extra) => {
  writeFileSync(join(folder, 'haproxy.cfg'), filled(file, 'haproxy', { ...addresses(places), 'bind :8000': `bind 127.0.0.1:${places.port}`, ...extra }));
  return new Child('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')]);
};

function nginx({ folder }, text) {
  writeFileSync(join(folder, 'shop.conf'), text);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  writeFileSync(join(folder, 'nginx.conf'), `daemon off; ${process.getuid() === 0 ? 'user root;' : ''} worker_processes 1; pid ${folder}/pid; error_log stderr;
events { worker_connections 2000; } http { access_log off; ${paths} include shop.conf; }`);
  return new Child('nginx', ['-p', folder, '-c', 'nginx.conf', '-e', 'stderr']);
}

// The same, but open within a bound while the gate does not answer, as the page says.
export function nginxOpen(places) {
  const [recipe, zone, location] = blocks('nginx.md').map(({ text }) => text);
  const busy = /^ {4}location @tiketi_busy \{.*?^ {4}\}\n/ms;
  if (!busy.test(recipe) || !location.startsWith('    location @tiketi_busy {')) throw new Error('nginx.md: no location @tiketi_busy');
  let text = zone + recipe.replace(busy, location);
  for (const [from, to] of Object.entries({ ...addresses(places), 'listen 8000': `listen 127.0.0.1:${places.port}` })) text = text.replaceAll(from, to);
  return nginx(places, text);
}

export const RECIPES = {
  nginx: {
    online: true,
    start: (places) => nginx(places, filled('nginx.md', 'nginx', { ...addresses(places), demo: places.event, 'listen 8000': `listen 127.0.0.1:${places.port}` })),
  },
  caddy: {
    online: true,
    start(places) {
      const { folder, port } = places;
      const text = filled('caddy.md', 'caddyfile', { ...addresses(places), demo: places.event, ':8000 {': `http://127.0.0.1:${port} {` });
      writeFileSync(join(folder, 'Caddyfile'), `{\n\tadmin off\n\tauto_https off\n}\n${text}`);
      return new Child('caddy', ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')], { env: { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder } });
    },
  },
  apache: {
    online: true,
    start(places) {
      const { folder, port, tiketi, event } = places;
      writeFileSync(join(folder, 'shop.conf'), filled('apache.md', 'apache', { ...addresses(places), 'Listen 8000': `Listen 127.0.0.1:${port}`, '*:8000': `127.0.0.1:${port}`, '/etc/apache2/tiketi.lua': `${folder}/tiketi.lua` }));
      writeFileSync(join(folder, 'tiketi.lua'), filled('apache.md', 'lua', { 8080: String(tiketi), demo: event }));
      writeFileSync(join(folder, 'apache2.conf'), `ServerRoot ${folder}\nServerName 127.0.0.1\nPidFile ${folder}/pid\nErrorLog ${folder}/error.log\nDefaultRuntimeDir ${folder}\nMutex posixsem
${process.getuid() === 0 ? 'User nobody\nGroup nogroup\n' : ''}${modules('mpm_event', 'authz_core', 'headers', 'proxy', 'proxy_http', 'lua')}\nInclude ${folder}/shop.conf\n`);
      chmodSync(folder, 0o755);
      return new Child('apache2', ['-D', 'FOREGROUND', '-f', join(folder, 'apache2.conf')]);
    },
  },
  haproxy: {
    online: true,
    start(places) {
      const lua = join(places.folder, 'tiketi.lua');
      writeFileSync(lua, filled('haproxy.md', 'lua', { '127.0.0.1:8080': `127.0.0.1:${places.tiketi}`, demo: places.event }));
      return haproxy('haproxy.md', places, { '/etc/haproxy/tiketi.lua': lua });
    },
  },
  // Verifies passes and asks nobody.
  'haproxy-offline': {
    online: false,
    start(places) {
      const pem = join(places.folder, 'tiketi.pem');
      writeFileSync(pem, places.pem);
      return haproxy('haproxy-offline.md', places, { '/etc/haproxy/tiketi.pem': pem, demo: places.event });
    },
  },
};
