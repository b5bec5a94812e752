/* SPDX-License-Identifier: MIT */
/*
 * feed: what happened at an event, for programs outside (sql/functions/feed.sql). Each function is one transaction, and
 * keeps the callback promise of db.h.
 */
#ifndef TIKETI_FEED_H
#define TIKETI_FEED_H

#include "base/buf.h"
#include "net/db.h"
#include "selling/reservation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEED_PAGE_MAX  1000 /* events of a page */
#define FEED_TYPES_MAX 512  /* bytes of a list of types */

/* The types, a NULL ends them. Static. */
extern const char *const feed_types[];
/* Reads "buyer.left,event.closed" and appends it as an array literal of PostgreSQL. ST_INVALID: *ret_wrong (borrowed from
 * `list`) and *ret_len are the part that is no type. */
MUST_CHECK enum status feed_types_read(const char *list, struct buf *out, const char **ret_wrong,
                                       size_t *ret_len);

struct feed_query {
    const char *event;
    const char *after; /* digits: the number of the last event that was read */
    const char *types; /* from feed_types_read; NULL: all */
    int64_t limit;
};
/* `lines`: an event a line, each with its line feed; borrowed. ST_GONE: what came after this number was deleted. */
typedef void (*feed_page_cb)(void *arg, enum status status, const char *lines, size_t len);
MUST_CHECK enum status feed_page(struct db *db, const struct feed_query *query, feed_page_cb cb,
                                 void *arg);

/* ---- upkeep, for the processor ---- */

/* Gives numbers to at most `limit` events of each feed. Outcome numbered: {"rows"}; 0: none waits for one. */
MUST_CHECK enum status feed_number(struct db *db, unsigned limit, reservation_cb cb, void *arg);
/* Deletes at most `limit` events of one feed that are older than `days`. Outcome kept: {"rows"}. */
MUST_CHECK enum status feed_prune(struct db *db, int64_t days, unsigned limit, reservation_cb cb,
                                  void *arg);

#endif
