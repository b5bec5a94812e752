/* SPDX-License-Identifier: MIT */
/*
 * reservation: the SQL functions of seats, reservations and payments.
 *
 * Why this way: PostgreSQL alone decides what happens to a seat, under row locks (sql/functions). This file only sends
 * the parameters as text, reads the row (outcome, body) of the answer, and maps the outcome to a status by
 * one table.
 * Called by: api_reservation, api_payment, api_admin and api_csv (seats), api_buy, processor (upkeep).
 * Owns: a struct call for each pending query. PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and
 * the outcome is unknown; every function is idempotent and may be called again.
 */
#include "selling/reservation.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_MS 30000 /* time limit of a query that adds up to 100,000 seats */

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

/* ---- calling an SQL function ---- */

struct call {
    reservation_cb cb;
    void *arg;
};

static void answered(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        call.cb(call.arg, status, NULL, NULL, 0);
        return;
    }
    const char *outcome = db_text(result, 0, 0);
    const size_t len = db_len(result, 0, 1);
    struct buf body;
    buf_init(&body, len);
    buf_add_json_compact(&body, db_text(result, 0, 1), len);
    call.cb(call.arg, outcome_status(outcome), outcome, buf_str(&body), body.len);
    buf_clear(&body);
}

/* limit_ms: the time limit of the query; 0: that of all queries (DB_TIMEOUT_MS). */
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

/* ---- holding seats ---- */

/* Writes the ids as an array literal of PostgreSQL. ST_INVALID: an id is not a number. So no id can contain
 * a character that ends the literal. */
static enum status write_ids(const struct hold_request *request, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < request->seat_count; i++) {
        const char *id = request->seat_ids[i];
        const size_t len = strlen(id);
        if (len == 0 || len > 18 || strspn(id, "0123456789") != len)
            return ST_INVALID;
        if (i > 0)
            buf_add_char(out, ',');
        buf_add(out, id, len);
    }
    buf_add_char(out, '}');
    return buf_status(out);
}

static enum status ask_with_request(struct db *db, const struct db_stmt *stmt,
                                    const struct hold_request *request, reservation_cb cb,
                                    void *arg)
{
    struct buf ids;
    char quantity[24], place[24];
    buf_init(&ids, 65536);
    enum status st = request->seat_ids ? write_ids(request, &ids) : ST_OK;
    (void)snprintf(quantity, sizeof(quantity), "%zu", request->seat_count);
    (void)snprintf(place, sizeof(place), "%" PRIu64, request->place);
    const char *const params[] = {request->event,
                                  request->buyer,
                                  request->seat_ids ? buf_str(&ids) : NULL,
                                  request->seat_ids ? NULL : quantity,
                                  request->section,
                                  request->idempotency_key,
                                  place};
    if (st == ST_OK)
        st = ask(db, stmt, params, cb, arg);
    buf_clear(&ids);
    return st;
}

enum status reservation_hold(struct db *db, const struct hold_request *request, reservation_cb cb,
                             void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("reservation_hold", 7, "$1, $2, $3::bigint[], $4::integer, $5, $6, $7::bigint");
    return ask_with_request(db, &stmt, request, cb, arg);
}

enum status reservation_repeat(struct db *db, const struct hold_request *request, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("reservation_repeat", 6, "$1, $2, $3::bigint[], $4::integer, $5, $6");
    return ask_with_request(db, &stmt, request, cb, arg);
}

/* ---- the buyer's reservations ---- */

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

enum status reservation_list_read(const char *json, size_t len, struct reservation_list *ret)
{
    *ret = (struct reservation_list){.json = json_parse(json, len, len, NULL)};
    const struct json *list = json_get(ret->json, "reservations");
    if (!json_is_array(list)) {
        reservation_list_clear(ret);
        return ST_INTERNAL;
    }
    ret->count = json_array_len(list);
    ret->items = xcalloc(ret->count, sizeof(*ret->items));
    for (size_t i = 0; i < ret->count; i++) {
        const struct json *item = json_array_at(list, i), *seats = json_get(item, "seats");
        struct reservation *reservation = &ret->items[i];
        *reservation = (struct reservation){.id = json_str(item, "id"),
                                            .number = json_str(item, "reservationNumber"),
                                            .event = json_str(item, "eventId"),
                                            .status = json_str(item, "status"),
                                            .expires_at = json_str(item, "expiresAt"),
                                            .currency = json_str(item, "currency"),
                                            .total = json_int(item, "totalAmount", 0),
                                            .seat_count = json_array_len(seats)};
        if (!reservation->id || !reservation->number || !reservation->event ||
            !reservation->status || !reservation->currency) {
            reservation_list_clear(ret);
            return ST_INTERNAL;
        }
        reservation->seats = xcalloc(reservation->seat_count, sizeof(*reservation->seats));
        for (size_t k = 0; k < reservation->seat_count; k++) {
            const struct json *seat = json_array_at(seats, k);
            reservation->seats[k] = (struct reserved_seat){.section = json_str(seat, "section"),
                                                           .row = json_str(seat, "row"),
                                                           .currency = json_str(seat, "currency"),
                                                           .number = json_int(seat, "number", 0),
                                                           .price = json_int(seat, "price", 0)};
        }
    }
    return ST_OK;
}

void reservation_list_clear(struct reservation_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].seats);
    free(list->items);
    json_free(list->json);
    *list = (struct reservation_list){0};
}

/* ---- payment ---- */

enum status reservation_pay(struct db *db, const char *buyer, const char *id, const char *provider,
                            reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("payment_begin", 3, "$1, $2, $3");
    return ask(db, &stmt, (const char *const[]){buyer, id, provider}, cb, arg);
}

enum status reservation_report(struct db *db, const struct payment *payment, reservation_cb cb,
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

enum status reservation_refund(struct db *db, const char *event, const char *id, const char *actor,
                               reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("payment_refund", 3, "$1, $2, $3");
    return ask(db, &stmt, (const char *const[]){event, id, actor}, cb, arg);
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

/* ---- an event's seats, for staff ---- */

enum status reservation_add_seats(struct db *db, const char *event, const char *actor,
                                  const char *json, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = FUNCTION("seats_add", 3, "$1, $2, $3::jsonb");
    return ask_within(db, IMPORT_MS, &stmt, (const char *const[]){event, actor, json}, cb, arg);
}

enum status reservation_import_seats(struct db *db, const struct seat_import *import,
                                     reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        FUNCTION("seats_import", 8,
                 "$1, $2, $3::bigint, $4::text[], $5::text[], $6::integer[], $7::bigint[], $8");
    char version[24];
    (void)snprintf(version, sizeof(version), "%" PRId64, import->version);
    const char *const params[] = {
        import->event,    import->actor,   import->version > 0 ? version : NULL,
        import->sections, import->rows,    import->numbers,
        import->prices,   import->currency};
    return ask_within(db, IMPORT_MS, &stmt, params, cb, arg);
}

struct export_call {
    seat_export_cb cb;
    void *arg;
};

static void exported(void *arg, enum status status, const struct db_result *result)
{
    const struct export_call call = *(struct export_call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK || db_is_null(result, 0, 0)) {
        call.cb(call.arg, status, "", 0, NULL);
        return;
    }
    const struct seat_cursor last = {.section_rank = db_int(result, 0, 1),
                                     .row_rank = db_int(result, 0, 2),
                                     .number = db_int(result, 0, 3)};
    call.cb(call.arg, ST_OK, db_text(result, 0, 0), db_len(result, 0, 0), &last);
}

enum status reservation_export_seats(struct db *db, const char *event,
                                     const struct seat_cursor *after, seat_export_cb cb, void *arg)
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
    struct export_call *call = xcalloc(1, sizeof(*call));
    *call = (struct export_call){cb, arg};
    const char *const params[] = {event, ranks[0], ranks[1], ranks[2]};
    const enum status st = db_query(db, &stmt, params, exported, call);
    if (st != ST_OK)
        free(call);
    return st;
}

/* ---- upkeep, for the processor ---- */

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
