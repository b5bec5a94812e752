/* SPDX-License-Identifier: MIT */
/* What the files of redis_node share: redis_node.c (commands), redis_node_check.c (greeting and checks). */
#ifndef TIKETI_REDIS_NODE_INTERNAL_H
#define TIKETI_REDIS_NODE_INTERNAL_H

#include "base/buf.h"
#include "net/redis_node.h"
#include "net/redis_risk.h"

struct redis_node {
    struct redis_link *link;
    struct redis_node_opts opts;
    struct redis_op *head,
        **tail; /* pending commands in the order sent, in which replies and deadlines come */
    size_t in_flight;
    uint64_t last_deadline_ms; /* of the last one */
    struct loop_timer
        *timer;     /* armed while connected: fires by the head's deadline at the latest */
    bool late;      /* the head's deadline has passed; its reply may be in the socket */
    struct buf out; /* the command being formatted */
    struct redis_health health;
    struct redis_risks risks;
    char server[280];         /* host:port, for the log */
    char warning[800];        /* what an operator has to know while it is up */
    struct loop_timer *check; /* NULL: nothing to probe. While up, the next check */
    unsigned checks;
    char tag[REDIS_TAG_SIZE]; /* of the probe's key */
    bool shard;               /* a node of a cluster */
    bool clock_unused;
    bool judged;                     /* it was up once, or an attempt to connect has failed */
    bool no_info;                    /* the user may not run INFO */
    uint64_t greeted_ns, checked_ns; /* when the last probe was sent */
    struct redis_args check_args;
    bool stopped; /* redis_stop was called; replies are dropped */
    bool closing;
    loop_cb on_closed;
    void *on_closed_arg;
};

/* ---- redis_node_check.c: `arg` is the node ---- */

void redis_node_greet(void *arg);
const char *redis_node_greeted(void *arg, size_t i, const struct redis_reply *reply);
/* For the timer `check`: sends a check, and sets the timer again. */
void redis_node_check(void *arg);
/* The first check is due in a while. */
void redis_node_check_later(struct redis_node *node);

#endif
