/* SPDX-License-Identifier: MIT */
/*
 * event_stats: the numbers of the events that this process works on, for the metrics. The processor that holds an event's
 * lease tells them, so every event is told by one process alone, and the numbers of all processes may be added up.
 *
 * A function with a struct event_stats is for the thread that opened it; event_stats_write is for any thread.
 */
#ifndef TIKETI_EVENT_STATS_H
#define TIKETI_EVENT_STATS_H

#include "base/metrics_text.h"
#include "queue/admission_limit.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stdint.h>

#define EVENT_STATS_MAX                                                                            \
    200 /* events of one process that have series; those that it holds come first */

/* Counters of stats:{id}, and what lua/index.lua counts with them. */
#define EVENT_COUNTS(COUNT)                                                                        \
    COUNT(JOINED)                                                                                  \
    COUNT(DIRECT)                                                                                  \
    COUNT(OFFERED)                                                                                 \
    COUNT(RESTORED)                                                                                \
    COUNT(LEFT)                                                                                    \
    COUNT(IDLE)                                                                                    \
    COUNT(TIMEOUT)                                                                                 \
    COUNT(COMPLETED)                                                                               \
    COUNT(WITHDRAWN)                                                                               \
    COUNT(UNCLAIMED)                                                                               \
    COUNT(IDLE_KEPT)                                                                               \
    COUNT(PARKED)     /* now */                                                                    \
    COUNT(LEDGER_LAG) /* ms since the oldest entry of the log that the ledger has not consumed */
#define EVENT_COUNT_NAME(name_) EVENT_COUNT_##name_,
enum event_count { EVENT_COUNTS(EVENT_COUNT_NAME) EVENT_COUNT_COUNT };
#undef EVENT_COUNT_NAME

/* What the holder of the lease knows of an event, once a second. */
struct event_numbers {
    enum event_status status; /* in force */
    struct admission_limit limit;
    int64_t counts[EVENT_COUNT_COUNT];
    double admissions_per_second; /* as measured by the ticks; 0: nobody is admitted */
    double estimate_s;            /* what the last in line is told; below 0: no estimate */
    char shard[72]; /* of a Redis Cluster, "" for a single server; a longer name is cut */
};
struct event_stock {
    int64_t free, held, sold, blocked; /* seats */
    double revenue;                    /* of the sold ones, in units of the currency */
    char currency[EVENT_CURRENCY_SIZE];
};

/* Reads the counts as lua/index.lua replies them: whole numbers, separated by spaces. ST_INVALID: malformed. */
MUST_CHECK enum status event_counts_parse(const char *text, int64_t counts[EVENT_COUNT_COUNT]);

struct event_stats;

/* The process may take the lease of this event. Copies the id; returns new. */
struct event_stats *event_stats_open(const char *id);
void event_stats_close(struct event_stats *stats); /* its series end; NULL is fine */
/* The lease was gained or lost: without it nothing is told but that. `ever`: somebody had it before, and has counted the
 * direct admissions until now. */
void event_stats_hold(struct event_stats *stats, bool held, bool ever);
void event_stats_ticked(struct event_stats *stats); /* a tick has ended well */
/* The rank index was published, with these numbers. Direct admissions since the last call count as waits of 0 s. */
void event_stats_note(struct event_stats *stats, const struct event_numbers *numbers);
void event_stats_note_stock(struct event_stats *stats, const struct event_stock *stock);
/* A buyer was admitted from the queue after so long. */
void event_stats_waited(struct event_stats *stats, double seconds);
/* A wait was so much longer (or, below 0, shorter) than the estimate that was given at its beginning. */
void event_stats_erred(struct event_stats *stats, double seconds);

/* Appends the families tiketi_event_*. `now_ns`: clock_mono_ns. Nothing is told any more of an event that has been closed,
 * with nobody inside, for a minute. */
void event_stats_write(const struct metrics_text *text, uint64_t now_ns);

#endif
