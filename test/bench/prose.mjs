// SPDX-License-Identifier: MIT
//
// What the figures mean for a million buyers. Every number is a row of this run or computed from rows.

const MILLION = 1e6;
const HEARTBEAT_S = 50; // s; every second pong of a socket, which come 25 s apart, is passed to Redis
const POLL_S = 20; // s; nextPoll far back in the queue, with the default settings
const QUIET_S = 15; // s; a position that changed is sent at least this often

const whole = (value) => Math.round(value).toLocaleString('en');
const few = (value) => (value >= 100 ? whole(value) : value >= 10 ? value.toFixed(0) : value.toFixed(1));

// The value of a row; NaN if its section did not run.
const finder = (rows) => (id) => rows.find((row) => row.id === id)?.own ?? NaN;
const ratios = (rows) => (id) => rows.find((row) => row.id === id)?.ratio ?? NaN;

function million(rows) {
  const [of, ratio] = [finder(rows), ratios(rows)];
  const join = of('join-guest-1000');
  const redisJoin = of('redis-join');
  const admission = of('redis-admission');
  const background = of('redis-background');
  const perBuyer = of('redis-memory');
  const perNewcomer = of('redis-memory-new');
  const poll = of('poll');
  const socket = of('socket-memory') / 1024;
  const push = of('push');
  const arrivals = MILLION / redisJoin;
  return `## To a million buyers, on several pods and one Redis

What has to be done once for each buyer, or once a second for each, from this run:

| a million buyers | costs | that is |
|---|---|---|
| their joins, in Redis | ${few(redisJoin)} µs each | ${few(redisJoin)} s of Redis' one core, whenever they come; so at most ${whole(arrivals)} joins a second |
| their joins, in api pods | ${few(join)} µs each | ${few(join)} s of cores, spread over as many pods as there are |
| their places in Redis | ${whole(perNewcomer)} B each as they come, ${whole(perBuyer)} B once each has sent another heartbeat | ${few((perNewcomer * MILLION) / 2 ** 30)} GiB, then ${few((perBuyer * MILLION) / 2 ** 30)} GiB |
| their sockets, in gateway pods | ${few(socket)} kB each | ${few((socket * 1024 * MILLION) / 2 ** 30)} GiB over all pods; at 18,000 open files each, ${Math.ceil(MILLION / 18000)} processes, at 100,000 ten |
| heartbeats of all, once in ${HEARTBEAT_S} s | index and heartbeats of 100,000 sockets: ${few(background)} % of a core | at most ${few(background * 10)} % of Redis' core |
| positions, to each every ${QUIET_S} s | ${few(push)} µs each | ${few((push * MILLION) / QUIET_S / 1e6)} cores over all gateways |
| polls instead of sockets, every ${POLL_S} s | ${few(poll)} µs each, no Redis | ${few((poll * MILLION) / POLL_S / 1e6)} cores over all api pods |
| admitting 1,000 a second | ${few(admission)} µs each | ${few((admission * 1000) / 1e4)} % of Redis' core |

**What breaks first** is the arrival. Everything else either scales with pods or is small, but all joins of one event meet in one
Redis thread: a million at once are ${few(redisJoin)} s of its core, so those who come within five seconds need ${few((redisJoin * 100) / 5)} % of it, and the pods' cores and their
network are the limit before. Requests wait in batches (each pod has a few calls of an event under way, and fills the next meanwhile), nobody is lost and order is
kept, since a place is given where the join is decided. Where requests would wait too long, pods answer 503 with
\`Retry-After\`, newcomers first, and clients come again. A static page in front that spreads the first requests over half a minute keeps Redis at
${few((redisJoin * 100) / 30)} % of its core, at the price that chance orders those within it. Several events share this thread, unless Redis is a cluster
([operations.md](operations.md#redis)), which spreads them over its primaries. One event stays in one thread: *stripes*, one event over several, would give
${few(2 / ratio('stripes-2'))} times the joins on two cores and ${few(4 / ratio('stripes-4'))} times on four, at the price of direct admission, of an exact limit per network and of the proof by one log
([0113](decisions/0113-one-event-stays-in-one-redis-thread.md)).

A join is as cheap as that because the place is the first heartbeat: one sorted set is written. **The saving lasts until the second heartbeat**, which writes the entry that the
join left out: of a buyer whose page is open it comes within a minute, and from then on they take ${whole(perBuyer)} B instead of ${whole(perNewcomer)}.

Second is Redis' memory and its copy when the append-only file is rewritten: twice the figure above is to be had. Third, sockets:
open files decide how many fit into a process, then memory. Waiting buyers do not reach PostgreSQL, however long the queue is.

**What a pod costs.** An idle api pod takes ${few(of('pod-idle'))} % of a core and ${few(of('pod-memory'))} MB; of Redis it wants one
read of the rank index and of the versions a second for each event. Joins cost the same CPU together whether one, two or four processes
serve them (table above), so pods are added by the load on them: one api pod of one core takes ${whole(MILLION / join / 2)} joins or
${whole(MILLION / poll / 2)} polls a second at half load.
`;
}

export const prose = (rows) => `## Growth

Cost beside the length of the queue: a join is one insertion into sorted sets (the logarithm shows), a poll and a push look into the same rank
index of at most 1,744 points, a tick takes from the head, and eviction goes by time. Nothing scans.

![growth](growth.svg)

${million(rows)}`;
