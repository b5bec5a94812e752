/* SPDX-License-Identifier: MIT */
/*
 * ledger_internal: the structure that the ledger's files share.
 *
 *   ledger.c           the chain: log -> PostgreSQL -> free:{id} -> channel
 *   ledger_consumed.c  consumed places: PostgreSQL -> Redis, in a restore window
 *   ledger_review.c    what a PostgreSQL lacks that is older than Redis: Redis -> PostgreSQL
 */
#ifndef TIKETI_LEDGER_INTERNAL_H
#define TIKETI_LEDGER_INTERNAL_H

#include "auth/token.h"
#include "base/buf.h"
#include "processor/ledger.h"

#define LEDGER_ID_SIZE 48 /* bytes of a stream id */

/* A load of consumed places under way. */
struct ledger_consumed {
    bool active;
    bool waits;   /* starts when the ledger's running chain of calls (ledger.c) has ended */
    char run[33]; /* random: names this load */
    struct queue_consumed_chunk chunk; /* the chunk under way, without its list and count */
    char after[BUYER_ID_MAX + 1];      /* where the next page begins */
    queue_done_cb cb;
    void *arg;
};

struct ledger {
    struct ledger_opts opts;
    char event[EVENT_ID_MAX + 1];
    bool running;        /* the lease is held */
    bool holds;          /* the event has auto-hold: seats are held on admission */
    bool busy;           /* a chain is under way */
    bool again;          /* ledger_poke was called during the chain: begin another */
    unsigned generation; /* counts gains and losses of the lease */
    unsigned
        chain_generation; /* `generation` when the chain began; another one: the lease was lost since */

    char cursor[LEDGER_ID_SIZE]; /* the last entry that PostgreSQL has consumed */
    bool cursor_known;
    bool suspected;                 /* Redis was told of a later cursor: it is read once more */
    uint64_t put_back;              /* sales, by the review under way */
    char published[LEDGER_ID_SIZE]; /* entries up to here went out without reservations; "": none */
    uint64_t free_ms;               /* when free:{id} was last written */
    uint64_t over_admissions;       /* of the batch that is being consumed */
    size_t limit;                   /* most entries of the next batch */

    /* the batch under way */
    bool renew;                /* free:{id} is written even if the log has nothing new */
    bool batch;                /* the batch has entries, and they were consumed */
    bool full;                 /* the batch is as long as `limit`, so the log may have more */
    bool seats_changed;        /* the batch held seats */
    uint64_t admitted;         /* admissions that Redis had counted before the log was read */
    char last[LEDGER_ID_SIZE]; /* the last entry of the batch */
    struct buf entries;        /* the batch as JSON */
    struct buf with_holds;     /* payloads of `admitted` with reservations, each ended by a NUL */
    struct buf without_holds;  /* payloads without reservations, for an outage of PostgreSQL */

    struct ledger_consumed consumed;
    struct loop_task closed;
    bool closing;
    loop_cb close_cb;
    void *close_arg;
};

/* ledger.c: frees a closing ledger when nothing is under way. The memory is freed later, never inside. */
void ledger_collect(struct ledger *ledger);
/* ledger_review.c: gives PostgreSQL back what it lacks, then calls ledger_reviewed. Keeps the callback promise of db.h. */
MUST_CHECK enum status ledger_review(struct ledger *ledger);
/* ledger.c: the chain that waits for a review goes on; another status than ST_OK: it ends. */
void ledger_reviewed(struct ledger *ledger, enum status status);
/* ledger_consumed.c: continues the load of consumed places, or makes it wait for the chain under way. */
void ledger_consumed_continue(struct ledger *ledger);

#endif
