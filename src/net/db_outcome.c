/* SPDX-License-Identifier: MIT */
/* db_outcome: calls an SQL function that answers with one row (outcome text, body json). */
#include "net/db_outcome.h"

#include "base/buf.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A call under way. */
struct call {
    const struct db_outcome *table;
    db_outcome_cb cb;
    void *arg;
};

enum status db_outcome_status(const struct db_outcome *table, const char *outcome)
{
    for (; table->outcome; table++) {
        if (strcmp(table->outcome, outcome) == 0)
            return table->status;
    }
    return ST_INTERNAL;
}

static void answered(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        call.cb(call.arg, status, NULL, NULL, 0);
        return;
    }
    const char *outcome = db_text(result, 0, 0);
    const size_t len = db_len(result, 0, 1);
    struct buf body;
    buf_init(&body, len);
    buf_add_json_compact(&body, db_text(result, 0, 1), len);
    call.cb(call.arg, db_outcome_status(call.table, outcome), outcome, buf_str(&body), body.len);
    buf_clear(&body);
}

enum status db_call(struct db *db, const struct db_function_call *how, db_outcome_cb cb, void *arg)
{
    struct call *call = xcalloc(1, sizeof(*call));
    *call = (struct call){how->table, cb, arg};
    const enum status st = how->limit_ms > 0 ? db_query_within(db, how->limit_ms, how->stmt,
                                                               how->params, answered, call)
                                             : db_query(db, how->stmt, how->params, answered, call);
    if (st != ST_OK)
        free(call);
    return st;
}
