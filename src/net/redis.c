/* SPDX-License-Identifier: MIT */
/*
 * redis: the one door to Redis, whatever stands behind it: a single server (redis_node), or a cluster (redis_cluster).
 *
 * Why this way: a call has its key in one place, so that the same code of the queue works on both.
 * Called by: queue, worker, api and the commands. Owns: the node or the cluster.
 * Redis gone: as redis_node.c and redis_cluster.c say.
 */
#include "net/redis.h"

#include "base/memory.h"
#include "net/redis_cluster.h"
#include "net/redis_dial.h"
#include "net/redis_node.h"
#include "net/redis_slots.h"
#include "net/redis_tls.h"

#include <stdlib.h>
#include <string.h>

struct redis {
    struct redis_opts opts;
    struct redis_node *node;       /* NULL: a cluster */
    struct redis_cluster *cluster; /* NULL: a single server */
    loop_cb on_closed;
    void *on_closed_arg;
};

static void on_node_up(void *arg)
{
    const struct redis *redis = arg;
    if (redis->opts.on_state)
        redis->opts.on_state(redis->opts.arg, true);
}

static void on_node_down(void *arg, bool was_up)
{
    const struct redis *redis = arg;
    if (was_up && redis->opts.on_state)
        redis->opts.on_state(redis->opts.arg, false);
}

static const struct redis_node_user node_user = {.on_up = on_node_up, .on_down = on_node_down};

enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis)
{
    struct redis_target target;
    struct redis_tls *tls;
    char problem[REDIS_PROBLEM_MAX];
    if (opts->timeout_ms <= 0 ||
        redis_dial_prepare(&opts->server, &target, &tls, problem, sizeof(problem)) != ST_OK)
        return ST_INVALID;
    struct redis *redis = xcalloc(1, sizeof(*redis));
    enum status st = ST_OK;
    redis->opts = *opts;
    if (target.mode == REDIS_CLUSTER)
        redis->cluster = redis_cluster_new(opts, &target, tls);
    else
        st = redis_node_open(&(struct redis_node_opts){.loop = opts->loop,
                                                       .server = &opts->server,
                                                       .timeout_ms = opts->timeout_ms,
                                                       .scripts = opts->scripts,
                                                       .script_count = opts->script_count,
                                                       .probe = opts->probe,
                                                       .user = &node_user,
                                                       .arg = redis},
                             &redis->node);
    redis_target_clear(&target);
    redis_tls_unref(tls);
    if (st != ST_OK) {
        free(redis);
        return st;
    }
    *ret_redis = redis;
    return ST_OK;
}

void redis_stop(struct redis *redis)
{
    if (redis->cluster)
        redis_cluster_stop(redis->cluster);
    else
        redis_node_stop(redis->node);
}

static void on_gone(void *arg)
{
    struct redis *redis = arg;
    loop_cb cb = redis->on_closed;
    void *cb_arg = redis->on_closed_arg;
    free(redis);
    if (cb)
        cb(cb_arg);
}

void redis_close(struct redis *redis, loop_cb cb, void *arg)
{
    if (!redis) {
        if (cb)
            cb(arg);
        return;
    }
    redis->on_closed = cb;
    redis->on_closed_arg = arg;
    if (redis->cluster)
        redis_cluster_close(redis->cluster, on_gone, redis);
    else
        redis_node_close(redis->node, on_gone, redis);
}

bool redis_up(const struct redis *redis)
{
    return redis->node ? redis_node_up(redis->node) : redis_cluster_up(redis->cluster);
}

bool redis_whole(const struct redis *redis)
{
    return redis->node ? redis_node_up(redis->node) : redis_cluster_whole(redis->cluster);
}

struct redis_state redis_state(const struct redis *redis)
{
    return redis->node ? redis_node_state(redis->node) : redis_cluster_state(redis->cluster);
}

enum status redis_command(struct redis *redis, const struct redis_args *args, redis_cb cb,
                          void *arg)
{
    return redis->node ? redis_node_command(redis->node, -1, args, cb, arg)
                       : redis_cluster_command(redis->cluster, args, cb, arg);
}

enum status redis_eval(struct redis *redis, const struct redis_script *script, size_t key_count,
                       const struct redis_args *args, redis_cb cb, void *arg)
{
    return redis->node ? redis_node_eval(redis->node, -1, script, key_count, args, cb, arg)
                       : redis_cluster_eval(redis->cluster, script, key_count, args, cb, arg);
}

struct redis_cluster *redis_cluster_of(const struct redis *redis)
{
    return redis->cluster;
}

bool redis_shard(const struct redis *redis, size_t i, struct redis_shard *ret_shard)
{
    return redis->cluster && redis_cluster_shard(redis->cluster, i, ret_shard);
}

const char *redis_shard_of(const struct redis *redis, const char *key)
{
    return redis->cluster ? redis_cluster_owner(redis->cluster, redis_slot_of(key, strlen(key)))
                          : NULL;
}

bool redis_shards_channels(const struct redis *redis)
{
    return redis->cluster && redis_cluster_shards_channels(redis->cluster);
}
