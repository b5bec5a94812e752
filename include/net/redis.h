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
 * ST_OK: the reply.
 * ST_INTERNAL: an error reply that points to our own mistake (logged), passed as `reply`.
 * ST_TIMEOUT (past its deadline), ST_UNAVAILABLE (connection lost): `reply` is NULL. The outcome is
 * unknown: the command may or may not have been executed.
 * ST_UNAVAILABLE also stands for an error reply that says Redis cannot serve now (LOADING, BUSY, OOM,
 * READONLY, MASTERDOWN…). */
typedef void (*redis_cb)(void *arg, enum status status, const struct redis_reply *reply);

struct redis_opts {
    struct loop *loop;  /* borrowed */
    const char *url;    /* copied; redis://… or unix://… */
    int64_t timeout_ms; /* deadline of one command, and of one attempt to connect */
    struct redis_script *const *scripts; /* borrowed; sent by SCRIPT LOAD at every connect */
    size_t script_count;
    void (*on_state)(void *arg, bool up); /* connected, connection lost; may be NULL */
    void *arg;
};

/* Returns new, and begins to connect. ST_INVALID on a bad URL or timeout. */
MUST_CHECK enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis);
/* Ends pending commands from within with ST_UNAVAILABLE (or ST_TIMEOUT) and refuses later ones with
 * ST_UNAVAILABLE: for a shutdown, while the callers are taken down. Only redis_close may follow. */
void redis_stop(struct redis *redis);
/* Does what redis_stop does; the object is freed later, then `cb` (may be NULL) runs. May be called from
 * any callback of this module. For NULL, cb runs at once. */
void redis_close(struct redis *redis, loop_cb cb, void *arg);
/* Is the connection established, and has Redis answered on it? */
bool redis_up(const struct redis *redis);

/* Sends a command. Callback promise of every start: if the status is not ST_OK, cb never runs; if it is,
 * cb runs exactly once, later, and no later than the deadline plus one turn of the loop. cb may be NULL
 * (fire and forget). Copies what `args` holds.
 * ST_UNAVAILABLE: not connected, or stopped. ST_FULL: 10,000 commands in flight, or 64 MiB unsent.
 * ST_TOO_LARGE: `args` has failed. ST_INVALID: `args` is empty. */
MUST_CHECK enum status redis_command(struct redis *redis, const struct redis_args *args,
                                     redis_cb cb, void *arg);
/* Runs a script by EVALSHA; when Redis does not have it (NOSCRIPT), once more by EVAL. `args` holds
 * `key_count` keys, then the other arguments. Borrows `script` until the callback. Statuses as above. */
MUST_CHECK enum status redis_eval(struct redis *redis, const struct redis_script *script,
                                  size_t key_count, const struct redis_args *args, redis_cb cb,
                                  void *arg);

struct redis_sub_opts {
    struct loop *loop;   /* borrowed */
    const char *url;     /* copied */
    const char *channel; /* copied */
    int64_t timeout_ms;  /* silence after which Redis is pinged, and after which it is given up */
    void (*on_message)(void *arg, const char *data, size_t len); /* data is borrowed */
    void (*on_state)(void *arg, bool up); /* subscribed, subscription lost; may be NULL */
    void *arg;
};

/* Returns new: a subscription to one channel that renews itself. Messages published before
 * on_state(true) may have been missed. ST_INVALID on a bad URL or timeout. */
MUST_CHECK enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret);
/* No callback of `opts` runs afterwards. The object is freed later, then `cb` (may be NULL) runs. For
 * NULL, cb runs at once. */
void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg);

#endif
