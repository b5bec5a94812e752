/* SPDX-License-Identifier: MIT */
/*
 * staff_session: the SQL functions of staff's sessions, and a memory of 2 seconds.
 *
 * Why this way: the cookie of a session says who it is; the one thing that it cannot say is that it was ended. So
 * PostgreSQL is asked whether it is live, at most every two seconds for each session and worker, and a revocation counts
 * everywhere after that time. While PostgreSQL is gone the signature vouches: a sale must not lose its crew with its
 * database. What is known to have ended stays ended.
 * The memory has a fixed size: a session has one of eight neighbouring slots, and takes over that of the one which was
 * asked for least recently, of those that have not ended if it can.
 * Called by: api_staff, api_console, console. Owns: the memory, and a struct call for each pending query.
 */
#include "auth/staff_session.h"

#include "base/json.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS      256
#define NEIGHBOURS 8
#define FRESH_MS   2000
#define ASK_MS     1000 /* a request waits so long for the answer */
#define BODY_MAX   4096

/* ---- one SQL function each ---- */

struct call {
    staff_cb cb;
    void *arg;
};

static void answered(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        call.cb(call.arg, status, NULL, 0);
        return;
    }
    if (strcmp(db_text(result, 0, 0), "used") == 0)
        status = ST_CONFLICT;
    call.cb(call.arg, status, db_text(result, 0, 1), db_len(result, 0, 1));
}

static enum status ask(struct db *db, const struct db_stmt *stmt, const char *const *params,
                       staff_cb cb, void *arg)
{
    struct call *call = xcalloc(1, sizeof(*call));
    *call = (struct call){cb, arg};
    const enum status st = db_query(db, stmt, params, answered, call);
    if (st != ST_OK)
        free(call);
    return st;
}

void staff_session_write(const struct staff_grant *session, struct buf *out)
{
    struct json *row = json_new_object();
    json_set_str(row, "id", session->id);
    json_set_str(row, "subject", session->subject);
    json_set_str(row, "name", session->name);
    json_set_str(row, "role", role_name(session->role));
    json_set_str(row, "events", session->events);
    json_set_int(row, "expiresMs", session->expires_ms);
    json_write(row, out);
    json_free(row);
}

enum status staff_enter(struct db *db, const struct staff_grant *session, const char *link,
                        const char *previous, staff_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "staff_enter",
        .sql = "SELECT outcome, body FROM staff_enter($1::jsonb, $2, $3)",
        .param_count = 3,
        .kind = DB_STAFF};
    struct buf text;
    buf_init(&text, BODY_MAX);
    staff_session_write(session, &text);
    enum status st = buf_status(&text);
    if (st == ST_OK)
        st = ask(db, &stmt, (const char *const[]){buf_str(&text), link, previous}, cb, arg);
    buf_clear(&text);
    return st;
}

enum status staff_sign_out(struct db *db, const char *session, staff_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "staff_sign_out",
                                        .sql = "SELECT outcome, body FROM staff_sign_out($1)",
                                        .param_count = 1,
                                        .kind = DB_STAFF};
    return ask(db, &stmt, (const char *const[]){session}, cb, arg);
}

enum status staff_revoke(struct db *db, const char *name, const char *id, bool all, staff_cb cb,
                         void *arg)
{
    static const struct db_stmt stmt = {
        .name = "staff_revoke",
        .sql = "SELECT outcome, body FROM staff_revoke($1, $2::bigint, $3::boolean)",
        .param_count = 3,
        .kind = DB_STAFF};
    return ask(db, &stmt, (const char *const[]){name, id, all ? "true" : "false"}, cb, arg);
}

enum status staff_list(struct db *db, staff_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "staff_list",
                                        .sql = "SELECT outcome, body FROM staff_list()",
                                        .param_count = 0,
                                        .kind = DB_STAFF};
    return ask(db, &stmt, NULL, cb, arg);
}

/* ---- which are live ---- */

struct slot {
    char id[STAFF_ID_SIZE]; /* "": the slot is free */
    uint64_t asked_ms;
    bool ended;
};

struct staff_sessions {
    struct loop *loop;
    struct db *db;
    struct slot slots[SLOTS + NEIGHBOURS];
};

struct question {
    struct staff_sessions *sessions;
    char id[STAFF_ID_SIZE];
    staff_sessions_cb cb;
    void *arg;
};

struct staff_sessions *staff_sessions_new(struct loop *loop, struct db *db)
{
    struct staff_sessions *sessions = xcalloc(1, sizeof(*sessions));
    sessions->loop = loop;
    sessions->db = db;
    return sessions;
}

void staff_sessions_free(struct staff_sessions *sessions)
{
    free(sessions);
}

/* Where the slots of a session begin. An id is random and signed, so nobody chooses them. */
static size_t slots_at(const char *id)
{
    size_t at = 0;
    for (size_t i = 0; i < 4 && id[i] != '\0'; i++)
        at = at * 16 + (size_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
    return at % SLOTS;
}

/* The slot that a session has; NULL: none. */
static const struct slot *find_slot(const struct staff_sessions *sessions, const char *session)
{
    const struct slot *slot = &sessions->slots[slots_at(session)];
    for (size_t i = 0; i < NEIGHBOURS; i++) {
        if (strcmp(slot[i].id, session) == 0)
            return &slot[i];
    }
    return NULL;
}

/* The slot that a session has, or takes over. */
static struct slot *take_slot(struct staff_sessions *sessions, const char *session)
{
    struct slot *first = &sessions->slots[slots_at(session)], *least = first;
    for (struct slot *slot = first; slot < first + NEIGHBOURS; slot++) {
        if (strcmp(slot->id, session) == 0)
            return slot;
        if (slot->ended != least->ended ? least->ended : slot->asked_ms < least->asked_ms)
            least = slot;
    }
    *least = (struct slot){0};
    (void)snprintf(least->id, sizeof(least->id), "%s", session);
    return least;
}

enum status staff_sessions_look(const struct staff_sessions *sessions, const char *session)
{
    const struct slot *slot = find_slot(sessions, session);
    if (!slot)
        return ST_NOT_FOUND;
    if (slot->ended)
        return ST_UNAUTHORIZED;
    return loop_now_ms(sessions->loop) - slot->asked_ms < FRESH_MS ? ST_OK : ST_NOT_FOUND;
}

/* `known` false: PostgreSQL did not answer. Returns whether the session has ended, as far as is known. */
static bool note(struct staff_sessions *sessions, const char *session, bool known, bool ended)
{
    struct slot *slot = take_slot(sessions, session);
    slot->asked_ms = loop_now_ms(sessions->loop);
    if (known)
        slot->ended = ended;
    return slot->ended;
}

void staff_sessions_forget(struct staff_sessions *sessions, const char *session)
{
    (void)note(sessions, session, true, true);
}

static void on_state(void *arg, enum status status, const struct db_result *result)
{
    const struct question question = *(struct question *)arg;
    const bool known = status == ST_OK && db_rows(result) == 1;
    free(arg);
    const bool ended = note(question.sessions, question.id, known,
                            known && strcmp(db_text(result, 0, 0), "live") != 0);
    question.cb(question.arg, ended ? ST_UNAUTHORIZED : ST_OK);
}

enum status staff_sessions_ask(struct staff_sessions *sessions, const char *session,
                               staff_sessions_cb cb, void *arg)
{
    static const struct db_stmt stmt = {.name = "staff_session_state",
                                        .sql = "SELECT outcome, body FROM staff_session_state($1)",
                                        .param_count = 1,
                                        .kind = DB_STAFF};
    struct question *question = xcalloc(1, sizeof(*question));
    *question = (struct question){.sessions = sessions, .cb = cb, .arg = arg};
    (void)snprintf(question->id, sizeof(question->id), "%s", session);
    const enum status st = db_query_within(sessions->db, ASK_MS, &stmt,
                                           (const char *const[]){session}, on_state, question);
    if (st != ST_OK) {
        (void)note(sessions, session, false, false);
        free(question);
    }
    return st;
}
