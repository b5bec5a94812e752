/* SPDX-License-Identifier: MIT */
/*
 * processor_internal: what the processor's two files share; nobody else includes it.
 *
 *   processor.c       which events there are; messages; sweeping of holds and freeing of slots
 *   processor_event.c  one event: lease, upkeep, tick, settling with PostgreSQL
 */
#ifndef TIKETI_PROCESSOR_INTERNAL_H
#define TIKETI_PROCESSOR_INTERNAL_H

#include "processor/lease.h"
#include "processor/ledger.h"
#include "processor/processor.h"
#include "queue/admission.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stdint.h>

#define TICK_REPLIES_MAX 16
#define TICK_REPLY_SIZE  136 /* the asker's id as JSON text */

struct tick_replies {
    size_t count;
    char text[TICK_REPLIES_MAX][TICK_REPLY_SIZE];
};

enum failure { FAILURE_TICK = 1, FAILURE_INDEX = 2, FAILURE_CONFIGURE = 4, FAILURE_CONSUMED = 8 };

/* One tick: those who were asked for by hand are let in, then promote is called until there is no
 * more to do. */
struct tick {
    bool running;
    uint64_t started_ms, started_ns;
    uint64_t admit; /* still to be let in by hand */
    bool regular;   /* after that as the settings say */
    uint64_t promoted, evicted;
    struct tick_replies replies;
};

/* One live event. Its chain of work is its own: whatever goes wrong in it stays in it. */
struct processor_event {
    struct processor_event *next;
    struct processor *processor;
    char id[EVENT_ID_MAX + 1];
    bool wanted;      /* found by the discovery under way */
    bool held;        /* the lease */
    bool ready;       /* held, and the live copy was read since */
    unsigned failing; /* bits of enum failure: each is logged when it begins and ends */
    bool closing, lease_closed, ledger_closed;
    unsigned pending; /* callbacks that will still come */

    struct lease *lease;
    struct ledger *ledger;
    struct event config; /* the live copy; valid when ready */

    struct loop_timer *timer; /* the next tick */
    struct loop_task again;   /* the next step of this tick */
    struct tick tick;
    uint64_t regular_ms; /* when the last regular tick began */
    uint64_t retry_ms;   /* it failed: the next one is due then; 0: it did not */
    bool due;            /* another tick was asked for while one ran */
    bool due_regular;    /* and not only to let some in by hand */
    uint64_t due_admit;
    struct tick_replies due_replies;
    uint64_t due_until_ms; /* what was asked before the event was ready counts until then */

    enum event_status in_force; /* when Redis last sent */
    struct admission_rate rate;
    uint64_t seq; /* last place given, for PostgreSQL */
    uint64_t sent_size, sent_active, sent_threshold;

    bool reading, read_again, configuring, indexing, settling, loading;
    uint64_t configure_ms, settle_ms; /* when last tried */
};

struct processor {
    struct processor_opts opts;
    char owner[33];
    struct processor_event *events;
    struct loop_timer *discover_timer, *second_timer;
    bool discovering, discover_again;
    bool sweeping, freeing, pruning;
    unsigned seconds;
    unsigned pending;
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* ---- processor.c ---- */
void processor_settle(struct processor *processor); /* closing: is everything gone? */

/* ---- processor_event.c ---- */
struct processor_event *processor_event_new(struct processor *processor, const char *id);
/* Gives the lease back; frees the event when the last callback has come. */
void processor_event_close(struct processor_event *event);
/* A tick now (if held), or right after the one that runs. reply: JSON text to answer, or NULL;
 * admit: how many to let in whatever interval and outflow say, and no more; 0: a regular tick. */
void processor_event_tick_now(struct processor_event *event, uint64_t admit, const char *reply);
void processor_event_changed(
    struct processor_event *event); /* the settings may have changed: read them again */
void processor_event_seats_changed(
    struct processor_event *event); /* seats may be free again, or all be sold */

#endif
