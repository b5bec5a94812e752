/* SPDX-License-Identifier: MIT */
/*
 * history: the SQL functions of the record of a sale.
 *
 * Called by: processor_minutes, api_history, api_report, api_people, api_operate, api_checkin. Owns nothing but calls under way.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT; every function may be called again.
 */
#include "selling/history.h"

#include "base/memory.h"
#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define REPORT_MS 15000 /* time limit of a query that reads the whole log of a sale */

enum status history_store_minutes(struct db *db, const char *event, const char *json,
                                  reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "minutes_store", 2, "$1, $2::jsonb");
    return reservation_call(db, 0, &stmt, (const char *const[]){event, json}, cb, arg);
}

enum status history_minutes(struct db *db, const struct history_range *range, reservation_cb cb,
                            void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(
        DB_STAFF, "minutes_page", 4, "$1, $2::timestamptz, $3::timestamptz, $4::integer");
    const char *const params[] = {range->event, range->from, range->to, range->step};
    return reservation_call(db, 0, &stmt, params, cb, arg);
}

enum status history_report(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "report_get", 1, "$1");
    return reservation_call(db, REPORT_MS, &stmt, (const char *const[]){event}, cb, arg);
}

enum status history_report_csv(struct db *db, const char *json, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "report_csv", 1, "$1::json");
    return reservation_call(db, 0, &stmt, (const char *const[]){json}, cb, arg);
}

enum status history_readiness(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "readiness_get", 1, "$1");
    return reservation_call(db, 0, &stmt, (const char *const[]){event}, cb, arg);
}

struct log_call {
    history_log_cb cb;
    void *arg;
};

static void log_read(void *arg, enum status status, const struct db_result *result)
{
    enum { KIND, PLACE, EPOCH, AT, INSIDE, THRESHOLD, N, MS, SEQ };
    const struct log_call call = *(struct log_call *)arg;
    struct history_cursor last = {0, 0};
    free(arg);
    const int rows = status == ST_OK ? db_rows(result) : 0;
    struct replay_entry *entries = xcalloc((size_t)rows + 1, sizeof(*entries));
    for (int row = 0; row < rows; row++) {
        struct replay_entry *entry = &entries[row];
        *entry = (struct replay_entry){.place = (uint64_t)db_int(result, row, PLACE),
                                       .epoch = (uint64_t)db_int(result, row, EPOCH),
                                       .at_ms = db_int(result, row, AT),
                                       .inside = (uint64_t)db_int(result, row, INSIDE),
                                       .threshold = (uint64_t)db_int(result, row, THRESHOLD),
                                       .n = (uint64_t)db_int(result, row, N)};
        if (replay_kind_parse(db_text(result, row, KIND), &entry->kind) != ST_OK)
            entry->kind = REPLAY_KIND_COUNT;
        last = (struct history_cursor){db_int(result, row, MS), db_int(result, row, SEQ)};
    }
    call.cb(call.arg, status, entries, (size_t)rows, &last);
    free(entries);
}

enum status history_read_log(struct db *db, const char *event, const struct history_cursor *after,
                             history_log_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "log_page",
        .sql = "SELECT kind, place, epoch, at_ms, inside, threshold, n, stream_ms, stream_seq "
               "FROM log_page($1, $2::bigint, $3::bigint, 2000)",
        .param_count = 3,
        .kind = DB_STAFF};
    char ms[24], seq[24];
    (void)snprintf(ms, sizeof(ms), "%" PRId64, after->ms);
    (void)snprintf(seq, sizeof(seq), "%" PRId64, after->seq);
    struct log_call *call = xcalloc(1, sizeof(*call));
    *call = (struct log_call){cb, arg};
    const enum status st =
        db_query(db, &stmt, (const char *const[]){event, ms, seq}, log_read, call);
    if (st != ST_OK)
        free(call);
    return st;
}

enum status history_find(struct db *db, const struct history_person *person, reservation_cb cb,
                         void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "people_find", 4, "$1, $2, $3, $4::bigint");
    const char *const params[] = {person->event, person->buyer, person->number, person->place};
    return reservation_call(db, 0, &stmt, params, cb, arg);
}

enum status history_story(struct db *db, const char *event, const char *buyer, const char *place,
                          reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "people_story", 3, "$1, $2, $3::bigint");
    return reservation_call(db, 0, &stmt, (const char *const[]){event, buyer, place}, cb, arg);
}

enum status history_sale_now(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "sale_now", 1, "$1");
    return reservation_call(db, 0, &stmt, (const char *const[]){event}, cb, arg);
}

enum status history_stock(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "sale_stock", 1, "$1");
    return reservation_call(db, 0, &stmt, (const char *const[]){event}, cb, arg);
}

enum status history_check_in(struct db *db, const char *event, const char *actor, const char *json,
                             reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "checkin_batch", 3, "$1, $2, $3::jsonb");
    return reservation_call(db, 0, &stmt, (const char *const[]){event, actor, json}, cb, arg);
}

enum status history_door_list(struct db *db, const char *event, const char *after, int limit,
                              reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "checkin_list", 3, "$1, $2::bigint, $3::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return reservation_call(db, 0, &stmt, (const char *const[]){event, after, text}, cb, arg);
}
