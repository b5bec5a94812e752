/* SPDX-License-Identifier: MIT */
/*
 * backends: Redis and PostgreSQL of a command that works on both once, such as `tiketi erase`: one connection to each.
 */
#ifndef TIKETI_BACKENDS_H
#define TIKETI_BACKENDS_H

#include "base/config.h"
#include "net/db.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/queue.h"

/* {0} at first. The members are for the command to use; they live until backends_close has stopped the loop. */
struct backends {
    struct loop *loop;
    struct redis *redis;
    struct queue *queue;
    struct db *db;
    struct redis_probe probe;
    char channel[QUEUE_CHANNEL_SIZE];
    char name[32]; /* by which PostgreSQL lists the connection */
};

/* Begins to connect to both; `command` is "erase" and so on. Borrows the loop and the config. ST_OK: their states
 * (redis_state, db_state) tell how it went. Else a URL cannot be used, which was said on stderr; close it all the same. */
MUST_CHECK enum status backends_open(struct backends *backends, struct loop *loop,
                                     const struct config *config, const char *command);
/* Ends both connections, and then stops the loop. */
void backends_close(struct backends *backends);

#endif
