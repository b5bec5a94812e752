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
/* Questions not yet sent end with ST_UNAVAILABLE; those sent end with the database. NULL is fine. */
void catalog_lookup_stop(struct catalog_lookup *lookup);
void catalog_lookup_free(struct catalog_lookup *lookup); /* NULL is fine */

/* One question; memory of the caller, in use until its answer. */
struct catalog_question {
    struct catalog_question *next;
    const char *id; /* as token_is_event_id says; borrowed */
    catalog_event_cb cb;
    void *arg;
};
/* cb gets the event (a draft too), ST_NOT_FOUND, or what went wrong; once, and before this returns if it goes wrong
 * at once. */
void catalog_lookup_ask(struct catalog_lookup *lookup, struct catalog_question *question);

#endif
