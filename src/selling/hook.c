/* SPDX-License-Identifier: MIT */
/*
 * hook: the SQL functions of webhooks.
 *
 * Called by: api_hook, courier. Owns nothing.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and the outcome is unknown; a claim then ends by itself.
 */
#include "selling/hook.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBER_SIZE 24

static const struct db_outcome outcomes[] = {
    {"listed", ST_OK},   {"created", ST_OK},          {"changed", ST_OK},
    {"deleted", ST_OK},  {"rotated", ST_OK},          {"testing", ST_OK},
    {"replayed", ST_OK}, {"claimed", ST_OK},          {"good", ST_OK},
    {"failing", ST_OK},  {"parked", ST_OK},           {"noted", ST_OK},
    {"counted", ST_OK},  {"limit", ST_CONFLICT},      {"forgotten", ST_GONE},
    {"gone", ST_GONE},   {"not-found", ST_NOT_FOUND}, {NULL, ST_OK},
};

static enum status call(struct db *db, const struct db_stmt *stmt, const char *const *params,
                        reservation_cb cb, void *arg)
{
    return db_call(db, &(struct db_function_call){stmt, params, outcomes, 0}, cb, arg);
}

enum status hook_list(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "hook_list", 1, "$1");
    return call(db, &stmt, (const char *const[]){event}, cb, arg);
}

enum status hook_create(struct db *db, const struct hook_request *request, const char *fields,
                        reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "hook_create", 3, "$1, $2::jsonb, $3");
    const char *const params[] = {request->event, fields, request->who};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_change(struct db *db, const struct hook_request *request, const char *fields,
                        reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "hook_change", 4, "$1, $2::bigint, $3::jsonb, $4");
    const char *const params[] = {request->event, request->id, fields, request->who};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_delete(struct db *db, const struct hook_request *request, reservation_cb cb,
                        void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "hook_delete", 3, "$1, $2::bigint, $3");
    const char *const params[] = {request->event, request->id, request->who};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_rotate(struct db *db, const struct hook_request *request, int64_t keep_s,
                        reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "hook_rotate", 4, "$1, $2::bigint, $3::integer, $4");
    char keep[NUMBER_SIZE];
    (void)snprintf(keep, sizeof(keep), "%" PRId64, keep_s);
    const char *const params[] = {request->event, request->id, keep, request->who};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_test(struct db *db, const struct hook_request *request, reservation_cb cb,
                      void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "hook_test", 2, "$1, $2::bigint");
    return call(db, &stmt, (const char *const[]){request->event, request->id}, cb, arg);
}

enum status hook_replay(struct db *db, const struct hook_request *request, const char *after,
                        reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "hook_replay", 4, "$1, $2::bigint, $3::bigint, $4");
    const char *const params[] = {request->event, request->id, after, request->who};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_claim(struct db *db, const struct hook_claim *claim, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "hook_claim", 3, "$1::integer, $2::integer, $3::integer");
    char limit[NUMBER_SIZE], events[NUMBER_SIZE], claim_ms[NUMBER_SIZE];
    (void)snprintf(limit, sizeof(limit), "%u", claim->limit);
    (void)snprintf(events, sizeof(events), "%u", claim->events);
    (void)snprintf(claim_ms, sizeof(claim_ms), "%" PRId64, claim->claim_ms);
    return call(db, &stmt, (const char *const[]){limit, events, claim_ms}, cb, arg);
}

enum status hook_sent(struct db *db, const struct hook_outcome *outcome, reservation_cb cb,
                      void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(
        DB_ANY, "hook_sent", 7, "$1::bigint, $2, $3, $4::integer, $5, $6::integer, $7::boolean");
    char count[NUMBER_SIZE], wait_ms[NUMBER_SIZE];
    (void)snprintf(count, sizeof(count), "%u", outcome->count);
    (void)snprintf(wait_ms, sizeof(wait_ms), "%" PRId64, outcome->wait_ms);
    const char *const params[] = {outcome->id,
                                  outcome->claim,
                                  outcome->sent,
                                  count,
                                  outcome->error,
                                  wait_ms,
                                  outcome->gone ? "true" : "false"};
    return call(db, &stmt, params, cb, arg);
}

enum status hook_tested(struct db *db, const char *id, const char *test, const char *error,
                        reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "hook_tested", 3, "$1::bigint, $2, $3");
    return call(db, &stmt, (const char *const[]){id, test, error}, cb, arg);
}

enum status hook_count(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "hook_count", 1, "$1");
    return call(db, &stmt, (const char *const[]){event}, cb, arg);
}
