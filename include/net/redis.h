/* SPDX-License-Identifier: MIT */
/*
 * redis: commands, scripts and subscriptions. One pipelined connection per worker reconnects by itself
 * (after 50..500 ms, jittered); each command has a deadline; a subscription has a connection of its
 * own. Nothing here blocks; all calls are for the loop's own thread.
 */
#ifndef TIKETI_REDIS_H
#define TIKETI_REDIS_H

#include "base/status.h"
#include "net/loop.h"
#include "net/redis_args.h"
#include "net/redis_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis;
struct redis_sub;

/* How a command ended; `reply` is borrowed until the callback returns.
 * ST_OK: Redis executed the command and `reply` is not an error.
 * ST_INTERNAL: Redis answered with an error that is a mistake of this program (logged); `reply` is that error.
 * ST_TIMEOUT (the deadline passed), ST_UNAVAILABLE (the connection was lost): `reply` is NULL. The outcome is
 * unknown: Redis may or may not have executed the command.
 * ST_UNAVAILABLE also: Redis answered that it cannot serve now (LOADING, BUSY, OOM, READONLY, MASTERDOWN…). */
typedef void (*redis_cb)(void *arg, enum status status, const struct redis_reply *reply);

struct redis_opts {
    struct loop *loop;  /* borrowed */
    const char *url;    /* copied; redis://… or unix://… */
    int64_t timeout_ms; /* deadline of one command, and of one attempt to connect */
    struct redis_script *const *scripts; /* borrowed; sent by SCRIPT LOAD at every connect */
    size_t script_count;
    void (*on_state)(void *arg,
                     bool up); /* up: connected; !up: the connection was lost. May be NULL. */
    void *arg;
};

/* Returns new, and begins to connect. ST_INVALID on a bad URL or timeout. */
MUST_CHECK enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis);
/* Fails pending commands with ST_UNAVAILABLE (or ST_TIMEOUT), running their callbacks before it returns;
 * refuses later ones with ST_UNAVAILABLE. For a shutdown, so that callers may be closed before the
 * connection. Only redis_close may follow. */
void redis_stop(struct redis *redis);
/* Does what redis_stop does; frees the object later, then runs `cb` (may be NULL). May be called from any
 * callback of this module. When `redis` is NULL, cb runs at once. */
void redis_close(struct redis *redis, loop_cb cb, void *arg);
/* Is the connection established, and has Redis answered on it? */
bool redis_up(const struct redis *redis);

/* Sends a command. Callback promise: if the returned status is not ST_OK, cb never runs; if it is ST_OK, cb
 * runs exactly once, after this call has returned, and no later than the deadline plus one turn of the
 * loop. cb may be NULL (fire and forget). Copies the arguments.
 * ST_UNAVAILABLE: not connected, or stopped. ST_FULL: 10,000 commands in flight, or 64 MiB unsent.
 * ST_TOO_LARGE: `args` has failed. ST_INVALID: `args` is empty. */
MUST_CHECK enum status redis_command(struct redis *redis, const struct redis_args *args,
                                     redis_cb cb, void *arg);
/* Runs a script by EVALSHA; when Redis does not have it (NOSCRIPT), once more by EVAL. `args` holds
 * `key_count` keys, then the other arguments. Borrows `script` until the callback. Returns the
 * same statuses, with the same callback promise, as redis_command. */
MUST_CHECK enum status redis_eval(struct redis *redis, const struct redis_script *script,
                                  size_t key_count, const struct redis_args *args, redis_cb cb,
                                  void *arg);

struct redis_sub_opts {
    struct loop *loop;   /* borrowed */
    const char *url;     /* copied */
    const char *channel; /* copied */
    int64_t
        timeout_ms; /* after so long without data Redis is pinged; after as long again the connection is dropped */
    void (*on_message)(void *arg, const char *data, size_t len); /* data is borrowed */
    void (*on_state)(void *arg,
                     bool up); /* up: subscribed; !up: the subscription was lost. May be NULL. */
    void *arg;
};

/* Returns new: a subscription to one channel that renews itself. Messages published before
 * on_state(true) may have been missed. ST_INVALID on a bad URL or timeout. */
MUST_CHECK enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret);
/* Runs no callback of `opts` from now on. Frees the object later, then runs `cb` (may be NULL). When `sub` is
 * NULL, cb runs at once. */
void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg);

#endif
