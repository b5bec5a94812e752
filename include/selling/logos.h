/* SPDX-License-Identifier: MIT */
/*
 * logos: the events' logos, as this worker has read them from PostgreSQL: once for each version,
 * however many ask. Bounded: those not asked for are dropped when others need the room.
 */
#ifndef TIKETI_LOGOS_H
#define TIKETI_LOGOS_H

#include "net/db.h"
#include "queue/event.h"

struct logos;
struct logos *logos_new(struct db *db);
/* After the database was stopped, so that nothing is under way. NULL is fine. */
void logos_free(struct logos *logos);

/* ST_OK with the image, borrowed; ST_NOT_FOUND; or why it cannot be had. */
typedef void (*logos_cb)(void *arg, enum status status, const char *type, const char *data,
                         size_t len);
/* Runs cb once, at once where the logo of this version is there, else later; all who ask meanwhile
 * share one query. */
void logos_get(struct logos *logos, const struct event *event, logos_cb cb, void *arg);

#endif
