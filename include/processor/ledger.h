/* SPDX-License-Identifier: MIT */
/*
 * ledger: the consumer of one event's admission log, on the lease holder. Copies the log to PostgreSQL, holds seats
 * (auto-hold) for admitted buyers who are still inside, once per admission; then writes free:{id} and publishes
 * the entries with their reservations.
 * PostgreSQL down or slower than 2 s: the entries are published without reservations; the log is consumed later, and
 * the holds are then published in a second message.
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
/* Does nothing before ledger_start. */
struct ledger *ledger_new(const struct ledger_opts *opts);
/* The lease was gained. The cursor is read from PostgreSQL again. */
void ledger_start(struct ledger *ledger);
/* The lease was lost: the chain under way ends at its next step. */
void ledger_stop(struct ledger *ledger);
/* There may be something new in the log: consumes it, until it is empty. `config` is borrowed for the call. */
void ledger_poke(struct ledger *ledger, const struct event *config);
/* Loads the consumed places of an epoch from PostgreSQL into Redis, as a restore window needs. Callback promise as
 * in queue.h; ST_CONFLICT: a load is under way. In the callback ST_STALE: another epoch is in force, or Redis has
 * lost data again: begin anew. */
MUST_CHECK enum status ledger_load_consumed(struct ledger *ledger, uint64_t epoch, queue_done_cb cb,
                                            void *arg);
/* Frees the ledger after its last callback; then `cb` (may be NULL) runs, once, later. */
void ledger_close(struct ledger *ledger, loop_cb cb, void *arg);

#endif
