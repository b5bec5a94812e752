/* SPDX-License-Identifier: MIT */
/*
 * logos: a bounded cache of event logos, one per worker. PostgreSQL is asked once for each version of a
 * logo. The least recently used logo is replaced when the cache is full.
 */
#ifndef TIKETI_LOGOS_H
#define TIKETI_LOGOS_H

#include "net/db.h"
#include "queue/event.h"

struct logos;
struct logos *logos_new(struct db *db); /* borrows `db` */
/* Call it after the database was closed, so that no query is pending. NULL is fine. */
void logos_free(struct logos *logos);

/* ST_OK with the content type and the image, both borrowed until the callback returns. Otherwise NULL and
 * 0: ST_NOT_FOUND: the event has no logo; ST_FULL: every slot of the cache is loading;
 * ST_UNAVAILABLE, ST_TIMEOUT: PostgreSQL did not answer. */
typedef void (*logos_cb)(void *arg, enum status status, const char *type, const char *data,
                         size_t len);
/* Calls `cb` exactly once: before it returns when the logo is cached or cannot be loaded, otherwise later.
 * Concurrent calls for one event share one query (single-flight). Copies what it needs of `event`. */
void logos_get(struct logos *logos, const struct event *event, logos_cb cb, void *arg);

#endif
