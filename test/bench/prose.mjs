// SPDX-License-Identifier: MIT
//
// What the figures say, in words: where each microsecond goes, how costs grow, and how far it is to a
// million buyers. Every number in it is one of this run's rows, or reckoned from them.

const MILLION = 1e6;
const SIGN_S = 50; // of each socket every second pong, 25 s apart, is told to Redis
const POLL_S = 20; // nextPoll of those far back, with the defaults
const QUIET_S = 15; // whoever moved at all is told at least so often

const whole = (value) => Math.round(value).toLocaleString('en');
const few = (value) => (value >= 100 ? whole(value) : value >= 10 ? value.toFixed(0) : value.toFixed(1));

// The first row whose text begins so; NaN where its section did not run.
const finder = (rows) => (start) => rows.find(({ what }) => what.startsWith(start))?.own ?? NaN;

function million(rows) {
  const of = finder(rows);
  const join = of('service CPU per queued join, guest, 1000');
  const redisJoin = of('Redis CPU per join, batches');
  const admission = of('Redis CPU per admission');
  const background = of('Redis CPU a second for index and presence');
  const perBuyer = of('Redis memory per waiting buyer');
  const poll = of('service CPU per status poll');
  const socket = of('user memory per idle socket') / 1024;
  const push = of('gateway CPU per pushed position');
  const arrivals = MILLION / redisJoin;
  return `## To a million buyers, on several pods and one Redis

What has to be done once for each buyer, or once a second for each, from this run:

| a million buyers | costs | that is |
|---|---|---|
| their joins, in Redis | ${few(redisJoin)} µs each | ${few(redisJoin)} s of Redis' one core, whenever they come; so at most ${whole(arrivals)} joins a second |
| their joins, in api pods | ${few(join)} µs each | ${few(join)} s of cores, spread over as many pods as there are |
| their places in Redis | ${whole(perBuyer)} B each | ${few((perBuyer * MILLION) / 2 ** 30)} GiB |
| their sockets, in gateway pods | ${few(socket)} kB each | ${few((socket * 1024 * MILLION) / 2 ** 30)} GiB over all pods; at 18,000 open files each, ${Math.ceil(MILLION / 18000)} processes, at 100,000 ten |
| signs of life of all, once in ${SIGN_S} s | index and presence of 100,000 sockets: ${few(background)} % of a core | at most ${few(background * 10)} % of Redis' core |
| positions, to each who moved every ${QUIET_S} s | ${few(push)} µs each | ${few((push * MILLION) / QUIET_S / 1e6)} cores over all gateways |
| polls instead of sockets, every ${POLL_S} s | ${few(poll)} µs each, no Redis | ${few((poll * MILLION) / POLL_S / 1e6)} cores over all api pods |
| letting in 1,000 a second | ${few(admission)} µs each | ${few((admission * 1000) / 1e4)} % of Redis' core |

**What breaks first** is the arrival. Everything else either scales with pods or is small, but all joins of one event meet in one
Redis thread: a million within five seconds would need ${few(redisJoin / 5)} of its cores. So such an arrival is answered in ${few(redisJoin)} s rather than five: requests
wait in batches (each pod has one call of an event under way, and fills the next meanwhile), nobody is lost and order is
kept, since a place is given where the join is decided. Past the two seconds a call may take, pods answer 503 with
\`Retry-After\` and clients come again. A static page in front that spreads the first requests over half a minute keeps Redis at
${few((redisJoin * 100) / 30)} % of its core, at the price that chance orders those within it. Several events do not meet: their keys have hash tags of their own, so a cluster
gives each its shard.

Second is Redis' memory and its copy when the append-only file is rewritten: twice the figure above is to be had. Third, sockets:
it is the number of open files that decides how many fit into a process, then memory. PostgreSQL is not asked by those who wait: it sees
those who are inside, however long the queue is.

**What a pod costs.** Asked by nobody, an api pod takes ${few(of('a pod that nobody asks'))} % of a core and ${few(of('the same: resident memory'))} MB; of Redis it wants one
read of the rank index and of the versions a second for each event. Joins cost the same CPU together whether one, two or four processes
serve them (table above), so pods are added by the load on them: one api pod of one core takes ${whole(MILLION / join / 2)} joins or
${whole(MILLION / poll / 2)} polls a second at half load.
`;
}

// How much of a join comes before the first word of it is ours.
function floor(rows) {
  const [few64, many1000] = [64, 1000].map((connections) => {
    const of = finder(rows);
    const held = rows.find(({ what }) => what.startsWith('a hello that is held') && what.endsWith(` ${connections} connections`));
    const join = of(`service CPU per queued join, guest, ${connections}`);
    return { ratio: held === undefined ? '?' : held.ratio.toFixed(2), ours: few(join - (held?.own ?? NaN)) };
  });
  return `**What a join cannot go below** is shown by [test/bench/held.c](../test/bench/held.c): the hello, held for one call to Redis with all that came
meanwhile (two ZADDs and no more), with an answer as long as ours. That alone takes ${few64.ratio} times the hello at 64 connections and
${many1000.ratio} at 1,000, where a connection's memory has left the cache when its answer comes. Reading who it is, the script's
answer, ticket, JSON and cookies take the other ${few64.ours} and ${many1000.ours} µs.`;
}

export const prose = (rows, profile) => `## Where each microsecond goes

By \`perf\`, 64 connections, guests new each time. The hello shows what the kernel and libmicrohttpd want for any answer at all; what a join
has beside that is a larger answer (a signed ticket twice: in the body and as a cookie), the HMAC, the buyer's entry in the table of
those this pod knows, and its share of one script call.

${profile ?? 'Not measured in this run.'}

What made it less: one call of an event under way at a time, and no second one within a millisecond, so that a busy service is woken
once for many requests; requests are held instead of suspended (three system calls less each); answers written without a DOM and without
printf into a buffer that stays; HMAC contexts and encoded headers made once per key; a poll whose ticket says what would be said again
signs nothing and sends no cookie anew, and is known by its hash instead of being verified again; a request's headers are looked at once; an event's text is made once per
version, the date once a second; and while the answers of a batch are given, the memory of the next is prefetched.

${floor(rows)}

## Growth

Cost beside the length of the queue, from the table above: a join is one insertion into sorted sets (the logarithm shows), a poll and a
push look into the same rank index of at most 1,744 points, a tick takes from the head, and eviction goes by time. Nothing scans.

![growth](growth.svg)

${million(rows)}`;
