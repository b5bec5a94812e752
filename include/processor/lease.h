/* SPDX-License-Identifier: MIT */
/*
 * lease: the processor's lease of one event, in Redis: tried every second, renewed every second, expires after
 * 3 s. Its value begins with a fencing token that never falls: scripts that work under the lease get the whole value
 * and compare it.
 */
#ifndef TIKETI_LEASE_H
#define TIKETI_LEASE_H

#include "net/loop.h"
#include "queue/queue.h"

#include <stdbool.h>

struct lease;

struct lease_opts {
    struct loop *loop;
    struct queue *queue;
    const char *event; /* copied */
    const char *owner; /* random text of this process; copied */
    /* Gained (true) or lost (false), in turn; also called from inside lease_lost. */
    void (*on_change)(void *arg, bool held);
    /* After each renewal, about once a second while held. need_consumed: see queue_lease_cb. */
    void (*on_renewed)(void *arg, bool need_consumed);
    void *arg;
};
/* Tries at once, and then every second until lease_close. */
struct lease *lease_new(const struct lease_opts *opts);
/* By our own clock: Redis alone decides whether it still is. */
bool lease_held(const struct lease *lease);
/* Borrowed; an empty text when it is not held. */
const struct lease_value *lease_value(const struct lease *lease);
/* A script answered that the lease is another's. */
void lease_lost(struct lease *lease);
/* Releases the lease if it is held, so that another pod goes on at once; frees; then `cb` (may be NULL). No other
 * callback runs any more. */
void lease_close(struct lease *lease, loop_cb cb, void *arg);

#endif
