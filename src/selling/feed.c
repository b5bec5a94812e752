/* SPDX-License-Identifier: MIT */
/*
 * feed: the SQL functions of the feed.
 *
 * Why this way: PostgreSQL writes each event as JSON, and a page is those lines, one after the other: nothing of it is parsed
 * here. Called by: api_feed, processor_feed. Owns: the calls under way.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT; every function may be called again.
 */
#include "selling/feed.h"

#include "base/buf.h"
#include "base/memory.h"
#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES   ((size_t)32 << 20)
#define NUMBER_BYTES 24

static const struct db_outcome outcomes[] = {
    {"found", ST_OK}, {"forgotten", ST_GONE}, {"numbered", ST_OK}, {"kept", ST_OK}, {NULL, ST_OK}};

const char *const feed_types[] = {
    "buyer.admitted",      "buyer.left",           "reservation.held",  "reservation.confirmed",
    "reservation.expired", "reservation.refunded", "event.opened",      "event.paused",
    "event.sold_out",      "event.closed",         "threshold.changed", NULL};

static bool is_type(const char *text, size_t len)
{
    for (size_t i = 0; feed_types[i]; i++) {
        if (strlen(feed_types[i]) == len && memcmp(feed_types[i], text, len) == 0)
            return true;
    }
    return false;
}

enum status feed_types_read(const char *list, struct buf *out, const char **ret_wrong,
                            size_t *ret_len)
{
    buf_add_char(out, '{');
    for (const char *part = list;; part++) {
        const size_t len = strcspn(part, ",");
        *ret_wrong = part;
        *ret_len = len;
        if (!is_type(part, len))
            return ST_INVALID;
        if (part > list)
            buf_add_char(out, ',');
        buf_add(out, part, len);
        part += len;
        if (*part == '\0')
            break;
    }
    buf_add_char(out, '}');
    return buf_status(out);
}

/* ---- a page ---- */

struct page_call {
    feed_page_cb cb;
    void *arg;
};

static void page_read(void *arg, enum status status, const struct db_result *result)
{
    const struct page_call call = *(struct page_call *)arg;
    struct buf lines;
    free(arg);
    if (status == ST_OK)
        status =
            db_rows(result) == 0 ? ST_INTERNAL : db_outcome_status(outcomes, db_text(result, 0, 0));
    if (status != ST_OK) {
        call.cb(call.arg, status, NULL, 0);
        return;
    }
    buf_init(&lines, PAGE_BYTES);
    for (int row = 0; row < db_rows(result); row++) {
        const size_t len = db_len(result, row, 1);
        if (len == 0) /* the page is empty */
            break;
        buf_add_json_compact(&lines, db_text(result, row, 1), len);
        buf_add_char(&lines, '\n');
    }
    if (buf_status(&lines) == ST_OK)
        call.cb(call.arg, ST_OK, buf_str(&lines), lines.len);
    else
        call.cb(call.arg, ST_INTERNAL, NULL, 0);
    buf_clear(&lines);
}

enum status feed_page(struct db *db, const struct feed_query *query, feed_page_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "feed_page", 4, "$1, $2::bigint, $3::text[], $4::integer");
    char limit[NUMBER_BYTES];
    (void)snprintf(limit, sizeof(limit), "%" PRId64, query->limit);
    struct page_call *call = xcalloc(1, sizeof(*call));
    *call = (struct page_call){cb, arg};
    const char *const params[] = {query->event, query->after, query->types, limit};
    const enum status st = db_query(db, &stmt, params, page_read, call);
    if (st != ST_OK)
        free(call);
    return st;
}

/* ---- upkeep ---- */

enum status feed_number(struct db *db, unsigned limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "feed_number_each", 1, "$1::integer");
    char text[NUMBER_BYTES];
    (void)snprintf(text, sizeof(text), "%u", limit);
    return db_call(db, &(struct db_function_call){&stmt, (const char *const[]){text}, outcomes, 0},
                   cb, arg);
}

enum status feed_prune(struct db *db, int64_t days, unsigned limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "feed_prune", 2, "$1::integer, $2::integer");
    char text[2][NUMBER_BYTES];
    (void)snprintf(text[0], sizeof(text[0]), "%" PRId64, days);
    (void)snprintf(text[1], sizeof(text[1]), "%u", limit);
    return db_call(
        db, &(struct db_function_call){&stmt, (const char *const[]){text[0], text[1]}, outcomes, 0},
        cb, arg);
}
