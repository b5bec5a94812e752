/* SPDX-License-Identifier: MIT */
/*
 * processor_internal: the structures that the processor's files share.
 *
 *   processor.c        which events are live; channel messages; sweeping of holds, freeing of slots
 *   processor_event.c  one live event: lease, tick, upkeep, settling with PostgreSQL
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
#define TICK_REPLY_SIZE  136 /* bytes */

/* What a tick is asked to do. Requests that come while a tick runs, or before the event is ready, are merged. */
struct tick_request {
    bool asked;
    bool regular;   /* admit as the settings say; false: only `admit` */
    uint64_t admit; /* admit so many first, whatever interval and outflow limit say */
    size_t reply_count;
    char replies[TICK_REPLIES_MAX][TICK_REPLY_SIZE]; /* whom to answer: their ids as JSON */
};

/* One tick: calls of promote until there is nothing more to do. */
struct tick {
    bool running;
    uint64_t started_ns;
    struct tick_request request; /* `admit`: what is left of it */
    uint64_t promoted, evicted;
};

/* Work that may fail and is repeated: logged when it begins to fail, and when it succeeds again. */
enum failure { FAILURE_TICK, FAILURE_INDEX, FAILURE_LOAD, FAILURE_CONSUMED };

/* One live event. */
struct processor_event {
    struct processor_event *next;
    struct processor *processor;
    char id[EVENT_ID_MAX + 1];
    bool wanted;      /* found by the discovery under way */
    bool held;        /* the lease */
    bool ready;       /* held, and the live copy was read since */
    unsigned failing; /* bits 1 << enum failure */
    bool closing, lease_closed, ledger_closed;
    unsigned pending; /* callbacks that will still come */

    struct lease *lease;
    struct ledger *ledger;
    struct event config; /* the live copy; valid when ready */

    struct loop_timer *timer;       /* the next regular tick */
    struct loop_task step;          /* the next call of the running tick */
    struct tick tick;               /* the running one, or the last */
    struct tick_request due;        /* of the next one */
    uint64_t due_until_ms;          /* requests from before the event was ready count until then */
    uint64_t regular_ms;            /* when the last regular tick began */
    uint64_t retry_ms;              /* it failed: when to repeat it; 0: it did not fail */
    enum event_status in_force;     /* as Redis last said */
    struct admission_rate rate;     /* of promotions */
    uint64_t seq;                   /* last place given, for PostgreSQL */
    struct queue_numbers last_sent; /* as queue-updated: queue_size, active, threshold */
    bool sent;                      /* since the lease was gained */

    bool reading, read_again; /* the live copy */
    bool loading;             /* the live copy, from PostgreSQL into Redis */
    bool indexing, settling, loading_consumed;
    uint64_t load_ms, settle_ms; /* last attempts; 0: at once */
};

struct processor {
    struct processor_opts opts;
    char owner[33]; /* of its leases */
    struct processor_event *events;
    struct loop_timer *discover_timer, *second_timer;
    bool discovering, discover_again;
    bool sweeping, freeing, pruning;
    unsigned seconds;
    unsigned pending; /* callbacks that will still come, but for those of the events */
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* ---- processor.c ---- */

/* Frees closed events without pending callbacks; ends the processor when it closes and none is left. */
void processor_collect(struct processor *processor);

/* ---- processor_event.c ---- */

/* Tries for the lease at once. The caller adds it to processor->events. */
struct processor_event *processor_event_new(struct processor *processor, const char *id);
/* Releases the lease; processor_collect frees the event after its last callback. */
void processor_event_close(struct processor_event *event);
/* Ticks now if the lease is held, or right after the running tick. admit: as in struct tick_request; 0: a regular
 * tick. reply: JSON to put into the answer, copied; NULL: no answer. */
void processor_event_tick_now(struct processor_event *event, uint64_t admit, const char *reply);
/* The settings may have changed: reads them again. */
void processor_event_changed(struct processor_event *event);
/* Seats were sold or freed: the next upkeep settles whether the event is sold out. */
void processor_event_seats_changed(struct processor_event *event);

#endif
