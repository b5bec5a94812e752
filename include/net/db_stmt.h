/* SPDX-License-Identifier: MIT */
/* db_stmt: a SQL statement, and the rows it returned (libpq's PGresult behind another name). */
#ifndef TIKETI_DB_STMT_H
#define TIKETI_DB_STMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One statement, not a COPY. Must be static: a connection recognises a prepared statement by this object's
 * address. */
struct db_stmt {
    const char *name; /* of the prepared statement: unique in the program */
    const char *sql;
    int param_count;
};

/* The rows of a statement. Borrowed: valid only inside the callback that received it. Rows and columns
 * count from 0; one that does not exist reads as null. */
struct db_result;

int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int col);
/* NUL-terminated, borrowed; "" for null. */
const char *db_text(const struct db_result *result, int row, int col);
size_t db_len(const struct db_result *result, int row, int col);  /* bytes of the text */
int64_t db_int(const struct db_result *result, int row, int col); /* 0 for null */

#endif
