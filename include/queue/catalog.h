/* SPDX-License-Identifier: MIT */
/*
 * catalog: what this worker knows of the events it was asked about: settings and rank index, read from Redis once a
 * second (a message on the channel makes it sooner), and from PostgreSQL when Redis has none.
 *
 * One per worker. Requests read plain memory: what an event costs Redis is one read a second and worker. An event
 * unused for 10 minutes is dropped; ids that are no event's are remembered for a second, in a bounded table.
 */
#ifndef TIKETI_CATALOG_H
#define TIKETI_CATALOG_H

#include "net/db.h"
#include "queue/event.h"
#include "queue/index.h"
#include "queue/queue.h"

#include <stdbool.h>

struct catalog;

struct catalog_opts { /* loop, queue and db are borrowed, until catalog_free */
    struct loop *loop;
    struct queue *queue; /* the catalog becomes its loader */
    struct db *db;       /* NULL: without PostgreSQL; then only Redis is asked */
    /* After each refresh of an event that brought a new index or other settings; may be NULL. */
    void (*on_refresh)(void *arg, const char *event_id);
    void *arg;
};
struct catalog *catalog_new(const struct catalog_opts *opts);
/* Refuses new loads and ends those that wait for PostgreSQL; before db, queue and redis are stopped. */
void catalog_stop(struct catalog *catalog);
void catalog_free(struct catalog *catalog); /* after queue and db are closed; NULL is fine */

/* The settings; NULL: this worker does not know the event (yet): catalog_load. Borrowed until the loop's next turn.
 * Keeps the event from being dropped. Owner and last_place are there only if it came from PostgreSQL. */
const struct event *catalog_event(struct catalog *catalog, const char *id);
/* The rank index, likewise; NULL: none, or the last one is over 5 s old. */
const struct rank_index *catalog_index(struct catalog *catalog, const char *id);

/* Makes sure that Redis and this worker know the event: reads the live copy; where there is none, writes it from
 * PostgreSQL. `fresh`: even if it is known here. Single-flight: calls for one event share one load. In the callback
 * ST_NOT_FOUND: there is no such event, or it is a draft; ST_UNAVAILABLE, ST_TIMEOUT: a backend did not answer. A
 * status other than ST_OK returned: the callback never runs; else it runs once, later. */
typedef void (*catalog_cb)(void *arg, enum status status);
MUST_CHECK enum status catalog_load(struct catalog *catalog, const char *id, bool fresh,
                                    catalog_cb cb, void *arg);

/* The event may have changed: reads it at once. For messages on the channel. */
void catalog_hint(struct catalog *catalog, const char *id);
/* All events known here; index is NULL where catalog_index would say so. */
void catalog_each(struct catalog *catalog,
                  void (*visit)(void *arg, const struct event *event,
                                const struct rank_index *index),
                  void *arg);

#endif
