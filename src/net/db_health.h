/* SPDX-License-Identifier: MIT */
/*
 * db_health: is this PostgreSQL one that tiketi can work on? The statements that ask, and the verdict on their rows. Sends
 * nothing itself. One for each pool; used by db and db_link alone.
 */
#ifndef TIKETI_DB_HEALTH_H
#define TIKETI_DB_HEALTH_H

#include "net/db_schema.h"
#include "net/db_state.h"
#include "net/db_stmt.h"

#include <stdbool.h>
#include <stddef.h>

#define DB_HEALTH_PARAMS_MAX 1

struct db_health {
    const struct db_schema *schema; /* NULL: not asked for */
    char *migrations;               /* the names of the schema's, as an SQL array; owned */
    int64_t may_open;               /* connections that this process may open; 0: not judged */
    char problem[512];              /* what the functions below return */
    struct db_state state;          /* `up` and `problem` are db's */
};

/* Borrows `schema`, which may be NULL. */
void db_health_init(struct db_health *health, const struct db_schema *schema, int64_t may_open);
void db_health_clear(struct db_health *health);

/* What is asked when a connection is made, and once a second while it is idle. Static; the parameters are borrowed. */
const struct db_stmt *db_health_greeting(const struct db_health *health);
const struct db_stmt *db_health_probe(const struct db_health *health);
const char *const *db_health_params(const struct db_health *health);

/* Each returns NULL, or the reason why this database must not be used, which state.fault classifies; valid until the next
 * call. */

/* The encoding that the server has reported, or NULL. */
const char *db_health_encoding(struct db_health *health, const char *encoding);
/* The row of one of the statements. backend_pid: as the server reported it when the connection was made; another one in the
 * row is that of a server behind a pooler. */
const char *db_health_row(struct db_health *health, const struct db_result *result,
                          int64_t backend_pid);
/* One of the statements failed, with this SQLSTATE and message. */
const char *db_health_failed(struct db_health *health, const char *sqlstate, const char *message);
/* The connection could not be made, for a reason that is none of the above. Copies it. */
void db_health_unreached(struct db_health *health, const char *reason);

#endif
