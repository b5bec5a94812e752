/* SPDX-License-Identifier: MIT */
/* reservation_internal: how a function of sql/functions is called, for the other files of this folder. */
#ifndef TIKETI_RESERVATION_INTERNAL_H
#define TIKETI_RESERVATION_INTERNAL_H

#include "net/db_outcome.h"
#include "selling/reservation.h"

/* Calls an SQL function that returns one row (outcome, body). `params` is copied; keeps the callback promise of db.h. */
MUST_CHECK enum status reservation_ask(struct db *db, const struct db_stmt *stmt,
                                       const char *const *params, reservation_cb cb, void *arg);

/* The same with a time limit of this query's own, in ms; 0: that of all queries (DB_TIMEOUT_MS). */
MUST_CHECK enum status reservation_call(struct db *db, int64_t limit_ms, const struct db_stmt *stmt,
                                        const char *const *params, reservation_cb cb, void *arg);

#endif
