/* SPDX-License-Identifier: MIT */
/*
 * lease: the processor's lease of one event, in Redis. Taken or renewed every second; expires after 3 s. Its value
 * begins with a fencing token that never falls. Scripts that work under the lease get the whole value and compare it.
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
    /* The lease was gained (true) or lost (false), alternately. Also called from inside lease_lost. */
    void (*on_change)(void *arg, bool held);
    /* Called after each renewal, about once a second while the lease is held. need_consumed: see queue_lease_cb. */
    void (*on_renewed)(void *arg, bool need_consumed);
    void *arg;
};
/* Returns new. Tries for the lease at once, and then every second until lease_close. */
struct lease *lease_new(const struct lease_opts *opts);
/* By this process' clock. Redis alone decides whether the lease is really still held. */
bool lease_held(const struct lease *lease);
/* Borrowed. Its text is empty while the lease is not held. */
const struct lease_value *lease_value(const struct lease *lease);
/* The caller reports that a script has refused the lease: another process holds it, or nobody. */
void lease_lost(struct lease *lease);
/* Releases the lease if it is held, so that another pod can take it at once, and frees it; then `cb` (may be NULL)
 * runs once, later. on_change and on_renewed are not called any more. */
void lease_close(struct lease *lease, loop_cb cb, void *arg);

#endif
