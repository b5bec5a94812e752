/* SPDX-License-Identifier: MIT */
/*
 * sale: the SQL functions of copies of sales, and of what they are for.
 *
 * Called by: processor_sales, ledger_consumed, tiketi reconcile. Owns nothing but calls under way.
 */
#include "selling/sale.h"

#include "selling/reservation_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define RECONCILE_MS 60000

enum status sale_uncopied(struct db *db, int limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "sales_uncopied", 1, "$1::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return reservation_ask(db, &stmt, (const char *const[]){text}, cb, arg);
}

enum status sale_copied(struct db *db, const char *json, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "sales_copied", 1, "$1::jsonb");
    return reservation_ask(db, &stmt, (const char *const[]){json}, cb, arg);
}

enum status sale_copy_again(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "sales_copy_again", 1, "$1");
    return reservation_ask(db, &stmt, (const char *const[]){event}, cb, arg);
}

enum status sale_compare(struct db *db, const char *json, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "sales_compare", 1, "$1::jsonb");
    return reservation_ask(db, &stmt, (const char *const[]){json}, cb, arg);
}

enum status sale_reconcile(struct db *db, const char *json, bool apply, reservation_cb cb,
                           void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "sales_reconcile", 2, "$1::jsonb, $2::boolean");
    return reservation_call(db, RECONCILE_MS, &stmt,
                            (const char *const[]){json, apply ? "true" : "false"}, cb, arg);
}

enum status sale_begin(struct db *db, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "reconcile_begin", 0, "");
    return reservation_ask(db, &stmt, NULL, cb, arg);
}

enum status sale_reconcile_event(struct db *db, const struct sale_event *event, bool apply,
                                 reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "event_reconcile", 4, "$1::jsonb, $2::bigint, $3::bigint, $4::boolean");
    char version[24], epoch[24];
    (void)snprintf(version, sizeof(version), "%" PRId64, event->version);
    (void)snprintf(epoch, sizeof(epoch), "%" PRId64, event->epoch);
    return reservation_ask(
        db, &stmt, (const char *const[]){event->json, version, epoch, apply ? "true" : "false"}, cb,
        arg);
}

enum status sale_reconcile_books(struct db *db, const char *json, bool apply, reservation_cb cb,
                                 void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "books_reconcile", 2, "$1::jsonb, $2::boolean");
    return reservation_call(db, RECONCILE_MS, &stmt,
                            (const char *const[]){json, apply ? "true" : "false"}, cb, arg);
}
