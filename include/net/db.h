/* SPDX-License-Identifier: MIT */
/*
 * db: PostgreSQL: a small non-blocking pool of connections on one loop. Statements are prepared, several may be in
 * flight on one connection, each query has a deadline, and reconnects have a jittered back-off. One query is
 * one transaction; a change of several rows is therefore one SQL function. All calls are for the loop's own thread.
 */
#ifndef TIKETI_DB_H
#define TIKETI_DB_H

#include "base/status.h"
#include "net/db_schema.h"
#include "net/db_state.h"
#include "net/db_stmt.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_PARAMS_MAX (20 << 20) /* bytes of one query's parameters */

struct db;

/* How a query ended; `result` is borrowed until the callback returns, and NULL unless ST_OK.
 * ST_OK: `result` has the rows. ST_CONFLICT: a serialization failure, a deadlock, a unique or exclusion violation.
 * ST_BUSY: a lock was not available within half a second (or within the deadline of db_query_within; or at once, where
 * the statement says NOWAIT); nothing was changed. ST_INVALID: another constraint was violated, or a value is wrong.
 * ST_INTERNAL: any other error (logged). ST_TIMEOUT, ST_UNAVAILABLE (also when the server is read-only or shuts down):
 * the outcome is unknown; the transaction may or may not have been committed. */
typedef void (*db_cb)(void *arg, enum status status, const struct db_result *result);

struct db_opts {
    struct loop *loop; /* borrowed */
    /* libpq keywords or a URI; copied. Service files are refused. If it names several hosts, db connects to the first
     * that fits target_session_attrs, and skips one that does not answer. */
    const char *url;
    int pool_min, pool_max; /* connections; at least one is always kept */
    int64_t timeout_ms; /* deadline of one query, waiting for a connection included; also sent as
                               statement_timeout */
    unsigned queue_max; /* queries of one kind waiting for a connection before ST_FULL */
    const char *application_name; /* copied; NULL: "tiketi" */
    /* Borrowed; NULL: none is needed. Else only a database is used whose schema this program may work on. */
    const struct db_schema *schema;
    /* Connections that this process may open, all its pools together; 0: unknown. More than PostgreSQL allows: it is
     * not used. */
    int64_t may_open;
};

/* Returns new, and begins to connect. ST_INVALID: the connection string is malformed or names a service file; not
 * logged, because only the caller knows the name of the setting. */
MUST_CHECK enum status db_open(const struct db_opts *opts, struct db **ret_db);
/* Fails pending queries with ST_UNAVAILABLE (or ST_TIMEOUT), running their callbacks before it returns;
 * refuses later ones with ST_UNAVAILABLE. For a shutdown, so that callers may be closed before the database.
 * Must not be called from a callback of this module. Only db_close may follow. */
void db_stop(struct db *db);
/* Does what db_stop does; frees the object later, then runs `cb` (may be NULL). */
void db_close(struct db *db, loop_cb cb, void *arg);
/* Does at least one connection work? A connection counts while it is not known to be broken: an idle one
 * answered a probe within the last four seconds, and a busy one is closed when a query reaches its deadline. */
/* Does the connection string name a TLS file that this process cannot read? libpq passes over a missing sslcert, and, for
 * sslmode=require, over a missing sslrootcert: it connects without what was asked for. Then `problem` is a sentence. */
bool db_lacks_file(const char *url, char *problem, size_t size);

bool db_up(const struct db *db);
struct db_state db_state(const struct db *db);

/* Runs a statement. `params`: stmt->param_count texts, NULL for SQL null; copied. Callback promise: if the
 * returned status is not ST_OK, cb never runs; if it is ST_OK, cb runs exactly once, after this call has
 * returned, and no later than the deadline plus one turn of the loop.
 * ST_UNAVAILABLE: db_stop was called, or there is no connection and the last attempt to connect failed.
 * ST_FULL: queue_max queries of this kind wait for a connection. ST_TOO_LARGE: over DB_PARAMS_MAX.
 * A query is retried once on another connection when PostgreSQL certainly did nothing of it: the connection
 * was lost before the query was sent, the server is read-only, the cached plan is out of date, or a deadlock.
 * Each kind of statement (db_stmt.h) may occupy a part of the pool: buyers three quarters, the public and staff a
 * quarter each, and one connection at least. So queries of one kind that wait for a lock, or are slow, or many, leave
 * connections to the others; those above their kind's part wait in the line of their kind.
 * When all connections are busy and the pool is at its limit, a few queries share a connection. Each is a
 * transaction of its own. They run in order, so a slow one delays those behind it; a connection whose oldest
 * query has run for 50 ms gets no further ones. Behind a pooler connections are not shared, and nothing is prepared. */
MUST_CHECK enum status db_query(struct db *db, const struct db_stmt *stmt,
                                const char *const *params, db_cb cb, void *arg);
/* Like db_query, with a deadline of this query's own instead of opts.timeout_ms; such a query never shares its
 * connection with others. */
MUST_CHECK enum status db_query_within(struct db *db, int64_t timeout_ms,
                                       const struct db_stmt *stmt, const char *const *params,
                                       db_cb cb, void *arg);

#endif
