/* SPDX-License-Identifier: MIT */
/*
 * redis: commands, scripts and subscriptions. One pipelined connection per worker (in a cluster: per worker and
 * primary) reconnects by itself (after 50..500 ms, jittered); each command has a deadline; a subscription has a
 * connection of its own. Nothing here blocks; all calls are for the loop's own thread.
 */
#ifndef TIKETI_REDIS_H
#define TIKETI_REDIS_H

#include "base/status.h"
#include "net/loop.h"
#include "net/redis_opts.h"
#include "net/redis_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis;
struct redis_sub;

/* Returns new, and begins to connect. ST_INVALID: the server (redis_server_check says why) or the timeout cannot be
 * used. */
MUST_CHECK enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis);
/* Fails pending commands with ST_UNAVAILABLE (or ST_TIMEOUT), running their callbacks before it returns;
 * refuses later ones with ST_UNAVAILABLE. For a shutdown, so that callers may be closed before the
 * connection. Only redis_close may follow. */
void redis_stop(struct redis *redis);
/* Does what redis_stop does; frees the object later, then runs `cb` (may be NULL). May be called from any
 * callback of this module. When `redis` is NULL, cb runs at once. */
void redis_close(struct redis *redis, loop_cb cb, void *arg);
/* Is the connection established, and has Redis answered on it? In a cluster: that to any primary; the events of the
 * others are served, and calls for those of a shard that is not reached end with ST_UNAVAILABLE. */
bool redis_up(const struct redis *redis);
/* As redis_up; in a cluster: is every shard reached, and every slot served? */
bool redis_whole(const struct redis *redis);

struct redis_state redis_state(const struct redis *redis);

/* The i-th shard, in no order; false: there are fewer, or Redis is a single server. */
bool redis_shard(const struct redis *redis, size_t i, struct redis_shard *ret_shard);
/* The name of the shard of this key, borrowed until the loop's next turn; NULL: a single server, or not known. */
const char *redis_shard_of(const struct redis *redis, const char *key);
/* Is this a cluster whose shards have channels of their own (SPUBLISH: Redis 7), and may the user use them? */
bool redis_shards_channels(const struct redis *redis);

/* Sends a command. In a cluster it goes to the shard of its first argument after the name, which must be its key or
 * channel. Callback promise: if the returned status is not ST_OK, cb never runs; if it is ST_OK, cb
 * runs exactly once, after this call has returned, and no later than the deadline plus one turn of the
 * loop. cb may be NULL (fire and forget). Copies the arguments.
 * ST_UNAVAILABLE: not connected, or stopped. ST_FULL: 10,000 commands in flight, or 64 MiB unsent.
 * ST_TOO_LARGE: `args` has failed. ST_INVALID: `args` is empty. */
MUST_CHECK enum status redis_command(struct redis *redis, const struct redis_args *args,
                                     redis_cb cb, void *arg);
/* Runs a script by EVALSHA; when Redis does not have it (NOSCRIPT), once more by EVAL. `args` holds
 * `key_count` keys (in a cluster at least one; all of one slot), then the other arguments. Borrows `script` until the callback. Returns the
 * same statuses, with the same callback promise, as redis_command. */
MUST_CHECK enum status redis_eval(struct redis *redis, const struct redis_script *script,
                                  size_t key_count, const struct redis_args *args, redis_cb cb,
                                  void *arg);

struct redis_sub_opts {
    struct loop *loop;          /* borrowed */
    struct redis_server server; /* copied with its texts */
    /* Borrowed: what redis_open gave for the same server; it must live until redis_sub_close has been called. If it is a
     * cluster, the subscription follows its shards. NULL: the server is no cluster. */
    const struct redis *redis;
    const char *channel; /* copied */
    int64_t
        timeout_ms; /* Redis is pinged when nothing arrived for this long; without a reply in the same time the connection is closed */
    void (*on_message)(void *arg, const char *data, size_t len); /* data is borrowed */
    void (*on_state)(void *arg,
                     bool up); /* up: subscribed; !up: a subscription was lost. May be NULL. */
    void *arg;
};

/* Returns new: a subscription to one channel, and to those that are added, that renews itself. Messages published before
 * on_state(true) may have been missed. ST_INVALID as redis_open. */
MUST_CHECK enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret);
/* Subscribes to a further channel of one shard; where shards have none of their own (redis_shards_channels), it has no
 * effect. Each add must be followed by a remove; the channel stays until the last one. Copies. */
void redis_sub_add(struct redis_sub *sub, const char *channel);
void redis_sub_remove(struct redis_sub *sub, const char *channel);
/* Runs no callback of `opts` from now on. Frees the object later, then runs `cb` (may be NULL). When `sub` is
 * NULL, cb runs at once. */
void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg);

#endif
