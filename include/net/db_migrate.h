/* SPDX-License-Identifier: MIT */
/* db_migrate: brings a database to this program's schema. Blocks: for the command line alone. */
#ifndef TIKETI_DB_MIGRATE_H
#define TIKETI_DB_MIGRATE_H

#include "base/embed.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The schema that this program needs. Borrowed for the call. Names, texts and checksums (`hash`) come from
 * src/embed.sh. */
struct db_schema {
    const struct embed *migrations; /* "0001_initial.sql": in order of name */
    size_t migration_count;
    const struct embed *functions; /* "seat.sql" */
    size_t function_count;
    int64_t generation; /* of the functions: rises with every change of their text; from 1 */
};
/* Applies the migrations that the table schema_migrations does not list yet, each in its own transaction; then,
 * all in one transaction, the files of functions whose text has changed. Takes an advisory lock, so several pods
 * may call this at once. Does not touch functions of a higher generation.
 * `say` (may be NULL) receives one line for each step.
 * ST_INVALID: bad connection string. ST_UNAVAILABLE: PostgreSQL cannot be reached. ST_CONFLICT: this program must
 * not migrate this database, because a newer program or a development version has done so, or a migration
 * that was applied has another text now. ST_INTERNAL: a file failed and was rolled back. Except for ST_OK, `error` says
 * why, and names the file where there is one. */
MUST_CHECK enum status db_migrate(const char *url, const struct db_schema *schema,
                                  void (*say)(const char *line), char *error, size_t error_size);

#endif
