/* SPDX-License-Identifier: MIT */
/*
 * push: calls the SQL functions of subscriptions and of calls to browsers (sql/functions/push.sql). Each function here is
 * one transaction. All keep the callback promise of db.h and call back as reservation.h says, with the outcome and body of
 * the SQL function, of which each is listed there.
 */
#ifndef TIKETI_PUSH_H
#define TIKETI_PUSH_H

#include "base/status.h"
#include "net/db.h"
#include "selling/reservation.h"

#include <stdbool.h>
#include <stdint.h>

/* Borrowed. All of them were checked by the caller. */
struct push_subscription {
    const char *event, *buyer;
    const char *endpoint;
    const char *p256dh, *auth; /* the browser's keys, base64url */
    const char *key;           /* ours */
    bool test;                 /* a test call is wanted */
};
MUST_CHECK enum status push_subscribe(struct db *db, const struct push_subscription *subscription,
                                      reservation_cb cb, void *arg);
MUST_CHECK enum status push_unsubscribe(struct db *db, const char *event, const char *buyer,
                                        const char *endpoint, reservation_cb cb, void *arg);

/* Claims at most `limit` due calls for claim_ms, of which at most `tests` are tests. */
struct push_claim {
    unsigned limit, tests;
    int64_t claim_ms;
};
MUST_CHECK enum status push_claim(struct db *db, const struct push_claim *claim, reservation_cb cb,
                                  void *arg);
/* `ids`: an array literal of PostgreSQL, "{1,2}". */
MUST_CHECK enum status push_sent(struct db *db, const char *ids, reservation_cb cb, void *arg);
struct push_failure {
    const char *id, *claim;
    const char *error; /* never names the endpoint */
    int64_t wait_ms;   /* the push service asked for it; 0: it did not */
    bool gone;         /* the subscription is of no use any more */
    bool refused;      /* another attempt would fail as well */
};
MUST_CHECK enum status push_failed(struct db *db, const struct push_failure *failure,
                                   reservation_cb cb, void *arg);
MUST_CHECK enum status push_upkeep(struct db *db, unsigned limit, reservation_cb cb, void *arg);

#endif
