/* SPDX-License-Identifier: MIT */
/*
 * What the files of redis_cluster share: redis_cluster.c (commands), redis_cluster_shards.c (primaries and their
 * connections), redis_cluster_map.c (where the map comes from), redis_cluster_state.c (what is known of it).
 */
#ifndef TIKETI_REDIS_CLUSTER_INTERNAL_H
#define TIKETI_REDIS_CLUSTER_INTERNAL_H

#include "net/redis_cluster.h"
#include "net/redis_node.h"
#include "net/redis_slots.h"
#include "net/redis_waiting.h"

/* A primary, and the connection to it. */
struct cluster_shard {
    struct redis_cluster *cluster;
    struct redis_node *node;
    struct redis_node_name at;
    char name[REDIS_HOST_MAX + 8]; /* host:port */
    unsigned slots;                /* number of slots that it serves */
    unsigned tag_slot; /* of the probe's key; its slot belonged to this shard at the last look */
    bool tagged;
    uint64_t leave_ms; /* since when it serves none; 0: it does */
};

struct redis_cluster {
    struct redis_opts opts;
    struct redis_target target;
    struct redis_tls *tls; /* NULL: plain */

    /* the primaries */
    struct cluster_shard **shards;
    size_t shard_count;
    struct cluster_shard *owner[REDIS_SLOT_COUNT]; /* NULL: nobody serves this slot */
    uint32_t
        moved_ms[REDIS_SLOT_COUNT];   /* when MOVED told the owner, by loop_now_ms; 0: a map did */
    bool unsettled[REDIS_SLOT_COUNT]; /* its commands may be under way at an earlier owner */

    /* the map */
    bool mapped;             /* a map was read */
    size_t turn;             /* whom to ask for the next map */
    struct redis_node *seed; /* NULL: a primary can be asked */
    size_t seed_turn;
    size_t refusals; /* answers of seeds without a map */
    char seed_problem[320];
    bool asking;  /* CLUSTER SLOTS is under way */
    bool doubted; /* the map has become doubtful meanwhile */
    char asked[REDIS_HOST_MAX + 1];
    uint64_t asked_epoch;      /* of the node that was asked; 0: it has not said */
    uint64_t epoch;            /* of the map; 0: not known */
    size_t outdated;           /* maps in a row that were older */
    uint64_t no_epoch_ms;      /* when a node has given a map but no epoch; 0: none has */
    uint64_t asked_ms, due_ms; /* when the map was asked for last; when it is next */

    /* the commands */
    struct redis_waiting waiting;
    uint64_t retry_ms;            /* when they are tried again; 0: nobody waits */
    bool tried[REDIS_SLOT_COUNT]; /* the first of the line was sent alone */
    struct loop_timer *timer;
    struct loop_task changed; /* tells the watcher */
    loop_cb on_change;
    void *on_change_arg;
    char problem[480], warning[1600], danger[480]; /* what redis_cluster_state has written last */
    bool stopped, closing;
    size_t open; /* nodes that are not freed yet, and 1 until it is closed */
    struct loop_task gone;
    loop_cb on_closed;
    void *on_closed_arg;
};

static inline uint64_t cluster_now(const struct redis_cluster *cluster)
{
    return loop_now_ms(cluster->opts.loop);
}

/* ---- redis_cluster.c ---- */

extern const struct redis_node_user cluster_shard_user;
/* Arms the timer for what comes next. */
void cluster_plan(struct redis_cluster *cluster);
/* Tells the watcher, in a later turn of the loop. */
void cluster_note_change(struct redis_cluster *cluster);
/* One of the nodes counted in `open` has been freed; `arg` is the cluster. */
void cluster_node_gone(void *arg);

/* ---- redis_cluster_shards.c ---- */

/* Host and port for a connection, with all that the target says; borrows `host`. */
void cluster_endpoint(const struct redis_cluster *cluster, const char *host, int port,
                      struct redis_endpoint *ret_endpoint);
/* Finds the shard of this primary, or begins to connect to it. NULL: there are too many. */
struct cluster_shard *cluster_shard_of(struct redis_cluster *cluster,
                                       const struct redis_node_name *at);
/* Takes the shard from the list and closes its node. */
void cluster_shard_close(struct redis_cluster *cluster, size_t i);
/* Closes the nodes that serve no slot any more, when they have answered what they were asked. */
void cluster_close_leavers(struct redis_cluster *cluster);
/* `shard` NULL: nobody serves the slot. */
void cluster_give_slot(struct redis_cluster *cluster, unsigned slot, struct cluster_shard *shard);
/* Gives the probe a key that the shard serves. */
void cluster_shard_tag(struct cluster_shard *shard);
/* Takes the time from one of the shards alone. */
void cluster_choose_clock(const struct redis_cluster *cluster);

/* ---- redis_cluster_map.c ---- */

/* The map is to be read within `ms`. */
void cluster_refresh_within(struct redis_cluster *cluster, uint64_t ms);
/* As after the loss of a shard: the map may be wrong, but the nodes may not know better yet. */
void cluster_refresh_soon(struct redis_cluster *cluster);
/* Asks for the map, unless that is under way. */
void cluster_refresh(struct redis_cluster *cluster);
void cluster_seed_close(struct redis_cluster *cluster);

#endif
