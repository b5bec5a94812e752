/* SPDX-License-Identifier: MIT */
/* db_stmt: an SQL statement, and the rows that it returned (libpq's PGresult under another name). */
#ifndef TIKETI_DB_STMT_H
#define TIKETI_DB_STMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each kind of statement may occupy only a part of a pool's connections (db_query in db.h). So when one kind waits for a
 * lock, or is slow, the others still have connections. */
enum db_kind {
    DB_ANY,    /* no limit: in a pool with only one user, such as the processor's */
    DB_BUYER,  /* buyers hold seats, pay, and read what is theirs */
    DB_PUBLIC, /* what anybody may ask for: events, seat maps, logos */
    DB_STAFF,  /* organizers and their tools */
    DB_KINDS
};

/* One statement; COPY is not supported. The object must be static, because a connection recognises a prepared
 * statement by the object's address. */
struct db_stmt {
    const char *name; /* of the prepared statement: unique in the program */
    const char *sql;
    int param_count;
    enum db_kind kind;
};

/* The rows of a statement. Borrowed: valid only inside the callback that received it. Rows and columns are
 * counted from 0. A row or column that does not exist reads as null. */
struct db_result;

int db_rows(const struct db_result *result);
bool db_is_null(const struct db_result *result, int row, int col);
/* NUL-terminated, borrowed; "" for null. */
const char *db_text(const struct db_result *result, int row, int col);
size_t db_len(const struct db_result *result, int row, int col);  /* bytes of the text */
int64_t db_int(const struct db_result *result, int row, int col); /* 0 for null */

#endif
