/* SPDX-License-Identifier: MIT */
/*
 * db_schema: the schema that src/embed.sh has built into this binary.
 *
 * Called by: main, to migrate and to serve; api_deep. Owns: that one object.
 */
#include "net/db_schema.h"

#include <pthread.h>

static struct db_schema own;

/* The counts are no constants to the compiler. */
static void fill_own(void)
{
    own = (struct db_schema){.migrations = embed_migrations,
                             .migration_count = embed_migrations_count,
                             .functions = embed_functions,
                             .function_count = embed_functions_count,
                             .generation = embed_functions_generation,
                             .oldest = embed_functions_oldest};
}

const struct db_schema *db_schema_own(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, fill_own);
    return &own;
}
