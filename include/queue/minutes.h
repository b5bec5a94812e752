/* SPDX-License-Identifier: MIT */
/*
 * minutes: what happened in each minute of a sale, from the counters that lua/index.lua notes in Redis. Pure.
 */
#ifndef TIKETI_MINUTES_H
#define TIKETI_MINUTES_H

#include "queue/queue.h"

#include <stddef.h>
#include <stdint.h>

/* Counts of the minute, then numbers at its end. */
enum minute_value {
    MINUTE_JOINED,
    MINUTE_ADMITTED,
    MINUTE_LEFT,
    MINUTE_WITHDRAWN,
    MINUTE_IDLE,
    MINUTE_TIMEOUT,
    MINUTE_COMPLETED,
    MINUTE_PARKED,
    MINUTE_DIRECT,
    MINUTE_CLAIMED,
    MINUTE_UNCLAIMED,
    MINUTE_IDLE_KEPT,
    MINUTE_COUNTERS,
    MINUTE_INSIDE = MINUTE_COUNTERS,
    MINUTE_WAITING,
    MINUTE_THRESHOLD,  /* the effective one */
    MINUTE_QUEUE_PEAK, /* the longest queue during the minute */
    MINUTE_VALUES
};

/* At most so many minutes are read: lua/index.lua keeps an hour, and the one that runs. */
#define MINUTES_MAX 64

struct minute {
    int64_t at; /* minutes since 1970 */
    int64_t values[MINUTE_VALUES];
};

/* The name of a value in answers of the API, such as "queueSize". Static. */
const char *minute_name(enum minute_value value);
/* Is it a counter of the whole sale, and none of the fields that the minutes are made of? */
bool minute_is_counter(const struct queue_stat *stat);
/* Writes the finished minutes among the statistics, oldest first, and returns how many. A minute is finished when the
 * next entry has been noted; if some are missing between the two, the first one has all their counts. */
size_t minutes_read(const struct queue_stat *list, size_t count, struct minute out[MINUTES_MAX]);
/* The minute that runs: its counts so far. The numbers at its end, and the peak, are 0: the caller knows them. False:
 * none has begun. */
bool minutes_read_last(const struct queue_stat *list, size_t count, struct minute *out);
/* Admissions of the last 60 seconds, direct ones too: of the minute that runs, and of the one before it the part that is
 * not over 60 seconds ago, taken as even. now_ms: of Redis' clock. */
int64_t minutes_admitted(const struct queue_stat *list, size_t count, int64_t now_ms);

#endif
