/* SPDX-License-Identifier: MIT */
/*
 * jwks: fetches a provider's keys, and keeps the last good ones.
 *
 *   no keys -> fetching -> young -(max-age, ten minutes at most)-> old -> fetching -> …
 *
 * Why this way: a key can be new at any moment, and a provider can be gone at any moment. So a token whose key is not known
 * has the keys fetched again: once for all tokens that ask meanwhile (single-flight), and rarely, since anybody can invent
 * such a token. What was fetched is used until something better comes: the outage of a provider changes nothing for those
 * whose key is known. A document without a usable key is no better.
 * Called by: worker (JWT_JWKS_URL), api and gateway (jwks_renew), oidc. Owns: the ring, unless on_keys has it; the timer.
 * The provider gone: those that wait get ST_UNAVAILABLE within REQUEST_MS, and for RETRY_MS all others at once.
 */
#include "auth/jwks.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/worker_stats.h"

#include <stdlib.h>
#include <string.h>

#define REQUEST_MS   5000
#define DOCUMENT_MAX (256 * 1024)
#define AGE_MAX_MS   (10 * 60 * 1000)
#define AGE_MIN_MS   10000 /* also between two fetches because of an unknown key */
#define RETRY_MS     1000  /* after a failure */
#define BACKOFF_MAX  6 /* a refresh that fails is tried again after 2 to the power of this, in s */
#define WAITING_MAX  256 /* each is verified again in the turn in which the keys arrive */

struct jwks {
    struct jwks_opts opts;
    char *url;
    bool plain;
    struct jws_ring *ring;
    bool known;    /* keys were fetched from this address */
    bool fetching; /* the request's answer is of this address */
    bool outdated; /* the request's answer is of an address that is no more */
    bool stopped;
    unsigned failures; /* in a row */
    uint64_t fetched_ms,
        tried_ms;    /* ends of the last success and of the last attempt; tried_ms 0: none */
    uint64_t age_ms; /* that the keys may reach */
    struct jwks_wait *waiting;
    unsigned waiting_count;
    struct loop_timer *timer; /* the next refresh; NULL: opts.refreshes is not set */
};

static void fetch(struct jwks *jwks);

/* ---- life ---- */

static void on_timer(void *arg)
{
    struct jwks *jwks = arg;
    if (jwks->url && !jwks->fetching)
        fetch(jwks);
}

struct jwks *jwks_new(const struct jwks_opts *opts)
{
    struct jwks *jwks = xcalloc(1, sizeof(*jwks));
    jwks->opts = *opts;
    if (opts->refreshes)
        jwks->timer = loop_timer_new(opts->loop, on_timer, jwks);
    return jwks;
}

static void release(struct jwks *jwks, enum status status)
{
    struct jwks_wait *wait = jwks->waiting;
    jwks->waiting = NULL;
    jwks->waiting_count = 0;
    while (wait) {
        struct jwks_wait *next = wait->next;
        wait->cb(wait->arg, wait->takes_old && jwks->known ? ST_OK : status);
        wait = next;
    }
}

void jwks_stop(struct jwks *jwks)
{
    if (!jwks || jwks->stopped)
        return;
    jwks->stopped = true;
    loop_timer_close(jwks->timer);
    jwks->timer = NULL;
    release(jwks, ST_UNAVAILABLE);
}

void jwks_free(struct jwks *jwks)
{
    if (!jwks)
        return;
    loop_timer_close(jwks->timer);
    jws_ring_free(jwks->ring);
    free(jwks->url);
    free(jwks);
}

bool jwks_set_url(struct jwks *jwks, const char *url, bool plain)
{
    const bool same = url && jwks->url && strcmp(url, jwks->url) == 0;
    jwks->plain = plain;
    if (!same) {
        free(jwks->url);
        jwks->url = url ? xstrdup(url) : NULL;
        jwks->known = false;
        if (jwks->opts.refreshes)
            worker_stats_have_keys(0);
        jwks->outdated = jwks->fetching;
        jwks->tried_ms = 0;
        jwks->failures = 0;
    }
    if (jwks->timer && url && !jwks->fetching)
        fetch(jwks);
    return same;
}

struct jws_ring *jwks_ring(const struct jwks *jwks)
{
    return jwks->ring;
}

bool jwks_is_settled(const struct jwks *jwks)
{
    return !jwks->url || jwks->tried_ms > 0;
}

/* ---- fetching ---- */

static uint64_t age_of(int64_t max_age_s)
{
    if (max_age_s < 0 || max_age_s > AGE_MAX_MS / 1000)
        return AGE_MAX_MS;
    return max_age_s < AGE_MIN_MS / 1000 ? AGE_MIN_MS : (uint64_t)max_age_s * 1000;
}

/* Plans the next refresh, notes the outcome, and lets those that wait go on. */
static void fetched(struct jwks *jwks, const char *wrong)
{
    const uint64_t now = loop_now_ms(jwks->opts.loop);
    uint64_t next_ms = jwks->age_ms;
    jwks->fetching = false;
    jwks->tried_ms = now;
    metrics_add(wrong ? jwks->opts.failed : jwks->opts.fetched, 1);
    if (wrong) {
        next_ms = UINT64_C(1000) << jwks->failures;
        jwks->failures += jwks->failures < BACKOFF_MAX;
        log_warn("published keys not usable", LOG_TEXT("of", jwks->opts.name),
                 LOG_TEXT("reason", wrong),
                 LOG_NUM("ageS", jwks->known ? (now - jwks->fetched_ms) / 1000 : 0));
    } else {
        jwks->known = true;
        jwks->failures = 0;
        jwks->fetched_ms = now;
        if (jwks->opts.refreshes)
            worker_stats_have_keys(clock_mono_ns());
    }
    if (jwks->timer)
        loop_timer_set(jwks->timer, next_ms);
    release(jwks, wrong ? ST_UNAVAILABLE : ST_OK);
}

static void on_answer(void *arg, enum status status, const struct http_client_answer *answer)
{
    struct jwks *jwks = arg;
    const char *wrong = NULL;
    if (jwks->stopped)
        return;
    if (jwks->outdated) { /* the address was changed meanwhile: ask again, for those that wait */
        jwks->outdated = jwks->fetching = false;
        if (jwks->url)
            fetch(jwks);
        else
            release(jwks, ST_UNAVAILABLE);
        return;
    }
    struct jws_ring *ring = jws_ring_new();
    if (status != ST_OK)
        wrong = answer->error[0] != '\0' ? answer->error : status_name(status);
    else if (answer->code != 200)
        wrong = "its answer is not 200";
    else if (!ring || jws_ring_add_jwks(ring, answer->body, answer->len) != ST_OK)
        wrong = "it has no key for RS256 or ES256";
    if (wrong) {
        jws_ring_free(ring);
    } else {
        jwks->age_ms = age_of(answer->max_age_s);
        if (jwks->opts.on_keys) {
            jwks->opts.on_keys(jwks->opts.arg, ring);
        } else {
            jws_ring_free(jwks->ring);
            jwks->ring = ring;
        }
    }
    fetched(jwks, wrong);
}

static void fetch(struct jwks *jwks)
{
    static const char *const headers[] = {"Accept: application/jwk-set+json, application/json",
                                          NULL};
    jwks->fetching = true;
    const enum status st =
        jwks->stopped ? ST_UNAVAILABLE
                      : http_client_start(jwks->opts.http,
                                          &(struct http_client_request){.url = jwks->url,
                                                                        .plain = jwks->plain,
                                                                        .headers = headers,
                                                                        .answer_max = DOCUMENT_MAX,
                                                                        .timeout_ms = REQUEST_MS},
                                          on_answer, jwks);
    if (st != ST_OK)
        fetched(jwks, status_name(st));
}

/* ---- asking ---- */

/* Puts `wait` (NULL: nobody) among those that wait for the request that is under way or begins now. */
static void ask(struct jwks *jwks, struct jwks_wait *wait)
{
    if (wait && jwks->waiting_count == WAITING_MAX) {
        wait->cb(wait->arg, ST_FULL);
        return;
    }
    if (wait) {
        wait->next = jwks->waiting;
        jwks->waiting = wait;
        jwks->waiting_count++;
    }
    if (!jwks->fetching)
        fetch(jwks);
}

static bool has_just_failed(const struct jwks *jwks, uint64_t now)
{
    return !jwks->fetching && jwks->failures > 0 && now - jwks->tried_ms < RETRY_MS;
}

void jwks_fresh(struct jwks *jwks, struct jwks_wait *wait, jwks_cb cb, void *arg)
{
    const uint64_t now = loop_now_ms(jwks->opts.loop);
    *wait = (struct jwks_wait){.cb = cb, .arg = arg, .takes_old = true};
    if (jwks->stopped || !jwks->url)
        cb(arg, ST_UNAVAILABLE);
    else if (jwks->known && now - jwks->fetched_ms < jwks->age_ms)
        cb(arg, ST_OK);
    else if (has_just_failed(jwks, now))
        cb(arg, jwks->known ? ST_OK : ST_UNAVAILABLE);
    else
        ask(jwks, wait);
}

/* ST_OK: an unknown key is a reason to fetch; else what jwks_cb says. */
static enum status may_renew(const struct jwks *jwks)
{
    const uint64_t now = loop_now_ms(jwks->opts.loop);
    if (jwks->stopped || !jwks->url || has_just_failed(jwks, now))
        return ST_UNAVAILABLE;
    return !jwks->fetching && jwks->known && now - jwks->fetched_ms < AGE_MIN_MS ? ST_NOT_FOUND
                                                                                 : ST_OK;
}

bool jwks_renews(struct jwks *jwks)
{
    const enum status st = may_renew(jwks);
    if (st == ST_OK)
        ask(jwks, NULL);
    return st != ST_NOT_FOUND;
}

void jwks_renew(struct jwks *jwks, struct jwks_wait *wait, jwks_cb cb, void *arg)
{
    const enum status st = may_renew(jwks);
    *wait = (struct jwks_wait){.cb = cb, .arg = arg};
    if (st == ST_OK)
        ask(jwks, wait);
    else
        cb(arg, st);
}
