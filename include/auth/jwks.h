/* SPDX-License-Identifier: MIT */
/*
 * jwks: the keys that a provider publishes at an address (RFC 7517), fetched over http_client and kept. All calls are for
 * the loop's own thread.
 */
#ifndef TIKETI_JWKS_H
#define TIKETI_JWKS_H

#include "auth/jws.h"
#include "base/metrics.h"
#include "base/status.h"
#include "net/http_client.h"
#include "net/loop.h"

#include <stdbool.h>

struct jwks;

struct jwks_opts {
    struct loop *loop;           /* borrowed, as `http` */
    struct http_client *http;    /* to be closed before jwks_free, after jwks_stop */
    const char *name;            /* for logs: what the keys belong to; borrowed */
    enum metric fetched, failed; /* count what became of each fetch */
    /* Keys that come of age are fetched again without being asked for, and their age is told of the worker (worker_stats). */
    bool refreshes;
    /* Gets the keys each time that they were fetched, and takes the ring. NULL: jwks_ring has them. */
    void (*on_keys)(void *arg, struct jws_ring *ring);
    void *arg;
};
/* Returns new, without an address. */
struct jwks *jwks_new(const struct jwks_opts *opts);
/* Ends the waiting with ST_UNAVAILABLE, and all that comes later. NULL is fine. */
void jwks_stop(struct jwks *jwks);
void jwks_free(struct jwks *jwks); /* NULL is fine */

/* Where the keys are: copied; NULL: nowhere. `plain`: http is allowed. False: it is another address than before, and nothing
 * is known of its keys. `refreshes` fetches at once, also from the same address. */
bool jwks_set_url(struct jwks *jwks, const char *url, bool plain);

/* The keys, borrowed until the loop's next turn. NULL: none were fetched, or on_keys has them. */
struct jws_ring *jwks_ring(const struct jwks *jwks);
/* Has the first attempt to fetch them ended, or is there no address? */
bool jwks_is_settled(const struct jwks *jwks);

/* ST_OK: the keys were fetched, or are young enough. ST_NOT_FOUND (of jwks_renew): they were fetched less than ten seconds
 * ago, so that a key that is not among them does not exist. ST_UNAVAILABLE: they cannot be fetched, or not yet again, or there is
 * no address. ST_FULL: too many wait. */
typedef void (*jwks_cb)(void *arg, enum status status);
/* Belongs to the caller, who keeps it until the callback has run. */
struct jwks_wait {
    struct jwks_wait *next;
    jwks_cb cb;
    void *arg;
    bool takes_old; /* old keys will do where there are no younger ones */
};
/* Has the callback run as soon as the keys are young enough: not older than their Cache-Control allows, and at most ten
 * minutes. Old keys are ST_OK, too, where they cannot be fetched. It runs exactly once, and may run before this returns. */
void jwks_fresh(struct jwks *jwks, struct jwks_wait *wait, jwks_cb cb, void *arg);
/* The same for a token whose key is not among them: they are fetched again, once for all that ask meanwhile, and not more
 * often than every ten seconds. */
void jwks_renew(struct jwks *jwks, struct jwks_wait *wait, jwks_cb cb, void *arg);
/* The same for a caller that does not wait. False: the key does not exist, as ST_NOT_FOUND. */
bool jwks_renews(struct jwks *jwks);

#endif
