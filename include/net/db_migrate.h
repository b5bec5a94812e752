/* SPDX-License-Identifier: MIT */
/* db_migrate: brings a database to this program's schema. It blocks, so only the command line calls it. */
#ifndef TIKETI_DB_MIGRATE_H
#define TIKETI_DB_MIGRATE_H

#include "base/status.h"
#include "net/db_schema.h"

#include <stddef.h>

/* Applies the migrations that the table schema_migrations does not list yet, each in its own transaction; then,
 * all in one transaction, the files of functions whose text has changed. Takes an advisory lock, so several pods
 * may call this at once. Does not touch the database's functions when their generation is higher. Before the first
 * change it raises schema_serves.oldest, so that programs that the new schema does not serve end their work first.
 * `say` (may be NULL) receives one line for each step.
 * ST_INVALID: the connection string is malformed. ST_UNAVAILABLE: PostgreSQL cannot be reached. ST_CONFLICT: this
 * program must not migrate this database, because a newer program or a development version has migrated it, or the
 * text of a migration was changed after it was applied, or because a pooler is in between. ST_INTERNAL: a file failed and was rolled back. Unless ST_OK
 * is returned, `error` says why, and names the file if the error is about one. */
MUST_CHECK enum status db_migrate(const char *url, const struct db_schema *schema,
                                  void (*say)(const char *line), char *error, size_t error_size);

#endif
