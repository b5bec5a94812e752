/* SPDX-License-Identifier: MIT */
/*
 * ledger: the log consumer. Copies log:{id} to PostgreSQL, holds seats for those admitted and
 * still inside, exactly once per admission (one SQL call that compare-and-sets the cursor), writes
 * free:{id}, then publishes the entries. Runs on the lease holder of the event.
 * PostgreSQL down or slower than 2 s: entries are published without reservations (once; the log is
 * consumed later and its holds are then published as a second message).
 */
#ifndef TIKETI_LEDGER_H
#define TIKETI_LEDGER_H

#include "net/db.h"
#include "net/loop.h"
#include "queue/event.h"
#include "queue/queue.h"

#include <stdbool.h>

struct ledger;

struct ledger_opts {
    struct loop *loop;
    struct queue *queue;
    struct db *db;
    const char *event; /* copied */
};
struct ledger *ledger_new(const struct ledger_opts *opts);
/* The lease was gained: read the cursor from PostgreSQL again. */
void ledger_start(struct ledger *ledger);
void ledger_stop(
    struct ledger *ledger); /* the lease was lost: what is under way is abandoned safely */
/* There may be news in the log; runs one chain until the log is consumed. */
void ledger_poke(struct ledger *ledger, const struct event *config);
void ledger_close(struct ledger *ledger, loop_cb cb, void *arg);

/* Loads consumed places from admissions into Redis (the restore window), in chunks; cb when done. */
MUST_CHECK enum status ledger_reload_consumed(struct ledger *ledger, uint64_t epoch,
                                              queue_done_cb cb, void *arg);

#endif
