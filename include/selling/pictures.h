/* SPDX-License-Identifier: MIT */
/*
 * pictures: a bounded cache of the logos and images of events, one per worker. PostgreSQL is asked once for each
 * version of a picture. The least recently used one is replaced when the cache is full.
 */
#ifndef TIKETI_PICTURES_H
#define TIKETI_PICTURES_H

#include "net/db.h"
#include "queue/event.h"

struct pictures;
struct pictures *pictures_new(struct db *db); /* borrows `db` */
/* Call it after the database was closed, so that no query is pending. NULL is fine. */
void pictures_free(struct pictures *pictures);

/* ST_OK with the content type and the image, both borrowed until the callback returns. Otherwise NULL and
 * 0: ST_NOT_FOUND: the event has none; ST_FULL: every slot of the cache is loading;
 * ST_UNAVAILABLE, ST_TIMEOUT: PostgreSQL did not answer. */
typedef void (*pictures_cb)(void *arg, enum status status, const char *type, const char *data,
                            size_t len);
/* Calls `cb` exactly once: before it returns when the picture is cached or cannot be loaded, otherwise later.
 * Concurrent calls for one picture share one query (single-flight). Copies what it needs of `event`. */
void pictures_get(struct pictures *pictures, const struct event *event, enum event_picture kind,
                  pictures_cb cb, void *arg);

#endif
