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
    /* Keywords or a URI; copied. Service files are refused. Where it names several hosts,
     * db connects to the first that fits target_session_attrs, and skips one that does not answer. */
    const char *url;
    int pool_min, pool_max; /* connections; at least one is always kept */
    int64_t timeout_ms; /* deadline of one query, waiting for a connection included; also sent as
                               statement_timeout */
    unsigned queue_max; /* queries waiting for a connection before ST_FULL */
    const char *application_name; /* copied; NULL: "tiketi" */
};

/* Returns new, and begins to connect. ST_INVALID on a bad connection string (logged). */
MUST_CHECK enum status db_open(const struct db_opts *opts, struct db **ret_db);
/* Fails pending queries with ST_UNAVAILABLE (or ST_TIMEOUT), running their callbacks before it returns;
 * refuses later ones with ST_UNAVAILABLE. For a shutdown, so that callers may be closed before the database.
 * Must not be called from a callback of this module. Only db_close may follow. */
void db_stop(struct db *db);
/* Does what db_stop does; frees the object later, then runs `cb` (may be NULL). */
void db_close(struct db *db, loop_cb cb, void *arg);
/* Does at least one connection work? A connection counts while it is not known to be broken: an idle one
 * answered a probe within the last four seconds, and a busy one is closed when a query reaches its deadline. */
bool db_up(const struct db *db);

/* Runs a statement. `params`: stmt->param_count texts, NULL for SQL null; copied. Callback promise: if the
 * returned status is not ST_OK, cb never runs; if it is ST_OK, cb runs exactly once, after this call has
 * returned, and no later than the deadline plus one turn of the loop.
 * ST_UNAVAILABLE: db_stop was called, or there is no connection and the last attempt to connect failed.
 * ST_FULL: queue_max queries wait for a connection. ST_TOO_LARGE: over DB_PARAMS_MAX.
 * A query is retried once on another connection when PostgreSQL certainly did nothing of it: the connection
 * was lost before the query was sent, the server is read-only, the cached plan is out of date, or a deadlock.
 * When all connections are busy and the pool is at its limit, a few queries share a connection. Each is a
 * transaction of its own. They run in order, so a slow one delays those behind it; a connection whose oldest
 * query has run for 50 ms gets no further ones. */
MUST_CHECK enum status db_query(struct db *db, const struct db_stmt *stmt,
                                const char *const *params, db_cb cb, void *arg);
/* Like db_query, with a deadline of this query's own instead of opts.timeout_ms; such a query never shares its
 * connection with others. */
MUST_CHECK enum status db_query_within(struct db *db, int64_t timeout_ms,
                                       const struct db_stmt *stmt, const char *const *params,
                                       db_cb cb, void *arg);

#endif
