/* SPDX-License-Identifier: MIT */
/*
 * processor_internal: the structures that the processor's files share.
 *
 *   processor.c         which events are live; channel messages; sweeping of holds, freeing of slots
 *   processor_runner.c  runs one live event: lease, tick, upkeep, reconciling with PostgreSQL
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

/* What a tick is asked to do. Requests that arrive while a tick runs, or before the runner is ready, are merged. */
struct tick_request {
    bool asked;
    bool regular;   /* admit as the settings say; false: only `admit` buyers */
    uint64_t admit; /* admit so many buyers first, whatever interval and outflow limit say */
    size_t reply_count;
    char replies[TICK_REPLIES_MAX][TICK_REPLY_SIZE]; /* ids of the requests to answer, as JSON */
};

/* One tick: calls of queue_promote until there is nothing more to do. */
struct tick {
    bool running;
    uint64_t started_ns;
    struct tick_request request; /* its `admit` counts down */
    uint64_t promoted, evicted;
};

/* Work that is repeated after a failure. Its first failure and the next success are logged. */
enum failure { FAILURE_TICK, FAILURE_INDEX, FAILURE_LOAD, FAILURE_CONSUMED };

/* Runs one live event. */
struct event_runner {
    struct event_runner *next;
    struct processor *processor;
    char id[EVENT_ID_MAX + 1];
    bool wanted;      /* the discovery under way has found the event */
    bool held;        /* the lease is held */
    bool ready;       /* the lease is held, and the live copy was read since it was gained */
    unsigned failing; /* bits 1 << enum failure */
    bool closing, lease_closed, ledger_closed;
    unsigned pending; /* outstanding callbacks, but for those of lease and ledger */

    struct lease *lease;
    struct ledger *ledger;
    struct event live; /* the live copy: the event's settings as Redis has them; valid when ready */

    struct loop_timer *tick_timer; /* runs the next regular tick */
    struct loop_task tick_task;    /* makes the next call of the running tick */
    struct tick tick;              /* the running tick, or the last one */
    struct tick_request due;  /* requests for the next tick: ticks on demand, admissions by hand */
    uint64_t due_until_ms;    /* when requests made before the runner was ready are dropped */
    uint64_t regular_ms;      /* when the last regular tick began */
    uint64_t retry_ms;        /* when to repeat a failed regular tick; 0: it did not fail */
    enum event_status status; /* the status in force, as Redis last said */
    struct admission_rate rate;     /* the measured rate of admissions */
    uint64_t last_place;            /* the highest place given, reported to PostgreSQL */
    struct queue_numbers published; /* queue_size, active, threshold of the last queue-updated */
    bool numbers_published;         /* queue-updated was published since the lease was gained */

    /* Calls under way. */
    bool reading;                   /* the live copy is read from Redis */
    bool read_again;                /* it may have changed since that read began */
    bool loading;                   /* the event is loaded from PostgreSQL into Redis */
    bool indexing;                  /* the rank index is published */
    bool reconciling;               /* the event's record is read from PostgreSQL */
    bool loading_consumed;          /* consumed places are loaded from PostgreSQL into Redis */
    uint64_t load_ms, reconcile_ms; /* when the last attempt began; 0: try at once */
};

struct processor {
    struct processor_opts opts;
    char owner[33]; /* random: names this processor in its leases */
    struct event_runner *runners;
    struct loop_timer *discover_timer, *second_timer;
    bool discovering;                /* the live events are being read */
    bool discover_again;             /* a hint came since that read began */
    bool sweeping, freeing, pruning; /* such a call is under way */
    unsigned seconds;                /* since the start */
    unsigned pending;                /* outstanding callbacks, but for those of the runners */
    bool closing;
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* ---- processor.c ---- */

/* Frees closed runners without outstanding callbacks, and a closing processor when no runner or callback is left. */
void processor_collect(struct processor *processor);

/* ---- processor_runner.c ---- */

/* Returns new; tries for the lease at once. The caller adds it to processor->runners. */
struct event_runner *event_runner_new(struct processor *processor, const char *id);
/* Releases the lease. processor_collect frees the runner after its last callback. */
void event_runner_close(struct event_runner *runner);
/* If the lease is held, ticks now, or right after the running tick. Without the lease a request with `reply` is kept
 * for a short time. admit: as in struct tick_request; 0: a regular tick. reply: the request's id as JSON, copied;
 * NULL: no answer is expected. */
void event_runner_tick_now(struct event_runner *runner, uint64_t admit, const char *reply);
/* The event's settings may have changed: reads the live copy again. */
void event_runner_changed(struct event_runner *runner);
/* Seats were sold or freed: the next upkeep reconciles at once, since the event may be sold out now, or no longer. */
void event_runner_seats_changed(struct event_runner *runner);

#endif
