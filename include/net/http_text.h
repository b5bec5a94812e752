/* SPDX-License-Identifier: MIT */
/*
 * http_text: the parts of HTTP that libmicrohttpd does not parse strictly enough, parsed by this program.
 * Pure: no allocation, no library.
 */
#ifndef TIKETI_HTTP_TEXT_H
#define TIKETI_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* May this be the name of a header (a token, RFC 9110 5.6.2)? */
bool http_is_token(const char *text, size_t len);

/* How the body of a request is framed. The caller zeroes it, then passes every header of the request to
 * http_framing_add. */
struct http_framing {
    unsigned hosts, lengths, encodings; /* headers of each kind */
    uint64_t length;                    /* of the body, when lengths == 1 */
    bool chunked;
    bool expects;   /* Expect: 100-continue: the client waits before it sends its body */
    bool malformed; /* a name that is no token, a value with a NUL, a length that is no number */
};

/* Adds one header to the framing. */
void http_framing_add(struct http_framing *framing, const char *name, size_t name_len,
                      const char *value, size_t value_len);

/* Could a proxy and this server disagree where this request ends? Then it must be refused, or one request could
 * be smuggled inside another. */
bool http_framing_ambiguous(const struct http_framing *framing, bool http11);

/* The value of the first cookie of that name in one Cookie header (RFC 6265; without quotes); NULL when
 * absent. Borrowed from `header`; not NUL-terminated. */
const char *http_cookie_find(const char *header, const char *name, size_t *ret_len);

/* The value of the first field of that name in a urlencoded form, still encoded; NULL when absent. Borrowed
 * from `form`; not NUL-terminated. */
const char *http_form_find(const char *form, size_t len, const char *name, size_t *ret_len);

/* Percent-decodes into `out`, which has len + 1 bytes; NUL-terminated. False on a bad escape or on %00;
 * `out` is then undefined. */
bool http_percent_decode(const char *text, size_t len, char *out);

#endif
