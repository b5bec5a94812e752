/* SPDX-License-Identifier: MIT */
/* redis_server: where Redis is and how it is reached, as the settings say it. */
#ifndef TIKETI_REDIS_SERVER_H
#define TIKETI_REDIS_SERVER_H

#include "base/config.h"

#include <stdbool.h>
#include <stddef.h>

/* All texts are borrowed; NULL: not set. */
struct redis_server {
    const char *url;                         /* redis_url.h has the forms */
    const char *tls_ca, *tls_cert, *tls_key; /* PEM files; for a URL of rediss alone */
    bool tls_any_name;                       /* the server's certificate may be for another host */
    const char *sentinel_user, *sentinel_password; /* of Sentinels; Redis' own are in the URL */
    char name[128]; /* by which CLIENT LIST shows the connections; "": none */
};

/* What the settings say, for the connections of `role`, such as "api" or "erase": their name is tiketi:<pod>:<role>. */
struct redis_server redis_server_of(const struct config *config, const char *role);
#define REDIS_PROBLEM_MAX 400 /* bytes of a problem, with its NUL */
/* Can it be used? Reads the files of TLS, which blocks. False: `problem` is "SETTING: sentence", without secrets. */
bool redis_server_check(const struct redis_server *server, char *problem, size_t size);
/* The number of the database in a URL; 0 when it has none, or is not a URL. */
int redis_server_database(const char *url);

#endif
