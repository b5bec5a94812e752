/* SPDX-License-Identifier: MIT */
/*
 * db_migrate: brings a database to this program's schema: tables, then functions. Blocking, for the
 * command line alone.
 *
 * Why this way: tables change by numbered files that are applied once, in order, each in one
 * transaction with its row in schema_migrations. Functions have one file per noun, which always
 * holds their final form; the files whose checksum differs are applied again, all in one
 * transaction. Both happen under an advisory lock, so that several pods may start it at once, and a
 * killed one leaves nothing half done.
 * A file of functions is applied twice: at first without checking bodies, so that a function may
 * call one of a later file, then with the check.
 *
 * Invariants: an older program never overwrites newer functions. The generation of the functions
 * (sql/functions/generation) rises with every change of them and is stored with them; a program of
 * a lower generation leaves them alone. A program that lacks one of the database's migrations, or
 * has another text of it, is refused.
 * Called by: main. Owns: one connection. PostgreSQL gone: ST_UNAVAILABLE, and nothing half done.
 */
#include "net/db_migrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/log.h"

/* Held for the session. One of this program's two kinds of advisory locks: the other is taken inside
 * of functions, on keys that are hashes (lock_key_... in sql/functions/common.sql). */
#define MIGRATE_LOCK "7234856023118"

/* A migration has no generation; a file of functions has. */
static const char sql_begin[] =
    "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '5min';"
    "SELECT pg_advisory_lock(" MIGRATE_LOCK ");"
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " name text PRIMARY KEY, checksum text NOT NULL, generation bigint,"
    " applied_at timestamptz NOT NULL DEFAULT now());"
    "SET lock_timeout = '30s'"; /* a migration must not queue up behind a long transaction */

static const char sql_unreleased[] =
    "SELECT name FROM schema_migrations WHERE name ~ '^[0-9]{3}_' ORDER BY name LIMIT 1";

static const char sql_recorded[] =
    "SELECT name, checksum, generation FROM schema_migrations ORDER BY name";

static const char sql_note_migration[] =
    "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)";

static const char sql_note_functions[] =
    "INSERT INTO schema_migrations AS m (name, checksum, generation) VALUES ($1, $2, $3::bigint) "
    "ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum,"
    " generation = excluded.generation, applied_at ="
    " CASE m.checksum WHEN excluded.checksum THEN m.applied_at ELSE excluded.applied_at END";

/* Files that this program no longer has. */
static const char sql_forget_functions[] =
    "DELETE FROM schema_migrations WHERE generation <> $1::bigint";

struct migration {
    PGconn *pg;
    const struct db_schema *schema;
    PGresult *recorded; /* what schema_migrations said at the beginning */
    void (*say)(const char *line);
    char *error;
    size_t error_size;
};

static enum status fail(const struct migration *m, const char *what)
{
    snprintf(m->error, m->error_size, "%s: %s", what, PQerrorMessage(m->pg));
    m->error[strcspn(m->error, "\n")] = '\0';
    return PQstatus(m->pg) == CONNECTION_OK ? ST_INTERNAL : ST_UNAVAILABLE;
}

static void say(const struct migration *m, const char *what, const char *name)
{
    char line[256];
    snprintf(line, sizeof(line), "%s %s", what, name);
    if (m->say)
        m->say(line);
}

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg;
    log_debug("postgresql notice",
              LOG_TEXT("text", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

/* Takes the result. */
static bool is_done(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static bool run(const struct migration *m, const char *sql)
{
    return is_done(PQexec(m->pg, sql));
}

static bool run_with(const struct migration *m, const char *sql, const char *const *params,
                     int count)
{
    return is_done(PQexecParams(m->pg, sql, count, NULL, params, NULL, NULL, 0));
}

/* The checksum that the database has for a file; NULL: it does not have the file. */
static const char *recorded_checksum(const struct migration *m, const char *name)
{
    for (int row = 0; row < PQntuples(m->recorded); row++)
        if (strcmp(PQgetvalue(m->recorded, row, 0), name) == 0)
            return PQgetvalue(m->recorded, row, 1);
    return NULL;
}

/* The highest generation of the functions that the database has; 0: it has none. */
static int64_t recorded_generation(const struct migration *m)
{
    int64_t highest = 0;
    for (int row = 0; row < PQntuples(m->recorded); row++) {
        const int64_t one = strtoll(PQgetvalue(m->recorded, row, 2), NULL, 10);
        if (one > highest)
            highest = one;
    }
    return highest;
}

/* ---- may this program migrate this database? ---- */

static enum status check_recorded(const struct migration *m)
{
    const struct db_schema *schema = m->schema;
    for (int row = 0; row < PQntuples(m->recorded); row++) {
        if (!PQgetisnull(m->recorded, row, 2))
            continue;
        const char *name = PQgetvalue(m->recorded, row, 0);
        const struct embed *own = NULL;
        for (size_t i = 0; i < schema->migration_count && !own; i++)
            if (strcmp(schema->migrations[i].name, name) == 0)
                own = &schema->migrations[i];
        if (!own) {
            snprintf(m->error, m->error_size,
                     "the database has migration %s of a newer program: migrate with that one",
                     name);
            return ST_CONFLICT;
        }
        if (strcmp(own->hash, PQgetvalue(m->recorded, row, 1)) != 0) {
            snprintf(m->error, m->error_size,
                     "migration %s was changed after it was applied to this database: restore it, "
                     "and put the change into a new migration",
                     name);
            return ST_CONFLICT;
        }
    }
    const int64_t generation = recorded_generation(m);
    for (size_t i = 0; i < schema->migration_count && generation > schema->generation; i++) {
        if (recorded_checksum(m, schema->migrations[i].name))
            continue;
        snprintf(m->error, m->error_size,
                 "the database has functions of generation %" PRId64 ", this program has %" PRId64
                 ", and yet the database lacks migration %s: migrate with a program that has both",
                 generation, schema->generation, schema->migrations[i].name);
        return ST_CONFLICT;
    }
    return ST_OK;
}

/* One file's statements, inside the transaction that is open. */
static enum status apply(const struct migration *m, const struct embed *file)
{
    if (!run(m, file->data))
        return fail(m, file->name);
    if (PQtransactionStatus(m->pg) == PQTRANS_INTRANS)
        return ST_OK;
    snprintf(m->error, m->error_size, "%s: must not end its transaction", file->name);
    return ST_INTERNAL;
}

/* ---- functions ---- */

static void function_key(const struct embed *file, char *key, size_t size)
{
    snprintf(key, size, "functions/%s", file->name);
}

static bool is_changed(const struct migration *m, const struct embed *file)
{
    char key[128];
    function_key(file, key, sizeof(key));
    const char *recorded = recorded_checksum(m, key);
    return !recorded || strcmp(recorded, file->hash) != 0;
}

static enum status apply_changed(const struct migration *m)
{
    for (size_t i = 0; i < m->schema->function_count; i++) {
        const struct embed *file = &m->schema->functions[i];
        const enum status st = is_changed(m, file) ? apply(m, file) : ST_OK;
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status apply_functions(const struct migration *m)
{
    const int64_t generation = recorded_generation(m);
    if (generation > m->schema->generation) {
        char line[128];
        snprintf(line, sizeof(line), "generation %" PRId64 " is newer than this program's %" PRId64,
                 generation, m->schema->generation);
        say(m, "left the functions alone:", line);
        return ST_OK;
    }
    bool needed = generation != m->schema->generation;
    for (size_t i = 0; i < m->schema->function_count && !needed; i++)
        needed = is_changed(m, &m->schema->functions[i]);
    if (!needed)
        return ST_OK;
    if (!run(m, "BEGIN; SET LOCAL check_function_bodies = off"))
        return fail(m, "functions");
    enum status st = apply_changed(m);
    if (st == ST_OK && !run(m, "SET LOCAL check_function_bodies = on"))
        st = fail(m, "functions");
    if (st == ST_OK)
        st = apply_changed(m);
    if (st != ST_OK)
        return st;

    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, m->schema->generation);
    for (size_t i = 0; i < m->schema->function_count; i++) {
        const struct embed *file = &m->schema->functions[i];
        char key[128];
        function_key(file, key, sizeof(key));
        if (!run_with(m, sql_note_functions, (const char *[]){key, file->hash, text}, 3))
            return fail(m, key);
    }
    if (!run_with(m, sql_forget_functions, (const char *[]){text}, 1))
        return fail(m, "forgetting old files of functions");
    if (!run(m, "COMMIT"))
        return fail(m, "functions");
    for (size_t i = 0; i < m->schema->function_count; i++)
        if (is_changed(m, &m->schema->functions[i]))
            say(m, "applied functions:", m->schema->functions[i].name);
    return ST_OK;
}

/* ---- */

static enum status migrate(struct migration *m)
{
    if (!run(m, sql_begin))
        return fail(m, "preparing");

    /* Nothing was released before 0001_initial.sql: there is no way from what came before it. */
    PGresult *found = PQexec(m->pg, sql_unreleased);
    enum status st = ST_OK;
    if (PQresultStatus(found) != PGRES_TUPLES_OK) {
        st = fail(m, "reading schema_migrations");
    } else if (PQntuples(found) > 0) {
        snprintf(m->error, m->error_size,
                 "the database has the schema of a development version (%s), which cannot be "
                 "upgraded: create an empty database and migrate that",
                 PQgetvalue(found, 0, 0));
        st = ST_CONFLICT;
    }
    PQclear(found);
    if (st != ST_OK)
        return st;

    m->recorded = PQexec(m->pg, sql_recorded);
    if (PQresultStatus(m->recorded) != PGRES_TUPLES_OK)
        return fail(m, "reading schema_migrations");
    st = check_recorded(m);
    if (st != ST_OK)
        return st;

    for (size_t i = 0; i < m->schema->migration_count; i++) {
        const struct embed *file = &m->schema->migrations[i];
        if (recorded_checksum(m, file->name))
            continue;
        if (!run(m, "BEGIN"))
            return fail(m, file->name);
        st = apply(m, file);
        if (st != ST_OK)
            return st;
        if (!run_with(m, sql_note_migration, (const char *[]){file->name, file->hash}, 2) ||
            !run(m, "COMMIT"))
            return fail(m, file->name);
        say(m, "applied", file->name);
    }
    return apply_functions(m);
}

enum status db_migrate(const char *url, const struct db_schema *schema,
                       void (*say_line)(const char *line), char *error, size_t error_size)
{
    /* `dbname` may be a whole connection string; what it says overrides what stands before it. */
    static const char *const names[] = {"fallback_application_name", "connect_timeout", "dbname",
                                        NULL};
    const char *values[] = {"tiketi migrate", "10", url, NULL};
    PQconninfoOption *info = PQconninfoParse(url, NULL);
    PQconninfoFree(info);
    if (!info) {
        snprintf(error, error_size, "the connection string is not valid"); /* has a password */
        return ST_INVALID;
    }
    struct migration m = {.pg = PQconnectdbParams(names, values, 1),
                          .schema = schema,
                          .say = say_line,
                          .error = error,
                          .error_size = error_size};
    PQsetNoticeReceiver(m.pg, on_notice, NULL);
    const enum status st =
        PQstatus(m.pg) == CONNECTION_OK ? migrate(&m) : fail(&m, "cannot connect");
    PQclear(m.recorded);
    PQfinish(m.pg); /* rolls back what is open and lets go of the lock */
    return st;
}
