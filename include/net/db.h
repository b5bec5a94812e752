/* SPDX-License-Identifier: MIT */
/*
 * db: PostgreSQL: a small non-blocking pool of connections on one loop; prepared statements, several in
 * flight on one connection, a deadline for every query, reconnects with jittered back-off. One query is
 * one transaction: changes of state are SQL functions. All calls are for the loop's own thread.
 */
#ifndef TIKETI_DB_H
#define TIKETI_DB_H

#include "base/status.h"
#include "net/db_stmt.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_PARAMS_MAX (20 << 20) /* bytes of one query's parameters */

struct db;

/* How a query ended; `result` is borrowed until the callback returns, and NULL unless ST_OK.
 * ST_OK: the rows. ST_CONFLICT: serialization failure, deadlock, unique or exclusion violation, lock not
 * available. ST_INVALID: other constraints, data errors. ST_INTERNAL: any other error (logged).
 * ST_TIMEOUT, ST_UNAVAILABLE (also: a read-only server, one that shuts down): the outcome is unknown; the
 * transaction may or may not have been committed. */
typedef void (*db_cb)(void *arg, enum status status, const struct db_result *result);

struct db_opts {
    struct loop *loop; /* borrowed */
    /* Keywords or a URI; copied. Service files are refused. Of several hosts the first that fits
     * target_session_attrs is taken; one that hangs is passed over. */
    const char *url;
    int pool_min, pool_max; /* connections; at least one is always kept */
    int64_t timeout_ms; /* deadline of one query, waiting for a connection included; also sent as
                               statement_timeout */
    unsigned queue_max; /* queries waiting for a connection before ST_FULL */
    const char *application_name; /* copied; NULL: "tiketi" */
};

/* Returns new, and begins to connect. ST_INVALID on a bad connection string (logged). */
MUST_CHECK enum status db_open(const struct db_opts *opts, struct db **ret_db);
/* Ends pending queries from within with ST_UNAVAILABLE (or ST_TIMEOUT) and refuses later ones with
 * ST_UNAVAILABLE: for a shutdown, while the callers are taken down. Not from a callback of this module.
 * Only db_close may follow. */
void db_stop(struct db *db);
/* Does what db_stop does; the object is freed later, then `cb` (may be NULL) runs. */
void db_close(struct db *db, loop_cb cb, void *arg);
/* Does at least one connection work? An idle one has answered a probe within the last four seconds; a busy
 * one is dropped when a query reaches its deadline. */
bool db_up(const struct db *db);

/* Runs a statement. `params`: stmt->param_count texts, NULL for SQL null; copied. Callback promise: if the
 * status is not ST_OK, cb never runs; if it is, cb runs exactly once, later, and no later than the
 * deadline plus one turn of the loop.
 * ST_UNAVAILABLE: stopped, or no connection and the last attempt failed. ST_FULL: the queue is full.
 * ST_TOO_LARGE: over DB_PARAMS_MAX.
 * A query of which certainly nothing was done is retried once on another connection: the connection was
 * lost before the query left, the server is read-only, the plan is out of date, a deadlock.
 * When the pool is at its limit, a few queries share a connection. Each is a transaction of its own; they run
 * in order, so a slow one delays those behind it, and after 50 ms no more are put there. */
MUST_CHECK enum status db_query(struct db *db, const struct db_stmt *stmt,
                                const char *const *params, db_cb cb, void *arg);
/* The same with a deadline of its own; such a query never shares its connection. */
MUST_CHECK enum status db_query_within(struct db *db, int64_t timeout_ms,
                                       const struct db_stmt *stmt, const char *const *params,
                                       db_cb cb, void *arg);

#endif
