/* SPDX-License-Identifier: MIT */
/*
 * db_health: is this PostgreSQL one that tiketi can work on?
 *
 * Why this way: a program that meets a schema without its functions would answer every request with 500, and one that meets
 * a schema without its columns would do half of its work. So the schema is judged before a connection is used, and once a
 * second after that, because `tiketi migrate` may run at any time. A server that only reads stays connected: its reads
 * are right, and it refuses writes by itself.
 * Called by: db (the probe) and db_link (the greeting). Owns: the texts in struct db_health.
 */
#include "net/db_health.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX        65536
#define WARN_EVERY_MS    60000
#define SYNTAX_OR_ACCESS "42"    /* a class of SQLSTATEs */
#define UNDEFINED        "42P01" /* undefined_table */
#define MIGRATE_ADVICE   "run tiketi migrate of this release"

enum column { PID, READ_ONLY, STANDBY, GENERATION, OLDEST, LACKS, LIMIT, OTHERS };

#define SQL_STATE                                                                                  \
    "SELECT pg_backend_pid(), current_setting('transaction_read_only') = 'on', "                   \
    "pg_is_in_recovery(), "
#define SQL_SCHEMA                                                                                 \
    "serves.generation, serves.oldest, (SELECT min(own.name) FROM unnest($1::text[]) own (name) "  \
    "WHERE NOT EXISTS (SELECT FROM schema_migrations known WHERE known.name = own.name))"
#define SQL_NO_SCHEMA "NULL, NULL, NULL"
/* The connections that this role may have to this database, and those that others have: not those whose application_name
 * is ours up to its last word, the worker's. */
#define SQL_ROOM                                                                                   \
    ", least(current_setting('max_connections')::bigint"                                           \
    " - current_setting('superuser_reserved_connections')::bigint"                                 \
    " - coalesce(current_setting('reserved_connections', true)::bigint, 0),"                       \
    " (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),"               \
    " (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())),"     \
    " (SELECT count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL AND"                       \
    " regexp_replace(application_name, '\\S*$', '') IS DISTINCT FROM"                              \
    " regexp_replace(current_setting('application_name'), '\\S*$', ''))"
#define SQL_NO_ROOM ", NULL, NULL"
#define SQL_FROM    " FROM (SELECT) one LEFT JOIN schema_serves serves ON true"

static const struct db_stmt greeting_with = {
    .name = "db_greeting", .sql = SQL_STATE SQL_SCHEMA SQL_ROOM SQL_FROM, .param_count = 1};
static const struct db_stmt greeting_without = {.name = "db_greeting",
                                                .sql = SQL_STATE SQL_NO_SCHEMA SQL_ROOM};
static const struct db_stmt probe_with = {
    .name = "db_probe", .sql = SQL_STATE SQL_SCHEMA SQL_NO_ROOM SQL_FROM, .param_count = 1};
static const struct db_stmt probe_without = {.name = "db_probe",
                                             .sql = SQL_STATE SQL_NO_SCHEMA SQL_NO_ROOM};

void db_health_init(struct db_health *health, const struct db_schema *schema, int64_t may_open)
{
    struct buf names;
    *health = (struct db_health){.schema = schema, .may_open = may_open};
    health->state.may_open = may_open;
    if (!schema)
        return;
    buf_init(&names, NAMES_MAX);
    buf_add_str(&names, "{");
    for (size_t i = 0; i < schema->migration_count; i++)
        buf_printf(&names, "%s\"%s\"", i > 0 ? "," : "", schema->migrations[i].name);
    buf_add_str(&names, "}");
    health->migrations = xstrdup(buf_str(&names));
    buf_clear(&names);
}

void db_health_clear(struct db_health *health)
{
    free(health->migrations);
    health->migrations = NULL;
}

const struct db_stmt *db_health_greeting(const struct db_health *health)
{
    return health->schema ? &greeting_with : &greeting_without;
}

const struct db_stmt *db_health_probe(const struct db_health *health)
{
    return health->schema ? &probe_with : &probe_without;
}

const char *const *db_health_params(const struct db_health *health)
{
    return (const char *const *)&health->migrations;
}

/* ---- verdicts ---- */

static const char *unusable(struct db_health *health, enum db_fault fault)
{
    health->state.fault = fault;
    return health->problem;
}

const char *db_health_encoding(struct db_health *health, const char *encoding)
{
    if (encoding && strcmp(encoding, "UTF8") == 0)
        return NULL;
    (void)snprintf(health->problem, sizeof(health->problem),
                   "server_encoding is %.20s, and must be UTF8", encoding ? encoding : "unknown");
    return unusable(health, DB_FAULT_ENCODING);
}

static const char *judge_schema(struct db_health *health, const struct db_result *row)
{
    const struct db_schema *own = health->schema;
    const char *lacks = db_text(row, 0, LACKS);
    char *problem = health->problem;
    health->state.generation = db_int(row, 0, GENERATION);
    health->state.oldest = db_int(row, 0, OLDEST);
    if (*lacks)
        (void)snprintf(problem, sizeof(health->problem),
                       "the schema is older than this program, it lacks migration "
                       "%.100s: " MIGRATE_ADVICE,
                       lacks);
    else if (health->state.generation < own->generation)
        (void)snprintf(problem, sizeof(health->problem),
                       "the schema is older than this program, it has generation %" PRId64
                       " and this program needs %" PRId64 ": " MIGRATE_ADVICE,
                       health->state.generation, own->generation);
    else if (health->state.oldest > own->generation)
        (void)snprintf(problem, sizeof(health->problem),
                       "the schema is too new for this program, it serves programs of generation "
                       "%" PRId64 " or newer and this one has %" PRId64 ": start a newer release",
                       health->state.oldest, own->generation);
    else
        return NULL;
    return unusable(health, DB_FAULT_SCHEMA);
}

/* All pools of a process count the same connections: one of them warns. */
static bool may_warn(void)
{
    static _Atomic int64_t warned_ms;
    const int64_t now = (int64_t)(clock_mono_ns() / 1000000);
    int64_t before = warned_ms;
    return (before == 0 || now - before >= WARN_EVERY_MS) &&
           atomic_compare_exchange_strong(&warned_ms, &before, now);
}

/* A pooler has connections of its own, whose number is its own matter. */
static const char *judge_room(struct db_health *health)
{
    const struct db_state *state = &health->state;
    if (health->may_open == 0 || state->pooled)
        return NULL;
    if (health->may_open > state->limit) {
        (void)snprintf(health->problem, sizeof(health->problem),
                       "this process may open %" PRId64 " connections and PostgreSQL allows "
                       "%" PRId64 ": lower DB_POOL_MAX or raise max_connections",
                       health->may_open, state->limit);
        return unusable(health, DB_FAULT_CONNECTIONS);
    }
    if (health->may_open > state->limit - state->others && may_warn())
        log_warn("postgresql connections may run out", LOG_NUM("mayOpen", health->may_open),
                 LOG_NUM("allowed", state->limit), LOG_NUM("usedByOthers", state->others));
    return NULL;
}

const char *db_health_row(struct db_health *health, const struct db_result *result,
                          int64_t backend_pid)
{
    struct db_state *state = &health->state;
    if (db_rows(result) != 1)
        return db_health_failed(health, "", "no answer");
    state->pooled = db_int(result, 0, PID) != backend_pid;
    state->read_only = strcmp(db_text(result, 0, READ_ONLY), "t") == 0;
    state->standby = strcmp(db_text(result, 0, STANDBY), "t") == 0;
    const char *problem = health->schema ? judge_schema(health, result) : NULL;
    if (!problem && !db_is_null(result, 0, LIMIT)) { /* not in a probe */
        state->limit = db_int(result, 0, LIMIT);
        state->others = db_int(result, 0, OTHERS);
        problem = judge_room(health);
    }
    if (problem)
        return problem;
    state->fault = DB_FAULT_NONE;
    health->problem[0] = '\0';
    return NULL;
}

const char *db_health_failed(struct db_health *health, const char *sqlstate, const char *message)
{
    if (!health->schema || strncmp(sqlstate, SYNTAX_OR_ACCESS, 2) != 0) {
        (void)snprintf(health->problem, sizeof(health->problem), "%.400s", message);
        return unusable(health, DB_FAULT_REACH);
    }
    if (strcmp(sqlstate, UNDEFINED) == 0)
        (void)snprintf(health->problem, sizeof(health->problem),
                       "the database has no schema, or one of an older release: " MIGRATE_ADVICE);
    else
        (void)snprintf(health->problem, sizeof(health->problem),
                       "the schema cannot be read: %.400s", message);
    health->state.generation = health->state.oldest = 0;
    return unusable(health, DB_FAULT_SCHEMA);
}

void db_health_unreached(struct db_health *health, const char *reason)
{
    if (reason != health->problem)
        (void)snprintf(health->problem, sizeof(health->problem), "%.*s", (int)strcspn(reason, "\n"),
                       reason);
    health->state.fault = DB_FAULT_REACH;
}
