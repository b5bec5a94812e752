/* SPDX-License-Identifier: MIT */
/*
 * db_schema: the schema that a program needs, and which programs a schema serves.
 *
 * A program's generation is that of its SQL functions. The table schema_serves has one row: the generation of the
 * database's functions, and the oldest generation of programs that the schema serves. So a newer schema serves older
 * programs until a release takes away what they use and raises `oldest`.
 */
#ifndef TIKETI_DB_SCHEMA_H
#define TIKETI_DB_SCHEMA_H

#include "base/embed.h"

#include <stddef.h>
#include <stdint.h>

/* Borrowed by those who are given it. src/embed.sh makes the files with their checksums (`hash`). */
struct db_schema {
    const struct embed *migrations; /* "0001_initial.sql", …; ordered by name */
    size_t migration_count;
    const struct embed *functions; /* "seat.sql", … */
    size_t function_count;
    int64_t
        generation; /* of the functions: rises by 1 with every change of their text; the first is 1 */
    int64_t oldest; /* the lowest generation of programs that this schema serves */
};

/* The schema in this binary. Static; from any thread. */
const struct db_schema *db_schema_own(void);

#endif
