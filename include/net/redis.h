/* SPDX-License-Identifier: MIT */
/*
 * redis: commands and subscriptions (redis_link.c is the only includer of hiredis). One pipelined
 * connection per worker that reconnects by itself (jittered back-off 50..500 ms), a script cache, a deadline for every command, and
 * subscriptions on a connection of their own.
 */
#ifndef TIKETI_REDIS_H
#define TIKETI_REDIS_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis;
struct redis_sub;
struct redis_reply; /* a borrowed view of a reply, valid inside the callback only */

enum redis_type { REDIS_NIL, REDIS_INT, REDIS_STR, REDIS_LIST, REDIS_ERROR };
enum redis_type redis_reply_type(const struct redis_reply *reply); /* of NULL: REDIS_NIL */
int64_t redis_reply_int(const struct redis_reply *reply); /* also parses a decimal string; else 0 */
const char *redis_reply_str(const struct redis_reply *reply, size_t *ret_len); /* NULL if none */
size_t redis_reply_count(const struct redis_reply *reply);
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i); /* or NULL */

/* ST_OK with the reply; ST_INTERNAL with an error reply (already logged); ST_TIMEOUT or
 * ST_UNAVAILABLE with NULL. Both mean that the outcome is unknown. An error reply by which Redis says
 * that it cannot serve now (LOADING, BUSY, OOM, READONLY, MASTERDOWN...) is ST_UNAVAILABLE. */
typedef void (*redis_cb)(void *arg, enum status status, const struct redis_reply *reply);

/* A bounded list of arguments, built without copying the texts it points to: they are borrowed
 * until redis_command returns (hiredis copies). Grows up to REDIS_ARGS_MAX; sticky `failed`. */
#define REDIS_ARGS_MAX 8192
struct redis_args {
    const char **argv;
    size_t *lens;
    size_t count, cap;
    char *scratch; /* numbers written as text live here */
    size_t scratch_len, scratch_cap;
    bool failed;
};
void redis_args_init(struct redis_args *args);
void redis_args_reset(struct redis_args *args); /* keeps the memory */
void redis_args_clear(struct redis_args *args);
void redis_args_add(struct redis_args *args, const char *text); /* borrowed */
void redis_args_add_len(struct redis_args *args, const char *text, size_t len);
void redis_args_add_int(struct redis_args *args, int64_t value);
void redis_args_add_uint(struct redis_args *args, uint64_t value);
void redis_args_add_copy(struct redis_args *args, const char *text, size_t len);

struct redis_script {
    const char *name;
    const char *body; /* borrowed for the life of the process */
    size_t len;
    char sha[41]; /* filled by redis_script_init */
};
void redis_script_init(struct redis_script *script, const char *name, const char *body, size_t len);

struct redis_opts {
    struct loop *loop;
    const char *url;                     /* see config.redis_url; copied */
    int64_t timeout_ms;                  /* deadline of one command */
    struct redis_script *const *scripts; /* loaded by SCRIPT LOAD at every (re)connect; borrowed */
    size_t script_count;
    void (*on_state)(void *arg, bool up); /* may be NULL */
    void *arg;
};

/* New; begins to connect. ST_INVALID on a bad URL (host names are resolved off the loop thread). */
MUST_CHECK enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis);
/* Pending commands end with ST_UNAVAILABLE (or ST_TIMEOUT) from within, later ones are refused with
 * ST_UNAVAILABLE: for a stop, while those who use it are taken down. Only redis_close may follow. */
void redis_stop(struct redis *redis);
/* Does the same; later `cb` (may be NULL)
 * runs and the object is gone. May be called from any callback of this module. NULL is fine: then cb
 * runs at once. */
void redis_close(struct redis *redis, loop_cb cb, void *arg);
bool redis_up(const struct redis *redis);

/* Contract of every start: a status other than ST_OK means cb never runs; ST_OK means cb runs
 * exactly once, later, at the latest at the deadline. cb may be NULL (fire and forget).
 * ST_UNAVAILABLE while not connected; ST_FULL over 10,000 commands in flight or 64 MiB unsent;
 * ST_TOO_LARGE when `args` has failed. */
MUST_CHECK enum status redis_command(struct redis *redis, const struct redis_args *args,
                                     redis_cb cb, void *arg);
/* EVALSHA; on NOSCRIPT once more as EVAL. args = keys then the other arguments. */
MUST_CHECK enum status redis_eval(struct redis *redis, const struct redis_script *script,
                                  size_t key_count, const struct redis_args *args, redis_cb cb,
                                  void *arg);

/* A subscription to one channel that renews itself. on_state(true) after each (re)subscription:
 * messages may have been missed before it. */
struct redis_sub_opts {
    struct loop *loop;
    const char *url;
    const char *channel;
    int64_t timeout_ms;
    void (*on_message)(void *arg, const char *data, size_t len); /* data is borrowed */
    void (*on_state)(void *arg, bool up);
    void *arg;
};
MUST_CHECK enum status redis_sub_open(const struct redis_sub_opts *opts, struct redis_sub **ret);
void redis_sub_close(struct redis_sub *sub, loop_cb cb, void *arg);

#endif
