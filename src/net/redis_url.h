/* SPDX-License-Identifier: MIT */
/* redis_url: where Redis listens and how to log in, read from a URL. Pure. */
#ifndef TIKETI_REDIS_URL_H
#define TIKETI_REDIS_URL_H

#include "base/status.h"

struct redis_endpoint {
    char *host; /* NULL: a Unix socket */
    int port;
    char *path;            /* of the Unix socket; "" otherwise */
    char *user, *password; /* NULL or "" when not given */
    int db;
};

/* redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=n]. On ST_OK the
 * endpoint owns its texts, until redis_endpoint_clear. ST_INVALID on anything that is not exactly one of
 * the two forms; nothing is left to clear then. */
MUST_CHECK enum status redis_url_parse(struct redis_endpoint *endpoint, const char *url);
/* Wipes user and password, frees, zeroes. */
void redis_endpoint_clear(struct redis_endpoint *endpoint);

#endif
