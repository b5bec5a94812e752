/* SPDX-License-Identifier: MIT */
/*
 * http_text: tokens, authorities, cookies, forms and percent-encoding. Pure: no allocation, no library.
 */
#ifndef TIKETI_HTTP_TEXT_H
#define TIKETI_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* May this be the name of a header (a token, RFC 9110 5.6.2)? */
bool http_is_token(const char *text, size_t len);

/* Is this an authority as Host may have it: "host" or "host:port", where the host is a name of letters, digits, '-', '_'
 * and '.', an IPv4 address, or an IPv6 address in brackets? At most 255 bytes; no user, no percent-encoding. */
bool http_is_authority(const char *text, size_t len);

/* A cookie of a Cookie header (RFC 6265; without quotes). Borrowed from the header; not NUL-terminated. */
struct http_cookie {
    const char *name, *value;
    size_t name_len, len;
};
/* The next cookie from *at on, which begins as the header (NULL: there is none) and is moved behind the cookie. A pair
 * without '=' is passed over. False: there are no more. */
bool http_cookie_next(const char **at, struct http_cookie *ret_cookie);

/* The value of the first cookie of that name in one Cookie header (RFC 6265; without quotes); NULL when
 * absent. Borrowed from `header`; not NUL-terminated. */
const char *http_cookie_find(const char *header, const char *name, size_t *ret_len);

/* The value of the first field of that name in a urlencoded form, still encoded; NULL when absent. Borrowed
 * from `form`; not NUL-terminated. */
const char *http_form_find(const char *form, size_t len, const char *name, size_t *ret_len);

/* Writes the canonical form of `path` into `out` (strlen(path) + 1 bytes): no slash at the end (except "/"), and
 * escapes of unreserved characters decoded (RFC 3986 6.2.2.2). False: `path` is canonical already. */
bool http_canonical_path(const char *path, char *out);

/* Percent-decodes into `out`, which has len + 1 bytes; NUL-terminated. False on a bad escape or on %00;
 * `out` is then undefined. */
bool http_percent_decode(const char *text, size_t len, char *out);

#endif
