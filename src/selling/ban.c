/* SPDX-License-Identifier: MIT */
/*
 * ban: the SQL functions about buyers who are shut out of an event.
 *
 * Called by: api_ban, processor_bans. Owns nothing but calls under way.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT; every function may be called again.
 */
#include "selling/ban.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

enum status ban_add(struct db *db, const struct ban_request *ban, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "ban_add", 4, "$1, $2, $3, $4");
    const char *const params[] = {ban->event, ban->buyer, ban->reason, ban->who};
    return reservation_call(db, 0, &stmt, params, cb, arg);
}

enum status ban_note(struct db *db, const struct ban_request *ban, uint64_t place, uint64_t epoch,
                     reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "ban_note", 4, "$1, $2, $3::bigint, $4::bigint");
    char numbers[2][24];
    (void)snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, place);
    (void)snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, epoch);
    const char *const params[] = {ban->event, ban->buyer, numbers[0], numbers[1]};
    return reservation_call(db, 0, &stmt, params, cb, arg);
}

enum status ban_remove(struct db *db, const struct ban_request *ban, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "ban_remove", 3, "$1, $2, $3");
    const char *const params[] = {ban->event, ban->buyer, ban->who};
    return reservation_call(db, 0, &stmt, params, cb, arg);
}

enum status ban_page(struct db *db, const char *event, const char *before, const char *limit,
                     reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "bans_page", 3, "$1, $2, $3::integer");
    return reservation_call(db, 0, &stmt, (const char *const[]){event, before, limit}, cb, arg);
}

enum status ban_all(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "bans_all", 1, "$1");
    return reservation_call(db, 0, &stmt, (const char *const[]){event}, cb, arg);
}
