/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster: routes each command to the primary that serves its key.
 *
 *   map      CLUSTER SLOTS, from a seed at first, later from the primaries in turn: every REFRESH_MS, soon after a lost
 *            connection or a redirection; single-flight
 *   command  slot of the key -> primary -> its pipelined connection
 *   MOVED    the map is corrected, the command goes to the node that was named, the map is read anew
 *   ASK      the command goes there once, after ASKING
 *   TRYAGAIN, CLUSTERDOWN   the command waits some ms, and is sent again while its deadline is far enough
 *
 * Why this way: the keys of an event share a slot, so a command concerns one node, and events do not wait for each other.
 * A node answered that it did *not* execute a command that it sends elsewhere: so that command may be sent again, even if
 * it is not idempotent. Commands of one event keep their order, except over a redirection.
 * Called by: redis, redis_sub. Owns: the nodes, the map, the commands that wait (at most WAITING_MAX).
 * Invariants: a callback never runs inside the call that started its command, and by its deadline it has run. A command
 * is not sent with less than a quarter of its time left: a node ends its connection when a command times out.
 * A shard that is gone: its commands are refused at once (ST_UNAVAILABLE), those of the other shards go on. All are gone:
 * the seeds of the URL are asked in turn, without end.
 */
#include "net/redis_cluster.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/redis_node.h"
#include "net/redis_slots.h"
#include "net/redis_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS     5000 /* between two reads of the map when nothing is wrong */
#define REFRESH_BAD_MS 250  /* while a shard or the map is missing */
#define REST_MS        2000 /* after all seeds have answered that they have none */
#define REFRESH_MIN_MS 50   /* never more often */
#define RETRY_MS       10   /* before a command is sent again that nobody serves */
#define HOLD_MS                                                                                    \
    1000 /* a map may be older than what MOVED said: it does not change such a slot for so long */
#define WAITING_MAX 10000
#define LEAVE_MS    2000 /* a node that left the map is closed after so long at most */
#define TAG_TRIES   200000
#define NAME_SIZE   (REDIS_HOST_MAX + 8)

struct shard {
    struct redis_cluster *cluster;
    struct redis_node *node;
    struct redis_node_name at;
    char name[NAME_SIZE]; /* host:port */
    unsigned slots;       /* number of slots that it serves */
    unsigned tag_slot;    /* of the probe's key; its slot belonged to this shard at the last look */
    bool tagged;
    uint64_t leave_ms; /* since when it serves none; 0: it does */
};

struct redis_cluster {
    struct redis_opts opts;
    struct redis_target target;
    struct redis_tls *tls; /* NULL: plain */
    struct shard **shards;
    size_t shard_count;
    struct shard *owner[REDIS_SLOT_COUNT]; /* NULL: nobody serves this slot */
    uint32_t
        moved_ms[REDIS_SLOT_COUNT]; /* when MOVED told the owner, by loop_now_ms; 0: a map did */
    bool mapped;                    /* a map was read */
    size_t turn;                    /* whom to ask for the next map */
    struct redis_node *seed;        /* NULL: a primary can be asked */
    size_t seed_turn;
    size_t refusals; /* answers of seeds without a map */
    char seed_problem[320];
    bool asking; /* CLUSTER SLOTS is under way */
    char asked[REDIS_HOST_MAX + 1];
    uint64_t asked_ms, due_ms; /* when the map was asked for last; when it is next */
    struct redis_op *waiting, **waiting_end;
    size_t waiting_count;
    struct loop_timer *timer;
    struct loop_task changed; /* tells the watcher */
    loop_cb on_change;
    void *on_change_arg;
    char problem[480];
    bool stopped, closing;
    size_t open; /* nodes that are not freed yet, and 1 until it is closed */
    struct loop_task gone;
    loop_cb on_closed;
    void *on_closed_arg;
};

static uint64_t now_of(const struct redis_cluster *cluster)
{
    return loop_now_ms(cluster->opts.loop);
}

static void note_change(struct redis_cluster *cluster)
{
    if (cluster->on_change && !cluster->closing)
        loop_defer(cluster->opts.loop, &cluster->changed);
}

static void on_changed(void *arg)
{
    const struct redis_cluster *cluster = arg;
    if (cluster->on_change)
        cluster->on_change(cluster->on_change_arg);
}

/* Arms the timer for what comes next. */
static void plan(struct redis_cluster *cluster)
{
    const uint64_t now = now_of(cluster);
    uint64_t wait = cluster->due_ms > now ? cluster->due_ms - now : 0;
    if (cluster->waiting && wait > RETRY_MS)
        wait = RETRY_MS;
    if (!cluster->closing)
        loop_timer_set(cluster->timer, wait > 0 ? wait : 1);
}

/* The map is to be read within `ms`. */
static void refresh_within(struct redis_cluster *cluster, uint64_t ms)
{
    const uint64_t first = cluster->asked_ms + REFRESH_MIN_MS;
    uint64_t due = now_of(cluster) + ms;
    if (due < first)
        due = first;
    if (due < cluster->due_ms || cluster->due_ms == 0)
        cluster->due_ms = due;
    plan(cluster);
}

void redis_cluster_doubt(struct redis_cluster *cluster)
{
    refresh_within(cluster, 0);
}

/* ---- shards ---- */

/* Host and port as the log and people write them. */
static void name_write(char out[NAME_SIZE], const struct redis_node_name *node)
{
    const bool v6 = strchr(node->host, ':');
    (void)snprintf(out, NAME_SIZE, v6 ? "[%.*s]:%d" : "%.*s:%d", REDIS_HOST_MAX - 2, node->host,
                   node->port);
}

static void endpoint_of(const struct redis_cluster *cluster, const char *host, int port,
                        struct redis_endpoint *out)
{
    *out = (struct redis_endpoint){.host = host,
                                   .port = port,
                                   .user = cluster->target.user,
                                   .password = cluster->target.password,
                                   .tls = cluster->tls,
                                   .name = cluster->opts.server.name};
}

static void on_node_gone(void *arg)
{
    struct redis_cluster *cluster = arg;
    if (--cluster->open ==
        0) /* later: redis_cluster_close may have been called from a callback of this module */
        loop_defer(cluster->opts.loop, &cluster->gone);
}

static void on_cluster_gone(void *arg)
{
    struct redis_cluster *cluster = arg;
    loop_cb cb = cluster->on_closed;
    void *cb_arg = cluster->on_closed_arg;
    redis_target_clear(&cluster->target);
    redis_tls_unref(cluster->tls);
    free(cluster->shards);
    free(cluster);
    if (cb)
        cb(cb_arg);
}

static void shard_gone(void *arg)
{
    struct shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    free(shard);
    on_node_gone(cluster);
}

/* The probe writes to a key that the node must serve: one whose hash tag lies in a slot of this shard. No event has a dot
 * in its id. */
static void shard_tag(struct shard *shard)
{
    const struct redis_cluster *cluster = shard->cluster;
    char tag[REDIS_TAG_SIZE];
    if (shard->tagged && cluster->owner[shard->tag_slot] == shard)
        return;
    shard->tagged = false;
    for (unsigned i = 0; shard->slots && i < TAG_TRIES && !shard->tagged; i++) {
        const int len = snprintf(tag, sizeof(tag), ".probe%u", i);
        shard->tag_slot = redis_slot_of(tag, (size_t)len);
        shard->tagged = cluster->owner[shard->tag_slot] == shard;
    }
    if (shard->tagged)
        redis_node_set_tag(shard->node, tag);
}

/* The one that serves the first slot: the clocks of several servers would contradict each other. */
static void choose_clock(const struct redis_cluster *cluster)
{
    const struct shard *first = NULL;
    for (size_t slot = 0; !first && slot < REDIS_SLOT_COUNT; slot++)
        if (cluster->owner[slot] && redis_node_up(cluster->owner[slot]->node))
            first = cluster->owner[slot];
    for (size_t i = 0; i < cluster->shard_count; i++)
        redis_node_set_clock(cluster->shards[i]->node, cluster->shards[i] == first || !first);
}

static void retry(struct redis_cluster *cluster);

static void on_shard_up(void *arg)
{
    struct shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    unsigned others = 0;
    /* What has waited for this connection goes before what comes now. */
    for (struct redis_op *op = cluster->waiting; op; op = op->next)
        if (cluster->owner[op->slot] == shard)
            op->retry_ms = 0;
    if (cluster->waiting)
        retry(cluster);
    if (cluster->closing)
        return;
    for (size_t i = 0; i < cluster->shard_count; i++)
        others += cluster->shards[i] != shard && redis_node_up(cluster->shards[i]->node);
    choose_clock(cluster);
    note_change(cluster);
    plan(cluster);
    if (!cluster->opts.on_state)
        return;
    /* What was not heard of this shard's events has to be asked for: as if all had been lost for a moment. */
    if (others > 0)
        cluster->opts.on_state(cluster->opts.arg, false);
    if (!cluster->closing)
        cluster->opts.on_state(cluster->opts.arg, true);
}

static void on_shard_down(void *arg, bool was_up)
{
    struct shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    if (shard->slots)
        refresh_within(cluster, was_up ? 0 : REFRESH_BAD_MS);
    note_change(cluster);
    choose_clock(cluster);
    if (was_up && cluster->opts.on_state && !redis_cluster_up(cluster))
        cluster->opts.on_state(cluster->opts.arg, false);
}

static void on_misplaced(void *arg, struct redis_op *op, const char *error);

static const struct redis_node_user shard_user = {
    .on_up = on_shard_up, .on_down = on_shard_down, .on_misplaced = on_misplaced};

static struct shard *shard_find(const struct redis_cluster *cluster, const char *host, int port)
{
    for (size_t i = 0; i < cluster->shard_count; i++) {
        struct shard *shard = cluster->shards[i];
        if (shard->at.port == port && strcmp(shard->at.host, host) == 0)
            return shard;
    }
    return NULL;
}

/* Finds the shard of this primary, or begins to connect to it. NULL: there are too many. */
static struct shard *shard_of(struct redis_cluster *cluster, const struct redis_node_name *at)
{
    struct shard *shard = shard_find(cluster, at->host, at->port);
    if (shard || cluster->shard_count >= REDIS_NODES_MAX)
        return shard;
    struct redis_endpoint endpoint;
    shard = xcalloc(1, sizeof(*shard));
    shard->cluster = cluster;
    shard->at = *at;
    shard->leave_ms = now_of(cluster);
    name_write(shard->name, at);
    endpoint_of(cluster, shard->at.host, shard->at.port, &endpoint);
    const struct redis_node_opts opts = {.loop = cluster->opts.loop,
                                         .endpoint = &endpoint,
                                         .timeout_ms = cluster->opts.timeout_ms,
                                         .scripts = cluster->opts.scripts,
                                         .script_count = cluster->opts.script_count,
                                         .probe = cluster->opts.probe,
                                         .user = &shard_user,
                                         .arg = shard};
    if (redis_node_open(&opts, &shard->node) != ST_OK) {
        free(shard);
        return NULL;
    }
    cluster->open++;
    cluster->shards =
        xrealloc(cluster->shards, (cluster->shard_count + 1) * sizeof(struct shard *));
    cluster->shards[cluster->shard_count++] = shard;
    return shard;
}

/* Takes the shard from the list and closes its node. */
static void shard_close(struct redis_cluster *cluster, size_t i)
{
    struct shard *shard = cluster->shards[i];
    cluster->shards[i] = cluster->shards[--cluster->shard_count];
    for (size_t slot = 0; slot < REDIS_SLOT_COUNT; slot++)
        if (cluster->owner[slot] == shard)
            cluster->owner[slot] = NULL;
    redis_node_close(shard->node, shard_gone, shard);
}

/* Closes the nodes that serve no slot any more, when they have answered what they were asked. */
static void close_leavers(struct redis_cluster *cluster)
{
    for (size_t i = cluster->shard_count; i-- > 0;) {
        if (i >= cluster->shard_count) /* a callback of a command has closed the cluster */
            return;
        const struct shard *shard = cluster->shards[i];
        const bool idle = !redis_node_up(shard->node) || redis_node_in_flight(shard->node) == 0;
        const uint64_t since = now_of(cluster) - shard->leave_ms;
        if (shard->slots == 0 && (since > LEAVE_MS || (idle && since > LEAVE_MS / 4)))
            shard_close(cluster, i);
    }
}

/* ---- the map ---- */

static void give_slot(struct redis_cluster *cluster, unsigned slot, struct shard *shard)
{
    struct shard *before = cluster->owner[slot];
    if (before == shard)
        return;
    if (before && --before->slots == 0)
        before->leave_ms = now_of(cluster);
    cluster->owner[slot] = shard;
    if (shard)
        shard->slots++;
}

static void seed_close(struct redis_cluster *cluster)
{
    struct redis_node *seed = cluster->seed;
    cluster->seed = NULL;
    if (seed)
        redis_node_close(seed, on_node_gone, cluster);
}

static void take_map(struct redis_cluster *cluster, const struct redis_slots *slots)
{
    struct shard **shards = xcalloc(slots->count, sizeof(struct shard *));
    for (size_t i = 0; i < slots->count; i++)
        shards[i] = shard_of(cluster, &slots->nodes[i]);
    for (unsigned slot = 0; slot < REDIS_SLOT_COUNT; slot++) {
        const uint32_t age = (uint32_t)now_of(cluster) - cluster->moved_ms[slot];
        if (cluster->moved_ms[slot] && age < HOLD_MS && cluster->owner[slot])
            continue;
        cluster->moved_ms[slot] = 0;
        give_slot(cluster, slot, slots->owner[slot] ? shards[slots->owner[slot] - 1] : NULL);
    }
    free(shards);
    cluster->mapped = true;
    for (size_t i = 0; i < cluster->shard_count; i++)
        shard_tag(cluster->shards[i]);
    choose_clock(cluster);
    note_change(cluster);
}

static void on_slots(void *arg, enum status status, const struct redis_reply *reply)
{
    struct redis_cluster *cluster = arg;
    struct redis_slots *slots = xcalloc(1, sizeof(*slots));
    bool rest =
        false; /* each seed has answered without a map: it takes longer, and each is a line of the log */
    cluster->asking = false;
    if (cluster->closing) {
        free(slots);
        return;
    }
    if (status == ST_OK && redis_slots_read(slots, reply, cluster->asked) == ST_OK) {
        cluster->seed_problem[0] = '\0';
        take_map(cluster, slots);
        redis_slots_clear(slots);
        seed_close(cluster);
    } else if (status == ST_OK || status == ST_INTERNAL) {
        const char *text = status == ST_INTERNAL ? redis_reply_str(reply, NULL) : NULL;
        (void)snprintf(cluster->seed_problem, sizeof(cluster->seed_problem), "CLUSTER SLOTS: %s",
                       text ? text : "no slot is served: the cluster is not created yet");
        seed_close(cluster); /* another one may know more */
        rest = !cluster->mapped && ++cluster->refusals % cluster->target.host_count == 0;
    } else if (!cluster->mapped) {
        (void)snprintf(cluster->seed_problem, sizeof(cluster->seed_problem),
                       "CLUSTER SLOTS was not answered, or the user may not run it");
    }
    free(slots);
    cluster->due_ms =
        now_of(cluster) + (redis_cluster_whole(cluster) ? REFRESH_MS + clock_mono_ns() % 500
                           : rest                       ? REST_MS
                                                        : REFRESH_BAD_MS);
    plan(cluster);
}

/* True: it was asked. */
static bool ask(struct redis_cluster *cluster, struct redis_node *node, const char *host)
{
    struct redis_args args;
    redis_args_init(&args);
    redis_args_add(&args, "CLUSTER");
    redis_args_add(&args, "SLOTS");
    cluster->asking = redis_node_command(node, -1, &args, on_slots, cluster) == ST_OK;
    redis_args_clear(&args);
    if (cluster->asking)
        (void)snprintf(cluster->asked, sizeof(cluster->asked), "%s", host);
    return cluster->asking;
}

static void on_seed_up(void *arg)
{
    struct redis_cluster *cluster = arg;
    if (!cluster->asking && cluster->seed)
        (void)ask(cluster, cluster->seed, cluster->target.hosts[cluster->seed_turn].name);
}

/* The next attempt is for another seed: this one may be gone for good. */
static void on_seed_down(void *arg, bool was_up)
{
    struct redis_cluster *cluster = arg;
    (void)was_up;
    if (!cluster->seed)
        return;
    const struct redis_host *host = &cluster->target.hosts[cluster->seed_turn];
    (void)snprintf(cluster->seed_problem, sizeof(cluster->seed_problem), "%s:%d: %s", host->name,
                   host->port, redis_node_state(cluster->seed).problem);
    seed_close(cluster);
    cluster->due_ms = now_of(cluster) + REFRESH_BAD_MS;
    plan(cluster);
}

static const struct redis_node_user seed_user = {.on_up = on_seed_up, .on_down = on_seed_down};

static void seed_open(struct redis_cluster *cluster)
{
    cluster->seed_turn = (cluster->seed_turn + 1) % cluster->target.host_count;
    const struct redis_host *host = &cluster->target.hosts[cluster->seed_turn];
    struct redis_endpoint endpoint;
    endpoint_of(cluster, host->name, host->port, &endpoint);
    const struct redis_node_opts opts = {.loop = cluster->opts.loop,
                                         .endpoint = &endpoint,
                                         .timeout_ms = cluster->opts.timeout_ms,
                                         .user = &seed_user,
                                         .arg = cluster};
    if (redis_node_open(&opts, &cluster->seed) == ST_OK)
        cluster->open++;
    else
        cluster->seed = NULL;
}

/* Asks a primary that is reached, another one each time; none is: a seed. */
static void refresh(struct redis_cluster *cluster)
{
    cluster->asked_ms = now_of(cluster);
    cluster->due_ms = cluster->asked_ms + REFRESH_BAD_MS;
    if (cluster->asking)
        return;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct shard *shard = cluster->shards[cluster->turn++ % cluster->shard_count];
        if (redis_node_up(shard->node) && ask(cluster, shard->node, shard->at.host))
            return;
    }
    if (!cluster->seed)
        seed_open(cluster);
    else if (redis_node_up(cluster->seed))
        on_seed_up(cluster);
}

/* ---- commands ---- */

static void waiting_add(struct redis_cluster *cluster, struct redis_op *op)
{
    op->next = NULL;
    *cluster->waiting_end = op;
    cluster->waiting_end = &op->next;
    cluster->waiting_count++;
}

static void wait(struct redis_cluster *cluster, struct redis_op *op)
{
    op->retry_ms = now_of(cluster) + RETRY_MS;
    waiting_add(cluster, op);
    plan(cluster);
}

static bool is_spent(const struct redis_cluster *cluster, const struct redis_op *op)
{
    return now_of(cluster) + (uint64_t)cluster->opts.timeout_ms / 4 >= op->deadline_ms;
}

/* Sends a command again: to the owner of its slot, or where ASK leads. */
static void send_again(struct redis_cluster *cluster, struct redis_op *op, struct shard *to)
{
    if (cluster->stopped || is_spent(cluster, op) || cluster->waiting_count >= WAITING_MAX)
        redis_op_fail(op, ST_UNAVAILABLE);
    else if (!to || op->moves > 2 || !redis_node_resend(to->node, op))
        wait(cluster, op); /* two nodes that send it to each other are not asked without a pause */
}

static void on_misplaced(void *arg, struct redis_op *op, const char *error)
{
    const struct shard *from = arg;
    struct redis_cluster *cluster = from->cluster;
    struct redis_redirect redirect = redis_redirect_read(error);
    struct shard *to = NULL;
    if (!*redirect.node.host)
        memcpy(redirect.node.host, from->at.host, sizeof(from->at.host));
    op->asking = redirect.kind == REDIS_REDIRECT_ASK;
    switch (redirect.kind) {
    case REDIS_REDIRECT_MOVED:
        op->moves++;
        to = shard_of(cluster, &redirect.node);
        if (to) {
            give_slot(cluster, redirect.slot, to);
            cluster->moved_ms[redirect.slot] = (uint32_t)now_of(cluster) | 1;
            shard_tag(to);
        }
        refresh_within(cluster, 0);
        send_again(cluster, op, to);
        break;
    case REDIS_REDIRECT_ASK:
        op->moves++;
        to = shard_of(cluster, &redirect.node);
        if (to) /* it may serve no slot yet: it is needed all the same */
            to->leave_ms = now_of(cluster);
        send_again(cluster, op, to);
        break;
    case REDIS_REDIRECT_DOWN:
        refresh_within(cluster, REFRESH_BAD_MS);
        /* fall through */
    default:
        if (cluster->stopped || is_spent(cluster, op) || cluster->waiting_count >= WAITING_MAX)
            redis_op_fail(op, ST_UNAVAILABLE);
        else
            wait(cluster, op);
    }
}

/* Sends what has waited long enough; what cannot be sent waits on. Takes the commands from the list one by one, because a
 * callback may call redis_close, which ends them all. */
static void retry(struct redis_cluster *cluster)
{
    const uint64_t now = now_of(cluster);
    for (size_t left = cluster->waiting_count; left > 0 && cluster->waiting; left--) {
        struct redis_op *op = cluster->waiting;
        cluster->waiting = op->next;
        if (!cluster->waiting)
            cluster->waiting_end = &cluster->waiting;
        cluster->waiting_count--;
        op->asking = false; /* the owner says again where the key is */
        op->moves = 0;
        if (op->retry_ms <= now || cluster->stopped)
            send_again(cluster, op, cluster->owner[op->slot]);
        else
            waiting_add(cluster, op);
    }
}

static void on_timer(void *arg)
{
    struct redis_cluster *cluster = arg;
    if (cluster->waiting)
        retry(cluster);
    if (cluster->closing)
        return;
    close_leavers(cluster);
    if (cluster->closing)
        return;
    if (cluster->due_ms <= now_of(cluster))
        refresh(cluster);
    plan(cluster);
}

/* The owner of a slot may be known before there is a connection to it: after a promotion, or when a node is new. A command
 * waits for the first attempt to connect; not for later ones, since that server is gone. */
static enum status run(struct redis_cluster *cluster, const char *key, size_t len,
                       struct redis_call *call)
{
    const unsigned slot = redis_slot_of(key, len);
    const struct shard *shard = cluster->owner[slot];
    struct redis_op *op;
    if (!shard || cluster->stopped)
        return ST_UNAVAILABLE;
    call->slot = (int)slot;
    if (redis_node_up(shard->node) || !redis_node_is_new(shard->node))
        return call->script
                   ? redis_node_eval(shard->node, call->slot, call->script, call->key_count,
                                     call->args, call->cb, call->arg)
                   : redis_node_command(shard->node, call->slot, call->args, call->cb, call->arg);
    if (cluster->waiting_count >= WAITING_MAX)
        return ST_FULL;
    const enum status st = redis_node_prepare(shard->node, call, &op);
    if (st == ST_OK)
        wait(cluster, op);
    return st;
}

enum status redis_cluster_command(struct redis_cluster *cluster, const struct redis_args *args,
                                  redis_cb cb, void *arg)
{
    if (args->failed)
        return ST_TOO_LARGE;
    if (args->count < 2)
        return ST_INVALID;
    return run(cluster, args->argv[1], args->lens[1],
               &(struct redis_call){.args = args, .cb = cb, .arg = arg});
}

enum status redis_cluster_eval(struct redis_cluster *cluster, const struct redis_script *script,
                               size_t key_count, const struct redis_args *args, redis_cb cb,
                               void *arg)
{
    if (args->failed)
        return ST_TOO_LARGE;
    if (key_count == 0 || key_count > args->count)
        return ST_INVALID;
    return run(cluster, args->argv[0], args->lens[0],
               &(struct redis_call){
                   .script = script, .key_count = key_count, .args = args, .cb = cb, .arg = arg});
}

/* ---- what is known of it ---- */

bool redis_cluster_up(const struct redis_cluster *cluster)
{
    bool up = false;
    for (size_t i = 0; !up && i < cluster->shard_count; i++)
        up = cluster->shards[i]->slots && redis_node_up(cluster->shards[i]->node);
    return up && cluster->mapped;
}

bool redis_cluster_whole(const struct redis_cluster *cluster)
{
    unsigned served = 0;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct shard *shard = cluster->shards[i];
        if (shard->slots && !redis_node_up(shard->node))
            return false;
        served += shard->slots;
    }
    return served == REDIS_SLOT_COUNT;
}

/* Of all shards what is worst; a shard that is missing, before one that refuses writes. */
struct redis_state redis_cluster_state(const struct redis_cluster *cluster)
{
    struct redis_state all = {
        .up = redis_cluster_up(cluster), .problem = "", .warning = "", .danger = "", .muted = ""};
    const struct shard *worst = NULL;
    const char *problem = "";
    unsigned served = 0;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct shard *shard = cluster->shards[i];
        if (!shard->slots)
            continue;
        const struct redis_state one = redis_node_state(shard->node);
        served += shard->slots;
        all.partial = all.partial || !one.up;
        all.refuses_writes = all.refuses_writes || one.refuses_writes;
        all.full = all.full || one.full;
        if (one.fault > all.fault)
            all.fault = one.fault;
        if (*one.problem && (!worst || (!one.up && redis_node_up(worst->node)))) {
            worst = shard;
            problem = one.problem;
        }
        all.warning = *all.warning ? all.warning : one.warning;
        all.danger = *all.danger ? all.danger : one.danger;
        all.muted = *all.muted ? all.muted : one.muted;
    }
    char *text = ((struct redis_cluster *)(uintptr_t)cluster)->problem; /* a scratch buffer */
    const size_t size = sizeof(cluster->problem);
    text[0] = '\0';
    if (!cluster->mapped) {
        all.problem = cluster->seed_problem;
        all.fault = *cluster->seed_problem ? REDIS_FAULT_REACH : REDIS_FAULT_NONE;
        return all;
    }
    if (served < REDIS_SLOT_COUNT) {
        all.partial = true;
        (void)snprintf(text, size, "no shard serves %u of the %d slots", REDIS_SLOT_COUNT - served,
                       REDIS_SLOT_COUNT);
    }
    if (worst)
        (void)snprintf(text, size, "shard %.*s: %.160s", 270, worst->name, problem);
    else if (all.partial && all.up && !*text)
        (void)snprintf(text, size, "a shard of the cluster is not reached yet");
    all.problem = text;
    all.partial = all.partial && all.up;
    if (all.up) /* the fault of one shard is none of the others' */
        all.fault = REDIS_FAULT_NONE;
    return all;
}

bool redis_cluster_shard(const struct redis_cluster *cluster, size_t i,
                         struct redis_shard *ret_shard)
{
    for (size_t k = 0; k < cluster->shard_count; k++) {
        const struct shard *shard = cluster->shards[k];
        if (!shard->slots || i-- > 0)
            continue;
        *ret_shard = (struct redis_shard){
            .name = shard->name, .up = redis_node_up(shard->node), .slots = shard->slots};
        return true;
    }
    return false;
}

const char *redis_cluster_owner(const struct redis_cluster *cluster, unsigned slot)
{
    return cluster->owner[slot] ? cluster->owner[slot]->name : NULL;
}

bool redis_cluster_shards_channels(const struct redis_cluster *cluster)
{
    bool any = false;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct shard *shard = cluster->shards[i];
        if (!shard->slots || !redis_node_up(shard->node))
            continue;
        if (!redis_node_shards_channels(shard->node))
            return false;
        any = true;
    }
    return any;
}

bool redis_cluster_endpoint(const struct redis_cluster *cluster, int slot,
                            struct redis_endpoint *ret_endpoint)
{
    const struct shard *shard = slot >= 0 ? cluster->owner[slot] : NULL;
    for (size_t i = 0; slot < 0 && !shard && i < cluster->shard_count; i++)
        if (cluster->shards[i]->slots && redis_node_up(cluster->shards[i]->node))
            shard = cluster->shards[i];
    if (!shard)
        return false;
    endpoint_of(cluster, shard->at.host, shard->at.port, ret_endpoint);
    return true;
}

void redis_cluster_watch(struct redis_cluster *cluster, loop_cb cb, void *arg)
{
    cluster->on_change = cb;
    cluster->on_change_arg = arg;
    if (cb)
        loop_defer(cluster->opts.loop, &cluster->changed);
    else
        loop_undefer(cluster->opts.loop, &cluster->changed);
}

/* ---- life ---- */

struct redis_cluster *redis_cluster_new(const struct redis_opts *opts, struct redis_target *target,
                                        struct redis_tls *tls)
{
    struct redis_cluster *cluster = xcalloc(1, sizeof(*cluster));
    cluster->opts = *opts;
    cluster->target = *target;
    cluster->tls = redis_tls_ref(tls);
    *target = (struct redis_target){0};
    cluster->waiting_end = &cluster->waiting;
    cluster->changed = (struct loop_task){.cb = on_changed, .arg = cluster};
    cluster->gone = (struct loop_task){.cb = on_cluster_gone, .arg = cluster};
    cluster->timer = loop_timer_new(opts->loop, on_timer, cluster);
    cluster->seed_turn = clock_mono_ns() % cluster->target.host_count;
    cluster->open = 1;
    loop_timer_set(cluster->timer, 0);
    return cluster;
}

void redis_cluster_stop(struct redis_cluster *cluster)
{
    cluster->stopped = true;
    for (size_t i = 0; i < cluster->shard_count; i++)
        redis_node_stop(cluster->shards[i]->node);
    retry(cluster); /* ends all that wait */
}

void redis_cluster_close(struct redis_cluster *cluster, loop_cb cb, void *arg)
{
    cluster->closing = true;
    cluster->on_closed = cb;
    cluster->on_closed_arg = arg;
    redis_cluster_stop(cluster);
    loop_undefer(cluster->opts.loop, &cluster->changed);
    loop_timer_close(cluster->timer);
    seed_close(cluster);
    while (cluster->shard_count > 0)
        shard_close(cluster, cluster->shard_count - 1);
    on_node_gone(cluster);
}
