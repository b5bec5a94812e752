/* SPDX-License-Identifier: MIT */
/*
 * redis_slots: which node of a Redis Cluster has which key: the slot of a key, the map of slots, and the errors with
 * which a node sends a caller to another one. Pure: needs neither Redis nor a loop.
 */
#ifndef TIKETI_REDIS_SLOTS_H
#define TIKETI_REDIS_SLOTS_H

#include "base/status.h"
#include "net/redis_reply.h"

#include <stddef.h>
#include <stdint.h>

#define REDIS_SLOT_COUNT 16384
#define REDIS_NODES_MAX  1000 /* a cluster has no more */
#define REDIS_HOST_MAX   255  /* bytes of a host name */

/* The slot of a key or channel: of what stands between its first '{' and the next '}', if that is not empty. */
unsigned redis_slot_of(const char *key, size_t len);

struct redis_node_name {
    char host[REDIS_HOST_MAX + 1];
    int port;
};

/* The primaries of a cluster and the slots of each. Zeroed: no slot has an owner. */
struct redis_slots {
    struct redis_node_name *nodes;
    size_t count;
    uint16_t owner[REDIS_SLOT_COUNT]; /* 1 + index in nodes; 0: no node serves this slot */
};

/* Reads the reply to CLUSTER SLOTS. `asked` is the host that was asked: a node that does not know its own name leaves
 * it empty. ST_INVALID: it is not such a reply; the map is then empty. Else free it with redis_slots_clear. */
MUST_CHECK enum status redis_slots_read(struct redis_slots *slots, const struct redis_reply *reply,
                                        const char *asked);
void redis_slots_clear(struct redis_slots *slots);

enum redis_redirect_kind {
    REDIS_REDIRECT_NONE,  /* another error */
    REDIS_REDIRECT_MOVED, /* the slot belongs to `node` from now on */
    REDIS_REDIRECT_ASK, /* this once, after ASKING: the key has moved to `node`, the slot has not yet */
    REDIS_REDIRECT_AGAIN, /* some keys of the command have moved, others have not: ask again soon */
    REDIS_REDIRECT_DOWN   /* nobody serves the slot */
};

struct redis_redirect {
    enum redis_redirect_kind kind;
    unsigned slot;               /* of MOVED and ASK, as `node` */
    struct redis_node_name node; /* host "": that of the node that answered */
};

/* Reads the text of an error reply. */
struct redis_redirect redis_redirect_read(const char *error);

#endif
