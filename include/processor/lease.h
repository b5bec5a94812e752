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

enum lease_loss {
    LEASE_EXPIRED, /* this process did not renew it in time: it was stopped, or its loop was late */
    LEASE_TAKEN,   /* Redis says that another process has it, or nobody */
    LEASE_REDIS    /* Redis did not answer, so nobody knows */
};
/* "expired". Static. */
const char *lease_loss_name(enum lease_loss loss);

struct lease_opts {
    struct loop *loop;
    struct queue *queue;
    const char *event; /* copied */
    const char *owner; /* random text of this process; copied */
    /* The lease was gained or, for this reason, lost, alternately. Also called from inside lease_lost. */
    void (*on_gained)(void *arg);
    void (*on_lost)(void *arg, enum lease_loss loss);
    /* Called after each renewal, about once a second while the lease is held. need_consumed: see queue_lease_cb. */
    void (*on_renewed)(void *arg, bool need_consumed);
    /* Redis has answered, once a second, whether the lease is held or not: `lease` is borrowed. */
    void (*on_seen)(void *arg, const struct queue_lease *lease);
    void *arg;
};
/* Returns new. Tries for the lease at once, and then every second until lease_close. */
struct lease *lease_new(const struct lease_opts *opts);
/* By this process' clock. Redis alone decides whether the lease is really still held. */
bool lease_held(const struct lease *lease);
/* Borrowed. Its text is empty while the lease is not held. */
const struct lease_value *lease_value(const struct lease *lease);
/* The caller reports that a script has refused the lease: LEASE_TAKEN. */
void lease_lost(struct lease *lease);
/* Releases the lease if it is held, so that another pod can take it at once, and frees it; then `cb` (may be NULL)
 * runs once, later. None of the others is called any more. */
void lease_close(struct lease *lease, loop_cb cb, void *arg);

#endif
