/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster_map: where the map of slots comes from, and when it is read anew.
 *
 *   whom   a primary that is reached, another one each time; none is: the seeds of the URL in turn, without end
 *   when   every REFRESH_MS, soon after a lost connection or a redirection; one question at a time
 *   what   CLUSTER INFO, for the node's epoch, and CLUSTER SLOTS
 *
 * Why this way: a primary that was cut off from most others goes on giving the map from before it lost its slots, and
 * CLUSTER SLOTS does not say how old it is. But the epoch of a cluster rises with each failover, and usually with a slot that
 * moves, and is the same at all nodes that hear each other. So a map of a lower epoch is not believed while anybody gives
 * a newer one; when everybody gives an older one, the cluster was made anew. Between maps of one epoch MOVED decides.
 * Called by: redis_cluster, redis_sub (redis_cluster_doubt). Owns: the seed.
 */
#include "net/redis_cluster_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFRESH_MS     5000  /* between two reads of the map when nothing is wrong */
#define REFRESH_BAD_MS 250   /* while a shard or the map is missing */
#define REST_MS        2000  /* after all seeds have answered that they have none */
#define REFRESH_MIN_MS 50    /* never more often */
#define NO_EPOCH_MS    60000 /* a node has not said its epoch: nobody is asked for so long */
#define HOLD_MS                                                                                    \
    1000 /* a map may be older than what MOVED said: it does not change such a slot for so long */

void cluster_refresh_within(struct redis_cluster *cluster, uint64_t ms)
{
    const uint64_t first = cluster->asked_ms + REFRESH_MIN_MS;
    uint64_t due = cluster_now(cluster) + ms;
    if (due < first)
        due = first;
    if (due < cluster->due_ms || cluster->due_ms == 0)
        cluster->due_ms = due;
    cluster_plan(cluster);
}

void cluster_refresh_soon(struct redis_cluster *cluster)
{
    cluster_refresh_within(cluster, REFRESH_BAD_MS);
}

void redis_cluster_doubt(struct redis_cluster *cluster)
{
    cluster->doubted = cluster->asking; /* the answer may be from before */
    cluster_refresh_within(cluster, 0);
}

void cluster_seed_close(struct redis_cluster *cluster)
{
    struct redis_node *seed = cluster->seed;
    cluster->seed = NULL;
    if (seed)
        redis_node_close(seed, cluster_node_gone, cluster);
}

static void take_map(struct redis_cluster *cluster, const struct redis_slots *slots)
{
    struct cluster_shard **shards = xcalloc(slots->count, sizeof(struct cluster_shard *));
    for (size_t i = 0; i < slots->count; i++)
        shards[i] = cluster_shard_of(cluster, &slots->nodes[i]);
    for (unsigned slot = 0; slot < REDIS_SLOT_COUNT; slot++) {
        const int32_t age = (int32_t)((uint32_t)cluster_now(cluster) - cluster->moved_ms[slot]);
        if (cluster->moved_ms[slot] && age < HOLD_MS && cluster->owner[slot])
            continue;
        cluster->moved_ms[slot] = 0;
        cluster_give_slot(cluster, slot,
                          slots->owner[slot] ? shards[slots->owner[slot] - 1] : NULL);
    }
    free(shards);
    cluster->mapped = true;
    for (size_t i = 0; i < cluster->shard_count; i++)
        cluster_shard_tag(cluster->shards[i]);
    cluster_choose_clock(cluster);
    cluster_note_change(cluster);
}

/* ---- how old a map is ---- */

/* The number of nodes that are asked in turn. */
static size_t asked_count(const struct redis_cluster *cluster)
{
    size_t count = 0;
    for (size_t i = 0; i < cluster->shard_count; i++)
        count += redis_node_up(cluster->shards[i]->node);
    return cluster->seed ? cluster->target.host_count : count;
}

/* Is the epoch asked for? Not each time by a user who may not run CLUSTER INFO: each refusal is a line of the log. */
static bool asks_epoch(const struct redis_cluster *cluster)
{
    return !cluster->no_epoch_ms || cluster_now(cluster) - cluster->no_epoch_ms >= NO_EPOCH_MS;
}

/* Judges the epoch of the node that was asked, and takes it with its map. */
static bool is_outdated(struct redis_cluster *cluster)
{
    const uint64_t epoch = cluster->asked_epoch;
    if (epoch && epoch < cluster->epoch && ++cluster->outdated < asked_count(cluster)) {
        log_info("old map of a cluster not believed", LOG_TEXT("host", cluster->asked),
                 LOG_NUM("epoch", epoch), LOG_NUM("known", cluster->epoch));
        return true;
    }
    cluster->outdated = 0;
    if (epoch)
        cluster->epoch = epoch;
    else if (asks_epoch(cluster))
        cluster->no_epoch_ms = cluster_now(cluster);
    return false;
}

static void on_info(void *arg, enum status status, const struct redis_reply *reply)
{
    static const char name[] = "cluster_current_epoch:";
    struct redis_cluster *cluster = arg;
    const char *text = status == ST_OK ? redis_reply_str(reply, NULL) : NULL;
    const char *at = text ? strstr(text, name) : NULL;
    if (at)
        cluster->asked_epoch = strtoull(at + sizeof(name) - 1, NULL, 10);
}

/* ---- asking ---- */

static void on_slots(void *arg, enum status status, const struct redis_reply *reply)
{
    struct redis_cluster *cluster = arg;
    struct redis_slots *slots = xcalloc(1, sizeof(*slots));
    uint64_t wait_ms = REFRESH_BAD_MS;
    cluster->asking = false;
    if (cluster->closing) {
        free(slots);
        return;
    }
    if (status == ST_OK && redis_slots_read(slots, reply, cluster->asked) == ST_OK) {
        cluster->seed_problem[0] = '\0';
        const bool outdated = is_outdated(cluster);
        if (!outdated)
            take_map(cluster, slots);
        redis_slots_clear(slots);
        cluster_seed_close(cluster); /* an outdated one: the next is asked */
        if (!outdated && redis_cluster_whole(cluster))
            wait_ms = REFRESH_MS + clock_mono_ns() % 500;
        else if (outdated)
            wait_ms = REFRESH_MIN_MS;
    } else if (status == ST_OK || status == ST_INTERNAL) {
        const char *text = status == ST_INTERNAL ? redis_reply_str(reply, NULL) : NULL;
        (void)snprintf(cluster->seed_problem, sizeof(cluster->seed_problem), "CLUSTER SLOTS: %s",
                       text ? text : "no slot is served: the cluster is not created yet");
        cluster_seed_close(cluster); /* another one may know more */
        /* Each seed has answered without a map: it takes longer, and each is a line of the log. */
        if (!cluster->mapped && ++cluster->refusals % cluster->target.host_count == 0)
            wait_ms = REST_MS;
    } else if (!cluster->mapped) {
        (void)snprintf(cluster->seed_problem, sizeof(cluster->seed_problem),
                       "CLUSTER SLOTS was not answered, or the user may not run it");
    }
    free(slots);
    if (cluster->doubted)
        wait_ms = REFRESH_MIN_MS;
    cluster->doubted = false;
    cluster->due_ms = cluster_now(cluster) + wait_ms;
    cluster_plan(cluster);
}

static bool send(struct redis_cluster *cluster, struct redis_node *node, const char *verb,
                 redis_cb cb)
{
    struct redis_args args;
    redis_args_init(&args);
    redis_args_add(&args, "CLUSTER");
    redis_args_add(&args, verb);
    const enum status st = redis_node_command(node, -1, &args, cb, cluster);
    redis_args_clear(&args);
    return st == ST_OK;
}

/* True: it was asked, or a part of it was, whose answer may still come: then nobody else is asked now. */
static bool ask(struct redis_cluster *cluster, struct redis_node *node, const char *host)
{
    const bool epoch = asks_epoch(cluster);
    cluster->asked_epoch = 0;
    if (epoch && !send(cluster, node, "INFO", on_info))
        return false;
    cluster->asking = send(cluster, node, "SLOTS", on_slots);
    if (cluster->asking)
        (void)snprintf(cluster->asked, sizeof(cluster->asked), "%s", host);
    return cluster->asking || epoch;
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
    cluster_seed_close(cluster);
    cluster->due_ms = cluster_now(cluster) + REFRESH_BAD_MS;
    cluster_plan(cluster);
}

static const struct redis_node_user seed_user = {.on_up = on_seed_up, .on_down = on_seed_down};

static void seed_open(struct redis_cluster *cluster)
{
    cluster->seed_turn = (cluster->seed_turn + 1) % cluster->target.host_count;
    const struct redis_host *host = &cluster->target.hosts[cluster->seed_turn];
    struct redis_endpoint endpoint;
    cluster_endpoint(cluster, host->name, host->port, &endpoint);
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

void cluster_refresh(struct redis_cluster *cluster)
{
    cluster->asked_ms = cluster_now(cluster);
    cluster->due_ms = cluster->asked_ms + REFRESH_BAD_MS;
    if (cluster->asking)
        return;
    for (size_t i = 0; i < cluster->shard_count; i++) {
        const struct cluster_shard *shard = cluster->shards[cluster->turn++ % cluster->shard_count];
        if (redis_node_up(shard->node) && ask(cluster, shard->node, shard->at.host))
            return;
    }
    if (!cluster->seed)
        seed_open(cluster);
    else if (redis_node_up(cluster->seed))
        on_seed_up(cluster);
}
