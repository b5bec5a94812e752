/* SPDX-License-Identifier: MIT */
/*
 * catalog_store: the stored events: PostgreSQL is the record.
 *
 * Every function borrows its arguments for the call alone. A status other than ST_OK returned: nothing was started
 * and the callback never runs; else it runs from the loop: once, or as said. What a callback gets is borrowed until
 * it returns. With PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT; then the outcome of a change is unknown.
 */
#ifndef TIKETI_CATALOG_STORE_H
#define TIKETI_CATALOG_STORE_H

#include "net/db.h"
#include "queue/event.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- one event; `event` is NULL unless status is ST_OK, and is what is stored now ---- */

typedef void (*catalog_event_cb)(void *arg, enum status status, const struct event *event);
/* ST_NOT_FOUND: no such event. */
MUST_CHECK enum status catalog_fetch(struct db *db, const char *id, catalog_event_cb cb, void *arg);
/* who: the audit entry names them. ST_CONFLICT: the id is taken. */
MUST_CHECK enum status catalog_create(struct db *db, const struct event *event, const char *who,
                                      catalog_event_cb cb, void *arg);
/* Compare-and-set: event->version is the version that was read; ST_STALE when it is no longer the stored one. The
 * stored version rises by one. `verb` and `who` go into the audit entry. */
MUST_CHECK enum status catalog_update(struct db *db, const struct event *event, const char *verb,
                                      const char *who, catalog_event_cb cb, void *arg);
/* Begins the next epoch; the version rises too. May take 30 s: seats that are held are freed. */
MUST_CHECK enum status catalog_bump_epoch(struct db *db, const char *id, const char *who,
                                          catalog_event_cb cb, void *arg);
/* Carries out what is due (opening and closing times, sold out and back) and raises last_place. */
MUST_CHECK enum status catalog_settle(struct db *db, const char *id, uint64_t last_place,
                                      catalog_event_cb cb, void *arg);

/* ---- several events: cb for each, then once with NULL and the status of the whole ---- */

/* Of an array literal of ids, those that exist, drafts too, in no order. One that cannot be read: ST_INTERNAL and
 * an event with its id alone. */
MUST_CHECK enum status catalog_fetch_among(struct db *db, const char *ids, catalog_event_cb cb,
                                           void *arg);
/* All that a processor works on: neither drafts nor events closed for longer than a session may last. */
MUST_CHECK enum status catalog_fetch_live(struct db *db, catalog_event_cb cb, void *arg);

/* ---- JSON made by PostgreSQL; json is NULL unless status is ST_OK ---- */

typedef void (*catalog_json_cb)(void *arg, enum status status, const char *json, size_t len);
/* Array of events, in the form of event_write_json; owner NULL: of all owners. */
MUST_CHECK enum status catalog_list(struct db *db, const char *owner, bool public_only,
                                    catalog_json_cb cb, void *arg);
/* {"data"}: the logo as a data: URL; {"detail"} where there is none. */
MUST_CHECK enum status catalog_logo(struct db *db, const char *id, catalog_json_cb cb, void *arg);
/* {"entries","next"}: the audit entries of the event, newest first. before: only those below this entry (digits);
 * NULL: from the newest. */
MUST_CHECK enum status catalog_audit(struct db *db, const char *id, const char *before, int limit,
                                     catalog_json_cb cb, void *arg);

struct catalog_audit_entry {
    const char *event, *who, *verb;
    const char *after; /* JSON: what the event is like now, or what was done */
};
/* Adds an entry for what changed nothing in PostgreSQL; all changes there add their own. */
MUST_CHECK enum status catalog_audit_note(struct db *db, const struct catalog_audit_entry *entry,
                                          catalog_json_cb cb, void *arg);

#endif
