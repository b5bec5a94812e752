/* SPDX-License-Identifier: MIT */
/*
 * team: calls the SQL functions about the members of staff that share an event: sql/functions/team.sql.
 *
 * Why this way: PostgreSQL decides who is let in, whether a link was used, and whether an owner is left, under the lock of
 * the event, and writes the audit entry in the same call.
 * Called by: api_team, api_invitation. Owns: a small allocation per query under way. PostgreSQL gone: ST_UNAVAILABLE or
 * ST_TIMEOUT; the outcome of a change is then unknown.
 */
#include "auth/team.h"

#include "auth/staff_session.h"
#include "base/buf.h"
#include "net/db_outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_MAX 4096

static const struct db_outcome outcomes[] = {
    {"invited", ST_OK},          {"found", ST_OK},
    {"joined", ST_OK},           {"entered", ST_OK},
    {"listed", ST_OK},           {"removed", ST_OK},
    {"used", ST_GONE},           {"not-found", ST_NOT_FOUND},
    {"last-owner", ST_CONFLICT}, {"forbidden", ST_DENIED},
    {NULL, ST_INTERNAL},
};

static enum status ask(struct db *db, const struct db_stmt *stmt, const char *const *params,
                       team_cb cb, void *arg)
{
    return db_call(
        db, &(struct db_function_call){.stmt = stmt, .params = params, .table = outcomes}, cb, arg);
}

enum status team_invite(struct db *db, const struct sign_in_invitation *invitation, const char *who,
                        team_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "team_invite", 6, "$1, $2, $3, $4, $5::bigint, $6");
    char expires[24];
    (void)snprintf(expires, sizeof(expires), "%" PRId64, invitation->expires_ms);
    return ask(db, &stmt,
               (const char *const[]){invitation->event, invitation->id,
                                     right_name(invitation->right), invitation->name, expires, who},
               cb, arg);
}

enum status team_invitation(struct db *db, const char *link, team_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "team_invitation", 1, "$1");
    return ask(db, &stmt, (const char *const[]){link}, cb, arg);
}

enum status team_join(struct db *db, const char *link, const char *current,
                      const struct staff_grant *session, team_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "team_join", 3, "$1, $2, $3::jsonb");
    struct buf text;
    buf_init(&text, SESSION_MAX);
    staff_session_write(session, &text);
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = ask(db, &stmt, (const char *const[]){link, current, buf_str(&text)}, cb, arg);
    buf_clear(&text);
    return st;
}

enum status team_list(struct db *db, const char *event, team_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "team_list", 1, "$1");
    return ask(db, &stmt, (const char *const[]){event}, cb, arg);
}

enum status team_remove(struct db *db, const char *event, const char *subject, const char *who,
                        team_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "team_remove", 3, "$1, $2, $3");
    return ask(db, &stmt, (const char *const[]){event, subject, who}, cb, arg);
}

enum status team_withdraw(struct db *db, const char *event, const char *id, const char *who,
                          team_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "team_withdraw", 3, "$1, $2::bigint, $3");
    return ask(db, &stmt, (const char *const[]){event, id, who}, cb, arg);
}
