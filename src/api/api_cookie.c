/* SPDX-License-Identifier: MIT */
/*
 * api_cookie: the cookies that answers set and remove.
 *
 * Why this way: auth/cookie_jar decides which names there are, which cookie counts and which are too many; this file
 * knows the request's headers and the attributes. A cookie is removed only by the attributes that it was set with.
 * Called by: api and its handlers. Owns nothing; writes into api->header.
 */
#include "api/api_internal.h"

#include "auth/cookie_jar.h"
#include "auth/sign_in.h"
#include "base/clock.h"
#include "base/shared_clock.h"

#include <stdio.h>
#include <string.h>

#define DAY_S (24 * 3600)
#define GUEST_COOKIE_S                                                                             \
    (8 * DAY_S) /* it is renewed daily, so it always outlives the ticket's cookie */
#define PREFERENCE_S (365 * DAY_S)
#define DROPS_MAX    6  /* removals in one answer: each is a header of some 150 bytes */
#define CLEARED_MAX  12 /* the same of a 431, which sets nothing */

const struct cookie_jar *api_jar(struct api_call *call)
{
    if (!call->has_jar) {
        call->jar = cookie_jar_of(http_req_cookies(call->req), api_over_https(call),
                                  call->api->config->cookie_domain);
        call->has_jar = true;
    }
    return &call->jar;
}

/* value NULL: removes it. Without printf, which is slow: every join sets a cookie. */
static void set_cookie(struct api_call *call, enum cookie_prefix prefix, const char *name,
                       size_t name_len, const char *value, int64_t max_age_s)
{
    struct buf *text = &call->api->header;
    const char *domain = call->api->config->cookie_domain;
    buf_reset(text);
    buf_add(text, name, name_len);
    buf_add_char(text, '=');
    buf_add_str(text, value ? value : "");
    buf_add_str(text, "; Path=/");
    if (domain && prefix != COOKIE_HOST && !call->other_host) {
        buf_add_str(text, "; Domain=");
        buf_add_str(text, domain);
    }
    buf_add_str(text, "; Max-Age=");
    buf_add_int(text, value ? max_age_s : 0);
    buf_add_str(text, "; HttpOnly; SameSite=Lax");
    if (prefix != COOKIE_PLAIN || api_jar(call)->only_secure)
        buf_add_str(text, "; Secure");
    http_req_add_header(call->req, "Set-Cookie", buf_str(text));
}

static void drop_cookie(void *arg, const struct cookie *cookie)
{
    set_cookie(arg, cookie->prefix, cookie->name, cookie->name_len, NULL, 0);
}

static void set_ours(struct api_call *call, enum cookie_kind kind, const char *event,
                     const char *value, int64_t max_age_s)
{
    char name[COOKIE_NAME_SIZE];
    const enum cookie_prefix prefix = api_jar(call)->prefix;
    cookie_jar_name(prefix, kind, event, name);
    set_cookie(call, prefix, name, strlen(name), value, max_age_s);
}

void api_set_proof(struct api_call *call, enum cookie_kind kind, const char *value,
                   int64_t max_age_s)
{
    set_ours(call, kind, call->param, value, max_age_s);
    if (value)
        call->proof_bytes += strlen(value) + COOKIE_NAME_SIZE;
}

enum status api_set_buyer(struct api_call *call, const char *buyer)
{
    struct buf text;
    buf_init(&text, 1024);
    const enum status st = sign_in_buyer_write(token_sign_in_keys(call->api->keys), buyer,
                                               shared_clock_ms() + SIGN_IN_BUYER_MS, &text);
    if (st == ST_OK)
        set_ours(call, COOKIE_BUYER, "", buf_str(&text), SIGN_IN_BUYER_MS / 1000);
    buf_clear(&text);
    return st;
}

void api_clear_buyer(struct api_call *call)
{
    set_ours(call, COOKIE_BUYER, "", NULL, 0);
}

bool api_signed_in_here(const struct api_call *call)
{
    return !call->has_user && !call->guest && strncmp(call->buyer, "o:", 2) == 0;
}

#define HOST_COOKIE_SIZE 48

static void host_cookie_name(struct api_call *call, const char *name, char *out)
{
    (void)snprintf(out, HOST_COOKIE_SIZE, "%s%s", api_over_https(call) ? "__Host-" : "", name);
}

void api_set_host_cookie(struct api_call *call, const char *name, const char *value,
                         int64_t max_age_s, const char *site)
{
    struct buf *text = &call->api->header;
    char full[HOST_COOKIE_SIZE];
    host_cookie_name(call, name, full);
    buf_reset(text);
    buf_printf(text, "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=%s%s", full,
               value ? value : "", value ? (long long)max_age_s : 0LL, site,
               api_over_https(call) ? "; Secure" : "");
    http_req_add_header(call->req, "Set-Cookie", buf_str(text));
}

const char *api_host_cookie(struct api_call *call, const char *name, size_t *ret_len)
{
    char full[HOST_COOKIE_SIZE];
    host_cookie_name(call, name, full);
    return http_req_cookie(call->req, full, ret_len);
}

void api_set_preference(struct api_call *call, const char *name, const char *value)
{
    set_cookie(call, COOKIE_PLAIN, name, strlen(name), value, PREFERENCE_S);
}

void api_add_cookies(struct api_call *call)
{
    /* A header makes a small answer 10 % slower, so the guest cookie is set only once a day. */
    const int64_t today = call->guest ? shared_clock_s() / DAY_S : 0;
    if (call->guest && call->guest_day != today) {
        char cookie[GUEST_COOKIE_SIZE];
        if (token_write_guest(call->api->keys, call->buyer, today, cookie) == ST_OK)
            set_ours(call, COOKIE_GUEST, "", cookie, GUEST_COOKIE_S);
    }
    if (call->proof_bytes > 0)
        cookie_jar_trim(api_jar(call), call->param, call->proof_bytes, DROPS_MAX, drop_cookie,
                        call);
}

void api_clear_proofs(struct api_call *call)
{
    const char *at = api_jar(call)->sent;
    struct cookie cookie;
    for (unsigned cleared = 0; cleared < CLEARED_MAX && cookie_jar_next(&at, &cookie);) {
        if (cookie.kind == COOKIE_GUEST)
            continue;
        drop_cookie(call, &cookie);
        cleared++;
    }
}
