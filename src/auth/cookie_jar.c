/* SPDX-License-Identifier: MIT */
/*
 * cookie_jar: the cookies by which a buyer is known.
 *
 * Why this way: anybody who controls a site below the same domain can give a browser a cookie of our name, and it may
 * come first. So every cookie of the name is tried until one verifies, over HTTPS the names are those that no other
 * site can set, and there a plain name does not count: else a visitor could be given the attacker's own guest before
 * they have one. A connection that is not known to be HTTPS (the handshake of a WebSocket) takes all of them, the safe
 * ones first.
 * Each event leaves a ticket and a pass, some 1 KB. Without a bound the header grows with each sale until proxies
 * refuse it, so the oldest are removed. That costs their buyer nothing: Redis knows the place.
 * Called by: api, gateway. Pure.
 */
#include "auth/cookie_jar.h"

#include "auth/sign_in.h"
#include "net/http_text.h"

#include <string.h>

static const struct {
    const char *text;
    size_t len;
} prefixes[] =
    {[COOKIE_PLAIN] = {"", 0}, [COOKIE_SECURE] = {"__Secure-", 9}, [COOKIE_HOST] = {"__Host-", 7}},
  kinds[] = {[COOKIE_GUEST] = {"tiketi_guest", 12},
             [COOKIE_BUYER] = {"tiketi_buyer", 12},
             [COOKIE_TICKET] = {"tiketi_ticket_", 14},
             [COOKIE_PASS] = {"tiketi_pass_", 12}};

struct cookie_jar cookie_jar_of(const char *sent, bool https, const char *domain)
{
    const enum cookie_prefix secure = domain ? COOKIE_SECURE : COOKIE_HOST;
    return (struct cookie_jar){
        .sent = sent, .prefix = https ? secure : COOKIE_PLAIN, .only_secure = https};
}

/* Without printf: on the way of every join. */
void cookie_jar_name(enum cookie_prefix prefix, enum cookie_kind kind, const char *event, char *out)
{
    out = mempcpy(out, prefixes[prefix].text, prefixes[prefix].len);
    out = mempcpy(out, kinds[kind].text, kinds[kind].len);
    const size_t len = strnlen(event, EVENT_ID_MAX);
    memcpy(out, event, len);
    out[len] = '\0';
}

/* ---- reading ---- */

/* Is it a name of our kinds? Fills all but the value. What follows a ticket's or a pass's name is not checked. */
static bool read_name(const char *name, size_t len, struct cookie *cookie)
{
    cookie->name = name;
    cookie->name_len = len;
    cookie->prefix = COOKIE_PLAIN;
    for (unsigned i = COOKIE_SECURE; name[0] == '_' && i <= COOKIE_HOST; i++) {
        if (len > prefixes[i].len && memcmp(name, prefixes[i].text, prefixes[i].len) == 0)
            cookie->prefix = (enum cookie_prefix)i;
    }
    name += prefixes[cookie->prefix].len;
    len -= prefixes[cookie->prefix].len;
    for (unsigned i = COOKIE_GUEST; i <= COOKIE_PASS; i++) {
        if (len < kinds[i].len || memcmp(name, kinds[i].text, kinds[i].len) != 0)
            continue;
        cookie->kind = (enum cookie_kind)i;
        cookie->event = name + kinds[i].len;
        cookie->event_len = len - kinds[i].len;
        return i >= COOKIE_TICKET || cookie->event_len == 0;
    }
    return false;
}

bool cookie_jar_next(const char **at, struct cookie *ret_cookie)
{
    struct http_cookie pair;
    while (http_cookie_next(at, &pair)) {
        if (!read_name(pair.name, pair.name_len, ret_cookie) ||
            (ret_cookie->kind != COOKIE_GUEST &&
             !token_is_event_id(ret_cookie->event, ret_cookie->event_len)))
            continue;
        ret_cookie->value = pair.value;
        ret_cookie->len = pair.len;
        return true;
    }
    return false;
}

/* 0 is best. */
static unsigned rank(const struct cookie_jar *jar, const struct cookie *cookie)
{
    return cookie->prefix == jar->prefix && jar->prefix != COOKIE_PLAIN ? 0 : 3u - cookie->prefix;
}

size_t cookie_jar_find(const struct cookie_jar *jar, enum cookie_kind kind, const char *event,
                       struct cookie *ret_list)
{
    const size_t event_len = strlen(event);
    const char *at = jar->sent;
    struct http_cookie pair;
    size_t count = 0;
    if (kind >= COOKIE_TICKET && !token_is_event_id(event, event_len))
        return 0;
    while (http_cookie_next(&at, &pair)) {
        struct cookie cookie;
        if (pair.len == 0 || !read_name(pair.name, pair.name_len, &cookie) || cookie.kind != kind ||
            cookie.event_len != event_len || memcmp(cookie.event, event, event_len) != 0 ||
            (jar->only_secure && cookie.prefix == COOKIE_PLAIN))
            continue;
        cookie.value = pair.value;
        cookie.len = pair.len;
        size_t to = count < COOKIE_TRIES ? count++ : COOKIE_TRIES;
        for (; to > 0 && rank(jar, &cookie) < rank(jar, &ret_list[to - 1]); to--) {
            if (to < COOKIE_TRIES)
                ret_list[to] = ret_list[to - 1];
        }
        if (to < COOKIE_TRIES)
            ret_list[to] = cookie;
    }
    return count;
}

bool cookie_jar_guest(const struct cookie_jar *jar, struct token_keys *keys, char *out,
                      int64_t *ret_day)
{
    struct cookie list[COOKIE_TRIES];
    const size_t count = cookie_jar_find(jar, COOKIE_GUEST, "", list);
    for (size_t i = 0; i < count; i++) {
        if (!token_read_guest(keys, list[i].value, list[i].len, out, ret_day))
            continue;
        if (jar->only_secure && list[i].prefix != jar->prefix)
            *ret_day = 0;
        return true;
    }
    return false;
}

/* Does it name a guest? A pass in the cookie of another event counts for nothing. */
static bool read_passed_guest(const struct cookie *cookie, struct token_keys *keys, int64_t now_ms,
                              char *out)
{
    struct pass pass;
    if (pass_read(keys, cookie->value, cookie->len, now_ms, &pass) != ST_OK || !pass.names_guest ||
        strlen(pass.event) != cookie->event_len ||
        memcmp(pass.event, cookie->event, cookie->event_len) != 0 ||
        strlen(pass.buyer) != GUEST_ID_LEN)
        return false;
    memcpy(out, pass.buyer, GUEST_ID_LEN + 1);
    return true;
}

bool cookie_jar_passed_guest(const struct cookie_jar *jar, struct token_keys *keys,
                             const char *event, int64_t now_ms, char *out)
{
    struct cookie list[COOKIE_TRIES];
    const size_t count = cookie_jar_find(jar, COOKIE_PASS, event, list);
    for (size_t i = 0; i < count; i++) {
        if (read_passed_guest(&list[i], keys, now_ms, out))
            return true;
    }
    const char *at = jar->sent;
    for (unsigned tries = 0; tries < COOKIE_TRIES && cookie_jar_next(&at, &list[0]);) {
        if (list[0].kind != COOKIE_PASS || (jar->only_secure && list[0].prefix == COOKIE_PLAIN))
            continue;
        if (read_passed_guest(&list[0], keys, now_ms, out))
            return true;
        tries++;
    }
    return false;
}

bool cookie_jar_signed_in(const struct cookie_jar *jar, struct token_keys *keys, int64_t now_ms,
                          char *out)
{
    struct cookie list[COOKIE_TRIES];
    const size_t count = cookie_jar_find(jar, COOKIE_BUYER, "", list);
    for (size_t i = 0; i < count; i++) {
        if (sign_in_buyer_read(token_sign_in_keys(keys), list[i].value, list[i].len, now_ms, out))
            return true;
    }
    return false;
}

/* ---- keeping them few ---- */

static size_t size_of(const struct cookie *cookie)
{
    return cookie->name_len + cookie->len + 3; /* "=", "; " */
}

/* A ticket or pass that stays beside those of `event` that are set now. */
static bool stays(const struct cookie_jar *jar, const struct cookie *cookie, const char *event,
                  size_t event_len)
{
    return cookie->kind != COOKIE_GUEST &&
           (cookie->prefix != jar->prefix || cookie->event_len != event_len ||
            memcmp(cookie->event, event, event_len) != 0);
}

void cookie_jar_trim(const struct cookie_jar *jar, const char *event, size_t added, unsigned most,
                     void (*drop)(void *arg, const struct cookie *cookie), void *arg)
{
    const size_t event_len = strlen(event);
    const char *at = jar->sent;
    struct cookie cookie;
    size_t total = added;
    while (cookie_jar_next(&at, &cookie))
        total += stays(jar, &cookie, event, event_len) ? size_of(&cookie) : 0;
    for (int pass = 0; pass < 2 && total > COOKIES_KEPT; pass++) {
        at = jar->sent;
        while (total > COOKIES_KEPT && most > 0 && cookie_jar_next(&at, &cookie)) {
            if (!stays(jar, &cookie, event, event_len) ||
                (cookie.prefix == jar->prefix) != (pass == 1))
                continue;
            total -= size_of(&cookie);
            most--;
            drop(arg, &cookie);
        }
    }
}
