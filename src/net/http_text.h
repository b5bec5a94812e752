/* SPDX-License-Identifier: MIT */
/* http_text: the parts of HTTP that httpd reads by itself: pure, no memory, no library. */
#ifndef TIKETI_HTTP_TEXT_H
#define TIKETI_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 9110 5.6.2: what may be the name of a header. */
bool http_is_token(const char *text, size_t len);

/* How the body of a request is framed, gathered header by header. */
struct http_framing {
    unsigned hosts, lengths, encodings;
    uint64_t length; /* of the body, when lengths == 1 */
    bool chunked;
    bool expects;   /* Expect: 100-continue: the client waits before it sends its body */
    bool malformed; /* a name that is no token, a value with a NUL, a length that is no number */
};

/* value_len counts what the library says; a NUL inside makes it malformed. */
void http_framing_add(struct http_framing *framing, const char *name, size_t name_len,
                      const char *value, size_t value_len);

/* Can two servers in a row read this request differently? Then it must be refused. */
bool http_framing_ambiguous(const struct http_framing *framing, bool http11);

/* The value of a cookie in one Cookie header (RFC 6265, quotes removed); NULL when absent. The first
 * of several. Borrowed from `header`. */
const char *http_cookie_find(const char *header, const char *name, size_t *ret_len);

/* The value of a field of an urlencoded form, as sent; NULL when absent. The first of several. Borrowed
 * from `form`. */
const char *http_form_find(const char *form, size_t len, const char *name, size_t *ret_len);

/* Percent-decodes into out[0..len] and adds a NUL. False on a bad escape or on %00. */
bool http_percent_decode(const char *text, size_t len, char *out);

#endif
