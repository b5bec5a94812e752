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

/* The largest amount of one payment, in minor units: a hundred seats of the highest price. */
#define MONEY_AMOUNT_MAX INT64_C(100000000000000)

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

struct reservation_query { /* a page of a buyer's reservations, newest first */
    const char *buyer;
    const char *event;  /* NULL: of all events */
    bool current;       /* only live holds and purchases */
    const char *before; /* `next` of the previous page; NULL: the first page */
    int limit;
};
/* Body {"reservations":[…],"next"}: see reservation_list_read. `before` must have the form of a cursor (api_read_page). */
MUST_CHECK enum status reservation_list(struct db *db, const struct reservation_query *query,
                                        reservation_cb cb, void *arg);
/* `id` is a UUID, here and below. */
MUST_CHECK enum status reservation_get(struct db *db, const char *buyer, const char *id,
                                       reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_cancel(struct db *db, const char *buyer, const char *id,
                                          reservation_cb cb, void *arg);

struct reserved_seat {
    const char *id, *section, *row, *currency;
    int64_t number, price; /* price in minor units */
};
struct reservation {
    const char *id, *number, *event;
    const char *status;     /* held, confirmed, refunded, expired, cancelled */
    const char *expires_at; /* RFC 3339; NULL: it is not held */
    const char *currency;
    int64_t total; /* minor units */
    int64_t
        refunded; /* of a purchase that goes on: the price of its seats that were refunded, not in `total` */
    size_t seat_count;
    struct reserved_seat *seats;
    /* Only in the answers of reservation_link: */
    bool own, paying;       /* of that buyer; a payment was begun and has not failed */
    const char *link_token; /* NULL: it was not bought */
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
/* The same for a body that is one reservation: the list has one. */
MUST_CHECK enum status reservation_read(const char *json, size_t len, struct reservation_list *ret);
void reservation_list_clear(struct reservation_list *list);

/* ---- the links to bought tickets ---- */

struct reservation_link { /* whose link is wanted */
    const char *buyer;    /* who asks */
    bool proven;          /* they have proved that they may see it; false: only its buyer may */
    const char *event, *id;
    const char *key; /* eticket_key */
};
/* Outcome found: the body is the reservation, with the token of its link if it was bought (reservation_read). The link
 * is the same each time, until the key changes; older ones stay valid. */
MUST_CHECK enum status reservation_link(struct db *db, const struct reservation_link *link,
                                        reservation_cb cb, void *arg);
/* Outcome found: the body is the reservation that the link with this token leads to. */
MUST_CHECK enum status reservation_of_link(struct db *db, const char *token, reservation_cb cb,
                                           void *arg);

/* ---- payment ---- */

struct pay_request {
    const char *buyer, *id;
    const char *provider; /* NULL: payment is off */
    const char
        *email; /* where the mail about the purchase goes; NULL: what was given before stays */
    const char *language; /* of that mail: "en" */
};
/* Begins a payment; a repeat gets the same payment. Outcome pending, with what the payment page needs;
 * confirmed, if there is nothing to pay; repeated, if it was confirmed before without a payment. The body
 * also has eventId, buyer, place (text) and epoch, with which the caller frees the buyer's slot. Outcome payment-off
 * (ST_UNAVAILABLE): there is something to pay, and no provider. Outcome invalid (ST_INVALID), with the field "email": the
 * event requires an address. */
MUST_CHECK enum status reservation_pay(struct db *db, const struct pay_request *request,
                                       reservation_cb cb, void *arg);
struct payment {             /* a report of the payment provider */
    const char *reservation; /* UUID */
    const char *provider, *reference;
    int64_t amount; /* minor units */
    const char *currency;
    const char *status; /* "paid", "failed" or "refunded" */
    const char *
        refund; /* with "refunded": `amount` is a part of the payment, returned under this id of the
                         * provider; NULL: the whole was returned */
};
/* Records a report of the payment provider. Outcome confirmed (the seats are sold), refund-due (they could not be sold: the money
 * must go back), failed, refunded (the seats are free again), partly-refunded or repeated (nothing new); all are ST_OK. The
 * body also has eventId, buyer, place (text) and epoch. */
MUST_CHECK enum status reservation_report(struct db *db, const struct payment *payment,
                                          reservation_cb cb, void *arg);
struct refund {
    const char *event;
    const char *reservation;     /* its UUID, or its number as people write it */
    const char *const *seat_ids; /* only these seats of it; NULL: all */
    size_t seat_count;
    bool keeps_seats;  /* the seats become blocked, instead of free */
    const char *actor; /* the member of staff, for the audit entry */
};
/* Refunds a purchase, or seats of it. Outcome refunded, seats-refunded (the purchase goes on without them) or repeated. The
 * body is that of reservation_report. */
MUST_CHECK enum status reservation_refund(struct db *db, const struct refund *refund,
                                          reservation_cb cb, void *arg);
struct payment_page { /* a page of an event's payments, newest first */
    const char *event;
    const char *status; /* NULL: all */
    bool due;           /* only those of which money must still be returned */
    const char *before; /* `next` of the previous page; NULL: the first page */
    int limit;
};
/* Body {"payments":[…],"next"}. */
MUST_CHECK enum status reservation_payments(struct db *db, const struct payment_page *page,
                                            reservation_cb cb, void *arg);
struct
    reservation_search { /* a page of an event's reservations that staff look for, newest first */
    const char *event;
    const char *text;   /* a number, a UUID or a buyer's id; NULL: all */
    uint64_t place;     /* of the support reference that the text is; 0: it is none */
    const char *before; /* `next` of the previous page; NULL: the first page */
    int limit;
};
/* Body {"reservations":[…],"next"}: each with its buyer and its payments. */
MUST_CHECK enum status reservation_find(struct db *db, const struct reservation_search *search,
                                        reservation_cb cb, void *arg);

/* ---- an event's seats, for staff ---- */

struct seat_import {
    const char *event, *actor;
    int64_t version;  /* of the event, as the caller knows it; 0: any */
    bool replaces;    /* these seats instead of all that the event has */
    bool only_checks; /* nothing is changed */
    /* Only for reservation_import_seats: the seats, as one PostgreSQL array literal for each column. */
    const char *sections, *rows, *numbers, *prices;
    const char *currency; /* NULL: there are no seats */
};
/* Adds the seats of `json`, the body of POST /seats, whose fields the SQL function checks. Outcome added, checked
 * (only_checks), or stale if the event has another version. The bodies of checked and of a refusal have {"errors":
 * [{"seat","field","message"}]}: the number of the seat in the list, from 1, null for the list as a whole. Takes up to 30
 * seconds. */
MUST_CHECK enum status reservation_add_seats(struct db *db, const struct seat_import *import,
                                             const char *json, reservation_cb cb, void *arg);
/* The same for seats that are given as columns. */
MUST_CHECK enum status reservation_import_seats(struct db *db, const struct seat_import *import,
                                                reservation_cb cb, void *arg);

struct seat_correction {
    const char *event, *actor;
    int64_t version;  /* as above */
    const char *verb; /* remove, rename, reprice, block, unblock */
    /* Which seats; NULL and 0: any. Either seat_ids, or what their names must be. */
    const char *const *seat_ids;
    size_t seat_count;
    const char *section, *row;
    int64_t from, to; /* numbers */
    /* To what. */
    int64_t price;                     /* minor units; -1: as it is */
    const char *new_section, *new_row; /* NULL: as it is */
    const char *reason;                /* of block */
};
/* Outcome changed, with how many seats were, and how many were left because they are held or sold. Takes up to 30 seconds,
 * in which other changes of these seats wait. */
MUST_CHECK enum status reservation_correct_seats(struct db *db,
                                                 const struct seat_correction *correction,
                                                 reservation_cb cb, void *arg);
/* Outcome found: seats and revenue by section, and of the whole hall. */
MUST_CHECK enum status reservation_count_seats(struct db *db, const char *event, reservation_cb cb,
                                               void *arg);

/* A seat's position in the order of the hall; all zero: before the first seat. */
struct seat_cursor {
    int64_t section_rank, row_rank, number;
};
/* ST_OK: CSV lines (len 0: none) and the cursor of the last one, after which there may be more; NULL: there are no more.
 * Both borrowed until the callback returns. */
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
