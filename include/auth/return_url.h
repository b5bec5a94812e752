/* SPDX-License-Identifier: MIT */
/*
 * return_url: where a buyer goes after their admission: the URL of `?return=`, and the origins that an event allows. Pure.
 *
 * A return is a path of the page's own origin ("/shop/x?y=1"), or an absolute http or https URL. Paths of the own origin
 * are always allowed; other origins where the event's setting `returnUrls` names them. What browsers, proxies and shops may
 * read in different ways is refused, not repaired.
 */
#ifndef TIKETI_RETURN_URL_H
#define TIKETI_RETURN_URL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define RETURN_URL_MAX   1500 /* bytes of a URL, in its normal form */
#define RETURN_ENTRY_MAX 300  /* bytes of an entry of returnUrls, in its normal form */
#define RETURN_LIST_MAX  16   /* entries */
#define RETURN_LIST_SIZE                                                                           \
    2048 /* bytes of a list: entries in their normal form with a blank between them, and a NUL */
#define RETURN_ORIGIN_MAX 270 /* bytes of an origin */

enum return_verdict {
    RETURN_OK,
    RETURN_TOO_LONG,
    RETURN_NOT_A_URL,  /* neither a path nor an absolute URL */
    RETURN_SCHEME,     /* neither http nor https */
    RETURN_HOST,       /* no host, a malformed one, or a user before it */
    RETURN_AMBIGUOUS,  /* "//", a backslash, a control character, a dot segment */
    RETURN_NOT_ALLOWED /* another origin, or another path of it, than returnUrls allows */
};
/* "return-not-allowed": its reason in answers. Static; NULL for RETURN_OK. */
const char *return_verdict_reason(enum return_verdict verdict);
/* A sentence for people. Static; NULL for RETURN_OK. */
const char *return_verdict_detail(enum return_verdict verdict);

struct return_url {
    /* In its normal form: characters that need no escape in a header, scheme and host in lower case, no default port. Of the
     * own origin it begins with its path. */
    char text[RETURN_URL_MAX + 1];
    size_t origin_len; /* of the scheme and authority that `text` begins with; 0: the own origin */
};

/* Reads a URL into its normal form, whatever its origin. `own`: a URL of the own origin, of which only scheme and authority
 * count; NULL: not known, then only paths are of the own origin. Neither RETURN_OK nor RETURN_NOT_ALLOWED: *ret is not
 * valid. */
enum return_verdict return_url_parse(const char *text, const char *own, struct return_url *ret);
/* Is it of the own origin, or allowed by this list (return_entry_add)? */
bool return_url_allowed(const struct return_url *url, const char *list);
/* Both: RETURN_OK, and *ret is filled; else why it must not be followed. */
enum return_verdict return_url_read(const char *text, const char *own, const char *list,
                                    struct return_url *ret);

/* Is its host this domain, or below it? Of the own origin: false. `domain` as of COOKIE_DOMAIN, with or without a dot. */
bool return_url_in_domain(const struct return_url *url, const char *domain);

/* Appends the URL with a parameter of the query added behind the others, before the fragment. `value` needs no escape. */
void return_url_with(const char *url, const char *name, const char *value, struct buf *out);
/* Appends the URL without the parameters of this name; all else stays as it was. */
void return_url_without(const char *url, const char *name, struct buf *out);
/* The first value of this parameter, as it stands in the query; NULL: there is none, or it has no "=". Borrowed, not terminated. */
const char *return_url_find(const char *url, const char *name, size_t *ret_len);
/* Appends `text` as the value of a parameter of a query; escapes only what must be. */
void return_url_escape(const char *text, struct buf *out);

/* ---- returnUrls ---- */

enum return_entry {
    RETURN_ENTRY_OK,
    RETURN_ENTRY_NOT_A_URL, /* not https://host or http://host, with a port and a path perhaps */
    RETURN_ENTRY_QUERY,     /* it has a query or a fragment */
    RETURN_ENTRY_PATTERN,   /* it has a * */
    RETURN_ENTRY_TWICE,     /* the list has it already */
    RETURN_ENTRY_FULL       /* the list is too long */
};
/* Adds an entry in its normal form to a list of RETURN_LIST_SIZE bytes, "" at first. */
enum return_entry return_entry_add(char *list, const char *text);
/* The next entry from *at on, which begins as the list and is moved behind it; NULL: there are no more. Borrowed, not
 * terminated. */
const char *return_entry_next(const char **at, size_t *ret_len);

#endif
