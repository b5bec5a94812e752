/* SPDX-License-Identifier: MIT */
/* embed: files that src/embed.sh builds into the binary: lua/, sql/, build/web/ (made of web/), docs/openapi.json and docs/asyncapi.json. */
#ifndef TIKETI_EMBED_H
#define TIKETI_EMBED_H

#include <stddef.h>
#include <string.h>

struct embed {
    const char *name; /* "join"; "0001_initial.sql"; a path below build/web/ */
    const char *data; /* NUL-terminated; len does not count the NUL */
    size_t len;
    const char *hash; /* first 16 hex digits of its SHA-256: an ETag, a migration's checksum */
    const char
        *gz; /* embed_web only: the gzip copy, or NULL: there is none, or it is not smaller */
    size_t gz_len;
    const char *br; /* the brotli copy, likewise */
    size_t br_len;
};

extern const struct embed embed_lua[]; /* scripts, each with lua/shared.lua in front */
extern const size_t embed_lua_count;
extern const struct embed embed_migrations[]; /* sql/migrations, ordered by name */
extern const size_t embed_migrations_count;
extern const struct embed embed_functions[]; /* sql/functions */
extern const size_t embed_functions_count;
extern const long embed_functions_generation; /* sql/functions/generation */
extern const long embed_functions_oldest;     /* sql/functions/oldest */
extern const struct embed embed_web[];
extern const size_t embed_web_count;
extern const char embed_web_hash[];     /* of all files of build/web/ together */
extern const struct embed embed_docs[]; /* openapi.json, asyncapi.json */
extern const size_t embed_docs_count;

/* The file of this name in one of the tables above; NULL: there is none. */
static inline const struct embed *embed_find(const struct embed *table, size_t count,
                                             const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

#endif
