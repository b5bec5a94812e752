/* SPDX-License-Identifier: MIT */
/*
 * team: the members of staff that share an event, and invitations to it, as PostgreSQL knows them (sql/functions/team.sql).
 *
 * All functions keep the callback promise of db.h, and borrow their arguments only for the call. `who` is the actor for the
 * audit (api_actor).
 */
#ifndef TIKETI_TEAM_H
#define TIKETI_TEAM_H

#include "auth/sign_in.h"
#include "base/status.h"
#include "net/db.h"

/* `outcome` and `json`, the body, are what the SQL function has answered, borrowed until the callback returns. ST_CONFLICT
 * (last-owner), ST_NOT_FOUND, ST_GONE (used), ST_DENIED (forbidden): the body is a refusal. ST_UNAVAILABLE, ST_TIMEOUT:
 * PostgreSQL is gone, the outcome of a change is unknown, and both are NULL. */
typedef void (*team_cb)(void *arg, enum status status, const char *outcome, const char *json,
                        size_t len);

/* {"id", "role", "name", "expiresAt"}: stores an invitation; the caller has signed its text. */
MUST_CHECK enum status team_invite(struct db *db, const struct sign_in_invitation *invitation,
                                   const char *who, team_cb cb, void *arg);
/* {"title", "by"}. Changes nothing. ST_GONE: it was used; ST_NOT_FOUND: it does not hold any more. */
MUST_CHECK enum status team_invitation(struct db *db, const char *link, team_cb cb, void *arg);
/* {"event"}: accepts an invitation with the session of id `current` (NULL: none), if it is live, else with `session`, which
 * then begins: outcome "joined" or "entered". ST_GONE: it was used; ST_NOT_FOUND; ST_DENIED: not with this role. */
MUST_CHECK enum status team_join(struct db *db, const char *link, const char *current,
                                 const struct staff_grant *session, team_cb cb, void *arg);
/* {"staff", "invitations"} */
MUST_CHECK enum status team_list(struct db *db, const char *event, team_cb cb, void *arg);
/* ST_NOT_FOUND; ST_CONFLICT: it is the last owner. */
MUST_CHECK enum status team_remove(struct db *db, const char *event, const char *subject,
                                   const char *who, team_cb cb, void *arg);
/* Takes back an invitation that nobody has used; `id`: digits. ST_NOT_FOUND. */
MUST_CHECK enum status team_withdraw(struct db *db, const char *event, const char *id,
                                     const char *who, team_cb cb, void *arg);

#endif
