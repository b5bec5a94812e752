/* SPDX-License-Identifier: MIT */
/*
 * catalog_lookup: PostgreSQL asked about the events that Redis does not have: all ids that come together in
 * one statement, one statement at a time, at most fifty a second. catalog.c's own.
 */
#ifndef TIKETI_CATALOG_LOOKUP_H
#define TIKETI_CATALOG_LOOKUP_H

#include "queue/catalog.h"

/* One question: the asker's memory, in use until it is answered. */
struct catalog_asked {
    struct catalog_asked *next;
    const char *id; /* as token_is_event_id says */
    catalog_event_cb cb;
    void *arg;
};

struct catalog_lookup;
struct catalog_lookup *catalog_lookup_new(struct loop *loop, struct db *db);
/* Whoever stands in line is told ST_UNAVAILABLE; whoever is asked about, by the database's end. */
void catalog_lookup_stop(struct catalog_lookup *lookup);
void catalog_lookup_free(struct catalog_lookup *lookup); /* NULL is fine */

/* cb gets the event (borrowed; a draft too), ST_NOT_FOUND, or what went wrong, once; before this returns if it
 * goes wrong at once. */
void catalog_lookup_ask(struct catalog_lookup *lookup, struct catalog_asked *asked);

#endif
