/* SPDX-License-Identifier: MIT */
/*
 * catalog_store: the stored events: PostgreSQL is the record.
 *
 * Every function borrows its arguments only for the call. Returns ST_OK: the callback runs later, from the loop, and
 * once unless the function's comment says otherwise. Any other status: nothing was started, and the callback never
 * runs. What a callback gets is borrowed until it returns. With PostgreSQL gone the status is ST_UNAVAILABLE or
 * ST_TIMEOUT, and the outcome of a change is unknown.
 */
#ifndef TIKETI_CATALOG_STORE_H
#define TIKETI_CATALOG_STORE_H

#include "net/db.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- one event; `event` is NULL unless status is ST_OK, and is what is stored now ---- */

typedef void (*catalog_event_cb)(void *arg, enum status status, const struct event *event);
/* Reads the event. ST_NOT_FOUND: there is no such event. */
MUST_CHECK enum status catalog_fetch(struct db *db, const char *id, catalog_event_cb cb, void *arg);
/* The same, and in event->right what the event's team list gives to this subject. */
MUST_CHECK enum status catalog_fetch_for(struct db *db, const char *id, const char *subject,
                                         catalog_event_cb cb, void *arg);
/* Stores a new event. `who` goes into the audit entry. ST_CONFLICT: the id is taken. */
MUST_CHECK enum status catalog_create(struct db *db, const struct event *event, const char *who,
                                      catalog_event_cb cb, void *arg);
/* Stores a change by compare-and-set: event->version is the version that the caller has read. ST_STALE: another
 * version is stored now. The stored version rises by one. `verb` and `who` go into the audit entry. */
MUST_CHECK enum status catalog_update(struct db *db, const struct event *event, const char *verb,
                                      const char *who, catalog_event_cb cb, void *arg);
/* Begins the next epoch, and raises the version. May take 30 s, because all held seats are freed. */
MUST_CHECK enum status catalog_bump_epoch(struct db *db, const char *id, const char *who,
                                          catalog_event_cb cb, void *arg);
/* Takes back all that happened in a rehearsal: the event becomes a draft again. `demo`: the payment provider whose
 * payments are not real. May take 30 s. ST_CONFLICT: it is no rehearsal, or has payments of another provider. */
MUST_CHECK enum status catalog_reset(struct db *db, const char *id, const char *demo,
                                     const char *who, catalog_event_cb cb, void *arg);
/* Removes a draft of this version (0: any); the callback gets the event as it was. May take 30 s. ST_CONFLICT: it is
 * no draft. */
MUST_CHECK enum status catalog_delete(struct db *db, const char *id, int64_t version,
                                      const char *who, catalog_event_cb cb, void *arg);
struct catalog_copy {
    const char *id, *title; /* of the copy; NULL: a new UUID, the same title */
    bool rehearsal;
};
/* Makes a draft with the same hall, settings and branding. May take 30 s. ST_CONFLICT: the id is taken. */
MUST_CHECK enum status catalog_copy(struct db *db, const char *id, const struct catalog_copy *copy,
                                    const char *who, catalog_event_cb cb, void *arg);
/* Changes the status if that is due (the time to open or close has come, the seats are sold out or free again), and
 * raises last_place to the given one. */
MUST_CHECK enum status catalog_settle(struct db *db, const char *id, uint64_t last_place,
                                      catalog_event_cb cb, void *arg);

/* ---- several events: the callback runs for each, then once with NULL and the status of the whole query ---- */

/* Reads the events that exist among `ids` (an array literal of PostgreSQL), drafts too, in no particular order. An
 * event that cannot be read is passed with ST_INTERNAL and only its id set. */
MUST_CHECK enum status catalog_fetch_among(struct db *db, const char *ids, catalog_event_cb cb,
                                           void *arg);
/* Reads all events that a processor works on: those that are not drafts, and were not closed for longer than a
 * session may last. */
MUST_CHECK enum status catalog_fetch_live(struct db *db, catalog_event_cb cb, void *arg);

/* ---- JSON made by PostgreSQL; json is NULL unless status is ST_OK ---- */

typedef void (*catalog_json_cb)(void *arg, enum status status, const char *json, size_t len);
/* Which events: those of an owner, those of a list of ids, separated by commas, and those that are shared with a subject.
 * Owner and ids NULL: all. */
struct catalog_choice {
    const char *owner, *ids, *subject;
};
/* {"events","next"}: events as event_write_json writes them, newest first. `before`: `next` of the previous page, in the form of a cursor (api_read_page); NULL: the first page. The public's list
 * is in listing.h. */
MUST_CHECK enum status catalog_list(struct db *db, const struct catalog_choice *choice,
                                    const char *before, int limit, catalog_json_cb cb, void *arg);
/* {"events": [{"id", "opensAt"}], "until"}: drafts whose opensAt has passed since `since`, the `until` of the call before;
 * "": in the last day. */
MUST_CHECK enum status catalog_overdue(struct db *db, const char *since, catalog_json_cb cb,
                                       void *arg);
/* {"data"}: the picture as a data: URL; or {"detail"}, if the event has none. */
MUST_CHECK enum status catalog_picture(struct db *db, const char *id, enum event_picture picture,
                                       catalog_json_cb cb, void *arg);
/* {"entries","next"}: the audit entries of the event, newest first. `before`: only entries older than the one with
 * this id (digits); NULL: from the newest. */
MUST_CHECK enum status catalog_audit(struct db *db, const char *id, const char *before, int limit,
                                     catalog_json_cb cb, void *arg);

struct catalog_audit_entry {
    const char *event, *who, *verb;
    const char *after; /* JSON: the event after the change, or what was done */
};
/* Adds an audit entry for an action that changes nothing in PostgreSQL; the functions that change something add their
 * own. */
MUST_CHECK enum status catalog_audit_note(struct db *db, const struct catalog_audit_entry *entry,
                                          catalog_json_cb cb, void *arg);

#endif
