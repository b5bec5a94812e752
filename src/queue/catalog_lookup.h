/* SPDX-License-Identifier: MIT */
/*
 * catalog_lookup: asks PostgreSQL about events that Redis does not have: the ids of all callers in one statement, one
 * statement at a time, at most fifty a second. For catalog.c alone.
 */
#ifndef TIKETI_CATALOG_LOOKUP_H
#define TIKETI_CATALOG_LOOKUP_H

#include "net/loop.h"
#include "queue/catalog_store.h"

struct catalog_lookup;
struct catalog_lookup *catalog_lookup_new(struct loop *loop, struct db *db); /* borrows both */
/* Questions not yet sent end with ST_UNAVAILABLE; those already sent end when the database is closed. NULL is fine. */
void catalog_lookup_stop(struct catalog_lookup *lookup);
void catalog_lookup_free(struct catalog_lookup *lookup); /* NULL is fine */

/* One question. It is the caller's memory, and must live until it is answered. */
struct catalog_question {
    struct catalog_question *next;
    const char *id; /* a valid event id (token_is_event_id); borrowed */
    catalog_event_cb cb;
    void *arg;
};
/* `cb` runs exactly once: with the event (which may be a draft), with ST_NOT_FOUND, or with the status of a failure.
 * If the question fails at once, it runs before this returns. */
void catalog_lookup_ask(struct catalog_lookup *lookup, struct catalog_question *question);

#endif
