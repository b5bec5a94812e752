/* SPDX-License-Identifier: MIT */
/*
 * personal: calls the SQL functions about the data of one buyer, and about how long data is kept
 * (sql/functions/personal.sql). Each function here is one transaction.
 */
#ifndef TIKETI_PERSONAL_H
#define TIKETI_PERSONAL_H

#include "base/status.h"
#include "net/db.h"
#include "selling/reservation.h"

/* All keep the callback promise of db.h, and call back as reservation.h says. */

/* A page of all events, with what is known of the buyer at each. after: `next` of the previous page; "": the first one. */
MUST_CHECK enum status personal_events(struct db *db, const char *buyer, const char *after,
                                       unsigned limit, reservation_cb cb, void *arg);
/* The same of one event. */
MUST_CHECK enum status personal_event(struct db *db, const char *buyer, const char *event,
                                      reservation_cb cb, void *arg);

struct personal_request {
    const char *buyer;
    const char *event; /* NULL: what belongs to no event */
    const char *who;   /* for the audit entry */
};
MUST_CHECK enum status personal_export(struct db *db, const struct personal_request *request,
                                       reservation_cb cb, void *arg);
/* Outcome erased; or paying or held (ST_CONFLICT), and nothing was changed. */
MUST_CHECK enum status personal_erase(struct db *db, const struct personal_request *request,
                                      reservation_cb cb, void *arg);

/* ---- upkeep, for the processor ---- */

/* Takes at most `limit` closed events whose keys in Redis have had their time. */
MUST_CHECK enum status personal_keys(struct db *db, int64_t days, unsigned limit, reservation_cb cb,
                                     void *arg);
/* Forgets a batch of e-mail addresses or buyers. Days: 0 for ever. */
MUST_CHECK enum status personal_upkeep(struct db *db, int64_t email_days, int64_t buyer_days,
                                       unsigned limit, reservation_cb cb, void *arg);

#endif
