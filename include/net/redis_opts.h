/* SPDX-License-Identifier: MIT */
/* redis_opts: what a connection to Redis (redis.h) is opened with, and how a call on it ends. */
#ifndef TIKETI_REDIS_OPTS_H
#define TIKETI_REDIS_OPTS_H

#include "base/status.h"
#include "net/loop.h"
#include "net/redis_args.h"
#include "net/redis_reply.h"
#include "net/redis_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a command ended; `reply` is borrowed until the callback returns.
 * ST_OK: Redis executed the command and `reply` is not an error.
 * ST_INTERNAL: Redis answered with an error that is a mistake of this program (logged); `reply` is that error.
 * ST_TIMEOUT (the deadline passed), ST_UNAVAILABLE (the connection was lost): `reply` is NULL. The outcome is
 * unknown: Redis may or may not have executed the command.
 * ST_UNAVAILABLE also: Redis answered that it cannot serve now (LOADING, BUSY, OOM, READONLY, MASTERDOWN…). */
typedef void (*redis_cb)(void *arg, enum status status, const struct redis_reply *reply);

/* What is tried at each connect, and once a second: the script is called without keys and with these arguments, and
 * replies as lua/probe.lua does. The third argument is added: the hash tag of the key that it tries. Its time feeds
 * shared_clock. Borrowed. */
struct redis_probe {
    const struct redis_script *script;
    const char *argv[2];
};

struct redis_opts {
    struct loop *loop;          /* borrowed */
    struct redis_server server; /* copied with its texts */
    int64_t timeout_ms;         /* deadline of one command, and of one attempt to connect */
    struct redis_script *const *scripts; /* borrowed; sent by SCRIPT LOAD at every connect */
    size_t script_count;
    /* NULL: nothing is asked. Else only a primary is used (in a cluster: of each shard), and only when the probe finds that the
     * user may run everything. */
    const struct redis_probe *probe;
    /* up: connected; !up: the connection was lost. May be NULL. In a cluster: up as redis_up says; a shard that is reached
     * again while others were up all the time is told as !up and then up. */
    void (*on_state)(void *arg, bool up);
    void *arg;
};

/* A primary of a cluster that serves slots. */
struct redis_shard {
    const char
        *name; /* host:port, as the cluster announces it; borrowed until the loop's next turn */
    bool up;   /* this worker reaches it */
    unsigned slots; /* number of slots that it serves */
};

#endif
