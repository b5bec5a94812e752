/* SPDX-License-Identifier: MIT */
/*
 * db: the only includer of libpq. A small non-blocking pool on one loop: prepared statements, several
 * under way on one connection, a deadline for every query, reconnects with jittered back-off. One
 * query is one transaction: state changes are SQL functions.
 */
#ifndef TIKETI_DB_H
#define TIKETI_DB_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DB_PARAMS_MAX (20 << 20) /* bytes of one query's parameters; over it ST_TOO_LARGE */

struct db;
struct db_result; /* borrowed; valid inside the callback only */

/* Static; `name` is unique in the program and names the prepared statement. One statement, no
 * COPY. */
struct db_stmt {
    const char *name;
    const char *sql;
    int param_count;
};

/* ST_OK with rows; ST_CONFLICT on serialization failure, deadlock, unique or exclusion violation or
 * a lock not available; ST_INVALID on other constraint or data errors; ST_TIMEOUT; ST_UNAVAILABLE
 * (also: read-only server, shutting down); ST_INTERNAL for the rest (logged). All but ST_OK come
 * with NULL. After ST_TIMEOUT and ST_UNAVAILABLE the outcome is unknown, not "did not happen". */
typedef void (*db_cb)(void *arg, enum status status, const struct db_result *result);

int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int col);
const char *db_text(const struct db_result *result, int row, int col); /* "" for null */
size_t db_len(const struct db_result *result, int row, int col);
int64_t db_int(const struct db_result *result, int row, int col); /* 0 for null */

struct db_opts {
    struct loop *loop;
    const char *url; /* keywords or URI; copied; host names are resolved off the loop thread; a
                        service file is refused. Of several hosts, the first that fits
                        target_session_attrs is taken, and one that hangs is passed over */
    int pool_min, pool_max;
    int64_t timeout_ms; /* deadline of one query, waiting for a connection included; also sent as
                            statement_timeout */
    unsigned queue_max; /* queries waiting in line before ST_FULL */
    const char *application_name;
};

/* Begins to connect. ST_INVALID on a bad connection string (logged). */
MUST_CHECK enum status db_open(const struct db_opts *opts, struct db **ret_db);
/* Pending queries end with ST_UNAVAILABLE from within, later ones are refused with it: for a stop, while
 * those who use it are taken down. Not from a callback of this module. Only db_close may follow. */
void db_stop(struct db *db);
/* Does the same; then `cb` (may be NULL) runs, later, and the
 * object is gone. */
void db_close(struct db *db, loop_cb cb, void *arg);
/* At least one connection works. Without work it has shown a sign of life within the last four
 * seconds; with work, within the deadline of that. */
bool db_up(const struct db *db);

/* Params are text or NULL and are copied. A query of which certainly nothing was done (its idle
 * connection had died before anything was sent, the server is read-only, its plan is out of date,
 * it lost a deadlock)
 * is tried once more on another connection. ST_UNAVAILABLE at once while every connection attempt
 * fails; ST_FULL when the queue is full. Callback promise as in redis.h.
 * When the pool is at its limit, several queries are under way on one connection, each a transaction
 * of its own: they are done in order, so a slow one holds up those behind it (a few, and none once
 * it has been running for a while). */
MUST_CHECK enum status db_query(struct db *db, const struct db_stmt *stmt,
                                const char *const *params, db_cb cb, void *arg);
/* The same with another deadline; such a query has a connection for itself. */
MUST_CHECK enum status db_query_within(struct db *db, int64_t timeout_ms,
                                       const struct db_stmt *stmt, const char *const *params,
                                       db_cb cb, void *arg);

/* ---- blocking, for the command line alone ---- */
/* What a program needs of its database. Borrowed for the call; names, texts and checksums (`hash`)
 * as src/embed.sh made them. */
struct db_schema {
    const struct embed *migrations; /* "0001_initial.sql": in order of name */
    size_t migration_count;
    const struct embed *functions; /* "seat.sql" */
    size_t function_count;
    int64_t generation; /* of the functions: rises with every change of their text; from 1 */
};
/* Applies the migrations that table schema_migrations does not name yet, each in one transaction;
 * then the files of functions whose text is another one, all in one. Holds an advisory lock: safe
 * from several pods at once. Functions of a higher generation are left alone.
 * `say` is told of each step in a line of its own, and may be NULL.
 * ST_INVALID: bad connection string; ST_UNAVAILABLE; ST_CONFLICT: this program may not migrate this
 * database: a newer one has, or a development version, or a migration was changed since;
 * ST_INTERNAL: a file failed, and nothing of it stayed. `error` then says why, and names the file. */
MUST_CHECK enum status db_migrate(const char *url, const struct db_schema *schema,
                                  void (*say)(const char *line), char *error, size_t error_size);

#endif
