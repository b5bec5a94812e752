/* SPDX-License-Identifier: MIT */
/*
 * index: the rank index of one event: decodes the text that lua/index.lua writes, and turns any place into a
 * position without asking Redis. Pure functions.
 */
#ifndef TIKETI_INDEX_H
#define TIKETI_INDEX_H

#include "base/status.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_sample {
    uint64_t rank; /* number of buyers before this place in the queue */
    uint64_t place;
};

struct rank_index {
    /* the state of the event when the index was taken */
    uint64_t version, epoch;
    enum event_status status; /* the status in force: opening and closing times are applied */
    bool restoring;
    uint64_t queue_size, active, threshold; /* threshold: the one in force, surge rules applied */
    uint64_t seq;                           /* the last place that was given */
    int64_t time_ms;                        /* when it was taken, by Redis' clock */
    uint64_t seats_left;                    /* UINT64_MAX: seats do not limit admissions */
    uint64_t admitted;                      /* admissions so far, direct ones included */
    double rate_mean;    /* admissions per second by promotion; see admission.h */
    double rate_spread;  /* standard deviation of rate_mean */
    uint64_t rate_ticks; /* number of ticks that were measured */
    size_t count;
    struct index_sample *samples; /* ascending by rank and by place */
};

/* *ret_index is new; free it with index_free. ST_INVALID: the text is malformed. */
MUST_CHECK enum status index_decode(const char *text, size_t len, struct rank_index **ret_index);
void index_free(struct rank_index *index); /* NULL is fine */

enum index_where {
    INDEX_AHEAD, /* at or before the head: the buyer may be inside by now, so ask Redis */
    INDEX_EXACT, /* was exact when the index was taken */
    INDEX_NEAR,  /* interpolated between two samples */
    INDEX_BEYOND /* behind the last sample: the place was given after the index was taken */
};
/* Computes the position of `place`, from 1. */
enum index_where index_position(const struct rank_index *index, uint64_t place,
                                uint64_t *ret_position);

#endif
