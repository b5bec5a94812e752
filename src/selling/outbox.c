/* SPDX-License-Identifier: MIT */
/*
 * outbox: the SQL functions of the outbox.
 *
 * Called by: mailer, api_mail. Owns nothing.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and the outcome is unknown; a claim then ends by itself.
 */
#include "selling/outbox.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum status outbox_claim(struct db *db, const char *kind, unsigned limit, int64_t claim_ms,
                         reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "outbox_claim",
        .sql = "SELECT outcome, body FROM outbox_claim($1, $2::integer, $3::integer)",
        .param_count = 3,
        .kind = DB_ANY};
    char limit_text[16], claim_text[24];
    (void)snprintf(limit_text, sizeof(limit_text), "%u", limit);
    (void)snprintf(claim_text, sizeof(claim_text), "%" PRId64, claim_ms);
    return reservation_ask(db, &stmt, (const char *const[]){kind, limit_text, claim_text}, cb, arg);
}

enum status outbox_sent(struct db *db, const char *id, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "outbox_sent",
                                        .sql = "SELECT outcome, body FROM outbox_sent($1::bigint)",
                                        .param_count = 1,
                                        .kind = DB_ANY};
    return reservation_ask(db, &stmt, (const char *const[]){id}, cb, arg);
}

enum status outbox_drop(struct db *db, const char *id, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "outbox_drop",
                                        .sql = "SELECT outcome, body FROM outbox_drop($1::bigint)",
                                        .param_count = 1,
                                        .kind = DB_ANY};
    return reservation_ask(db, &stmt, (const char *const[]){id}, cb, arg);
}

enum status outbox_failed(struct db *db, const struct outbox_failure *failure, reservation_cb cb,
                          void *arg)
{
    static const struct db_stmt stmt = {
        .name = "outbox_failed",
        .sql = "SELECT outcome, body FROM outbox_failed($1::bigint, $2, $3, $4::boolean)",
        .param_count = 4,
        .kind = DB_ANY};
    const char *const params[] = {failure->id, failure->claim, failure->error,
                                  failure->for_good ? "true" : "false"};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status outbox_resend(struct db *db, const char *event, unsigned limit, const char *who,
                          reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "outbox_resend", 3, "$1, $2::integer, $3");
    char text[16];
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_ask(db, &stmt, (const char *const[]){event, text, who}, cb, arg);
}

enum status outbox_upkeep(struct db *db, unsigned limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "outbox_upkeep",
                                        .sql =
                                            "SELECT outcome, body FROM outbox_upkeep($1::integer)",
                                        .param_count = 1,
                                        .kind = DB_ANY};
    char text[16];
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_ask(db, &stmt, (const char *const[]){text}, cb, arg);
}
