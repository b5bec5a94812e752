/* SPDX-License-Identifier: MIT */
/*
 * personal: the SQL functions about the data of one buyer, and about how long data is kept.
 *
 * Called by: erase (the commands erase and export), processor_retention. Owns nothing.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and the outcome is unknown; every function may be called again.
 */
#include "selling/personal.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define PERSONAL_MS 30000 /* of a query about one buyer: some tables are searched whole */

enum status personal_events(struct db *db, const char *buyer, const char *after, unsigned limit,
                            reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "personal_events", 3, "$1, $2, $3::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_call(db, PERSONAL_MS, &stmt, (const char *const[]){buyer, after, text}, cb,
                            arg);
}

enum status personal_event(struct db *db, const char *buyer, const char *event, reservation_cb cb,
                           void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "personal_event", 2, "$1, $2");
    return reservation_call(db, PERSONAL_MS, &stmt, (const char *const[]){buyer, event}, cb, arg);
}

enum status personal_export(struct db *db, const struct personal_request *request,
                            reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "personal_export", 3, "$1, $2, $3");
    const char *const params[] = {request->buyer, request->event, request->who};
    return reservation_call(db, PERSONAL_MS, &stmt, params, cb, arg);
}

enum status personal_erase(struct db *db, const struct personal_request *request, reservation_cb cb,
                           void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "personal_erase", 3, "$1, $2, $3");
    const char *const params[] = {request->buyer, request->event, request->who};
    return reservation_call(db, PERSONAL_MS, &stmt, params, cb, arg);
}

enum status personal_keys(struct db *db, int64_t days, unsigned limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "personal_keys", 2, "$1::integer, $2::integer");
    char days_text[24], text[16];
    (void)snprintf(days_text, sizeof(days_text), "%" PRId64, days);
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_ask(db, &stmt, (const char *const[]){days_text, text}, cb, arg);
}

enum status personal_upkeep(struct db *db, int64_t email_days, int64_t buyer_days, unsigned limit,
                            reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "personal_upkeep", 3, "$1::integer, $2::integer, $3::integer");
    char days[2][24], text[16];
    (void)snprintf(days[0], sizeof(days[0]), "%" PRId64, email_days);
    (void)snprintf(days[1], sizeof(days[1]), "%" PRId64, buyer_days);
    (void)snprintf(text, sizeof(text), "%u", limit);
    return reservation_ask(db, &stmt, (const char *const[]){days[0], days[1], text}, cb, arg);
}
