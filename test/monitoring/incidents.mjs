// SPDX-License-Identifier: MIT
//
// `make incidents`: plays incidents on real processes that a real Prometheus watches, and tells for each what fires, after how many
// seconds, when Discord has the message, where it leads, and when it is over. INCIDENTS="processors postgres" plays some.
//
// The rules, their durations and Alertmanager's waits are as shipped. Prometheus scrapes every 2 s and evaluates every 5 s, so
// with the 15 s of monitoring/prometheus.yml everything may come up to 23 s later.

import { createServer, connect } from 'node:net';
import pg from 'pg';
import {
  Alertmanager, BIN, Child, Discord, Organizer, Postgres, Prometheus, Provider, Redis, SECRETS, Server, environment, freePort, sleep, waitUntil,
} from '../fixtures/index.mjs';

const SCRAPE_MS = 2000;
const EVALUATE_MS = 5000;

// A proxy for connections. idleMs: it cuts those on which nothing moves for so long. `to` may change: that is a failover.
class Proxy {
  static async start(to, { idleMs } = {}) {
    const proxy = new Proxy();
    proxy.to = to;
    proxy.port = await freePort();
    proxy.server = createServer((client) => {
      const upstream = connect(proxy.to, '127.0.0.1');
      for (const [socket, other] of [[client, upstream], [upstream, client]]) {
        socket.on('error', () => {}).on('close', () => other.destroy());
        socket.pipe(other);
        if (idleMs) socket.setTimeout(idleMs, () => socket.destroy());
      }
    });
    await new Promise((resolve) => proxy.server.listen(proxy.port, '127.0.0.1', resolve));
    return proxy;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  stop() {
    this.server.close();
  }
}

// ---- the stage: one deployment, its Prometheus, Alertmanager and a server that stands for Discord ----

class Stage {
  // pods: name → roles; sockets: 'idle' puts a proxy that cuts idle connections before the gateway.
  static async set({ pods = { api: 'api,gateway', 'processor-1': 'processor', 'processor-2': 'processor' }, env = {}, extra = [], failover = false, idleMs } = {}) {
    const stage = new Stage();
    stage.started = [];
    const keep = async (starting) => {
      const one = await starting;
      stage.started.unshift(one);
      return one;
    };
    stage.keep = keep;
    [stage.redis, stage.postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
    stage.database = await stage.postgres.migrated();
    stage.redisProxy = failover ? await keep(Proxy.start(stage.redis.port)) : undefined;
    stage.pods = {};
    for (const [name, roles] of Object.entries(pods)) {
      stage.pods[name] = await keep(Server.start({ redis: stage.redisProxy ?? stage.redis, database: stage.database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 5000, ...env } }));
    }
    const { api } = stage.pods;
    stage.ws = idleMs ? `ws://127.0.0.1:${(await keep(Proxy.start(api.wsPort, { idleMs }))).port}/ws` : api.wsUrl;
    stage.provider = await keep(Provider.start({ server: api }));
    stage.organizer = new Organizer(api);
    stage.discord = await keep(Discord.start());
    stage.alertmanager = await keep(Alertmanager.start({ discord: stage.discord, waits: {} }));
    stage.prometheus = await keep(Prometheus.start({
      targets: [...Object.entries(stage.pods).map(([pod, { port }]) => ({ target: `127.0.0.1:${port}`, labels: { namespace: 'shop', pod } })), ...extra],
      scrapeMs: SCRAPE_MS, evaluateMs: EVALUATE_MS, alertmanager: stage.alertmanager,
    }));
    return stage;
  }

  async sale(settings) {
    const { id } = await this.organizer.sale({ id: 'summer-night', title: 'An incident', ...settings });
    await waitUntil(async () => (await this.prometheus.query(`tiketi_event_lease_held{event="${id}"} == 1`)).length === 1, 30000, 'Prometheus to see the event');
    return id;
  }

  // Buyers in the background, until the stage is left.
  async crowd(id, users, ...args) {
    const { api } = this.pods;
    const env = { ...SECRETS, REDIS_URL: this.redis.url, DATABASE_URL: this.database.url, HTTP_PORT: api.port, WS_PORT: api.wsPort };
    const child = new Child(BIN, ['crowd', '--event', id, '--users', String(users), '--url', api.url, '--ws', this.ws, '--provider', this.provider.url, '--max-time', '10m', ...args],
      { env: environment(env) });
    await this.keep({ stop: () => child.end('SIGKILL').catch(() => {}) });
    return child;
  }

  async strike() {
    for (const one of this.started) await Promise.resolve(one.stop()).catch((error) => console.error(`while stopping: ${error.message}`));
  }

  // Log lines above info since `from` (lines before it are not looked at), each text once with how often.
  complaints(from) {
    const counts = new Map();
    for (const [name, pod] of Object.entries(this.pods)) {
      for (const { level, msg, message } of pod.logs.slice(from.get(name) ?? 0)) {
        if (level === 'info' || level === 'debug') continue;
        const text = msg ?? message;
        counts.set(text, (counts.get(text) ?? 0) + 1);
      }
    }
    return [...counts].sort((a, b) => b[1] - a[1]);
  }
}

// watch: from now on, until `done` says so or `limitS` is over. What fired, when Discord knew, when it was over.
async function watch(stage, { begin, wanted, limitS, end }) {
  const logs = new Map(Object.entries(stage.pods).map(([name, pod]) => [name, pod.logs.length]));
  const t0 = performance.now();
  const since = () => (performance.now() - t0) / 1000;
  const seen = new Map();
  const look = async () => {
    const firing = (await stage.prometheus.alerts()).filter(({ state }) => state === 'firing');
    for (const { labels, annotations } of firing) {
      if (!seen.has(labels.alertname)) seen.set(labels.alertname, { severity: labels.severity, fired: since(), leads: annotations.runbook_url.split('#')[1], summary: annotations.summary });
    }
    for (const [name, one] of seen) {
      if (one.over === undefined && !firing.some(({ labels }) => labels.alertname === name)) one.over = since();
    }
  };
  await begin();
  while (since() < limitS && !wanted.every((name) => seen.has(name))) {
    await look();
    await sleep(250);
  }
  // A message comes ten seconds after its alert.
  for (const until = since() + 12; since() < until;) {
    await look();
    await sleep(250);
  }
  const ended = since();
  if (end) {
    await end();
    while (since() < ended + 150 && [...seen.values()].some(({ over, severity }) => over === undefined && severity !== 'info')) {
      await look();
      await sleep(250);
    }
  }
  for (const [name, one] of seen) {
    const message = stage.discord.messages.find(({ title }) => title.startsWith('[') && !title.startsWith('[OVER]') && title.split(' ').includes(name));
    one.told = message && (message.at - t0) / 1000;
  }
  return { seen, ended, complaints: stage.complaints(logs), missing: wanted.filter((name) => !seen.has(name)) };
}

// ---- the incidents ----

const INCIDENTS = {
  async processors() {
    const stage = await Stage.set();
    const id = await stage.sale({ threshold: 20 });
    await stage.crowd(id, 265, '--arrive', '2s', '--think', '20s..40s', '--buy', '0', '--abandon', '1');
    await waitUntil(async () => (await stage.prometheus.value('sum(tiketi_event_waiting)')) > 200, 30000, 'a queue');
    const held = [stage.pods['processor-1'], stage.pods['processor-2']];
    const result = await watch(stage, {
      begin: async () => { for (const pod of held) await pod.pause(); }, wanted: ['TiketiNoTick', 'TiketiPodsDown'], limitS: 120,
      end: async () => { for (const pod of held) await pod.resume(); },
    });
    return { stage, what: 'the queue grows: both processors hang (SIGSTOP)', ...result };
  },

  async held() {
    const stage = await Stage.set();
    const id = await stage.sale({ threshold: 100, grid: { rows: 2, seatsPerRow: 10 } });
    const result = await watch(stage, {
      begin: () => stage.crowd(id, 260, '--arrive', '2s', '--think', '200s..300s', '--buy', '1', '--abandon', '0'), wanted: ['TiketiSeatsHeld'], limitS: 150,
    });
    return { stage, what: 'the queue grows: every seat is held, the threshold is far', ...result };
  },

  async sold() {
    const stage = await Stage.set();
    const id = await stage.sale({ threshold: 100, grid: { rows: 2, seatsPerRow: 10 } });
    const result = await watch(stage, {
      begin: () => stage.crowd(id, 260, '--arrive', '2s', '--think', '200ms..1s', '--buy', '1', '--abandon', '0'), wanted: ['TiketiSoldOut'], limitS: 150,
    });
    return { stage, what: 'the queue grows: the hall is sold out', ...result };
  },

  async sockets() {
    const stage = await Stage.set({ idleMs: 10000, env: { WS_PING_MS: 25000 } });
    const id = await stage.sale({ threshold: 5 });
    // Buyers who only wait: what moves on their sockets is little.
    const result = await watch(stage, {
      begin: () => stage.crowd(id, 200, '--arrive', '2s', '--think', '300s..400s', '--buy', '0', '--abandon', '1'), wanted: ['TiketiSocketsDrop'], limitS: 150,
    });
    return { stage, what: 'sockets drop: the proxy cuts idle ones after 10 s, pings come every 25 s', ...result };
  },

  async crash() {
    const port = await freePort();
    const stage = await Stage.set({
      pods: { api: 'api,gateway', 'api-2': 'api,gateway', processor: 'processor' }, extra: [{ target: `127.0.0.1:${port}`, labels: { namespace: 'shop', pod: 'api-3' } }],
    });
    await stage.sale({ threshold: 5 });
    // As a kubelet does, only faster: it is started again and again.
    let over = false;
    let last;
    const loop = async () => {
      while (!over) {
        const child = new Child(BIN, ['serve', '--roles', 'api'], { env: environment({ HTTP_PORT: port, REDIS_URL: stage.redis.url, DATABASE_URL: stage.database.url, QUEUE_THRESHOLD: 'many' }) });
        const { code } = await child.exited;
        last = `exit ${code}: ${child.output.trim().split('\n').at(-1)}`;
        await sleep(1000);
      }
    };
    const result = await watch(stage, { begin: () => { loop(); }, wanted: ['TiketiPodDown'], limitS: 120 });
    over = true;
    return { stage, what: 'a crash loop: a setting that is wrong', ...result, note: last };
  },

  async failover() {
    const stage = await Stage.set({ failover: true });
    const replica = await stage.keep(Redis.start({ args: ['--replicaof', '127.0.0.1', String(stage.redis.port)] }));
    const id = await stage.sale({ threshold: 20 });
    await stage.crowd(id, 265, '--arrive', '2s', '--think', '5s..10s', '--buy', '0', '--abandon', '1');
    await waitUntil(async () => (await stage.prometheus.value('sum(tiketi_event_waiting)')) > 150, 30000, 'a queue');
    const result = await watch(stage, {
      begin: async () => {
        await replica.cli('REPLICAOF', 'NO', 'ONE');
        stage.redisProxy.to = replica.port;
        await stage.redis.cli('REPLICAOF', '127.0.0.1', replica.port); // up, connections and all, and READONLY
      }, wanted: ['TiketiRedisErrors'], limitS: 60, end: async () => {},
    });
    return { stage, what: 'Redis fails over: the old primary is READONLY, its connections stay up', ...result };
  },

  async postgres() {
    const stage = await Stage.set();
    const id = await stage.sale({ threshold: 60, grid: { rows: 20, seatsPerRow: 20 } });
    await stage.crowd(id, 400, '--arrive', '60s', '--think', '1s..3s', '--buy', '0.9', '--abandon', '0.1');
    await waitUntil(async () => (await stage.prometheus.value('sum(tiketi_event_seats{state="sold"})')) > 5, 30000, 'the first sales');
    const locker = new pg.Client({ connectionString: stage.database.url });
    locker.on('error', () => {});
    await locker.connect();
    const result = await watch(stage, {
      begin: async () => {
        await locker.query('BEGIN');
        await locker.query('LOCK TABLE seats IN ACCESS EXCLUSIVE MODE');
        setTimeout(() => locker.query('ROLLBACK').catch(() => {}), 25000).unref();
      }, wanted: ['TiketiPostgresErrors', 'TiketiPoolExhausted'], limitS: 45, end: async () => {},
    });
    await locker.end();
    return { stage, what: 'PostgreSQL is slow: a table is locked for 25 s', ...result };
  },
};

// ---- telling ----

// Of an alert that is over at once no message is sent.
const told = ({ fired, told: at, over }) => (at !== undefined ? `${at.toFixed(0)} s` : over - fired < 12 ? 'over before' : 'hidden by its cause');
const s = (value) => (value === undefined ? 'not while this looked' : `${value.toFixed(0)} s`);

const chosen = (process.env.INCIDENTS ?? Object.keys(INCIDENTS).join(' ')).split(/\s+/);
const lines = [];
let failed = 0;
for (const name of chosen) {
  const { stage, what, seen, missing, complaints, note } = await INCIDENTS[name]();
  await stage.strike();
  console.log(`\n${what}`);
  for (const [alert, one] of seen) {
    console.log(`  ${alert} (${one.severity}): after ${s(one.fired)}, in Discord: ${told(one)}, over after ${s(one.over)}; runbook.md#${one.leads}`);
    console.log(`    ${one.summary}`);
    lines.push(`| ${what} | \`${alert}\` | ${one.severity} | ${s(one.fired)} | ${told(one)} | [${one.leads.replaceAll('-', ' ')}](runbook.md#${one.leads}) |`);
  }
  for (const [text, count] of complaints.slice(0, 6)) console.log(`  log: ${text}${count > 1 ? ` (${count} times)` : ''}`);
  if (note) console.log(`  ${note}`);
  for (const alert of missing) console.log(`  MISSING: ${alert} did not fire`);
  failed += missing.length;
}
console.log(`\n| incident | alert | severity | fires after | in Discord after | leads to |\n|---|---|---|---|---|---|\n${lines.join('\n')}`);
process.exit(failed > 0 ? 1 : 0);
