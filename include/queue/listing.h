/* SPDX-License-Identifier: MIT */
/*
 * listing: the events that the public may see and that are not over, as this worker last read them: at most a second
 * old, newest first.
 *
 * One per API worker. Whoever asks, and however often, it costs PostgreSQL one statement a second and worker, which
 * returns the events only if one has changed.
 */
#ifndef TIKETI_LISTING_H
#define TIKETI_LISTING_H

#include "base/buf.h"
#include "base/shared_text.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"

#include <stddef.h>
#include <stdint.h>

#define LISTING_PAGE 100 /* events in `first` */

struct listed_event {
    const char *json; /* the public form; `len` bytes */
    size_t len;
    const char *cursor; /* `before` for the page that follows this event: "<time>.<id>" */
};
/* Borrowed until the caller returns to the loop. */
struct event_list {
    char version[33]; /* equal versions are equal lists, on every pod */
    size_t count;
    const struct listed_event *events;
    const struct shared_text
        *first; /* the first LISTING_PAGE of them as an answer: listing_write_page */
};

struct listing;
/* Borrows both. */
struct listing *listing_new(struct loop *loop, struct db *db);
/* Call it after the database was closed, so that no query is pending. Callbacks that still wait are dropped. NULL is
 * fine. */
void listing_free(struct listing *listing);

/* The list, if it was confirmed within the last second; otherwise NULL. */
const struct event_list *listing_fresh(const struct listing *listing);
/* ST_OK and the list; otherwise ST_UNAVAILABLE, ST_TIMEOUT, ST_FULL, ST_BUSY or ST_INTERNAL, and NULL. While
 * PostgreSQL does not answer, a list that was confirmed within the last minute is passed with ST_OK. */
typedef void (*listing_cb)(void *arg, enum status status, const struct event_list *list);
/* Passes a fresh list to `cb`, reading it again if necessary. Concurrent calls share one read (single-flight). `cb`
 * runs exactly once, later. */
void listing_get(struct listing *listing, listing_cb cb, void *arg);

/* The index of the first event behind this cursor (list->count: none); NULL: of the first event. */
size_t listing_find(const struct event_list *list, const char *before);
/* Appends {"events":[…],"next"}: up to `limit` events from this index. */
void listing_write_page(const struct event_list *list, size_t from, size_t limit, struct buf *out);

#endif
