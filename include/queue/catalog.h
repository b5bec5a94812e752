/* SPDX-License-Identifier: MIT */
/*
 * catalog: what this worker knows of the events it was asked about: settings and rank index, read from Redis once a
 * second (a message on the channel makes it sooner), and from PostgreSQL when Redis has none.
 *
 * One per worker. Requests read plain memory, so each event costs Redis one read per second and worker. An event that
 * was not used for 10 minutes is dropped. Ids without an event are remembered for a second, in a bounded table.
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
    struct db *db;       /* NULL: there is no PostgreSQL, and only Redis is asked */
    /* Called after a refresh has brought a new index or other settings of an event; may be NULL. */
    void (*on_refresh)(void *arg, const char *event_id);
    void *arg;
};
struct catalog *catalog_new(const struct catalog_opts *opts);
/* Refuses new loads, and ends those that wait for PostgreSQL. Call it before db, queue and redis are stopped. */
void catalog_stop(struct catalog *catalog);
/* call it after queue and db were closed; NULL is fine */
void catalog_free(struct catalog *catalog);

/* Returns the settings, borrowed until the loop's next turn. NULL: this worker does not know the event (yet);
 * catalog_load makes it known. Each call keeps the event from being dropped. Owner and last_place are set only if the
 * event came from PostgreSQL. */
const struct event *catalog_event(struct catalog *catalog, const char *id);
/* Returns the rank index, borrowed until the loop's next turn; NULL: there is none, or it is over 5 s old. */
const struct rank_index *catalog_index(struct catalog *catalog, const char *id);
/* For how many ms this worker has known the event; 0: it does not. */
uint64_t catalog_known_for_ms(struct catalog *catalog, const char *id);

/* For how many ms no processor has ticked the event, which is open; 0: one does, or it is not known. */
int64_t catalog_silent_ms(struct catalog *catalog, const char *id);

/* Makes sure that Redis and this worker know the event: reads the live copy, and if there is none, writes it from
 * PostgreSQL. With `fresh` it reads again even if this worker knows the event. Single-flight: calls for one event
 * share one load. Returns ST_OK: the callback runs exactly once, later; otherwise it never runs. In the callback,
 * ST_NOT_FOUND: there is no such event, or it is a draft; ST_UNAVAILABLE, ST_TIMEOUT: a backend did not answer. */
typedef void (*catalog_cb)(void *arg, enum status status);
MUST_CHECK enum status catalog_load(struct catalog *catalog, const char *id, bool fresh,
                                    catalog_cb cb, void *arg);

/* Reads the event again at once, because a message on the channel says that it may have changed. */
void catalog_hint(struct catalog *catalog, const char *id);
/* Calls back for each event that this worker knows; `index` is what catalog_index returns. */
void catalog_each(struct catalog *catalog,
                  void (*visit)(void *arg, const struct event *event,
                                const struct rank_index *index),
                  void *arg);

#endif
