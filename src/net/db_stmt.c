/* SPDX-License-Identifier: MIT */
/*
 * db_stmt: reads libpq's results for callers that do not include libpq.
 *
 * Why this way: struct db_result is never defined. A pointer to it is a PGresult pointer under another name, so
 * nothing is copied.
 * Called by: every reader of rows. Pure; owns nothing.
 */
#include "net/db_stmt.h"

#include <stdlib.h>

#include <libpq-fe.h>

static const PGresult *raw(const struct db_result *result)
{
    return (const PGresult *)result;
}

int db_rows(const struct db_result *result)
{
    return PQntuples(raw(result));
}

bool db_is_null(const struct db_result *result, int row, int col)
{
    return PQgetisnull(raw(result), row, col);
}

const char *db_text(const struct db_result *result, int row, int col)
{
    const char *text = PQgetvalue(raw(result), row, col);
    return text ? text : "";
}

size_t db_len(const struct db_result *result, int row, int col)
{
    return (size_t)PQgetlength(raw(result), row, col);
}

int64_t db_int(const struct db_result *result, int row, int col)
{
    return strtoll(db_text(result, row, col), NULL, 10);
}
