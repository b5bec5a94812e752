/* SPDX-License-Identifier: MIT */
/*
 * cookie_jar: the cookies by which a buyer is known: their names, which of several counts, and how many are kept. The
 * one reader for HTTP and WebSockets. Pure.
 */
#ifndef TIKETI_COOKIE_JAR_H
#define TIKETI_COOKIE_JAR_H

#include "auth/token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The guest's identity; that of a buyer who has signed in at the identity provider; the ticket and the pass of an event,
 * whose id ends the name. */
enum cookie_kind { COOKIE_GUEST, COOKIE_BUYER, COOKIE_TICKET, COOKIE_PASS };
/* How a name begins. Browsers take a "__Host-" cookie only from this very host, and a "__Secure-" cookie only over
 * HTTPS, so no other site can plant one. */
enum cookie_prefix { COOKIE_PLAIN, COOKIE_SECURE, COOKIE_HOST };

struct cookie_jar {
    const char *sent; /* the Cookie headers, joined by "; "; NULL: none. Borrowed */
    enum cookie_prefix
        prefix;       /* of the cookies that are set; read before those of another prefix */
    bool only_secure; /* cookies of a plain name do not count */
};

/* The jar of a request. https: false, or not known. A plain name counts unless the connection is known to be HTTPS.
 * domain: COOKIE_DOMAIN, or NULL. */
struct cookie_jar cookie_jar_of(const char *sent, bool https, const char *domain);

#define COOKIE_NAME_SIZE (EVENT_ID_MAX + 32)
/* Writes the name of a cookie that is set now into out[COOKIE_NAME_SIZE]. event: "" for a guest's and a buyer's. */
void cookie_jar_name(enum cookie_prefix prefix, enum cookie_kind kind, const char *event,
                     char *out);

/* ---- reading ---- */

/* One of our cookies as it was sent. All texts are borrowed and have no NUL. */
struct cookie {
    enum cookie_kind kind;
    enum cookie_prefix prefix;
    const char *name, *event, *value;
    size_t name_len, event_len, len;
};

/* The next of our guests' cookies, tickets and passes, in the order of the header; *at begins as jar->sent. False: there are no more. */
bool cookie_jar_next(const char **at, struct cookie *ret_cookie);

/* How many cookies of one name are tried: a foreign one must not hide the buyer's own, but each costs a signature. */
#define COOKIE_TRIES 4
/* The cookies of this kind and event ("": a guest's) that may count, the best first. Returns how many. */
size_t cookie_jar_find(const struct cookie_jar *jar, enum cookie_kind kind, const char *event,
                       struct cookie *ret_list);

/* Reads the guest from the first cookie that is valid. The id goes into out[GUEST_ID_LEN + 1]. *ret_day is when the
 * cookie was set, and 0 if its name is not the one that is set now, so that it is set again. False: there is none. */
bool cookie_jar_guest(const struct cookie_jar *jar, struct token_keys *keys, char *out,
                      int64_t *ret_day);

/* Reads the guest from the first valid pass in a cookie that names one (struct pass), those of `event` before others; into
 * out[GUEST_ID_LEN + 1]. Where no guest's cookie was sent: the gate sets a pass alone. False: there is none. */
bool cookie_jar_passed_guest(const struct cookie_jar *jar, struct token_keys *keys,
                             const char *event, int64_t now_ms, char *out);

/* Reads who has signed in from the first cookie that is valid, into out[BUYER_ID_MAX + 1]. False: there is none; then
 * nothing was written. */
bool cookie_jar_signed_in(const struct cookie_jar *jar, struct token_keys *keys, int64_t now_ms,
                          char *out);

/* ---- keeping them few ---- */

/* Names and values of the tickets and passes that a browser is left with, in bytes. Many proxies take 8 KiB of cookies,
 * ours and the site's. */
#define COOKIES_KEPT 4096

/* Which tickets and passes of other events are to be removed when `added` bytes are set for `event`: calls `drop` for
 * each, the oldest first (browsers send them in that order), until the others fit into COOKIES_KEPT; at most `most`
 * of them. Those that are sent under a name that is not set now are the first to go. */
void cookie_jar_trim(const struct cookie_jar *jar, const char *event, size_t added, unsigned most,
                     void (*drop)(void *arg, const struct cookie *cookie), void *arg);

#endif
