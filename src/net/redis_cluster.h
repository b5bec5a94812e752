/* SPDX-License-Identifier: MIT */
/*
 * redis_cluster: the router of a Redis Cluster: a map of slots, and a redis_node to each primary. Only redis and redis_sub
 * use it; callers use redis.h.
 */
#ifndef TIKETI_REDIS_CLUSTER_H
#define TIKETI_REDIS_CLUSTER_H

#include "net/redis_link.h"
#include "net/redis_opts.h"
#include "net/redis_state.h"
#include "net/redis_url.h"

struct redis;
struct redis_cluster;

/* Returns new; takes the target's texts, and a reference to `tls` (NULL: plain). `opts` as of redis_open. */
struct redis_cluster *redis_cluster_new(const struct redis_opts *opts, struct redis_target *target,
                                        struct redis_tls *tls);
/* As the functions of redis.h. */
void redis_cluster_stop(struct redis_cluster *cluster);
void redis_cluster_close(struct redis_cluster *cluster, loop_cb cb, void *arg);
bool redis_cluster_up(const struct redis_cluster *cluster);
bool redis_cluster_whole(const struct redis_cluster *cluster);
struct redis_state redis_cluster_state(const struct redis_cluster *cluster);
MUST_CHECK enum status redis_cluster_command(struct redis_cluster *cluster,
                                             const struct redis_args *args, redis_cb cb, void *arg);
MUST_CHECK enum status redis_cluster_eval(struct redis_cluster *cluster,
                                          const struct redis_script *script, size_t key_count,
                                          const struct redis_args *args, redis_cb cb, void *arg);
/* The i-th primary that serves slots, by name; false: there are fewer. */
bool redis_cluster_shard(const struct redis_cluster *cluster, size_t i,
                         struct redis_shard *ret_shard);
/* The name of the primary that serves this slot, borrowed until the loop's next turn; NULL: none is known. */
const char *redis_cluster_owner(const struct redis_cluster *cluster, unsigned slot);
/* May every primary that is reached publish to the channel of one event? False as well while none is reached. */
bool redis_cluster_shards_channels(const struct redis_cluster *cluster);

/* The router behind this door; NULL: a single server. In redis.c. */
struct redis_cluster *redis_cluster_of(const struct redis *redis);

/* ---- for redis_sub, which has a connection of its own to each primary ---- */

/* The endpoint of the primary that serves this slot; its texts are borrowed until the loop's next turn. False: none is
 * known. -1: of any primary that is reached. */
bool redis_cluster_endpoint(const struct redis_cluster *cluster, int slot,
                            struct redis_endpoint *ret_endpoint);
/* Reads the map of slots soon: the caller has seen that it is wrong. */
void redis_cluster_doubt(struct redis_cluster *cluster);
/* Runs cb after each change of the map, and of what is reached. One watcher; NULL: none any more. */
void redis_cluster_watch(struct redis_cluster *cluster, loop_cb cb, void *arg);

#endif
