/* SPDX-License-Identifier: MIT */
/* db_endpoint: the connection string, parsed once into the servers it names and the keywords for libpq. */
#ifndef TIKETI_DB_ENDPOINT_H
#define TIKETI_DB_ENDPOINT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One server. "" stands for libpq's default. When hostaddr is not "", `host` needs no resolution. */
struct db_target {
    char *host, *hostaddr, *port;
};

struct db_endpoint {
    void *info;                /* what the string says: libpq's list of PQconninfoOption */
    struct db_target *targets; /* the servers to try; none: libpq's default, a Unix socket */
    size_t target_count;
    char *options, *name;
    char user_timeout[24];
    bool
        no_options; /* a pooler refused our startup options: db_link sets them in each transaction */
};

/* ms that a statement waits for a lock: far more than any transaction of ours needs, and short enough that a
 * forgotten lock (a console with an open transaction, a migration) cannot keep the connections for long. */
#define DB_LOCK_TIMEOUT_MS 500

/* As db_lacks_file. */
bool db_endpoint_lacks_file(const char *url, char *problem, size_t size);
/* Returns new; copies all texts. `name` is the application_name; timeout_ms becomes the statement_timeout.
 * ST_INVALID: the string is malformed, or it names a service file. */
MUST_CHECK enum status db_endpoint_parse(const char *url, const char *name, int64_t timeout_ms,
                                         struct db_endpoint **ret_endpoint);
void db_endpoint_free(struct db_endpoint *endpoint); /* NULL is fine */

/* The arguments of PQconnectStartParams. The caller zeroes it first. All texts are borrowed. */
#define DB_KEYWORDS_MAX 64
struct db_keywords {
    const char *names[DB_KEYWORDS_MAX + 1], *values[DB_KEYWORDS_MAX + 1]; /* NULL-terminated */
    size_t count;
};
/* Adds a keyword, unless it was added before. */
void db_keywords_add(struct db_keywords *words, const char *name, const char *value);
/* Adds the keywords of the string, then this program's defaults for those that the string does not set. Leaves out
 * host, hostaddr and port when there are targets: db_link adds them. */
void db_endpoint_keywords(const struct db_endpoint *endpoint, struct db_keywords *words);

#endif
