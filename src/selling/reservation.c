/* SPDX-License-Identifier: MIT */
/*
 * reservation: the SQL functions of seats and reservations, called; their outcomes as statuses.
 *
 * Why this way: what may happen to a seat is decided in one place, sql/functions, under row locks. Here is nothing but the way there and back: parameters as text, one row (outcome,
 * body) in return, one table from outcome to status.
 * Called by: api_reservation, api_admin (seats), processor (sweep, unfreed). Owns: a small call per
 * query under way. PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and the outcome is unknown; every
 * function may be called again.
 */
#include "selling/reservation.h"

#include "base/buf.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_MS 30000 /* of 100,000 seats */

/* ---- outcomes ---- */

static const struct {
    const char *outcome;
    enum status status;
} outcomes[] = {
    {"created", ST_OK},
    {"repeated", ST_OK},
    {"found", ST_OK},
    {"listed", ST_OK},
    {"cancelled", ST_OK},
    {"pending", ST_OK},
    {"confirmed", ST_OK},
    {"refund-due", ST_OK},
    {"failed", ST_OK},
    {"refunded", ST_OK},
    {"added", ST_OK},
    {"swept", ST_OK},
    {"pruned", ST_OK},
    {"released", ST_OK},
    {"nothing", ST_OK},
    {"freed", ST_OK},
    {"seat-taken", ST_CONFLICT},
    {"no-adjacent", ST_CONFLICT},
    {"no-seats", ST_CONFLICT},
    {"limit", ST_CONFLICT},
    {"idempotency-conflict", ST_CONFLICT},
    {"event-not-open", ST_CONFLICT},
    {"not-cancellable", ST_CONFLICT},
    {"already-paid", ST_CONFLICT},
    {"not-payable", ST_CONFLICT},
    {"not-refundable", ST_CONFLICT},
    {"wrong-amount", ST_CONFLICT},
    {"reference-used", ST_CONFLICT},
    {"conflict", ST_CONFLICT},
    {"event-closed", ST_GONE},
    {"expired", ST_GONE},
    {"payment-off", ST_UNAVAILABLE},
    {"not-found", ST_NOT_FOUND},
    {"not-yours", ST_DENIED},
    {"not-admitted", ST_DENIED},
    {"unknown-seat", ST_INVALID},
    {"invalid", ST_INVALID},
    {"stale", ST_STALE},
};

static enum status outcome_status(const char *outcome)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strcmp(outcomes[i].outcome, outcome) == 0)
            return outcomes[i].status;
    }
    return ST_INTERNAL;
}

/* ---- the call ---- */

struct call {
    reservation_cb cb;
    void *arg;
};

static void answered(void *arg, enum status status, const struct db_result *result)
{
    struct call call = *(struct call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        call.cb(call.arg, status, NULL, NULL, 0);
        return;
    }
    const char *outcome = db_text(result, 0, 0);
    call.cb(call.arg, outcome_status(outcome), outcome, db_text(result, 0, 1),
            db_len(result, 0, 1));
}

/* limit_ms 0: as long as any statement may take. */
static enum status ask_within(struct db *db, int64_t limit_ms, const struct db_stmt *stmt,
                              const char *const *params, reservation_cb cb, void *arg)
{
    struct call *call = xcalloc(1, sizeof(*call));
    *call = (struct call){cb, arg};
    const enum status st = limit_ms > 0
                               ? db_query_within(db, limit_ms, stmt, params, answered, call)
                               : db_query(db, stmt, params, answered, call);
    if (st != ST_OK)
        free(call);
    return st;
}

static enum status ask(struct db *db, const struct db_stmt *stmt, const char *const *params,
                       reservation_cb cb, void *arg)
{
    return ask_within(db, 0, stmt, params, cb, arg);
}

#define FUNCTION(name_, count_, params_)                                                           \
    {                                                                                              \
        .name = (name_), .sql = "SELECT outcome, body FROM " name_ "(" params_ ")",                \
        .param_count = (count_)                                                                    \
    }

/* ---- hold ---- */

/* A seat id is digits alone: nothing in it can end the list. */
static bool plain_id(const char *id)
{
    const size_t len = strlen(id);
    return len > 0 && len <= 18 && strspn(id, "0123456789") == len;
}

/* The ids as an array literal. */
static enum status write_ids(const struct reservation_order *order, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < order->seat_count; i++) {
        if (!plain_id(order->seat_ids[i]))
            return ST_INVALID;
        if (i > 0)
            buf_add_char(out, ',');
        buf_add_str(out, order->seat_ids[i]);
    }
    buf_add_char(out, '}');
    return buf_status(out);
}

static enum status ask_with_order(struct db *db, const struct db_stmt *stmt,
                                  const struct reservation_order *order, reservation_cb cb,
                                  void *arg)
{
    struct buf ids;
    char quantity[24], place[24];
    enum status st = ST_OK;
    buf_init(&ids, 65536);
    if (order->seat_ids != NULL)
        st = write_ids(order, &ids);
    (void)snprintf(quantity, sizeof(quantity), "%zu", order->seat_count);
    (void)snprintf(place, sizeof(place), "%" PRIu64, order->place);
    const char *const params[] = {order->event,
                                  order->buyer,
                                  order->seat_ids != NULL ? buf_str(&ids) : NULL,
                                  order->seat_ids != NULL ? NULL : quantity,
                                  order->section,
                                  order->idempotency_key,
                                  place};
    if (st == ST_OK)
        st = ask(db, stmt, params, cb, arg);
    buf_clear(&ids);
    return st;
}

enum status reservation_hold(struct db *db, const struct reservation_order *order,
                             reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("reservation_hold", 7, "$1, $2, $3::bigint[], $4::integer, $5, $6, $7::bigint");
    return ask_with_order(db, &stmt, order, cb, arg);
}

enum status reservation_repeat(struct db *db, const struct reservation_order *order,
                               reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("reservation_repeat", 6, "$1, $2, $3::bigint[], $4::integer, $5, $6");
    return ask_with_order(db, &stmt, order, cb, arg);
}

/* ---- the buyer's own ---- */

enum status reservation_list(struct db *db, const char *buyer, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_list", 1, "$1");
    return ask(db, &stmt, (const char *const[]){buyer}, cb, arg);
}

enum status reservation_get(struct db *db, const char *buyer, const char *id, reservation_cb cb,
                            void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_get", 2, "$1, $2");
    return ask(db, &stmt, (const char *const[]){buyer, id}, cb, arg);
}

enum status reservation_cancel(struct db *db, const char *buyer, const char *id, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_cancel", 2, "$1, $2");
    return ask(db, &stmt, (const char *const[]){buyer, id}, cb, arg);
}

/* ---- payment ---- */

enum status reservation_pay(struct db *db, const char *buyer, const char *id, const char *provider,
                            reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("payment_begin", 3, "$1, $2, $3");
    return ask(db, &stmt, (const char *const[]){buyer, id, provider}, cb, arg);
}

enum status reservation_paid(struct db *db, const struct payment *payment, reservation_cb cb,
                             void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("payment_report", 6, "$1, $2, $3, $4::bigint, $5, $6");
    char amount[24];
    (void)snprintf(amount, sizeof(amount), "%" PRId64, payment->amount);
    const char *const params[] = {payment->reservation, payment->provider,
                                  payment->reference,   amount,
                                  payment->currency,    payment->status};
    return ask(db, &stmt, params, cb, arg);
}

enum status reservation_refund(struct db *db, const char *event, const char *id, const char *who,
                               reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("payment_refund", 3, "$1, $2, $3");
    return ask(db, &stmt, (const char *const[]){event, id, who}, cb, arg);
}

enum status reservation_payments(struct db *db, const struct payment_page *page, reservation_cb cb,
                                 void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("payment_list", 4, "$1, $2, $3::bigint, $4::integer");
    char limit[16];
    (void)snprintf(limit, sizeof(limit), "%d", page->limit);
    return ask(db, &stmt, (const char *const[]){page->event, page->status, page->before, limit}, cb,
               arg);
}

/* ---- seats ---- */

enum status reservation_add_seats(struct db *db, const char *event, const char *who,
                                  const char *json, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("seats_add", 3, "$1, $2, $3::jsonb");
    return ask_within(db, IMPORT_MS, &stmt, (const char *const[]){event, who, json}, cb, arg);
}

enum status reservation_import_seats(struct db *db, const struct reservation_seats *seats,
                                     reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("seats_import", 8,
                 "$1, $2, $3::bigint, $4::text[], $5::text[], $6::integer[], $7::bigint[], $8");
    char version[24];
    (void)snprintf(version, sizeof(version), "%" PRId64, seats->version);
    const char *const params[] = {
        seats->event,    seats->who,     seats->version > 0 ? version : NULL,
        seats->sections, seats->rows,    seats->numbers,
        seats->prices,   seats->currency};
    return ask_within(db, IMPORT_MS, &stmt, params, cb, arg);
}

struct page_call {
    reservation_page_cb cb;
    void *arg;
};

static void paged(void *arg, enum status status, const struct db_result *result)
{
    const struct page_call call = *(struct page_call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK || db_is_null(result, 0, 0)) {
        call.cb(call.arg, status, "", 0, NULL);
        return;
    }
    const struct reservation_page page = {.section_rank = db_int(result, 0, 1),
                                          .row_rank = db_int(result, 0, 2),
                                          .number = db_int(result, 0, 3)};
    call.cb(call.arg, ST_OK, db_text(result, 0, 0), db_len(result, 0, 0), &page);
}

enum status reservation_export_seats(struct db *db, const char *event,
                                     const struct reservation_page *after, reservation_page_cb cb,
                                     void *arg)
{
    static const struct db_stmt stmt = {
        .name = "seats_csv",
        .sql = "SELECT lines, section_rank, row_rank, number "
               "FROM seats_csv($1, $2::integer, $3::integer, $4::integer, 2000)",
        .param_count = 4};
    char ranks[3][24];
    (void)snprintf(ranks[0], sizeof(ranks[0]), "%" PRId64, after->section_rank);
    (void)snprintf(ranks[1], sizeof(ranks[1]), "%" PRId64, after->row_rank);
    (void)snprintf(ranks[2], sizeof(ranks[2]), "%" PRId64, after->number);
    struct page_call *call = xcalloc(1, sizeof(*call));
    *call = (struct page_call){cb, arg};
    const char *const params[] = {event, ranks[0], ranks[1], ranks[2]};
    const enum status st = db_query(db, &stmt, params, paged, call);
    if (st != ST_OK)
        free(call);
    return st;
}

/* ---- upkeep ---- */

enum status reservation_sweep(struct db *db, int limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_sweep", 1, "$1::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return ask(db, &stmt, (const char *const[]){text}, cb, arg);
}

enum status reservation_prune_keys(struct db *db, int limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("idempotency_prune", 1, "$1::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return ask(db, &stmt, (const char *const[]){text}, cb, arg);
}

enum status reservation_release(struct db *db, const char *event, const char *buyer, uint64_t place,
                                reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_release", 3, "$1, $2, $3::bigint");
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, place);
    return ask(db, &stmt, (const char *const[]){event, buyer, text}, cb, arg);
}

enum status reservation_unfreed(struct db *db, const char *event, int limit, reservation_cb cb,
                                void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_unfreed", 2, "$1, $2::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return ask(db, &stmt, (const char *const[]){event, text}, cb, arg);
}

enum status reservation_mark_freed(struct db *db, const char *id, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("reservation_mark_freed", 1, "$1");
    return ask(db, &stmt, (const char *const[]){id}, cb, arg);
}
