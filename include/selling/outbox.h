/* SPDX-License-Identifier: MIT */
/*
 * outbox: calls the SQL functions of the outbox (sql/functions/outbox.sql). Rows are written by SQL, in the transaction of
 * what the mail tells. Each function here is one transaction.
 */
#ifndef TIKETI_OUTBOX_H
#define TIKETI_OUTBOX_H

#include "base/status.h"
#include "net/db.h"
#include "selling/reservation.h"

#include <stdbool.h>
#include <stdint.h>

/* All keep the callback promise of db.h, and call back as reservation.h says: ST_OK with the outcome and body of the SQL
 * function, of which each is listed there; else there was no answer. */

/* Claims at most `limit` due mails of `kind` for claim_ms. */
MUST_CHECK enum status outbox_claim(struct db *db, const char *kind, unsigned limit,
                                    int64_t claim_ms, reservation_cb cb, void *arg);
/* `id` is decimal text, here and below. */
MUST_CHECK enum status outbox_sent(struct db *db, const char *id, reservation_cb cb, void *arg);
MUST_CHECK enum status outbox_drop(struct db *db, const char *id, reservation_cb cb, void *arg);
struct outbox_failure {
    const char *id, *claim;
    const char *error; /* never names the recipient */
    bool for_good;     /* another attempt would fail as well */
};
MUST_CHECK enum status outbox_failed(struct db *db, const struct outbox_failure *failure,
                                     reservation_cb cb, void *arg);
/* Has at most `limit` parked mails of the event sent again. who: the actor, for the audit entry. */
MUST_CHECK enum status outbox_resend(struct db *db, const char *event, unsigned limit,
                                     const char *who, reservation_cb cb, void *arg);
MUST_CHECK enum status outbox_upkeep(struct db *db, unsigned limit, reservation_cb cb, void *arg);

#endif
