/* SPDX-License-Identifier: MIT */
/*
 * db_link: one connection to PostgreSQL. Only db uses it. It has no deadlines and does not reconnect: db closes
 * it and opens another.
 */
#ifndef TIKETI_DB_LINK_H
#define TIKETI_DB_LINK_H

#include "base/status.h"
#include "base/trace.h"
#include "net/db_stmt.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct db_endpoint;
struct db_health;
struct db_link;

#define DB_LINK_DEPTH 8 /* statements in flight on one connection */

/* How one statement ended, and whether its connection is still usable. */
struct db_outcome {
    enum status status;
    bool drop;  /* the connection is unusable: close it once nothing is in flight on it */
    bool retry; /* PostgreSQL did nothing of it, and it may succeed on another connection */
};

/* The link calls these from the loop, never from inside a db_link_* function. */
struct db_link_user {
    void (*on_up)(void *arg); /* connected; may close the link */
    /* The oldest statement in flight has ended. The receiver owns `result` and releases it with db_result_free.
     * It must neither close the link nor send on it, because more results may follow at once. */
    void (*on_result)(void *arg, struct db_outcome outcome, struct db_result *result);
    /* The attempt to connect failed, or the connection was lost. Statements in flight get no result. The receiver
     * must close the link. `error` is borrowed; "" when unknown. */
    void (*on_down)(void *arg, const char *error);
};

/* Returns new; begins to connect in a later turn of the loop. Borrows `endpoint`, `health` and `user` for the life of the
 * link. Tries the resolved addresses, beginning with number `skip` (modulo their count). It is up once `health` has found
 * no fault. When a pooler refuses the endpoint's options, it notes that in `endpoint` and connects without them. */
struct db_link *db_link_open(struct loop *loop, struct db_endpoint *endpoint, unsigned skip,
                             struct db_health *health, const struct db_link_user *user, void *arg);
void db_link_close(struct db_link *link); /* frees at once; drops statements in flight */
/* Is the connection still open? For a link without statements in flight, whose connection may have been lost
 * unnoticed. */
bool db_link_alive(struct db_link *link);
/* Sends one statement as a transaction of its own. At most DB_LINK_DEPTH - 1 others may be in flight; statements
 * run in order, and one that fails does not affect the others. limit_ms > 0: the statement_timeout of this one.
 * Copies the params; borrows the trace, for lines of the log, until on_result. False: the connection is lost; the caller
 * must close the link. */
MUST_CHECK bool db_link_send(struct db_link *link, const struct db_stmt *stmt,
                             const char *const *params, int64_t limit_ms,
                             const struct trace *trace);
/* Is there a pooler in between? Then only one statement may be in flight. */
bool db_link_pooled(const struct db_link *link);
/* The process of the server, as it told when the connection was made; behind a pooler, a number of the pooler's. */
int64_t db_link_backend(const struct db_link *link);
/* Was the last statement sent completely? If not, the server has not executed it and never will. */
bool db_link_sent(const struct db_link *link);
/* Why the connection was lost; "" when unknown. Borrowed. */
const char *db_link_error(const struct db_link *link);
/* The server that the link is connected to or tries to reach, for the log. Borrowed; "" when it is libpq's default. */
const char *db_link_host(const struct db_link *link);
const char *db_link_port(const struct db_link *link);

void db_result_free(struct db_result *result); /* NULL is fine */

#endif
