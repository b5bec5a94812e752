/* SPDX-License-Identifier: MIT */
/*
 * catalog_store: calls the SQL functions about stored events: sql/functions/event.sql and audit.sql.
 *
 * Why this way: PostgreSQL compares, changes and writes the audit entry in one call. Each row of an answer has an
 * outcome and a body, which is the whole event as it is stored now.
 * Called by: api, processor, selling/pictures, catalog_lookup. Owns: a small allocation per query under way.
 * PostgreSQL gone: ST_UNAVAILABLE or ST_TIMEOUT; the outcome of a change is then unknown.
 */
#include "queue/catalog_store.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/memory.h"
#include "net/db_outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_JSON_MAX 32768
#define CLEAR_MS       30000 /* ms; enough to free 100,000 held seats */
/* Bytes, with logo and image in base64. */
#define EVENT_EDIT_MAX (EVENT_JSON_MAX + 2 * EVENT_LOGO_MAX + 2 * EVENT_IMAGE_MAX)

static const struct db_outcome outcomes[] = {
    {"found", ST_OK},    {"created", ST_OK},          {"updated", ST_OK},
    {"settled", ST_OK},  {"unchanged", ST_OK},        {"conflict", ST_CONFLICT},
    {"stale", ST_STALE}, {"not-found", ST_NOT_FOUND}, {NULL, ST_INTERNAL},
};

/* A query under way. */
struct call {
    catalog_event_cb on_event;
    catalog_json_cb on_json;
    void *arg;
};

/* Sends a query; on a status other than ST_OK its callback never runs. limit_ms 0: the time limit of all queries
 * (DB_TIMEOUT_MS). */
static enum status ask_within(struct db *db, int64_t limit_ms, const struct db_stmt *stmt,
                              const char *const *params, db_cb on_result, const struct call *how)
{
    struct call *call = xcalloc(1, sizeof(*call));
    *call = *how;
    const enum status st = limit_ms > 0
                               ? db_query_within(db, limit_ms, stmt, params, on_result, call)
                               : db_query(db, stmt, params, on_result, call);
    if (st != ST_OK)
        free(call);
    return st;
}

static enum status ask(struct db *db, const struct db_stmt *stmt, const char *const *params,
                       db_cb on_result, const struct call *how)
{
    return ask_within(db, 0, stmt, params, on_result, how);
}

/* ---- one event ---- */

static enum status read_event(const struct db_result *result, int row, struct event *event)
{
    const char *outcome = db_text(result, row, 0);
    enum status st = db_outcome_status(outcomes, outcome);
    if (st != ST_OK)
        return st;
    struct json_error error;
    struct json *body =
        json_parse(db_text(result, row, 1), db_len(result, row, 1), EVENT_JSON_MAX, &error);
    if (!body || event_read_row(event, body) != ST_OK)
        st = ST_INTERNAL;
    json_free(body);
    return st;
}

static void answered(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    struct event event;
    free(arg);
    if (status == ST_OK)
        status = db_rows(result) == 1 ? read_event(result, 0, &event) : ST_INTERNAL;
    call.on_event(call.arg, status, status == ST_OK ? &event : NULL);
}

enum status catalog_fetch(struct db *db, const char *id, catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "event_get", 1, "$1");
    return ask(db, &stmt, (const char *const[]){id}, answered,
               &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_fetch_for(struct db *db, const char *id, const char *subject,
                              catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "event_get_for", 2, "$1, $2");
    return ask(db, &stmt, (const char *const[]){id, subject}, answered,
               &(struct call){.on_event = cb, .arg = arg});
}

/* Sends a query whose parameters are the event as JSON, then the two texts given here. */
static enum status ask_with(struct db *db, const struct db_stmt *stmt, const struct event *event,
                            const char *second, const char *third, const struct call *how)
{
    struct buf text;
    struct json *body = event_write_json(event);
    if (event->new_logo)
        json_set_str(body, "newLogo", event->new_logo);
    if (event->new_image)
        json_set_str(body, "newImage", event->new_image);
    buf_init(&text, EVENT_EDIT_MAX);
    json_write(body, &text);
    json_free(body);
    enum status st = buf_status(&text);
    const char *const params[] = {buf_str(&text), second, third};
    if (st == ST_OK)
        st = ask(db, stmt, params, answered, how);
    buf_clear(&text);
    return st;
}

enum status catalog_create(struct db *db, const struct event *event, const char *who,
                           catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "event_create", 3, "$1::jsonb, $2, $3");
    return ask_with(db, &stmt, event, event->owner, who,
                    &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_update(struct db *db, const struct event *event, const char *verb,
                           const char *who, catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "event_update", 3, "$1::jsonb, $2, $3");
    return ask_with(db, &stmt, event, verb, who, &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_bump_epoch(struct db *db, const char *id, const char *who, catalog_event_cb cb,
                               void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "event_clear", 2, "$1, $2");
    return ask_within(db, CLEAR_MS, &stmt, (const char *const[]){id, who}, answered,
                      &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_reset(struct db *db, const char *id, const char *demo, const char *who,
                          catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_STAFF, "event_reset", 3, "$1, $2, $3");
    return ask_within(db, CLEAR_MS, &stmt, (const char *const[]){id, demo, who}, answered,
                      &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_delete(struct db *db, const char *id, int64_t version, const char *who,
                           catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "event_delete", 3, "$1, $2::bigint, $3");
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, version);
    return ask_within(db, CLEAR_MS, &stmt, (const char *const[]){id, text, who}, answered,
                      &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_copy(struct db *db, const char *id, const struct catalog_copy *copy,
                         const char *who, catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "event_copy", 5, "$1, $2, $3, $4::boolean, $5");
    return ask_within(
        db, CLEAR_MS, &stmt,
        (const char *const[]){id, copy->id, copy->title, copy->rehearsal ? "true" : "false", who},
        answered, &(struct call){.on_event = cb, .arg = arg});
}

enum status catalog_settle(struct db *db, const char *id, uint64_t last_place, catalog_event_cb cb,
                           void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "event_settle", 2, "$1, $2::bigint");
    char place[24];
    (void)snprintf(place, sizeof(place), "%" PRIu64, last_place);
    return ask(db, &stmt, (const char *const[]){id, place}, answered,
               &(struct call){.on_event = cb, .arg = arg});
}

/* ---- several events ---- */

static void answered_each(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    for (int row = 0; status == ST_OK && row < db_rows(result); row++) {
        struct event event;
        /* an event that cannot be read must not stop the others */
        if (read_event(result, row, &event) == ST_OK)
            call.on_event(call.arg, ST_OK, &event);
    }
    call.on_event(call.arg, status, NULL);
}

enum status catalog_fetch_live(struct db *db, catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "event_live", 0, "");
    return ask(db, &stmt, NULL, answered_each, &(struct call){.on_event = cb, .arg = arg});
}

static void answered_among(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    for (int row = 0; status == ST_OK && row < db_rows(result); row++) {
        struct event event;
        const enum status st = read_event(result, row, &event);
        if (st != ST_OK)
            event = (struct event){0};
        (void)snprintf(event.id, sizeof(event.id), "%s", db_text(result, row, 2));
        call.on_event(call.arg, st, &event);
    }
    call.on_event(call.arg, status, NULL);
}

enum status catalog_fetch_among(struct db *db, const char *ids, catalog_event_cb cb, void *arg)
{
    static const struct db_stmt stmt = {
        .name = "events_among",
        .sql = "SELECT g.outcome, g.body, e.id FROM events e, LATERAL event_get(e.id) AS g "
               "WHERE e.id = ANY ($1::text[])",
        .param_count = 1,
        .kind = DB_PUBLIC};
    return ask(db, &stmt, (const char *const[]){ids}, answered_among,
               &(struct call){.on_event = cb, .arg = arg});
}

/* ---- JSON made by PostgreSQL ---- */

static void answered_json(void *arg, enum status status, const struct db_result *result)
{
    const struct call call = *(struct call *)arg;
    free(arg);
    if (status == ST_OK && db_rows(result) != 1)
        status = ST_INTERNAL;
    if (status != ST_OK) {
        call.on_json(call.arg, status, NULL, 0);
        return;
    }
    const size_t len = db_len(result, 0, 1);
    struct buf body;
    buf_init(&body, len);
    buf_add_json_compact(&body, db_text(result, 0, 1), len);
    call.on_json(call.arg, ST_OK, buf_str(&body), body.len);
    buf_clear(&body);
}

static enum status ask_json(struct db *db, const struct db_stmt *stmt, const char *const *params,
                            catalog_json_cb cb, void *arg)
{
    return ask(db, stmt, params, answered_json, &(struct call){.on_json = cb, .arg = arg});
}

enum status catalog_list(struct db *db, const struct catalog_choice *choice, const char *before,
                         int limit, catalog_json_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "events_page", 5, "$1, $2, $3, $4, $5::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return ask_json(
        db, &stmt, (const char *const[]){choice->owner, choice->ids, choice->subject, before, text},
        cb, arg);
}

enum status catalog_overdue(struct db *db, const char *since, catalog_json_cb cb, void *arg)
{
    static const struct db_stmt stmt = DB_FUNCTION(DB_ANY, "drafts_overdue", 1, "$1");
    return ask_json(db, &stmt, (const char *const[]){since}, cb, arg);
}

enum status catalog_picture(struct db *db, const char *id, enum event_picture picture,
                            catalog_json_cb cb, void *arg)
{
    static const struct db_stmt stmts[] = {
        [EVENT_LOGO] = DB_FUNCTION(DB_PUBLIC, "logo_get", 1, "$1"),
        [EVENT_IMAGE] = DB_FUNCTION(DB_PUBLIC, "image_get", 1, "$1"),
    };
    return ask_json(db, &stmts[picture], (const char *const[]){id}, cb, arg);
}

enum status catalog_audit(struct db *db, const char *id, const char *before, int limit,
                          catalog_json_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "audit_list", 3, "$1, $2::bigint, $3::integer");
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", limit);
    return ask_json(db, &stmt, (const char *const[]){id, before, text}, cb, arg);
}

enum status catalog_audit_note(struct db *db, const struct catalog_audit_entry *entry,
                               catalog_json_cb cb, void *arg)
{
    static const struct db_stmt stmt =
        DB_FUNCTION(DB_STAFF, "audit_note", 4, "$1, $2, $3, $4::jsonb");
    return ask_json(db, &stmt,
                    (const char *const[]){entry->event, entry->who, entry->verb, entry->after}, cb,
                    arg);
}
