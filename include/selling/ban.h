/* SPDX-License-Identifier: MIT */
/*
 * ban: buyers who are shut out of an event, in PostgreSQL (sql/functions/ban.sql). Each function is one transaction, keeps
 * the callback promise of db.h, and calls back as reservation.h says.
 */
#ifndef TIKETI_BAN_H
#define TIKETI_BAN_H

#include "net/db.h"
#include "selling/reservation.h"

/* Who is banned, and who does it. */
struct ban_request {
    const char *event, *buyer;
    const char *reason; /* ban_add */
    const char *who;    /* ban_add, ban_remove: name, role and subject, with tabs between them */
};

/* Outcome added: {"place","epoch"}, texts; conflict. */
MUST_CHECK enum status ban_add(struct db *db, const struct ban_request *ban, reservation_cb cb,
                               void *arg);
/* Notes the place that is kept for the buyer. Outcome marked. */
MUST_CHECK enum status ban_note(struct db *db, const struct ban_request *ban, uint64_t place,
                                uint64_t epoch, reservation_cb cb, void *arg);
/* Outcome freed or nothing: {"place","epoch"}, texts. */
MUST_CHECK enum status ban_remove(struct db *db, const struct ban_request *ban, reservation_cb cb,
                                  void *arg);
/* Outcome listed: a page. before: `next` of the page before; NULL: the first. limit: digits. */
MUST_CHECK enum status ban_page(struct db *db, const char *event, const char *before,
                                const char *limit, reservation_cb cb, void *arg);
/* Outcome listed: all of them, for Redis. */
MUST_CHECK enum status ban_all(struct db *db, const char *event, reservation_cb cb, void *arg);

#endif
