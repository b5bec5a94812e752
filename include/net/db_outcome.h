/* SPDX-License-Identifier: MIT */
/*
 * db_outcome: calls an SQL function that answers with one row (outcome text, body json): what became of it, and the answer
 * or the refusal. For the loop's own thread.
 */
#ifndef TIKETI_DB_OUTCOME_H
#define TIKETI_DB_OUTCOME_H

#include "base/status.h"
#include "net/db.h"

/* A statement that calls the SQL function of this name. kind: enum db_kind; count: the number of its parameters; params:
 * their list, such as "$1, $2::integer". */
#define DB_FUNCTION(kind_, name_, count_, params_)                                                 \
    {                                                                                              \
        .name = (name_), .sql = "SELECT outcome, body FROM " name_ "(" params_ ")",                \
        .param_count = (count_), .kind = (kind_)                                                   \
    }

/* What an outcome means. A NULL outcome ends a table. */
struct db_outcome {
    const char *outcome;
    enum status status;
};

/* ST_INTERNAL: the table does not have it. */
enum status db_outcome_status(const struct db_outcome *table, const char *outcome);

/* `outcome` and `json`, the body without blanks between its parts, are borrowed until the callback returns. Without an
 * answer both are NULL, and the status is ST_UNAVAILABLE, ST_TIMEOUT or ST_INTERNAL. */
typedef void (*db_outcome_cb)(void *arg, enum status status, const char *outcome, const char *json,
                              size_t len);
/* One call of an SQL function. */
struct db_function_call {
    const struct db_stmt *stmt;     /* DB_FUNCTION */
    const char *const *params;      /* copied */
    const struct db_outcome *table; /* must live as long as the program */
    int64_t limit_ms;               /* 0: the time limit of all queries (DB_TIMEOUT_MS) */
};
/* Keeps the callback promise of db.h: on another status than ST_OK the callback never runs. */
MUST_CHECK enum status db_call(struct db *db, const struct db_function_call *how, db_outcome_cb cb,
                               void *arg);

#endif
