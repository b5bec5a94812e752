/* SPDX-License-Identifier: MIT */
/*
 * lease: the processor's lease of one event.
 *
 * Why this way: Redis alone decides whether a lease is held, in every script that works under it. This file only
 * decides when it is worth trying: a lease counts as held for TTL_MS from the moment the last successful renewal was
 * sent, by this process' clock.
 * Called by: processor_runner. Owns: itself, its timer, at most one call under way.
 * Invariants: on_gained and on_lost alternate; after lease_close only its own callback runs.
 * Redis gone: the lease counts as lost 3 s after the last renewal, and is tried for again every second.
 */
#include "processor/lease.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#define TRY_MS 1000
#define TTL_MS 3000 /* as in lua/lease.lua */

struct lease {
    struct lease_opts opts;
    char *event, *owner;
    struct loop_timer *timer;
    struct lease_value value; /* empty: not held */
    bool asking;              /* a take or renew is under way */
    bool unanswered;          /* the last one had no answer, or could not be sent */
    uint64_t asked_ms;        /* when the last one was sent */
    uint64_t until_ms;        /* when the lease expires, unless it is renewed */
    bool closing;
    struct loop_task done;
    loop_cb on_closed;
    void *on_closed_arg;
};

static bool has_value(const struct lease *lease)
{
    return lease->value.text[0] != '\0';
}

bool lease_held(const struct lease *lease)
{
    return has_value(lease) && loop_now_ms(lease->opts.loop) < lease->until_ms;
}

const struct lease_value *lease_value(const struct lease *lease)
{
    return &lease->value;
}

const char *lease_loss_name(enum lease_loss loss)
{
    static const char *const names[] = {
        [LEASE_EXPIRED] = "expired", [LEASE_TAKEN] = "taken", [LEASE_REDIS] = "redis"};
    return names[loss];
}

static void lose(struct lease *lease, enum lease_loss loss)
{
    if (!has_value(lease))
        return;
    lease->value.text[0] = '\0';
    if (!lease->closing && lease->opts.on_lost)
        lease->opts.on_lost(lease->opts.arg, loss);
}

void lease_lost(struct lease *lease)
{
    lose(lease, LEASE_TAKEN);
}

/* ---- closing ---- */

static void lease_gone(void *arg)
{
    struct lease *lease = arg;
    loop_cb cb = lease->on_closed;
    void *cb_arg = lease->on_closed_arg;
    free(lease->event);
    free(lease->owner);
    free(lease);
    if (cb)
        cb(cb_arg);
}

static void on_released(void *arg, enum status status, const struct queue_lease *seen)
{
    struct lease *lease = arg;
    (void)status, (void)seen;
    loop_defer(lease->opts.loop, &lease->done);
}

/* The last step of closing, when no call is under way: gives the lease up if it is held. */
static void release(struct lease *lease)
{
    if (has_value(lease) && queue_lease_release(lease->opts.queue, lease->event, &lease->value,
                                                on_released, lease) == ST_OK)
        return;
    loop_defer(lease->opts.loop, &lease->done);
}

/* ---- taking and renewing ---- */

static void ask(struct lease *lease);

static void on_asked(void *arg, enum status status, const struct queue_lease *seen)
{
    struct lease *lease = arg;
    const struct lease_opts *opts = &lease->opts;
    const bool gained = !has_value(lease);
    lease->asking = false;
    lease->unanswered = status != ST_OK;
    if (lease->closing) {
        if (seen && seen->held)
            lease->value = seen->value;
        release(lease);
        return;
    }
    if (!seen) /* it counts as held until it expires, and the timer asks again */
        return;
    if (opts->on_seen)
        opts->on_seen(opts->arg, seen);
    if (seen->held) {
        lease->value = seen->value;
        lease->until_ms = lease->asked_ms + TTL_MS;
        if (gained && opts->on_gained)
            opts->on_gained(opts->arg);
        else if (!gained && opts->on_renewed)
            opts->on_renewed(opts->arg, seen->need_consumed);
    } else if (!gained) {
        lease_lost(lease);
        ask(lease); /* at once: Redis may have lost its data, and nobody else may have the lease yet */
    }
}

static void ask(struct lease *lease)
{
    if (lease->asking || lease->closing)
        return;
    lease->asked_ms = loop_now_ms(lease->opts.loop);
    const enum status st =
        has_value(lease)
            ? queue_lease_renew(lease->opts.queue, lease->event, &lease->value, on_asked, lease)
            : queue_lease_take(lease->opts.queue, lease->event, lease->owner, on_asked, lease);
    lease->asking = st == ST_OK;
    lease->unanswered = lease->unanswered || st != ST_OK;
}

static void on_timer(void *arg)
{
    struct lease *lease = arg;
    loop_timer_set(lease->timer, TRY_MS);
    if (has_value(lease) && !lease_held(lease))
        lose(lease, lease->unanswered ? LEASE_REDIS : LEASE_EXPIRED);
    ask(lease);
}

/* ---- life ---- */

struct lease *lease_new(const struct lease_opts *opts)
{
    struct lease *lease = xcalloc(1, sizeof(*lease));
    lease->opts = *opts;
    lease->opts.event = lease->opts.owner = NULL; /* lease->event and ->owner are the copies */
    lease->event = xstrdup(opts->event);
    lease->owner = xstrdup(opts->owner);
    lease->done = (struct loop_task){.cb = lease_gone, .arg = lease};
    lease->timer = loop_timer_new(opts->loop, on_timer, lease);
    loop_timer_set(lease->timer, 0);
    return lease;
}

void lease_close(struct lease *lease, loop_cb cb, void *arg)
{
    lease->closing = true;
    lease->on_closed = cb;
    lease->on_closed_arg = arg;
    loop_timer_close(lease->timer);
    if (!lease->asking)
        release(lease);
}
