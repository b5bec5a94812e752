/* SPDX-License-Identifier: MIT */
/*
 * hook: the SQL functions of webhooks (sql/functions/hook.sql). Each is one transaction, keeps the callback promise of
 * db.h, and calls back as reservation.h says.
 */
#ifndef TIKETI_HOOK_H
#define TIKETI_HOOK_H

#include "net/db.h"
#include "selling/reservation.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- for staff ---- */

/* Which webhook, and who asks. `id`: digits. */
struct hook_request {
    const char *event, *id;
    const char *who; /* for the audit entry */
};

/* Outcome listed: {"webhooks"}. */
MUST_CHECK enum status hook_list(struct db *db, const char *event, reservation_cb cb, void *arg);
/* `fields`: a JSON object of url, description, types, enabled. Outcome created, with the secret; or limit (ST_CONFLICT). */
MUST_CHECK enum status hook_create(struct db *db, const struct hook_request *request,
                                   const char *fields, reservation_cb cb, void *arg);
/* Outcome changed; or not-found, as for all that follow. */
MUST_CHECK enum status hook_change(struct db *db, const struct hook_request *request,
                                   const char *fields, reservation_cb cb, void *arg);
/* Outcome deleted. */
MUST_CHECK enum status hook_delete(struct db *db, const struct hook_request *request,
                                   reservation_cb cb, void *arg);
/* The old secret signs as well for `keep_s` seconds. Outcome rotated, with the secret. */
MUST_CHECK enum status hook_rotate(struct db *db, const struct hook_request *request,
                                   int64_t keep_s, reservation_cb cb, void *arg);
/* Outcome testing: the call is to be sent. */
MUST_CHECK enum status hook_test(struct db *db, const struct hook_request *request,
                                 reservation_cb cb, void *arg);
/* after: digits; NULL: goes on where it stopped. Outcome replayed; or forgotten (ST_GONE). */
MUST_CHECK enum status hook_replay(struct db *db, const struct hook_request *request,
                                   const char *after, reservation_cb cb, void *arg);

/* ---- for courier ---- */

struct hook_claim {
    unsigned limit;  /* webhooks */
    unsigned events; /* of each, at most */
    int64_t claim_ms;
};
/* Outcome claimed: {"claim","webhooks"}. */
MUST_CHECK enum status hook_claim(struct db *db, const struct hook_claim *claim, reservation_cb cb,
                                  void *arg);

struct hook_outcome {
    const char *id, *claim;
    const char *sent;  /* everything up to this number was delivered; "": nothing was */
    unsigned count;    /* events that were */
    const char *error; /* why the next one was not; NULL: there was none */
    int64_t wait_ms;   /* until the next attempt, as the receiver asked for; 0: it did not */
    bool gone;         /* the receiver wants no more */
};
/* Outcome good, failing or parked; or not-found: the claim has ended. */
MUST_CHECK enum status hook_sent(struct db *db, const struct hook_outcome *outcome,
                                 reservation_cb cb, void *arg);
/* `error` NULL: it was taken. Outcome noted or not-found. */
MUST_CHECK enum status hook_tested(struct db *db, const char *id, const char *test,
                                   const char *error, reservation_cb cb, void *arg);
/* event NULL: of all. Outcome counted: {"webhooks","failing","parked","lateSeconds"}. */
MUST_CHECK enum status hook_count(struct db *db, const char *event, reservation_cb cb, void *arg);

#endif
