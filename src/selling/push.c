/* SPDX-License-Identifier: MIT */
/*
 * push: the SQL functions of subscriptions and calls.
 *
 * Called by: api_push, pusher. Owns nothing.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and the outcome is unknown; a claim then ends by itself.
 */
#include "selling/push.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBER_SIZE 24

enum status push_subscribe(struct db *db, const struct push_subscription *subscription,
                           reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "push_subscribe",
        .sql = "SELECT outcome, body FROM push_subscribe($1, $2, $3, $4, $5, $6, $7::boolean)",
        .param_count = 7,
        .kind = DB_BUYER};
    const char *const params[] = {subscription->event,
                                  subscription->buyer,
                                  subscription->endpoint,
                                  subscription->p256dh,
                                  subscription->auth,
                                  subscription->key,
                                  subscription->test ? "true" : "false"};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status push_unsubscribe(struct db *db, const char *event, const char *buyer,
                             const char *endpoint, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "push_unsubscribe",
        .sql = "SELECT outcome, body FROM push_unsubscribe($1, $2, $3)",
        .param_count = 3,
        .kind = DB_BUYER};
    return reservation_ask(db, &stmt, (const char *const[]){event, buyer, endpoint}, cb, arg);
}

enum status push_claim(struct db *db, const struct push_claim *claim, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "push_claim",
        .sql = "SELECT outcome, body FROM push_claim($1::integer, $2::integer, $3::integer)",
        .param_count = 3,
        .kind = DB_ANY};
    char limit[NUMBER_SIZE], tests[NUMBER_SIZE], claim_ms[NUMBER_SIZE];
    (void)snprintf(limit, sizeof(limit), "%u", claim->limit);
    (void)snprintf(tests, sizeof(tests), "%u", claim->tests);
    (void)snprintf(claim_ms, sizeof(claim_ms), "%" PRId64, claim->claim_ms);
    return reservation_ask(db, &stmt, (const char *const[]){limit, tests, claim_ms}, cb, arg);
}

enum status push_sent(struct db *db, const char *ids, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "push_sent",
                                        .sql = "SELECT outcome, body FROM push_sent($1::bigint[])",
                                        .param_count = 1,
                                        .kind = DB_ANY};
    return reservation_ask(db, &stmt, (const char *const[]){ids}, cb, arg);
}

enum status push_failed(struct db *db, const struct push_failure *failure, reservation_cb cb,
                        void *arg)
{
    static const struct db_stmt stmt = {
        .name = "push_failed",
        .sql =
            "SELECT outcome, body FROM push_failed($1::bigint, $2, $3, $4::integer, $5::boolean, "
            "$6::boolean)",
        .param_count = 6,
        .kind = DB_ANY};
    char wait_ms[NUMBER_SIZE];
    (void)snprintf(wait_ms, sizeof(wait_ms), "%" PRId64, failure->wait_ms);
    const char *const params[] = {failure->id,
                                  failure->claim,
                                  failure->error,
                                  wait_ms,
                                  failure->gone ? "true" : "false",
                                  failure->refused ? "true" : "false"};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status push_upkeep(struct db *db, unsigned limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "push_upkeep",
                                        .sql = "SELECT outcome, body FROM push_upkeep($1::integer)",
                                        .param_count = 1,
                                        .kind = DB_ANY};
    char text[NUMBER_SIZE];
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_ask(db, &stmt, (const char *const[]){text}, cb, arg);
}
