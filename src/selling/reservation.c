/* SPDX-License-Identifier: MIT */
/*
 * reservation: the SQL functions of seats, reservations and payments.
 *
 * Why this way: PostgreSQL alone decides what happens to a seat, under row locks (sql/functions). This file only sends
 * the parameters as text, reads the row (outcome, body) of the answer, and maps the outcome to a status by
 * one table.
 * Called by: api_reservation, api_payment, api_hall, api_csv and api_export (seats), api_buy, processor (upkeep).
 * Owns: a struct call for each pending query. PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT, and
 * the outcome is unknown; every function is idempotent and may be called again.
 */
#include "selling/reservation.h"

#include "selling/reservation_internal.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT_MS 30000 /* time limit of a query that adds up to 100,000 seats */

/* ---- outcomes ---- */

static const struct db_outcome outcomes[] = {
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
    {"partly-refunded", ST_OK},
    {"seats-refunded", ST_OK},
    {"added", ST_OK},
    {"checked", ST_OK},
    {"changed", ST_OK},
    {"swept", ST_OK},
    {"pruned", ST_OK},
    {"released", ST_OK},
    {"nothing", ST_OK},
    {"freed", ST_OK},
    {"subscribed", ST_OK},
    {"unsubscribed", ST_OK},
    {"claimed", ST_OK},
    {"sent", ST_OK},
    {"gone", ST_OK},
    {"dropped", ST_OK},
    {"parked", ST_OK},
    {"resent", ST_OK},
    {"late", ST_OK},
    {"kept", ST_OK},
    {"stored", ST_OK},
    {"marked", ST_OK},
    {"compared", ST_OK},
    {"begun", ST_OK},
    {"same", ST_OK},
    {"older", ST_OK},
    {"exported", ST_OK},
    {"erased", ST_OK},
    {"seat-taken", ST_CONFLICT},
    {"seats-taken", ST_CONFLICT},
    {"no-adjacent", ST_CONFLICT},
    {"no-seats", ST_CONFLICT},
    {"limit", ST_CONFLICT},
    {"held-too-long", ST_CONFLICT},
    {"idempotency-conflict", ST_CONFLICT},
    {"event-not-open", ST_CONFLICT},
    {"not-cancellable", ST_CONFLICT},
    {"already-paid", ST_CONFLICT},
    {"not-payable", ST_CONFLICT},
    {"not-refundable", ST_CONFLICT},
    {"wrong-amount", ST_CONFLICT},
    {"reference-used", ST_CONFLICT},
    {"conflict", ST_CONFLICT},
    {"paying", ST_CONFLICT},
    {"held", ST_CONFLICT},
    {"event-closed", ST_GONE},
    {"expired", ST_GONE},
    {"payment-off", ST_UNAVAILABLE},
    {"not-found", ST_NOT_FOUND},
    {"unknown-event", ST_NOT_FOUND},
    {"not-yours", ST_DENIED},
    {"not-admitted", ST_DENIED},
    {"banned", ST_DENIED},
    {"unknown-seat", ST_INVALID},
    {"invalid", ST_INVALID},
    {"stale", ST_STALE},
    {NULL, ST_INTERNAL},
};

/* ---- calling an SQL function ---- */

enum status reservation_call(struct db *db, int64_t limit_ms, const struct db_stmt *stmt,
                             const char *const *params, reservation_cb cb, void *arg)
{
    return db_call(db, &(struct db_function_call){stmt, params, outcomes, limit_ms}, cb, arg);
}

enum status reservation_ask(struct db *db, const struct db_stmt *stmt, const char *const *params,
                            reservation_cb cb, void *arg)
{
    return reservation_call(db, 0, stmt, params, cb, arg);
}

/* ---- holding seats ---- */

/* Appends the ids as an array literal of PostgreSQL. ST_INVALID: an id is not a number. So no id can contain
 * a character that ends the literal. */
static enum status write_ids(const char *const *ids, size_t count, struct buf *out)
{
    buf_add_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(ids[i]);
        if (len == 0 || len > 18 || strspn(ids[i], "0123456789") != len)
            return ST_INVALID;
        if (i > 0)
            buf_add_char(out, ',');
        buf_add(out, ids[i], len);
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
    enum status st =
        request->seat_ids ? write_ids(request->seat_ids, request->seat_count, &ids) : ST_OK;
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
        st = reservation_ask(db, stmt, params, cb, arg);
    buf_clear(&ids);
    return st;
}

enum status reservation_hold(struct db *db, const struct hold_request *request, reservation_cb cb,
                             void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(
        DB_BUYER, "reservation_hold", 7, "$1, $2, $3::bigint[], $4::integer, $5, $6, $7::bigint");
    return ask_with_request(db, &stmt, request, cb, arg);
}

enum status reservation_repeat(struct db *db, const struct hold_request *request, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_BUYER, "reservation_repeat", 6, "$1, $2, $3::bigint[], $4::integer, $5, $6");
    return ask_with_request(db, &stmt, request, cb, arg);
}

/* ---- the buyer's reservations ---- */

enum status reservation_list(struct db *db, const struct reservation_query *query,
                             reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_BUYER, "reservations_page", 6, "$1, $2, $3::boolean, $4, $5, $6::integer");
    char limit[16];
    (void)snprintf(limit, sizeof(limit), "%d", query->limit);
    const char *const params[] = {query->buyer, query->event,  query->current ? "true" : "false",
                                  NULL,         query->before, limit};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status reservation_get(struct db *db, const char *buyer, const char *id, reservation_cb cb,
                            void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_BUYER, "reservation_get", 2, "$1, $2");
    return reservation_ask(db, &stmt, (const char *const[]){buyer, id}, cb, arg);
}

enum status reservation_cancel(struct db *db, const char *buyer, const char *id, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_BUYER, "reservation_cancel", 2, "$1, $2");
    return reservation_ask(db, &stmt, (const char *const[]){buyer, id}, cb, arg);
}

/* False: it is not what PostgreSQL writes. */
static bool read_item(const struct json *item, struct reservation *ret)
{
    const struct json *seats = json_get(item, "seats");
    *ret = (struct reservation){.id = json_str(item, "id"),
                                .number = json_str(item, "reservationNumber"),
                                .event = json_str(item, "eventId"),
                                .status = json_str(item, "status"),
                                .expires_at = json_str(item, "expiresAt"),
                                .currency = json_str(item, "currency"),
                                .total = json_int(item, "totalAmount", 0),
                                .refunded = json_int(item, "refundedSeatsAmount", 0),
                                .own = json_bool(item, "own", false),
                                .paying = json_bool(item, "paying", false),
                                .link_token = json_str(item, "token")};
    if (!ret->id || !ret->number || !ret->event || !ret->status || !ret->currency)
        return false;
    ret->seat_count = json_array_len(seats);
    ret->seats = xcalloc(ret->seat_count, sizeof(*ret->seats));
    for (size_t i = 0; i < ret->seat_count; i++) {
        const struct json *seat = json_array_at(seats, i);
        ret->seats[i] = (struct reserved_seat){.id = json_str(seat, "id"),
                                               .section = json_str(seat, "section"),
                                               .row = json_str(seat, "row"),
                                               .currency = json_str(seat, "currency"),
                                               .number = json_int(seat, "number", 0),
                                               .price = json_int(seat, "price", 0)};
    }
    return true;
}

enum status reservation_list_read(const char *json, size_t len, struct reservation_list *ret)
{
    *ret = (struct reservation_list){.json = json_parse(json, len, len, NULL)};
    const struct json *list = json_get(ret->json, "reservations");
    const size_t count = json_array_len(list);
    bool whole = json_is_array(list);
    if (whole)
        ret->items = xcalloc(count, sizeof(*ret->items));
    for (; whole && ret->count < count; ret->count++)
        whole = read_item(json_array_at(list, ret->count), &ret->items[ret->count]);
    if (!whole)
        reservation_list_clear(ret);
    return whole ? ST_OK : ST_INTERNAL;
}

enum status reservation_read(const char *json, size_t len, struct reservation_list *ret)
{
    *ret = (struct reservation_list){.json = json_parse(json, len, len, NULL), .count = 1};
    ret->items = xcalloc(1, sizeof(*ret->items));
    if (read_item(ret->json, ret->items))
        return ST_OK;
    reservation_list_clear(ret);
    return ST_INTERNAL;
}

void reservation_list_clear(struct reservation_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].seats);
    free(list->items);
    json_free(list->json);
    *list = (struct reservation_list){0};
}

/* ---- the links to bought tickets ---- */

enum status reservation_link(struct db *db, const struct reservation_link *link, reservation_cb cb,
                             void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_BUYER, "eticket_link", 5, "$1, $2::boolean, $3, $4, $5");
    const char *const params[] = {link->buyer, link->proven ? "true" : "false", link->event,
                                  link->id, link->key};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status reservation_of_link(struct db *db, const char *token, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_BUYER, "eticket_get", 1, "$1");
    return reservation_ask(db, &stmt, (const char *const[]){token}, cb, arg);
}

/* ---- payment ---- */

enum status reservation_pay(struct db *db, const struct pay_request *request, reservation_cb cb,
                            void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_BUYER, "payment_begin", 5, "$1, $2, $3, $4, $5");
    const char *const params[] = {request->buyer, request->id, request->provider, request->email,
                                  request->language};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status reservation_report(struct db *db, const struct payment *payment, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt whole =
        DB_FUNCTION(DB_BUYER, "payment_report", 6, "$1, $2, $3, $4::bigint, $5, $6");
    static const struct db_stmt part =
        DB_FUNCTION(DB_BUYER, "payment_report_part", 6, "$1, $2, $3, $4::bigint, $5, $6");
    char amount[24];
    (void)snprintf(amount, sizeof(amount), "%" PRId64, payment->amount);
    const char *const params[] = {
        payment->reservation, payment->provider,
        payment->reference,   amount,
        payment->currency,    payment->refund ? payment->refund : payment->status};
    return reservation_ask(db, payment->refund ? &part : &whole, params, cb, arg);
}

enum status reservation_refund(struct db *db, const struct refund *refund, reservation_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "payment_refund", 5, "$1, $2, $3, $4::bigint[], $5::boolean");
    struct buf ids;
    buf_init(&ids, 65536);
    enum status st =
        refund->seat_ids ? write_ids(refund->seat_ids, refund->seat_count, &ids) : ST_OK;
    const char *const params[] = {refund->event, refund->reservation, refund->actor,
                                  refund->seat_ids ? buf_str(&ids) : NULL,
                                  refund->keeps_seats ? "false" : "true"};
    if (st == ST_OK)
        st = reservation_ask(db, &stmt, params, cb, arg);
    buf_clear(&ids);
    return st;
}

enum status reservation_payments(struct db *db, const struct payment_page *page, reservation_cb cb,
                                 void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "payment_list", 5, "$1, $2, $3::boolean, $4::bigint, $5::integer");
    char limit[16];
    (void)snprintf(limit, sizeof(limit), "%d", page->limit);
    const char *const params[] = {page->event, page->status, page->due ? "true" : "false",
                                  page->before, limit};
    return reservation_ask(db, &stmt, params, cb, arg);
}

enum status reservation_find(struct db *db, const struct reservation_search *search,
                             reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "reservations_find", 5, "$1, $2, $3::bigint, $4, $5::integer");
    char limit[16], place[24];
    (void)snprintf(limit, sizeof(limit), "%d", search->limit);
    (void)snprintf(place, sizeof(place), "%" PRIu64, search->place);
    const char *const params[] = {search->event, search->text, search->place > 0 ? place : NULL,
                                  search->before, limit};
    return reservation_ask(db, &stmt, params, cb, arg);
}

/* ---- an event's seats, for staff ---- */

/* The event's version as a parameter; NULL: any. */
static const char *version_text(int64_t version, char out[24])
{
    (void)snprintf(out, 24, "%" PRId64, version);
    return version > 0 ? out : NULL;
}

enum status reservation_add_seats(struct db *db, const struct seat_import *import, const char *json,
                                  reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(
        DB_STAFF, "seats_add", 6, "$1, $2, $3::jsonb, $4::bigint, $5::boolean, $6::boolean");
    char version[24];
    const char *const params[] = {import->event,
                                  import->actor,
                                  json,
                                  version_text(import->version, version),
                                  import->replaces ? "true" : "false",
                                  import->only_checks ? "true" : "false"};
    return reservation_call(db, IMPORT_MS, &stmt, params, cb, arg);
}

enum status reservation_import_seats(struct db *db, const struct seat_import *import,
                                     reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "seats_import", 10,
                    "$1, $2, $3::bigint, $4::text[], $5::text[], $6::integer[], $7::bigint[], $8, "
                    "$9::boolean, $10::boolean");
    char version[24];
    const char *const params[] = {import->event,
                                  import->actor,
                                  version_text(import->version, version),
                                  import->sections,
                                  import->rows,
                                  import->numbers,
                                  import->prices,
                                  import->currency,
                                  import->replaces ? "true" : "false",
                                  import->only_checks ? "true" : "false"};
    return reservation_call(db, IMPORT_MS, &stmt, params, cb, arg);
}

enum status reservation_correct_seats(struct db *db, const struct seat_correction *correction,
                                      reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "seats_correct", 13,
                    "$1, $2, $3::bigint, $4, $5::bigint[], $6, $7, $8::integer, $9::integer, "
                    "$10::bigint, $11, $12, $13");
    char version[24], from[24], to[24], price[24];
    struct buf ids;
    buf_init(&ids, 65536);
    enum status st = correction->seat_ids
                         ? write_ids(correction->seat_ids, correction->seat_count, &ids)
                         : ST_OK;
    (void)snprintf(from, sizeof(from), "%" PRId64, correction->from);
    (void)snprintf(to, sizeof(to), "%" PRId64, correction->to);
    (void)snprintf(price, sizeof(price), "%" PRId64, correction->price);
    const char *const params[] = {correction->event,
                                  correction->actor,
                                  version_text(correction->version, version),
                                  correction->verb,
                                  correction->seat_ids ? buf_str(&ids) : NULL,
                                  correction->section,
                                  correction->row,
                                  correction->from > 0 ? from : NULL,
                                  correction->to > 0 ? to : NULL,
                                  correction->price >= 0 ? price : NULL,
                                  correction->new_section,
                                  correction->new_row,
                                  correction->reason};
    if (st == ST_OK)
        st = reservation_call(db, IMPORT_MS, &stmt, params, cb, arg);
    buf_clear(&ids);
    return st;
}

enum status reservation_count_seats(struct db *db, const char *event, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "hall_summary", 1, "$1");
    return reservation_ask(db, &stmt, (const char *const[]){event}, cb, arg);
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
    const bool more = !db_is_null(result, 0, 1);
    const struct seat_cursor last = {.section_rank = db_int(result, 0, 1),
                                     .row_rank = db_int(result, 0, 2),
                                     .number = db_int(result, 0, 3)};
    call.cb(call.arg, ST_OK, db_text(result, 0, 0), db_len(result, 0, 0), more ? &last : NULL);
}

enum status reservation_export_seats(struct db *db, const char *event,
                                     const struct seat_cursor *after, seat_export_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "seats_csv",
        .sql = "SELECT lines, section_rank, row_rank, number "
               "FROM seats_csv($1, $2::integer, $3::integer, $4::integer, 2000)",
        .param_count = 4,
        .kind = DB_STAFF};
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
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "reservation_sweep", 1, "$1::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return reservation_ask(db, &stmt, (const char *const[]){text}, cb, arg);
}

enum status reservation_prune_keys(struct db *db, int limit, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "idempotency_prune", 1, "$1::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return reservation_ask(db, &stmt, (const char *const[]){text}, cb, arg);
}

enum status reservation_unfreed(struct db *db, const char *event, int limit, reservation_cb cb,
                                void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_ANY, "reservation_unfreed", 2, "$1, $2::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return reservation_ask(db, &stmt, (const char *const[]){event, text}, cb, arg);
}

enum status reservation_mark_freed(struct db *db, const char *id, reservation_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "reservation_mark_freed", 1, "$1");
    return reservation_ask(db, &stmt, (const char *const[]){id}, cb, arg);
}
