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
    uint64_t rank; /* in the queue, from 0 */
    uint64_t place;
};

struct rank_index {
    /* the event when the index was taken */
    uint64_t version, epoch;
    enum event_status status; /* in force (times applied) */
    bool restoring;
    uint64_t queue_size, active, threshold; /* threshold: effective */
    uint64_t seq;                           /* last place given */
    int64_t time_ms;                        /* by Redis' clock */
    uint64_t seats_left;                    /* UINT64_MAX: no limit by seats */
    uint64_t admitted;                      /* so far, direct admissions included */
    double rate_mean;    /* admissions per second by promotion; see admission.h */
    double rate_spread;  /* its standard deviation */
    uint64_t rate_ticks; /* ticks that went into it */
    size_t count;
    struct index_sample *samples; /* ascending in both fields */
};

/* A new index, to be freed by index_free. ST_INVALID on anything malformed. */
MUST_CHECK enum status index_decode(const char *text, size_t len, struct rank_index **ret_index);
void index_free(struct rank_index *index); /* NULL is fine */

enum index_where {
    INDEX_AHEAD, /* at or before the head: perhaps inside by now, ask Redis */
    INDEX_EXACT, /* exact as of the index */
    INDEX_NEAR,  /* interpolated between two samples */
    INDEX_BEYOND /* behind the last sample: given after the index was taken */
};
/* The position of `place`, from 1. */
enum index_where index_position(const struct rank_index *index, uint64_t place,
                                uint64_t *ret_position);

#endif
