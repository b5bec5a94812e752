/* SPDX-License-Identifier: MIT */
/*
 * crowd_tally: what a crowd has counted, so that the tallies of several processes can be added up.
 */
#ifndef TIKETI_CROWD_TALLY_H
#define TIKETI_CROWD_TALLY_H

#include "base/status.h"
#include "crowd/crowd_check.h"
#include "crowd/crowd_stats.h"

#include <stdint.h>
#include <stdio.h>

enum buyer_state {
    BUYER_ABSENT,   /* has not arrived yet */
    BUYER_ARRIVING, /* has asked, no answer yet */
    BUYER_WAITING,
    BUYER_INSIDE,
    BUYER_SILENT, /* inside and silent: ends with the eviction */
    /* ends */
    BUYER_BOUGHT,
    BUYER_LEFT,
    BUYER_SOLD_OUT,
    BUYER_CLOSED,
    BUYER_EVICTED,
    BUYER_EXPIRED,  /* did not pay in time, and was not charged */
    BUYER_REFUNDED, /* paid, but the seats were gone: the money is due back */
    BUYER_LOST,     /* waited, and was answered that they have no place */
    BUYER_FAILED,   /* a request failed */
    BUYER_STATE_COUNT
};
const char *buyer_state_name(enum buyer_state state); /* for people */
const char *buyer_state_key(enum buyer_state state);  /* in JSON */
bool buyer_state_ends(enum buyer_state state);

struct crowd_tally {
    uint32_t states[BUYER_STATE_COUNT]; /* how many buyers are in each */
    uint32_t allowed, queued;           /* by their first answers */
    uint32_t joined;                    /* waiting buyers who have been on a socket */
    uint64_t requests, retries, errors, sockets, messages;
    uint64_t risen, lost;
    uint64_t answered_ms,
        joined_ms; /* from the start until the last buyer had an answer; until the last had a socket */
    struct crowd_samples join_us, positions;
    struct crowd_notes failures, breaks;

    /* how busy the crowd itself was: see crowd_load */
    struct crowd_samples late_ms; /* how late its loops were */
    uint64_t cpu_us, memory_kb;
    uint32_t busiest_permille; /* of a core, the busiest process in its busiest second */
    uint32_t processes;
};

struct crowd_findings {
    uint64_t lost; /* beside those that the buyers noticed */
    uint64_t double_sales;
    uint64_t seats_sold;                          /* to this crowd, as PostgreSQL says */
    uint64_t seats_total, seats_free, seats_held; /* of the event, at the end */
    uint64_t unmatched_money;                     /* between the provider and PostgreSQL */
    uint64_t charged_idle;                        /* paid for, but no seats and no refund */
    uint64_t charges, charges_paid, charges_due, charges_refunded; /* as PostgreSQL has them */
    int64_t money_taken, money_paid;
    struct crowd_samples push_ms; /* from the admission in the log to the message on the socket */
};

/* The result of one process. Its pointers mean nothing to another process; the samples are copied. */
struct crowd_sum {
    struct crowd_tally tally;
    struct crowd_check check;
    struct crowd_findings findings;
    uint64_t duration_ms;
    enum status audit; /* why the check is not complete, or ST_OK */
    bool stopped, timed_out;
};

void crowd_tally_clear(struct crowd_tally *tally);
/* Frees the samples, its own or read ones. */
void crowd_sum_clear(struct crowd_sum *sum);
/* ST_INTERNAL: not written, or not read whole. Only for processes of one program. */
MUST_CHECK enum status crowd_sum_write(const struct crowd_sum *sum, FILE *out);
/* Adds what another process has written. `first`: also takes what all of them see alike: the numbers of the replayed
 * log, the event's seats, the provider's books. */
MUST_CHECK enum status crowd_sum_add(struct crowd_sum *sum, FILE *in, bool first);

#endif
