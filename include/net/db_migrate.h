/* SPDX-License-Identifier: MIT */
/* db_migrate: brings a database to this program's schema. Blocks: for the command line alone. */
#ifndef TIKETI_DB_MIGRATE_H
#define TIKETI_DB_MIGRATE_H

#include "base/embed.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

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
