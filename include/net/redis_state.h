/* SPDX-License-Identifier: MIT */
/* redis_state: what a connection (redis.h) knows about its Redis. */
#ifndef TIKETI_REDIS_STATE_H
#define TIKETI_REDIS_STATE_H

#include <stdbool.h>

/* Why a Redis is not used: not reached, or not signed in; no primary of its own; a user who lacks commands. */
enum redis_fault { REDIS_FAULT_NONE, REDIS_FAULT_REACH, REDIS_FAULT_ROLE, REDIS_FAULT_PERMISSION };

/* What an operator has to know. Texts: "" where there is nothing to say; borrowed until the loop's next turn. */
struct redis_state {
    bool up;      /* in a cluster: some shard is reached */
    bool partial; /* up, but a shard of the cluster is not reached: `problem` says which and why */
    enum redis_fault fault; /* of what kind `problem` is, when it is not up */
    bool full;              /* maxmemory is reached, as far as INFO may be asked */
    bool refuses_writes;    /* up, but OOM, MISCONF, NOREPLICAS and the like */
    const char *problem;    /* why it is not up, or how it refuses writes */
    const char *warning;    /* all that threatens the data, and `muted`; in a cluster by shard */
    const char *danger;     /* of that the memory: an evicting policy, or nearly full */
    const char *muted;      /* what the user may not run on the channel */
};

#endif
