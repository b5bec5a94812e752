/* SPDX-License-Identifier: MIT */
/*
 * crowd_tally: what a crowd has counted. The tallies of several processes can be added up.
 */
#ifndef TIKETI_CROWD_TALLY_H
#define TIKETI_CROWD_TALLY_H

#include "base/status.h"
#include "crowd/crowd_stats.h"
#include "queue/replay.h"

#include <stdint.h>
#include <stdio.h>

enum buyer_state {
    BUYER_ABSENT,   /* has not arrived yet */
    BUYER_ARRIVING, /* has asked, no answer yet */
    BUYER_WAITING,
    BUYER_INSIDE,
    BUYER_SILENT, /* inside, sends nothing any more, and will be evicted */
    BUYER_ASLEEP, /* waits, has closed the page, and will come back */
    /* from here on: the buyer has ended */
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
    uint32_t states[BUYER_STATE_COUNT]; /* how many buyers are in each state */
    uint32_t allowed, queued;           /* how many the first answer admitted, or told to wait */
    uint32_t joined;                    /* waiting buyers who have had a socket */
    uint64_t requests, retries, errors, sockets, messages;
    uint32_t
        retries_in_a_row; /* most failures of one buyer after which nothing was answered in between */
    uint64_t risen;       /* positions that went up */
    uint64_t lost;        /* buyers who lost their place, as they noticed */
    uint64_t missed_lost; /* of these: after they had slept through a turn */
    uint64_t slept;       /* buyers who closed the page while they waited */
    uint64_t answered_ms; /* from the start until the last buyer had an answer */
    uint64_t joined_ms;   /* from the start until the last waiting buyer had a socket */
    struct crowd_samples join_us, positions;
    struct crowd_notes failures, breaks, retried;

    /* what --shop has reported, how often it was slow, and what the answers said */
    uint64_t shop_reports, shop_slow;
    struct crowd_samples shop_threshold, shop_inside;

    /* how busy the crowd itself was, measured by crowd_load */
    struct crowd_samples late_ms; /* how late its loops were */
    uint64_t cpu_us, memory_kb;
    uint32_t
        busiest_permille; /* share of a core that the busiest process used in its busiest second */
    uint32_t processes;
};

/* Of an estimated wait, as the service tells it. */
enum crowd_confidence { ESTIMATE_HIGH, ESTIMATE_LOW, ESTIMATE_NONE };

struct crowd_findings {
    uint64_t lost; /* places lost, beside those that the buyers noticed */
    /* offers that ran out while their buyers slept; how many of these buyers were let in again; how many lost their
     * place, beside those that noticed it themselves */
    uint64_t missed, resumed, missed_lost;
    uint64_t double_sales;
    uint64_t seats_sold;                          /* to this crowd, as PostgreSQL says */
    uint64_t seats_total, seats_free, seats_held; /* seats of the event at the end */
    uint64_t unmatched_money; /* differences between provider, payments and purchases */
    uint64_t charged_idle;    /* charged, but neither seats nor a refund */
    uint64_t charges, charges_paid, charges_due, charges_refunded; /* payments in PostgreSQL */
    int64_t money_taken, money_paid;
    struct crowd_samples push_ms; /* from the admission in the log to the message on the socket */
    /* by how much the waits differed from the first estimates of each confidence */
    struct crowd_samples estimate_ms[2];
};

/* The result of one process, as crowd_sum_write sends it: the samples follow the struct, and every other pointer in it
 * means nothing to the process that reads it. */
struct crowd_sum {
    struct crowd_tally tally;
    struct replay check;
    struct crowd_findings findings;
    uint64_t duration_ms;
    enum status audit; /* ST_OK, or why the check is not complete */
    bool stopped, timed_out;
};

void crowd_tally_clear(struct crowd_tally *tally);
/* Frees the samples of a sum, whether it was counted here or read by crowd_sum_add. */
void crowd_sum_clear(struct crowd_sum *sum);
/* Writes the sum for crowd_sum_add of another process of the same program: the format is that of the structs.
 * ST_INTERNAL: it could not be written. */
MUST_CHECK enum status crowd_sum_write(const struct crowd_sum *sum, FILE *out);
/* Adds what another process has written. `first`: also takes the figures that are the same in every process, and must
 * not be added up: of the replayed log, the event's seats, the provider's books. ST_INTERNAL: it could not be read
 * whole. */
MUST_CHECK enum status crowd_sum_add(struct crowd_sum *sum, FILE *in, bool first);

#endif
