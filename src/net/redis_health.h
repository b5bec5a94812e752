/* SPDX-License-Identifier: MIT */
/*
 * redis_health: is this Redis one that tiketi can work on? Judges the replies to HELLO and to the probe script; sets
 * tiketi_redis_problem, logs each change once. Sends nothing itself. Used by redis_node alone.
 */
#ifndef TIKETI_REDIS_HEALTH_H
#define TIKETI_REDIS_HEALTH_H

#include "net/redis_reply.h"
#include "net/redis_state.h"

#include <stdbool.h>
#include <stdint.h>

struct redis_health {
    const char *server;     /* its name in the log; borrowed; NULL counts as "" */
    char unusable[640];     /* what the functions below return */
    enum redis_fault fault; /* of what kind that is */
    char refused[160];      /* the error with which Redis refuses writes; "": it accepts them */
    char muted[320];        /* what the user may not run on the channel; "": nothing */
    bool flags[4];          /* what the gauges were told */
    bool shards_channels;   /* the probe says: the user may publish to a channel of one shard */
};

/* Each returns NULL, or the reason why this server must not be used; valid until the next call. An error reply
 * counts as nothing said, except to redis_health_hello. */

/* HELLO: not a primary, a Sentinel; a node of a cluster where none is meant, or no node where one is. */
const char *redis_health_hello(struct redis_health *health, bool in_cluster,
                               const struct redis_reply *reply);
/* lua/probe.lua: commands that the user may not run; refused writes; the time, in *ret_us (0: not said). */
const char *redis_health_probe(struct redis_health *health, const struct redis_reply *reply,
                               int64_t *ret_us);
/* Another command was refused with this error; "": writes are taken. The probe says it once a second. */
void redis_health_refused(struct redis_health *health, const char *error);
/* Is this text, which may be cut, what one of them has returned last? */
bool redis_health_is_problem(const struct redis_health *health, const char *text);
/* The server is used no more: takes back what the gauges were told. */
void redis_health_forget(struct redis_health *health);

#endif
