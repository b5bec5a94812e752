/* SPDX-License-Identifier: MIT */
/*
 * db_link: one connection to PostgreSQL; below db, which alone uses it. It has no deadlines and does not
 * reconnect: db closes it and opens another.
 */
#ifndef TIKETI_DB_LINK_H
#define TIKETI_DB_LINK_H

#include "base/status.h"
#include "net/db_stmt.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct db_endpoint;
struct db_link;

#define DB_LINK_DEPTH 8 /* statements in flight on one connection */

/* How one statement ended, and what that says about its connection. */
struct db_outcome {
    enum status status;
    bool drop;  /* the connection is unusable: close it once nothing is in flight on it */
    bool retry; /* nothing was done, and another connection may do better */
};

/* The link calls these from the loop, never from inside a db_link_* function. */
struct db_link_user {
    void (*on_up)(void *arg); /* connected; may close the link */
    /* The oldest statement in flight has ended. Passes `result` on: release it by db_result_free. Must
     * neither close the link nor send on it: more results may follow at once. */
    void (*on_result)(void *arg, struct db_outcome outcome, struct db_result *result);
    /* Not connected, or not any more; statements in flight get no result. Must close the link. `error` is
     * borrowed; "" when unknown. */
    void (*on_down)(void *arg, const char *error);
};

/* Returns new; begins to connect soon. Borrows `endpoint` and `user` for its life. Tries the resolved
 * addresses beginning with number `skip` (modulo their count). */
struct db_link *db_link_open(struct loop *loop, const struct db_endpoint *endpoint, unsigned skip,
                             const struct db_link_user *user, void *arg);
void db_link_close(struct db_link *link); /* frees at once; drops what is in flight */
/* Is the connection still open? Call it with nothing in flight: an idle connection may have been lost
 * unnoticed. */
bool db_link_alive(struct db_link *link);
/* Sends one statement, a transaction of its own, behind at most DB_LINK_DEPTH - 1 others. They run in
 * order; one that fails does not affect the others. limit_ms > 0: a statement_timeout for it alone.
 * Copies the params. False: the connection is lost; close the link. */
MUST_CHECK bool db_link_send(struct db_link *link, const struct db_stmt *stmt,
                             const char *const *params, int64_t limit_ms);
/* Has the last statement left completely? If not, the server did not and will not execute it. */
bool db_link_sent(const struct db_link *link);
/* Why the connection was lost; "" when unknown. Borrowed. */
const char *db_link_error(const struct db_link *link);

void db_result_free(struct db_result *result); /* NULL is fine */

#endif
