/* SPDX-License-Identifier: MIT */
/* db_endpoint: the connection string, parsed once: which servers it names, and the keywords for libpq. */
#ifndef TIKETI_DB_ENDPOINT_H
#define TIKETI_DB_ENDPOINT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* One server. "" stands for libpq's default; one with a hostaddr needs no name resolution. */
struct db_target {
    char *host, *hostaddr, *port;
};

struct db_endpoint {
    void *info;                /* libpq's list (PQconninfoOption) of what the string says */
    struct db_target *targets; /* any of which may answer; none: libpq's default, a Unix socket */
    size_t target_count;
    char *options, *name;
    char user_timeout[24];
};

/* Returns new; copies. `name` is the application's, timeout_ms becomes the statement_timeout. ST_INVALID
 * (logged) on a bad string or a service file. */
MUST_CHECK enum status db_endpoint_parse(const char *url, const char *name, int64_t timeout_ms,
                                         struct db_endpoint **ret_endpoint);
void db_endpoint_free(struct db_endpoint *endpoint); /* NULL is fine */

/* What PQconnectStartParams takes; begins zeroed. All texts are borrowed. */
#define DB_KEYWORDS_MAX 64
struct db_keywords {
    const char *names[DB_KEYWORDS_MAX + 1], *values[DB_KEYWORDS_MAX + 1]; /* NULL-terminated */
    size_t count;
};
/* Does nothing when the keyword is there already. */
void db_keywords_add(struct db_keywords *words, const char *name, const char *value);
/* Adds what the string says, then our defaults where it is silent; no host when there are targets. */
void db_endpoint_keywords(const struct db_endpoint *endpoint, struct db_keywords *words);

#endif
