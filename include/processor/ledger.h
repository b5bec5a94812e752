/* SPDX-License-Identifier: MIT */
/*
 * ledger: the consumer of one event's admission log, on the lease holder. Copies the log to PostgreSQL, and holds
 * seats (auto-hold) for admitted buyers who are still inside, once per admission. Then writes the number of free
 * seats to free:{id} and publishes the entries with their reservations. PostgreSQL down or slower than 2 s: the
 * entries are published without reservations. The log is consumed when it is back, and a second message then carries
 * the reservations.
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
/* Returns new. Does nothing before ledger_start. */
struct ledger *ledger_new(const struct ledger_opts *opts);
/* The lease was gained: the next poke reads the cursor from PostgreSQL. */
void ledger_start(struct ledger *ledger);
/* The lease was lost: the chain of calls under way ends at its next step. */
void ledger_stop(struct ledger *ledger);
/* The log may have new entries: consumes them until there are no more. `config` is borrowed for the call. */
void ledger_poke(struct ledger *ledger, const struct event *config);
/* Loads the consumed places of an epoch from PostgreSQL into Redis, as a restore window needs. On ST_OK `cb`
 * runs exactly once, later. ST_CONFLICT: a load is under way; ST_UNAVAILABLE: the ledger is closing. ST_STALE in the
 * callback: another epoch is in force, or Redis has lost data again, and the caller must begin a new load. */
MUST_CHECK enum status ledger_load_consumed(struct ledger *ledger, uint64_t epoch, queue_done_cb cb,
                                            void *arg);
/* Frees the ledger when no callback is outstanding; then `cb` (may be NULL) runs once, later. */
void ledger_close(struct ledger *ledger, loop_cb cb, void *arg);

#endif
