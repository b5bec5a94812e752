/* SPDX-License-Identifier: MIT */
/*
 * crowd_check: the promises, replayed entry by entry from the admission log. Pure: it reads no
 * database and trusts no number in the log that it can count itself.
 */
#ifndef TIKETI_CROWD_CHECK_H
#define TIKETI_CROWD_CHECK_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crowd_kind {
    CROWD_DIRECT,   /* direct admission, at the join */
    CROWD_PROMOTE,  /* admitted from the head of the queue */
    CROWD_RESTORED, /* inside again after Redis lost its data */
    CROWD_LEFT,
    CROWD_IDLE,
    CROWD_TIMEOUT,
    CROWD_COMPLETED,
    CROWD_CLEARED, /* the event was cleared: all admissions end */
    CROWD_KIND_COUNT
};
/* ST_INVALID: the log must not contain this word. */
MUST_CHECK enum status crowd_kind_parse(const char *word, enum crowd_kind *ret_kind);
bool crowd_kind_enters(enum crowd_kind kind);

struct crowd_entry {
    enum crowd_kind kind;
    uint64_t place, epoch;
    int64_t at_ms;
    uint64_t inside, threshold; /* after it, as logged */
    uint64_t n;                 /* admissions so far, as logged */
};

/* A time out of touch: without a socket and without an answer. Zeroed: there was none. */
struct crowd_gap {
    int64_t gone_ms, back_ms; /* wall clock; back_ms INT64_MAX: still out of touch */
};

/* What the crowd knows of the buyer of an entry. */
struct crowd_witness {
    struct crowd_gap longest, latest;
    bool
        had_turn; /* was admitted with this place before: only a loss of data makes that happen again */
};

/* An admission whose place was the highest so far. */
struct crowd_peak {
    uint64_t place;
    int64_t at_ms;
};

/* Called for each broken promise as it is found: its kind, and an example. */
typedef void (*crowd_broken_cb)(void *arg, const char *kind, const char *example);

struct crowd_check {
    int64_t silent_ms; /* a buyer out of touch for so long may be overtaken */
    crowd_broken_cb on_broken;
    void *arg;

    /* With several processes each judges its own buyers, and the first one the log's numbers. */
    bool strangers_elsewhere, numbers_elsewhere;

    bool rebase; /* the next entry gives `inside` and `n` */
    uint64_t inside, n, epoch;
    int64_t loss_ms; /* when the log last lost entries; 0: never */
    struct crowd_peak *peaks;
    size_t peak_count, peak_cap;

    uint64_t entries, admissions, by_kind[CROWD_KIND_COUNT];
    uint64_t most_inside;
    uint64_t over_admissions, order_breaks;
    uint64_t excused; /* overtaken while out of touch: allowed */
    uint64_t losses;
};

/* `silent_ms`: QUEUE_SILENT_MS, until the event's own silentMs is known. */
void crowd_check_init(struct crowd_check *check, int64_t silent_ms, crowd_broken_cb on_broken,
                      void *arg);
void crowd_check_clear(struct crowd_check *check);

/* The last entry before the crowd began; NULL: the log was empty. */
void crowd_check_base(struct crowd_check *check, const struct crowd_entry *last);
/* Takes the next entry. witness NULL: the buyer is not of this crowd. `buyer`: their id, for examples. */
void crowd_check_entry(struct crowd_check *check, const struct crowd_entry *entry,
                       const char *buyer, const struct crowd_witness *witness);
/* Entries that had been read are gone: Redis has lost data. */
void crowd_check_loss(struct crowd_check *check, int64_t now_ms);

/* Was a later place admitted before this one, though its buyer was in touch? crowd_check_entry asks it of each
 * admission; the audit asks it at the end of buyers who were never admitted. */
enum crowd_overtaken { CROWD_IN_ORDER, CROWD_EXCUSED, CROWD_OVERTAKEN };
enum crowd_overtaken crowd_check_overtaken(const struct crowd_check *check, uint64_t place,
                                           uint64_t epoch, const struct crowd_witness *witness);

/* Takes a shown position. False: it is above *lowest, the lowest shown before (0: none yet), which is updated. */
bool crowd_check_position(uint64_t *lowest, uint64_t position);

#endif
