/* SPDX-License-Identifier: MIT */
/*
 * lease: the processor's lease of one event: tried every second, renewed every second, expires
 * after 3 s; fenced by a number that never falls. What is done under it passes lease_value to Lua,
 * which compares all of it.
 */
#ifndef TIKETI_LEASE_H
#define TIKETI_LEASE_H

#include "net/loop.h"
#include "queue/queue.h"

#include <stdbool.h>

struct lease;

/* Tries at once and then every second until lease_close. on_change(held) on gain and loss;
 * on_renewed after each successful renewal (about once a second) while held. */
struct lease_opts {
    struct loop *loop;
    struct queue *queue;
    const char *event; /* copied */
    const char *owner; /* random text of this process; copied */
    void (*on_change)(void *arg, bool held);
    void (*on_renewed)(void *arg, bool need_consumed);
    void *arg;
};
struct lease *lease_new(const struct lease_opts *opts);
bool lease_held(const struct lease *lease);
const struct lease_value *lease_value(const struct lease *lease);
void lease_lost(struct lease *lease); /* a script said so */
/* Releases when held (so that another pod goes on at once), then frees, then cb. */
void lease_close(struct lease *lease, loop_cb cb, void *arg);

#endif
