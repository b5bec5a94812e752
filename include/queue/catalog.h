/* SPDX-License-Identifier: MIT */
/*
 * catalog: this pod's live copy of the events it was asked about: config and rank index, refreshed
 * from Redis once a second (Pub/Sub only makes it sooner), loaded from PostgreSQL when Redis has
 * none. One per worker. Entries unused for 10 minutes are dropped; unknown ids are remembered for
 * a second, in a bounded table.
 */
#ifndef TIKETI_CATALOG_H
#define TIKETI_CATALOG_H

#include "net/db.h"
#include "queue/event.h"
#include "queue/index.h"
#include "queue/queue.h"

#include <stdbool.h>

struct catalog;

struct catalog_opts {
    struct loop *loop;
    struct queue *queue;
    struct db *db; /* NULL: a pod without PostgreSQL (only Redis is asked) */
    const struct config *config;
    /* After each refresh of an event that brought a new index or config; may be NULL. */
    void (*on_refresh)(void *arg, const char *event);
    void *arg;
};
struct catalog *catalog_new(const struct catalog_opts *opts);
void catalog_free(struct catalog *catalog); /* after queue and db are closed */
void catalog_stop(struct catalog *catalog); /* no more timers: before loop end */

/* NULL when this pod does not know it (yet). Borrowed until the loop's next turn. Keeps the entry
 * in use. */
const struct event *catalog_event(struct catalog *catalog, const char *id);
/* NULL when there is none or it is older than 5 s. */
const struct rank_index *catalog_index(struct catalog *catalog, const char *id);

/* Makes sure Redis and this pod know the event: from Redis, else from PostgreSQL by
 * queue_configure. ST_NOT_FOUND: no such event (or a draft). `fresh`: look again even if known
 * (after ST_NOT_FOUND of a script). Concurrent calls for one event share one load. */
typedef void (*catalog_cb)(void *arg, enum status status);
MUST_CHECK enum status catalog_load(struct catalog *catalog, const char *id, bool fresh,
                                    catalog_cb cb, void *arg);

/* A hint from the channel that this event changed: refresh now. */
void catalog_hint(struct catalog *catalog, const char *id);
/* All events known to this pod: for gauges. */
void catalog_each(struct catalog *catalog,
                  void (*visit)(void *arg, const struct event *event,
                                const struct rank_index *index),
                  void *arg);

/* ---- the stored events: PostgreSQL is the record ---- */
typedef void (*catalog_event_cb)(void *arg, enum status status, const struct event *event);
MUST_CHECK enum status catalog_fetch(struct db *db, const char *id, catalog_event_cb cb, void *arg);
/* Those of an array literal that there are, drafts too: one cb per event, in no order (one that cannot be read:
 * ST_INTERNAL, with nothing but its id), then NULL. */
MUST_CHECK enum status catalog_fetch_among(struct db *db, const char *ids, catalog_event_cb cb,
                                           void *arg);
/* Every event not draft, and those closed whose sessions may not all be over (a session limit and a
 * minute), one cb per event, then NULL. */
MUST_CHECK enum status catalog_fetch_live(struct db *db, catalog_event_cb cb, void *arg);
MUST_CHECK enum status catalog_create(struct db *db, const struct event *event, const char *who,
                                      catalog_event_cb cb, void *arg); /* ST_CONFLICT: id taken */
/* Compare-and-set on event->version (the version read); the stored one is version + 1. Writes the
 * audit row. ST_STALE when the version has moved on. */
MUST_CHECK enum status catalog_update(struct db *db, const struct event *event, const char *verb,
                                      const char *who, catalog_event_cb cb, void *arg);
/* epoch + 1 (and version + 1). */
MUST_CHECK enum status catalog_bump_epoch(struct db *db, const char *id, const char *who,
                                          catalog_event_cb cb, void *arg);
/* Status changes of the processor: opening and closing times, sold_out and back; records
 * last_place (never lowers it). Returns the event as stored. */
MUST_CHECK enum status catalog_settle(struct db *db, const char *id, uint64_t last_place,
                                      catalog_event_cb cb, void *arg);
/* List: `owner` NULL for all; cb gets a JSON array of event_write_json objects. */
typedef void (*catalog_json_cb)(void *arg, enum status status, const char *json, size_t len);
MUST_CHECK enum status catalog_list(struct db *db, const char *owner, bool public_only,
                                    catalog_json_cb cb, void *arg);
/* {"data"}: the logo of the event as a data: URL; {"detail"} where it has none. */
MUST_CHECK enum status catalog_logo(struct db *db, const char *id, catalog_json_cb cb, void *arg);
/* What was done to the event, newest first, below entry `before` (digits, or NULL): {"entries","next"}. */
MUST_CHECK enum status catalog_audit(struct db *db, const char *id, const char *before, int limit,
                                     catalog_json_cb cb, void *arg);
/* What was done to an event, by whom; `after`: a JSON text. */
struct catalog_audit_entry {
    const char *event, *who, *verb, *after;
};
/* Adds to it what PostgreSQL does not see by itself. Copies the entry. */
MUST_CHECK enum status catalog_audit_note(struct db *db, const struct catalog_audit_entry *entry,
                                          catalog_json_cb cb, void *arg);

#endif
