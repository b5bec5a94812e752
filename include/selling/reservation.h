/* SPDX-License-Identifier: MIT */
/*
 * reservation: calls the SQL functions of seats, reservations and payments. Each function here calls one SQL
 * function, which is one transaction and writes the JSON of the answer.
 *
 * None of them checks whether the buyer is inside: callers ask the queue first.
 */
#ifndef TIKETI_RESERVATION_H
#define TIKETI_RESERVATION_H

#include "base/status.h"
#include "net/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `outcome` is the outcome of the SQL function ("created", "seat-taken", "not-yours" …) and `json` the body
 * of its answer, an object. That of a refusal has {"detail"} and, where seats were refused, {"seats":[ids]}.
 * Both are borrowed until the callback returns; both are NULL when PostgreSQL gave no answer.
 * `status` follows from the outcome (the table in reservation.c): ST_OK, ST_CONFLICT, ST_NOT_FOUND,
 * ST_DENIED, ST_INVALID, ST_GONE, ST_STALE or ST_UNAVAILABLE. Without an answer it is ST_UNAVAILABLE,
 * ST_TIMEOUT or ST_INTERNAL, and the outcome is unknown. */
typedef void (*reservation_cb)(void *arg, enum status status, const char *outcome, const char *json,
                               size_t len);

/* All functions below copy their arguments, and keep the callback promise of db.h: ST_OK means that `cb`
 * runs exactly once, later; otherwise it never runs. Ids are decimal text unless said otherwise. */

/* ---- holding seats ---- */

struct hold_request {
    const char *event, *buyer;
    const char *const *seat_ids; /* NULL: the best available seats */
    size_t seat_count;           /* the length of seat_ids, or the number of seats wanted */
    const char *section;         /* without seat_ids: the section; NULL: any */
    const char *idempotency_key; /* NULL: none */
    uint64_t place;              /* of the buyer's admission */
};
/* Holds the seats, in place of what the buyer held before; a refusal changes nothing. Outcome created, or
 * repeated (the same request under the same key). */
MUST_CHECK enum status reservation_hold(struct db *db, const struct hold_request *request,
                                        reservation_cb cb, void *arg);
/* Reads the answer that this request got under its idempotency key: outcome repeated, or not-admitted
 * (ST_DENIED) when it got none. Changes nothing. */
MUST_CHECK enum status reservation_repeat(struct db *db, const struct hold_request *request,
                                          reservation_cb cb, void *arg);

/* ---- the buyer's reservations ---- */

/* Body {"reservations":[…]}, newest first: see reservation_list_read. */
MUST_CHECK enum status reservation_list(struct db *db, const char *buyer, reservation_cb cb,
                                        void *arg);
/* `id` is a UUID, here and below. */
MUST_CHECK enum status reservation_get(struct db *db, const char *buyer, const char *id,
                                       reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_cancel(struct db *db, const char *buyer, const char *id,
                                          reservation_cb cb, void *arg);

struct reserved_seat {
    const char *section, *row, *currency;
    int64_t number, price; /* price in minor units */
};
struct reservation {
    const char *id, *number, *event;
    const char *status;     /* held, confirmed, refunded, expired, cancelled */
    const char *expires_at; /* RFC 3339; NULL: it is not held */
    const char *currency;
    int64_t total; /* minor units */
    size_t seat_count;
    struct reserved_seat *seats;
};
struct reservation_list {
    struct reservation *items;
    size_t count;
    struct json *json; /* the texts above point into it */
};
/* Parses the body of reservation_list once. The caller clears the list. ST_INTERNAL, with an empty list:
 * the body is not what PostgreSQL writes. */
MUST_CHECK enum status reservation_list_read(const char *json, size_t len,
                                             struct reservation_list *ret);
void reservation_list_clear(struct reservation_list *list);

/* ---- payment ---- */

/* Begins a payment; a repeat gets the same payment. Outcome pending, with what the payment page needs;
 * confirmed, if there is nothing to pay; repeated, if it was confirmed before without a payment. The body
 * also has eventId, buyer, place (text) and epoch, with which the caller frees the buyer's slot. `provider`
 * NULL: payment is off; ST_UNAVAILABLE if there is something to pay. */
MUST_CHECK enum status reservation_pay(struct db *db, const char *buyer, const char *id,
                                       const char *provider, reservation_cb cb, void *arg);
struct payment {             /* a report of the payment provider */
    const char *reservation; /* UUID */
    const char *provider, *reference;
    int64_t amount; /* minor units */
    const char *currency;
    const char *status; /* "paid", "failed" or "refunded" */
};
/* Records a report of the payment provider. Outcome confirmed (the seats are sold), refund-due (they could not be sold: the money
 * must go back), failed, refunded (the seats are free again) or repeated (nothing new); all are ST_OK. The
 * body also has eventId, buyer, place (text) and epoch. */
MUST_CHECK enum status reservation_report(struct db *db, const struct payment *payment,
                                          reservation_cb cb, void *arg);
/* Refunds a purchase of `event` on behalf of `actor`, a member of staff, for the audit entry. Outcome
 * refunded or repeated. */
MUST_CHECK enum status reservation_refund(struct db *db, const char *event, const char *id,
                                          const char *actor, reservation_cb cb, void *arg);
struct payment_page { /* a page of an event's payments, newest first */
    const char *event;
    const char *status; /* NULL: all */
    const char *before; /* `next` of the previous page; NULL: the first page */
    int limit;
};
/* Body {"payments":[…],"next"}. */
MUST_CHECK enum status reservation_payments(struct db *db, const struct payment_page *page,
                                            reservation_cb cb, void *arg);

/* ---- an event's seats, for staff ---- */

/* Adds the seats of `json`, the body of POST /seats, whose fields the SQL function checks. Outcome added.
 * Takes up to 30 seconds. */
MUST_CHECK enum status reservation_add_seats(struct db *db, const char *event, const char *actor,
                                             const char *json, reservation_cb cb, void *arg);
/* The seats of a CSV file, one PostgreSQL array literal for each column. */
struct seat_import {
    const char *event, *actor;
    int64_t version; /* of the event, as the caller knows it; 0: any */
    const char *sections, *rows, *numbers, *prices;
    const char *currency;
};
/* Adds the seats. Outcomes are those of reservation_add_seats, and stale if the event has another version.
 * The body of a refusal names the line of the file; the first seat is in line 2. Takes up to 30 seconds. */
MUST_CHECK enum status reservation_import_seats(struct db *db, const struct seat_import *import,
                                                reservation_cb cb, void *arg);

/* A seat's position in the order of the hall; all zero: before the first seat. */
struct seat_cursor {
    int64_t section_rank, row_rank, number;
};
/* ST_OK: CSV lines and the cursor of the last one, both borrowed until the callback returns; len 0 and NULL:
 * there are no more seats. */
typedef void (*seat_export_cb)(void *arg, enum status status, const char *lines, size_t len,
                               const struct seat_cursor *last);
/* Reads up to 2000 seats that follow `after`. */
MUST_CHECK enum status reservation_export_seats(struct db *db, const char *event,
                                                const struct seat_cursor *after, seat_export_cb cb,
                                                void *arg);

/* ---- upkeep, for the processor ---- */

/* Ends at most `limit` expired holds; body {"expired":n,"events":[ids]}. */
MUST_CHECK enum status reservation_sweep(struct db *db, int limit, reservation_cb cb, void *arg);
/* Deletes at most `limit` idempotency keys older than a day; body {"keys":n}. */
MUST_CHECK enum status reservation_prune_keys(struct db *db, int limit, reservation_cb cb,
                                              void *arg);
/* Lists at most `limit` purchases, of `event` or (NULL) of all, that were confirmed at least two seconds
 * ago and whose slot is not known to be free; body
 * {"reservations":[{"id","eventId","buyer","place","epoch"}]}. For each the caller leaves the queue with
 * QUEUE_COMPLETED and a proof of that place, then calls reservation_mark_freed. A departure in the
 * admission log marks it as well. */
MUST_CHECK enum status reservation_unfreed(struct db *db, const char *event, int limit,
                                           reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_mark_freed(struct db *db, const char *id, reservation_cb cb,
                                              void *arg);

#endif
