/* SPDX-License-Identifier: MIT */
/*
 * processor_internal: the structures that the processor's files share.
 *
 *   processor.c         which events are live; channel messages; sweeping of holds, freeing of slots
 *   processor_runner.c  runs one live event: lease, upkeep, reconciling with PostgreSQL
 *   processor_tick.c    its ticks, and what is admitted between them
 *   processor_feedback.c lets the shop's health lower and raise the threshold of one live event
 *   processor_retention.c  ends what was kept long enough
 *   processor_minutes.c copies the finished minutes of one live event to PostgreSQL
 *   processor_stats.c   tells the metrics what is known of one live event
 *   processor_sales.c   copies sales to Redis
 *   processor_feed.c    gives numbers to what happened
 */
#ifndef TIKETI_PROCESSOR_INTERNAL_H
#define TIKETI_PROCESSOR_INTERNAL_H

#include "base/json.h"
#include "processor/lease.h"
#include "processor/ledger.h"
#include "processor/processor.h"
#include "queue/admission.h"
#include "queue/event.h"
#include "queue/event_stats.h"
#include "queue/index.h"
#include "queue/silence.h"

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

/* One tick, or what is admitted between two: calls of queue_promote until there is nothing more to do. */
struct tick {
    bool running;
    enum queue_promote_part part;
    uint64_t started_ns;
    struct tick_request request; /* its `admit` counts down */
    uint64_t promoted, evicted;
    struct admission_limit limit; /* after its last step */
};

/* Work that is repeated after a failure. Its first failure and the next success are logged. */
enum failure {
    FAILURE_TICK,
    FAILURE_INDEX,
    FAILURE_LOAD,
    FAILURE_CONSUMED,
    FAILURE_MINUTES,
    FAILURE_BANS
};

/* An estimate that the last in line was told, until somebody at or behind their place is admitted. */
struct told_estimate {
    uint64_t place;
    int64_t at_ms; /* by Redis' clock */
    double seconds;
};
#define TOLD_MAX 64

/* What the metrics are told of an event. */
struct runner_stats {
    struct event_stats *out;
    struct told_estimate told[TOLD_MAX]; /* ascending by place and by time */
    size_t told_count;
    int64_t told_every_ms; /* one is noted in this time */
    uint64_t told_epoch;
    bool counting_stock; /* PostgreSQL is counting the seats */
    uint64_t stock_ms;   /* when it may be asked again, by the loop's clock */
    uint64_t stock_began_ms;
};

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
    unsigned pending;       /* outstanding callbacks, without those of lease and ledger */
    uint64_t keep_until_ms; /* until then no discovery closes it */

    struct lease *lease;
    struct ledger *ledger;
    struct event live; /* the live copy: the event's settings as Redis has them; valid when ready */

    struct loop_timer *tick_timer; /* runs the next regular tick, or refill */
    struct loop_task tick_task;    /* makes the next call of the running tick */
    struct tick tick;              /* the running tick, or the last one */
    struct tick_request due; /* requests for the next tick: ticks on demand, admissions by hand */
    uint64_t
        due_until_ms; /* after this, requests that came before the runner was ready are dropped */
    uint64_t regular_ms;            /* when the last regular tick began */
    uint64_t retry_ms;              /* when to repeat a failed regular tick; 0: it did not fail */
    uint64_t refill_ms;             /* when to admit between two ticks; 0: there is no reason to */
    bool refill_checks;             /* and to look for offers that ran out */
    uint64_t promoted_ms;           /* when the last tick or refill began */
    uint64_t waiting;               /* buyers in the queue, as Redis last said */
    uint64_t unmeasured;            /* admitted since the last sample of the rate */
    enum event_status status;       /* the status in force, as Redis last said */
    struct admission_rate rate;     /* the measured rate of admissions */
    uint64_t last_place;            /* the highest place given, reported to PostgreSQL */
    struct queue_numbers published; /* queue_size, active, threshold of the last queue-updated */
    bool numbers_published;         /* queue-updated was published since the lease was gained */

    struct runner_stats stats;
    struct silence silence;

    /* Calls under way. */
    bool reading;     /* the live copy is read from Redis */
    bool read_again;  /* it may have changed since that read began */
    bool loading;     /* the event is loaded from PostgreSQL into Redis */
    bool indexing;    /* the rank index is published */
    bool reconciling; /* the event's record is read from PostgreSQL */
    /* bans are loaded from PostgreSQL into Redis: processor_bans.c */
    struct {
        bool running;
        bool compares; /* only where the live copy differs from these: */
        int64_t count, mark;
        int64_t seq;
        void (*cb)(struct event_runner *runner, enum status status);
    } bans;
    bool loading_consumed; /* consumed places are loaded from PostgreSQL into Redis */
    bool copying_minutes;  /* finished minutes are copied to PostgreSQL */
    bool feeding_back;     /* the shop's health is read, or the limit written */
    bool feedback_ended;   /* thresholdMin is 0, and no limit is in force */
    bool asking_shop;      /* Prometheus is asked for the shop's health, or its answer is written */
    uint64_t asked_ms;     /* when that was begun last */
    int64_t judged_ms;     /* when the last report came that was judged */
    /* Minutes since 1970: those before minutes_until have been copied (0: not known); minutes_copying is to become
     * minutes_until. */
    int64_t minutes_until, minutes_copying;
    uint64_t load_ms, reconcile_ms; /* when the last attempt began; 0: try at once */
};

/* How long data is kept: what of it is under way. */
struct retention {
    bool expiring, forgetting; /* a call of this kind is under way */
    bool more;                 /* the last batch was not the last one that is due */
    struct json *finished;     /* {"events"}: those whose keys in Redis are being deleted */
    size_t at;                 /* the one whose turn it is */
};

struct processor_feed {
    bool numbering, pruning; /* a call of this kind is under way */
    bool more;               /* the last call deleted something: more may be due */
};

struct processor {
    struct processor_opts opts;
    char owner[33]; /* random: names this processor in its leases */
    struct event_runner *runners;
    struct loop_timer *discover_timer, *second_timer;
    bool discovering;                /* the live events are being read */
    bool discover_again;             /* a hint came since that read began */
    bool sweeping, freeing, pruning; /* a call of this kind is under way */
    bool copying_sales;              /* likewise, in processor_sales.c */
    unsigned seconds;                /* seconds since the start */
    unsigned pending;                /* outstanding callbacks, without those of the runners */
    bool closing;
    bool asking_overdue;
    struct retention retention;
    struct processor_feed feed;
    char
        overdue_until[48]; /* drafts whose opensAt passed up to this time were told; "": none yet */
    struct loop_task closed;
    loop_cb close_cb;
    void *close_arg;
};

/* ---- processor.c ---- */

/* Frees closed runners without outstanding callbacks, and a closing processor when no runner or callback is left. */
void processor_collect(struct processor *processor);
/* Every callback counted in processor->pending begins with this. False: the processor is closing, its runners may be
 * freed, and the caller must only return. */
bool processor_arrived(struct processor *processor);
/* Gives an event that is perhaps not live a runner for ten seconds: enough to end its admissions that are over, and to
 * consume its log. */
struct event_runner *processor_look_after(struct processor *processor, const char *event);

/* ---- processor_retention.c ---- */

/* Takes a step, if one is due. Called every second. */
void processor_retain(struct processor *processor);

/* ---- processor_sales.c ---- */

/* Copies the sales that Redis lacks, unless that is under way. */
void processor_copy_sales(struct processor *processor);

/* ---- processor_runner.c ---- */

/* Returns new; tries for the lease at once. The caller adds it to processor->runners. */
struct event_runner *event_runner_new(struct processor *processor, const char *id);
/* Releases the lease. processor_collect frees the runner after its last callback. */
void event_runner_close(struct event_runner *runner);
/* Every callback counted in runner->pending begins with this. False: the runner is closing and may be freed, so the
 * caller must only return. */
bool event_runner_arrived(struct event_runner *runner);
/* Logs the first failure and the first success after it, not the repeated failures between them. */
void event_runner_report(struct event_runner *runner, enum failure failure, enum status status);
/* Takes the rank index and publishes it, unless that is under way. */
void event_runner_publish_index(struct event_runner *runner);
/* The event's settings may have changed: reads the live copy again. */
void event_runner_changed(struct event_runner *runner);
/* Seats were sold or freed: the next upkeep reconciles at once, since the event may be sold out now, or no longer. */
void event_runner_seats_changed(struct event_runner *runner);

/* ---- processor_bans.c ---- */

/* Makes the bans in Redis those of PostgreSQL. `cb` runs when that is done or has failed; never, when it could not begin, or
 * the runner is closed meanwhile. */
void event_runner_load_bans(struct event_runner *runner,
                            void (*cb)(struct event_runner *runner, enum status status));
/* Does so only if Redis has other bans than the record. */
void event_runner_compare_bans(struct event_runner *runner, const struct event *record);

/* ---- processor_stats.c ---- */

/* The lease was gained or lost. */
void event_runner_stats_hold(struct event_runner *runner, bool held);
/* A step of a tick: the waits of those whom it has admitted. */
void event_runner_stats_tick(struct event_runner *runner, const struct queue_tick *result);
/* The rank index was published, once a second. */
void event_runner_stats_index(struct event_runner *runner, const struct rank_index *index,
                              const struct queue_published *published);

/* ---- processor_tick.c ---- */

/* If the lease is held, ticks now, or right after the running tick. Without the lease a request with `reply` is kept
 * for a short time. admit: as in struct tick_request; 0: a regular tick. reply: the request's id as JSON, copied;
 * NULL: no answer is expected. */
void event_runner_tick_now(struct event_runner *runner, uint64_t admit, const char *reply);
/* Forgets requests that have not begun. */
void event_runner_drop_requests(struct event_runner *runner);
/* Buyers who wait can perhaps enter: admits soon, if the lease is held. */
void event_runner_hint(struct event_runner *runner);
/* Called once a second while the lease is held: looks for offers that ran out, and admits, if promotion is continuous and
 * buyers wait. */
void event_runner_check(struct event_runner *runner);
/* Sets the timer, after the live copy was read: its interval may be another. */
void event_runner_arm(struct event_runner *runner);
/* Callbacks of the runner's timer and task. */
void event_runner_on_timer(void *arg);
void event_runner_tick_step(void *arg);

/* ---- processor_minutes.c ---- */

/* Copies the minutes before `minute` (minutes since 1970, by Redis' clock), unless that was done. Called once a second
 * while the lease is held. */
void event_runner_copy_minutes(struct event_runner *runner, int64_t minute);

/* ---- processor_feed.c ---- */

/* Gives numbers, and deletes what is old enough. Called once a second. */
void processor_feed(struct processor *processor);

/* ---- processor_feedback.c ---- */

/* Takes a step of the loop between the shop's health and the threshold. Called once a second while the lease is held. */
void event_runner_feedback(struct event_runner *runner);

#endif
