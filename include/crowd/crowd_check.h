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
    CROWD_DIRECT,   /* let in on arrival */
    CROWD_PROMOTE,  /* let in from the head of the queue */
    CROWD_RESTORED, /* was inside before Redis lost its data, and is so again */
    CROWD_LEFT,
    CROWD_IDLE,
    CROWD_TIMEOUT,
    CROWD_COMPLETED,
    CROWD_CLEARED, /* the event began anew: everybody is forgotten */
    CROWD_KIND_COUNT
};
/* ST_INVALID on a word the log should not contain. */
MUST_CHECK enum status crowd_kind_parse(const char *word, enum crowd_kind *ret_kind);
bool crowd_kind_enters(enum crowd_kind kind);

struct crowd_entry {
    enum crowd_kind kind;
    uint64_t place, epoch;
    int64_t at_ms;
    uint64_t inside, threshold; /* after it, as logged */
    uint64_t n;                 /* admissions so far, as logged */
};

/* From when to when somebody was out of touch: without a socket and without an answer. Zeroed:
 * never. */
struct crowd_gap {
    int64_t gone_ms, back_ms; /* back_ms INT64_MAX: he still is */
};

/* What the crowd itself knows of the buyer of an entry. */
struct crowd_witness {
    struct crowd_gap longest, latest;
    bool had_turn; /* was let in with this very place before: only lost data brings him back */
};

/* Someone was let in whose place is the highest so far. */
struct crowd_peak {
    uint64_t place;
    int64_t at_ms;
};

/* A broken promise, as soon as it is found: what kind, and who and how. */
typedef void (*crowd_broken_cb)(void *arg, const char *kind, const char *example);

struct crowd_check {
    int64_t silent_ms; /* who is silent for so long may be passed over */
    crowd_broken_cb on_broken;
    void *arg;

    /* one of several processes: buyers of the others are judged there; the log's numbers by the first */
    bool strangers_elsewhere, numbers_elsewhere;

    bool rebase; /* the next entry gives inside and n: nothing before it is known */
    uint64_t inside, n, epoch;
    int64_t loss_ms; /* when the log last lost entries; 0: never */
    struct crowd_peak *peaks;
    size_t peak_count, peak_cap;

    uint64_t entries, admissions, by_kind[CROWD_KIND_COUNT];
    uint64_t most_inside;
    uint64_t over_admissions, order_breaks;
    uint64_t excused; /* passed over while out of touch: allowed, and let in late */
    uint64_t losses;
};

/* `silent_ms`: QUEUE_SILENT_MS of the service. */
void crowd_check_init(struct crowd_check *check, int64_t silent_ms, crowd_broken_cb on_broken,
                      void *arg);
void crowd_check_clear(struct crowd_check *check);

/* The last entry before the crowd began, or NULL when the log was empty. */
void crowd_check_base(struct crowd_check *check, const struct crowd_entry *last);
/* The next entry. witness: NULL for a buyer who is not of this crowd. `who` for the sentences. */
void crowd_check_entry(struct crowd_check *check, const struct crowd_entry *entry, const char *who,
                       const struct crowd_witness *witness);
/* Entries that were read before are gone: Redis has lost data. */
void crowd_check_loss(struct crowd_check *check, int64_t now_ms);

/* Was somebody with a later place let in before him, though he was there? For an admission this is
 * asked by crowd_check_entry; for those who never entered, the crowd asks at the end. */
enum crowd_overtaken { CROWD_IN_ORDER, CROWD_EXCUSED, CROWD_OVERTAKEN };
enum crowd_overtaken crowd_check_overtaken(const struct crowd_check *check, uint64_t place,
                                           uint64_t epoch, const struct crowd_witness *witness);

/* A position was shown. False when it rose above the lowest shown before (0: none yet), which is
 * kept in *lowest. */
bool crowd_check_position(uint64_t *lowest, uint64_t position);

#endif
