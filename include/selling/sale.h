/* SPDX-License-Identifier: MIT */
/*
 * sale: calls the SQL functions of sql/functions/sale.sql: what of the sales is to be copied to Redis, and how a restored
 * PostgreSQL is compared with the copies, the live copies of events, and the payment provider's books.
 *
 * Each function is one transaction, keeps the callback promise of db.h, and calls back as reservation.h says: ST_OK with the
 * outcome and body that are listed there; else there was no answer. Texts are copied. PostgreSQL gone: ST_UNAVAILABLE or
 * ST_TIMEOUT; every call may be repeated.
 */
#ifndef TIKETI_SALE_H
#define TIKETI_SALE_H

#include "net/db.h"
#include "selling/reservation.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- copying, for the processor ---- */

/* Body {"sales":[{"id","eventId","version","sale"}]}: at most `limit` sales of which Redis lacks a copy of this version;
 * "sale" null: it is a rehearsal's, and has none. */
MUST_CHECK enum status sale_uncopied(struct db *db, int limit, reservation_cb cb, void *arg);
/* Redis has these: json is [{"id","version"}]. */
MUST_CHECK enum status sale_copied(struct db *db, const char *json, reservation_cb cb, void *arg);
/* Redis has lost its copies of this event: all of its sales are due again. */
MUST_CHECK enum status sale_copy_again(struct db *db, const char *event, reservation_cb cb,
                                       void *arg);

/* ---- after a restore: with `apply` what is lacking is put back, else all is undone ---- */

/* Body {"newer":[ids]}: those of [{"id","version"}] that PostgreSQL lacks, or has in an older version. */
MUST_CHECK enum status sale_compare(struct db *db, const char *json, reservation_cb cb, void *arg);
/* json: an array of copies. Body {"differences"}. May take a minute. */
MUST_CHECK enum status sale_reconcile(struct db *db, const char *json, bool apply,
                                      reservation_cb cb, void *arg);
/* Before the first change: numbers that were given away by lost transactions are not given again. */
MUST_CHECK enum status sale_begin(struct db *db, reservation_cb cb, void *arg);

struct sale_event {
    const char *json; /* the live copy, as event_write_json writes it */
    int64_t version, epoch;
};
/* Outcome same; older, with {"version","liveVersion","epoch","liveEpoch","changes"}; or not-found (ST_NOT_FOUND). */
MUST_CHECK enum status sale_reconcile_event(struct db *db, const struct sale_event *event,
                                            bool apply, reservation_cb cb, void *arg);
/* json: all charges of the provider. Body {"charges","differences"}. May take a minute. */
MUST_CHECK enum status sale_reconcile_books(struct db *db, const char *json, bool apply,
                                            reservation_cb cb, void *arg);

#endif
