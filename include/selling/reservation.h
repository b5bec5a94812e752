/* SPDX-License-Identifier: MIT */
/*
 * reservation: seats: hold -> confirm -> release, each one SQL function, one transaction. The JSON
 * of an answer is made by PostgreSQL and passed on. Does not know who is inside: callers check the
 * admission first.
 */
#ifndef TIKETI_RESERVATION_H
#define TIKETI_RESERVATION_H

#include "base/status.h"
#include "net/db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `outcome` is the SQL function's word ("created", "repeated", "seat-taken", "limit",
 * "not-found", "not-yours", "expired", ...), `json` the body to answer with (an object; for an
 * error at least {"detail"} and, where it fits, {"seats":[ids]}). Both borrowed; NULL unless
 * status came from PostgreSQL. Status: ST_OK for created, repeated, cancelled, confirmed...;
 * ST_CONFLICT, ST_NOT_FOUND, ST_DENIED, ST_INVALID, ST_GONE as the outcome says (the table in
 * reservation.c). */
typedef void (*reservation_cb)(void *arg, enum status status, const char *outcome, const char *json,
                               size_t len);

struct reservation_order {
    const char *event, *buyer;
    const char *const *seat_ids; /* decimal text; NULL: by quantity */
    size_t seat_count;           /* or the quantity wanted */
    const char *section;         /* by quantity: NULL for any */
    const char *idempotency_key; /* NULL: none */
    uint64_t place;              /* the admission it belongs to */
};
/* Replaces the buyer's held reservation in the same transaction, or changes nothing. */
MUST_CHECK enum status reservation_hold(struct db *db, const struct reservation_order *order,
                                        reservation_cb cb, void *arg);
/* The answer that was given to this order under its key (outcome "repeated"); ST_DENIED: none was. Changes
 * nothing. */
MUST_CHECK enum status reservation_repeat(struct db *db, const struct reservation_order *order,
                                          reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_list(struct db *db, const char *buyer, reservation_cb cb,
                                        void *arg);
MUST_CHECK enum status reservation_get(struct db *db, const char *buyer, const char *id,
                                       reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_cancel(struct db *db, const char *buyer, const char *id,
                                          reservation_cb cb, void *arg);

/* Begins a payment, once: outcome pending, with what the payment page needs; confirmed, when there is
 * nothing to pay; repeated (the latter before). The body has also eventId, buyer, place (text) and
 * epoch, so that the slot can be freed. `provider` NULL: payment is off, ST_UNAVAILABLE unless nothing
 * is to pay. */
MUST_CHECK enum status reservation_pay(struct db *db, const char *buyer, const char *id,
                                       const char *provider, reservation_cb cb, void *arg);
struct payment {             /* what the provider says about one */
    const char *reservation; /* id */
    const char *provider, *reference;
    int64_t amount; /* minor units */
    const char *currency;
    const char *status; /* paid, failed or refunded */
};
/* Outcome confirmed (sold); refund-due (not sold: the money is due back); failed; refunded (the seats
 * are free again); repeated (nothing new): all ST_OK. The body has also eventId, buyer, place (text)
 * and epoch. */
MUST_CHECK enum status reservation_paid(struct db *db, const struct payment *payment,
                                        reservation_cb cb, void *arg);
/* The organizer takes a sale of his event back: outcome refunded or repeated. */
MUST_CHECK enum status reservation_refund(struct db *db, const char *event, const char *id,
                                          const char *who, reservation_cb cb, void *arg);
struct payment_page { /* of the payments of an event, newest first */
    const char *event;
    const char *status; /* NULL: all */
    const char *before; /* digits: `next` of the page before; NULL: the first page */
    int limit;
};
/* {"payments":[...],"next"}. Copies the page. */
MUST_CHECK enum status reservation_payments(struct db *db, const struct payment_page *page,
                                            reservation_cb cb, void *arg);

/* Bulk: `json` is the validated body of POST /seats as text. */
MUST_CHECK enum status reservation_add_seats(struct db *db, const char *event, const char *who,
                                             const char *json, reservation_cb cb, void *arg);
/* The seats of a file, column by column: array literals. Outcome as of add_seats, or stale (`version`, when
 * not 0, is no longer the event's); a refusal's body has the line, the first seat being in line 2. All
 * is copied. It has thirty seconds, for a hall of 100,000 seats. */
struct reservation_seats {
    const char *event, *who;
    int64_t version;
    const char *sections, *rows, *numbers, *prices, *currency;
};
MUST_CHECK enum status reservation_import_seats(struct db *db,
                                                const struct reservation_seats *seats,
                                                reservation_cb cb, void *arg);

/* The last seat of a page, in the order of the hall; all zero: before the first. */
struct reservation_page {
    int64_t section_rank, row_rank, number;
};
/* CSV lines, borrowed, and where they end; no more seats: ST_OK with len 0 and NULL. */
typedef void (*reservation_page_cb)(void *arg, enum status status, const char *lines, size_t len,
                                    const struct reservation_page *page);
/* The seats after `after`, a page of them. */
MUST_CHECK enum status reservation_export_seats(struct db *db, const char *event,
                                                const struct reservation_page *after,
                                                reservation_page_cb cb, void *arg);
/* Tidies expired holds (at most `limit`); body {"expired":n,"events":[ids]}. */
MUST_CHECK enum status reservation_sweep(struct db *db, int limit, reservation_cb cb, void *arg);
/* Forgets idempotency keys older than a day (at most `limit`); body {"keys":n}. */
MUST_CHECK enum status reservation_prune_keys(struct db *db, int limit, reservation_cb cb,
                                              void *arg);
/* Confirmed two seconds ago or longer, and the buyer's slot not known to be free: at most `limit`, of
 * `event` or (NULL) of all; body {"reservations":[{"id","eventId","buyer","place","epoch"}]}. Leave
 * with QUEUE_COMPLETED and a proof of that very place, then mark. (A departure in the admission log
 * marks it, too.) */
MUST_CHECK enum status reservation_unfreed(struct db *db, const char *event, int limit,
                                           reservation_cb cb, void *arg);
MUST_CHECK enum status reservation_mark_freed(struct db *db, const char *id, reservation_cb cb,
                                              void *arg);
/* The admission of this buyer has ended: releases an auto-hold neither swapped nor in payment. */
MUST_CHECK enum status reservation_release(struct db *db, const char *event, const char *buyer,
                                           uint64_t place, reservation_cb cb, void *arg);

#endif
