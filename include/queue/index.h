/* SPDX-License-Identifier: MIT */
/*
 * index: the rank index of one event (design: positions for everyone, almost free). Pure: decodes
 * the blob that lua/index.lua writes and turns a place into a position.
 */
#ifndef TIKETI_INDEX_H
#define TIKETI_INDEX_H

#include "base/status.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_sample {
    uint64_t rank; /* 0-based rank in the queue */
    uint64_t place;
};

struct rank_index {
    /* numbers of the moment it was taken */
    uint64_t version, epoch;  /* of the live config */
    enum event_status status; /* as it is in force now (times applied) */
    bool restoring;
    uint64_t queue_size, active, threshold; /* threshold: effective */
    uint64_t seq;                           /* last place given */
    int64_t time_ms;                        /* Redis' clock */
    uint64_t seats_left;                    /* UINT64_MAX: no limit by seats */
    uint64_t admitted;                      /* admissions so far, direct ones included */
    double rate_mean;    /* admissions per second by promotion; see admission.h */
    double rate_spread;  /* its standard deviation */
    uint64_t rate_ticks; /* ticks that went into it */
    size_t count;
    struct index_sample *samples; /* ascending in both fields */
};

/* Decodes into a new index (index_free). ST_INVALID on anything malformed. */
MUST_CHECK enum status index_decode(const char *text, size_t len, struct rank_index **ret_index);
void index_free(struct rank_index *index); /* NULL is fine */

enum index_where {
    INDEX_AHEAD, /* at or before the head: ask Redis */
    INDEX_EXACT, /* *ret_position is exact as of the index */
    INDEX_NEAR,  /* interpolated between two samples */
    INDEX_BEYOND /* newer than the last sample: unknown to this index */
};
/* 1-based position of `place`. */
enum index_where index_position(const struct rank_index *index, uint64_t place,
                                uint64_t *ret_position);

#endif
