/* SPDX-License-Identifier: MIT */
/*
 * staff_session: the sessions of staff as PostgreSQL knows them (sql/functions/staff.sql), and a worker's memory of which
 * are live. All calls are for the loop's own thread.
 */
#ifndef TIKETI_STAFF_SESSION_H
#define TIKETI_STAFF_SESSION_H

#include "auth/sign_in.h"
#include "base/status.h"
#include "net/db.h"
#include "net/loop.h"

#include <stdbool.h>

/* ---- one SQL function each ---- */

/* `json` is the body of the SQL function, borrowed until the callback returns; NULL unless ST_OK or ST_CONFLICT.
 * ST_UNAVAILABLE, ST_TIMEOUT: PostgreSQL is gone, and the outcome is unknown. */
typedef void (*staff_cb)(void *arg, enum status status, const char *json, size_t len);
/* Appends a session as the SQL functions take it (jsonb); out has the status. */
void staff_session_write(const struct staff_grant *session, struct buf *out);
/* All keep the callback promise of db.h. */
/* Begins a session. `link`: the id of the one-time link that it comes from; NULL: none. `previous`: the id of the session
 * that it replaces; NULL: none. ST_CONFLICT: the link was used before. */
MUST_CHECK enum status staff_enter(struct db *db, const struct staff_grant *session,
                                   const char *link, const char *previous, staff_cb cb, void *arg);
MUST_CHECK enum status staff_sign_out(struct db *db, const char *session, staff_cb cb, void *arg);
/* Ends the sessions of a name, or the one of an id (digits), or all. What is NULL does not choose. */
MUST_CHECK enum status staff_revoke(struct db *db, const char *name, const char *id, bool all,
                                    staff_cb cb, void *arg);
MUST_CHECK enum status staff_list(struct db *db, staff_cb cb, void *arg);

/* ---- which are live ---- */

struct staff_sessions;

struct staff_sessions *staff_sessions_new(struct loop *loop, struct db *db); /* borrows both */
void staff_sessions_free(struct staff_sessions *sessions);                   /* NULL is fine */

/* ST_OK: it was live within the last two seconds. ST_UNAUTHORIZED: it was ended. ST_NOT_FOUND: PostgreSQL has not been
 * asked within that time. */
MUST_CHECK enum status staff_sessions_look(const struct staff_sessions *sessions,
                                           const char *session);
typedef void (*staff_sessions_cb)(void *arg, enum status status);
/* Asks PostgreSQL. The callback gets ST_OK or ST_UNAUTHORIZED, within a second. While PostgreSQL is gone, the answer is
 * ST_OK, because the signature vouches for the session, unless it is known that it was ended. Returns ST_OK: the callback
 * runs once, later. Any other: it never runs, and staff_sessions_look has the answer. */
MUST_CHECK enum status staff_sessions_ask(struct staff_sessions *sessions, const char *session,
                                          staff_sessions_cb cb, void *arg);
/* This worker has ended it. */
void staff_sessions_forget(struct staff_sessions *sessions, const char *session);

#endif
