/* SPDX-License-Identifier: MIT */
/*
 * forwarded: what a trusted proxy says of the request that it received: X-Forwarded-Proto and X-Forwarded-Host, or
 * Forwarded (RFC 7239). The caller checks that the peer is such a proxy (client_ip.h). Of several values the first one
 * counts: it is that of the proxy that the client reached. Pure.
 */
#ifndef TIKETI_FORWARDED_H
#define TIKETI_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>

#define FORWARDED_FOR_SIZE 512 /* of the text that forwarded_for writes */

/* The headers of one request; each NULL or "" when absent. Those of several lines are joined by ", ". All borrowed. */
struct forwarded {
    const char *proto; /* X-Forwarded-Proto */
    const char *host;  /* X-Forwarded-Host */
    const char
        *forwarded; /* Forwarded; not read where one of the X-Forwarded-… that matter was sent */
};

/* Did the client reach the proxy by HTTPS? */
bool forwarded_is_https(const struct forwarded *headers);

/* Finds the authority ("host" or "host:port") that the client asked for. False when none was sent, or it is not valid.
 * *ret is borrowed from the headers; it is not NUL-terminated. */
bool forwarded_host(const struct forwarded *headers, const char **ret, size_t *ret_len);

/* Writes the addresses of `for` in a Forwarded header into out[FORWARDED_FOR_SIZE], as X-Forwarded-For has them: "a, b".
 * When they are too long, those on the left are left out: the client may have written them. */
void forwarded_for(const char *forwarded, char *out);

#endif
