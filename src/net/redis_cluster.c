/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster: routes each command to the primary that serves its key.
 *
 *   map      redis_cluster_map.c; a primary and its connection: redis_cluster_shards.c
 *   command  slot of the key -> primary -> its pipelined connection
 *   MOVED    the map is corrected, the command goes to the node that was named, the map is read anew
 *   ASK      the command goes there once, after ASKING
 *   TRYAGAIN, CLUSTERDOWN   the command waits some ms, and is sent again while its deadline is far enough
 *
 * Why this way: the keys of an event share a slot, so a command concerns one node, and events do not wait for each other.
 * A node answered that it did *not* execute a command that it sends elsewhere: so that command may be sent again, even if
 * it is not idempotent.
 * Order: commands of one slot are executed in the order in which they were started. A command that waits, or is under way at
 * a node that had the slot before, is waited for by those after it. What remains: of several that were under way at one
 * node when it began to send them elsewhere, it may have executed a later one; and a script that a node did not have
 * (NOSCRIPT) is sent again as text, after plain commands that were behind it.
 * Called by: redis, redis_sub. Owns: the nodes, the map, the commands that wait (at most WAITING_MAX).
 * Invariants: a callback never runs inside the call that started its command, and by its deadline it has run. A command
 * is not sent with less than a quarter of its time left: a node ends its connection when a command times out.
 * A shard that is gone: its commands are refused at once (ST_UNAVAILABLE), those of the other shards go on. All are gone:
 * the seeds of the URL are asked in turn, without end.
 */
#include "net/redis_cluster_internal.h"

#include "base/clock.h"
#include "base/memory.h"
#include "net/redis_tls.h"

#include <stdlib.h>
#include <string.h>

#define RETRY_MS    10 /* before a command is sent again that nobody serves */
#define WAITING_MAX 10000

void cluster_note_change(struct redis_cluster *cluster)
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

void cluster_plan(struct redis_cluster *cluster)
{
    const uint64_t now = cluster_now(cluster);
    uint64_t due = cluster->due_ms;
    if (cluster->retry_ms && cluster->retry_ms < due)
        due = cluster->retry_ms;
    if (!cluster->closing)
        loop_timer_set(cluster->timer, due > now ? due - now : 1);
}

void cluster_node_gone(void *arg)
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

/* ---- commands that wait ---- */

static void wait(struct redis_cluster *cluster, struct redis_op *op)
{
    op->retry_ms = cluster_now(cluster) + RETRY_MS;
    if (op->refused && !redis_waiting_first(&cluster->waiting, (unsigned)op->slot))
        cluster->tried[op->slot] = op->tried;
    redis_waiting_add(&cluster->waiting, op);
    if (!cluster->retry_ms) /* else those that come meanwhile would put it off */
        cluster->retry_ms = op->retry_ms;
    cluster_plan(cluster);
}

static bool is_spent(const struct redis_cluster *cluster, const struct redis_op *op)
{
    return cluster_now(cluster) + (uint64_t)cluster->opts.timeout_ms / 4 >= op->deadline_ms;
}

/* Is a command of this slot, started before that time, under way at another node than this one? */
static bool is_elsewhere(const struct redis_cluster *cluster, unsigned slot, uint64_t start_ns,
                         const struct cluster_shard *than)
{
    for (size_t i = 0; cluster->unsettled[slot] && i < cluster->shard_count; i++)
        if (cluster->shards[i] != than &&
            redis_node_has_older(cluster->shards[i]->node, (int)slot, start_ns))
            return true;
    return false;
}

/* Must the line that begins with this command wait on? Also while its last try is not answered. */
static bool line_waits(const struct redis_cluster *cluster, const struct redis_op *first)
{
    const struct cluster_shard *to = cluster->owner[first->slot];
    return !cluster->stopped &&
           (first->retry_ms > cluster_now(cluster) ||
            (to && redis_node_has_older(to->node, first->slot, first->start_ns)));
}

/* Sends the commands of a slot, the oldest first, until one must wait on. After a refusal the first goes alone, and the
 * others when it has been executed. Takes them one by one, because a callback may call redis_close, which ends them all. */
static void retry_slot(struct redis_cluster *cluster, unsigned slot)
{
    const struct redis_op *first = redis_waiting_first(&cluster->waiting, slot);
    struct redis_op *op;
    if (!first || line_waits(cluster, first))
        return;
    const bool alone = first->refused && (first->tried || !cluster->tried[slot]);
    cluster->tried[slot] = alone;
    while ((op = redis_waiting_take(&cluster->waiting, slot))) {
        const struct cluster_shard *to = cluster->owner[slot];
        op->tried = alone;
        op->asking = false; /* the owner says again where the key is */
        op->moves = 0;
        if (cluster->stopped || is_spent(cluster, op)) {
            redis_op_fail(op, ST_UNAVAILABLE);
        } else if (!to || is_elsewhere(cluster, slot, op->start_ns, to) ||
                   !redis_node_resend(to->node, op)) {
            wait(cluster, op);
            return;
        } else if (alone) {
            return;
        }
    }
}

/* Sends what has waited long enough; what cannot be sent waits on. */
static void retry(struct redis_cluster *cluster)
{
    unsigned slot;
    for (size_t left = cluster->waiting.line_count;
         left > 0 && redis_waiting_turn(&cluster->waiting, &slot); left--)
        retry_slot(cluster, slot);
    cluster->retry_ms = cluster->waiting.count ? cluster_now(cluster) + RETRY_MS : 0;
}

/* ---- redirections ---- */

/* Sends a command that was sent back: where it was told to go, or later to the owner of its slot. */
static void send_again(struct redis_cluster *cluster, struct redis_op *op,
                       const struct cluster_shard *to)
{
    const struct redis_op *first = redis_waiting_first(&cluster->waiting, (unsigned)op->slot);
    const bool ends = cluster->stopped || is_spent(cluster, op);
    /* Two nodes that send it to each other are not asked without a pause. */
    const bool waits = !to || op->moves > 2 || (first && first->start_ns < op->start_ns);
    if (!ends && !waits && redis_node_resend(to->node, op))
        return;
    if (ends || cluster->waiting.count >= WAITING_MAX)
        redis_op_fail(op, ST_UNAVAILABLE);
    else
        wait(cluster, op);
}

static void on_misplaced(void *arg, struct redis_op *op, const char *error)
{
    const struct cluster_shard *from = arg;
    struct redis_cluster *cluster = from->cluster;
    struct redis_redirect redirect = redis_redirect_read(error);
    struct cluster_shard *to = NULL;
    if (!*redirect.node.host)
        memcpy(redirect.node.host, from->at.host, sizeof(from->at.host));
    op->asking = redirect.kind == REDIS_REDIRECT_ASK;
    op->refused = redirect.kind != REDIS_REDIRECT_MOVED && redirect.kind != REDIS_REDIRECT_ASK;
    op->tried = op->tried && op->refused;
    switch (redirect.kind) {
    case REDIS_REDIRECT_MOVED:
        op->moves++;
        to = cluster_shard_of(cluster, &redirect.node);
        if (to) {
            cluster_give_slot(cluster, redirect.slot, to);
            cluster->moved_ms[redirect.slot] = (uint32_t)cluster_now(cluster) | 1;
            cluster_shard_tag(to);
        }
        redis_cluster_doubt(cluster);
        break;
    case REDIS_REDIRECT_ASK:
        op->moves++;
        to = cluster_shard_of(cluster, &redirect.node);
        if (to) /* it may serve no slot yet: it is needed all the same */
            to->leave_ms = cluster_now(cluster);
        break;
    case REDIS_REDIRECT_DOWN:
        cluster_refresh_soon(cluster);
        break;
    default:
        break;
    }
    send_again(cluster, op, to);
}

/* ---- a shard comes and goes ---- */

static void on_shard_up(void *arg)
{
    const struct cluster_shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    unsigned others = 0, slot;
    /* What has waited for this connection goes before what comes now. */
    for (size_t left = cluster->waiting.line_count;
         left > 0 && redis_waiting_turn(&cluster->waiting, &slot); left--)
        if (cluster->owner[slot] == shard)
            redis_waiting_first(&cluster->waiting, slot)->retry_ms = 0;
    retry(cluster);
    if (cluster->closing)
        return;
    for (size_t i = 0; i < cluster->shard_count; i++)
        others += cluster->shards[i] != shard && redis_node_up(cluster->shards[i]->node);
    cluster_choose_clock(cluster);
    cluster_note_change(cluster);
    cluster_plan(cluster);
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
    const struct cluster_shard *shard = arg;
    struct redis_cluster *cluster = shard->cluster;
    if (shard->slots && was_up)
        redis_cluster_doubt(cluster);
    else if (shard->slots)
        cluster_refresh_soon(cluster);
    cluster_note_change(cluster);
    cluster_choose_clock(cluster);
    if (was_up && cluster->opts.on_state && !redis_cluster_up(cluster))
        cluster->opts.on_state(cluster->opts.arg, false);
}

const struct redis_node_user cluster_shard_user = {
    .on_up = on_shard_up, .on_down = on_shard_down, .on_misplaced = on_misplaced};

static void on_timer(void *arg)
{
    struct redis_cluster *cluster = arg;
    retry(cluster);
    if (cluster->closing)
        return;
    cluster_close_leavers(cluster);
    if (cluster->closing)
        return;
    if (cluster->due_ms <= cluster_now(cluster))
        cluster_refresh(cluster);
    cluster_plan(cluster);
}

/* ---- commands ---- */

/* Must a new command of this slot let others go first? */
static bool has_to_wait(struct redis_cluster *cluster, unsigned slot,
                        const struct cluster_shard *owner)
{
    if (!redis_node_up(owner->node) || redis_waiting_first(&cluster->waiting, slot))
        return true;
    if (cluster->tried[slot]) /* perhaps it is refused once more */
        cluster->tried[slot] = redis_node_has_older(owner->node, (int)slot, UINT64_MAX);
    if (cluster->tried[slot])
        return true;
    cluster->unsettled[slot] = is_elsewhere(cluster, slot, UINT64_MAX, owner);
    return cluster->unsettled[slot];
}

/* The owner of a slot may be known before there is a connection to it: after a promotion, or when a node is new. A command
 * waits for the first attempt to connect; not for later ones, since that server is gone. */
static enum status run(struct redis_cluster *cluster, const char *key, size_t len,
                       struct redis_call *call)
{
    const unsigned slot = redis_slot_of(key, len);
    const struct cluster_shard *shard = cluster->owner[slot];
    struct redis_op *op;
    if (!shard || cluster->stopped ||
        (!redis_node_up(shard->node) && !redis_node_is_new(shard->node)))
        return ST_UNAVAILABLE;
    call->slot = (int)slot;
    if (!has_to_wait(cluster, slot, shard))
        return call->script
                   ? redis_node_eval(shard->node, call->slot, call->script, call->key_count,
                                     call->args, call->cb, call->arg)
                   : redis_node_command(shard->node, call->slot, call->args, call->cb, call->arg);
    if (cluster->waiting.count >= WAITING_MAX)
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
    cluster_seed_close(cluster);
    while (cluster->shard_count > 0)
        cluster_shard_close(cluster, cluster->shard_count - 1);
    cluster_node_gone(cluster);
}
