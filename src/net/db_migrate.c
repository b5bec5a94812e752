/* SPDX-License-Identifier: MIT */
/*
 * db_migrate: brings a database to this program's schema: first the tables, then the functions. It blocks, so
 * only the command line calls it.
 *
 * Why this way: tables are changed by numbered files, the migrations. Each is applied once, in order, in one
 * transaction that also adds its row to schema_migrations. Functions are in one file per noun, which has their
 * current text; the files whose checksum differs from the database's are applied again, all in one transaction.
 * An advisory lock is held all the time, so several pods may migrate at once. When the program is killed,
 * PostgreSQL rolls back the open transaction.
 * A file of functions is applied twice: first without checking the bodies, because a function may call one of
 * a later file, then with the check.
 *
 * Programs of the previous release go on during all of it, so what they use must stay: docs/operations.md has the rule, and
 * test/lint/migrations.mjs keeps it. schema_serves says which programs the schema serves (db_schema.h).
 *
 * Invariants: an older program never overwrites newer functions. The generation (sql/functions/generation) rises with
 * every change of their text, and with every migration, and is stored in the database; a program with a lower generation
 * touches nothing. A program that has another text of one of the database's migrations refuses to migrate; so does one
 * that lacks a migration, unless the database is of a newer generation, which serves this one.
 * Called by: main. Owns: one connection. PostgreSQL gone: ST_UNAVAILABLE; the open transaction is rolled back.
 */
#include "net/db_migrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/log.h"

/* The key of the advisory lock, which is held until the connection is closed. The SQL functions take advisory locks
 * too, whose keys are hashes (lock_key_... in sql/functions/common.sql). */
#define MIGRATE_LOCK "7234856023118"

/* In schema_migrations, `generation` is null for a migration and set for a file of functions. */
static const char sql_begin[] =
    "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '5min';"
    "SET default_transaction_isolation = 'read committed';"
    "SELECT pg_advisory_lock(" MIGRATE_LOCK ");"
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " name text PRIMARY KEY, checksum text NOT NULL, generation bigint,"
    " applied_at timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE IF NOT EXISTS schema_serves ("
    " one boolean PRIMARY KEY DEFAULT true CHECK (one),"
    " generation bigint NOT NULL, oldest bigint NOT NULL);"
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

/* What programs ask before they use the database (db_health.c). `oldest` never falls: what was taken away stays away. */
static const char sql_serves[] =
    "INSERT INTO schema_serves AS s (generation, oldest) VALUES ($1::bigint, $2::bigint) "
    "ON CONFLICT (one) DO UPDATE SET generation = excluded.generation,"
    " oldest = greatest(s.oldest, excluded.oldest)";

static const char sql_serves_this[] =
    "SELECT FROM schema_serves WHERE generation = $1::bigint AND oldest >= $2::bigint";

static const char sql_retire[] =
    "UPDATE schema_serves SET oldest = $1::bigint WHERE oldest < $1::bigint";

/* After the update of sql_note_functions, a row with another generation is of a file that this program no longer has. */
static const char sql_forget_functions[] =
    "DELETE FROM schema_migrations WHERE generation <> $1::bigint";

struct migration {
    PGconn *pg;
    const struct db_schema *schema;
    PGresult *recorded; /* the rows of schema_migrations before the first change */
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

/* Has the command succeeded? Takes the result. */
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

struct serves_params {
    char generation[24], oldest[24];
    const char *list[2];
};

static const char *const *serves_params(const struct migration *m, struct serves_params *params)
{
    snprintf(params->generation, sizeof(params->generation), "%" PRId64, m->schema->generation);
    snprintf(params->oldest, sizeof(params->oldest), "%" PRId64, m->schema->oldest);
    params->list[0] = params->generation;
    params->list[1] = params->oldest;
    return params->list;
}

/* Does schema_serves say already what this program would write there? */
static bool serves_this(const struct migration *m)
{
    struct serves_params params;
    PGresult *result =
        PQexecParams(m->pg, sql_serves_this, 2, NULL, serves_params(m, &params), NULL, NULL, 0);
    const bool found = PQntuples(result) == 1;
    PQclear(result);
    return found;
}

/* Returns the checksum in schema_migrations for a file; NULL: the file was never applied. */
static const char *recorded_checksum(const struct migration *m, const char *name)
{
    for (int row = 0; row < PQntuples(m->recorded); row++)
        if (strcmp(PQgetvalue(m->recorded, row, 0), name) == 0)
            return PQgetvalue(m->recorded, row, 1);
    return NULL;
}

/* Returns the generation of the database's functions; 0: it has none. */
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

/* Returns the oldest generation of programs that the database's schema serves; 0: it does not say. */
static int64_t recorded_oldest(const struct migration *m)
{
    PGresult *result = PQexec(m->pg, "SELECT oldest FROM schema_serves");
    const int64_t oldest = PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return oldest;
}

static enum status check_recorded(const struct migration *m)
{
    const struct db_schema *schema = m->schema;
    const int64_t generation = recorded_generation(m), oldest = recorded_oldest(m);
    const bool newer = generation > schema->generation; /* the database is */
    if (newer && oldest > schema->generation) {
        snprintf(m->error, m->error_size,
                 "the schema is too new for this program, it serves programs of generation "
                 "%" PRId64 " or newer and this one has %" PRId64 ": use a newer release",
                 oldest, schema->generation);
        return ST_CONFLICT;
    }
    for (int row = 0; row < PQntuples(m->recorded); row++) {
        if (!PQgetisnull(m->recorded, row, 2))
            continue;
        const char *name = PQgetvalue(m->recorded, row, 0);
        const struct embed *own = NULL;
        for (size_t i = 0; i < schema->migration_count && !own; i++)
            if (strcmp(schema->migrations[i].name, name) == 0)
                own = &schema->migrations[i];
        if (!own && newer && oldest > 0)
            continue; /* the step back: the schema serves this program as it is */
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
    for (size_t i = 0; i < schema->migration_count && newer; i++) {
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

/* Runs the statements of one file inside the open transaction. */
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
    bool needed = generation != m->schema->generation || !serves_this(m);
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
    struct serves_params params;
    if (!run_with(m, sql_serves, serves_params(m, &params), 2))
        return fail(m, "schema_serves");
    if (!run(m, "COMMIT"))
        return fail(m, "functions");
    for (size_t i = 0; i < m->schema->function_count; i++)
        if (is_changed(m, &m->schema->functions[i]))
            say(m, "applied functions:", m->schema->functions[i].name);
    return ST_OK;
}

/* ---- all steps ---- */

static enum status migrate(struct migration *m)
{
    const char *encoding = PQparameterStatus(m->pg, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0) {
        snprintf(m->error, m->error_size,
                 "the database stores text as %s, which cannot hold every name: create it with "
                 "ENCODING 'UTF8'",
                 encoding ? encoding : "an unknown encoding");
        return ST_CONFLICT;
    }
    /* A pooler may run each transaction in another session, which does not have the lock. */
    PGresult *backend = PQexec(m->pg, "SELECT pg_backend_pid()");
    const bool answered = PQntuples(backend) == 1;
    const bool direct =
        answered && strtol(PQgetvalue(backend, 0, 0), NULL, 10) == PQbackendPID(m->pg);
    PQclear(backend);
    if (!answered)
        return fail(m, "preparing");
    if (!direct) {
        snprintf(m->error, m->error_size,
                 "DATABASE_URL leads to a pooler such as PgBouncer: migrate by the address of "
                 "PostgreSQL itself");
        return ST_CONFLICT;
    }
    if (!run(m, sql_begin))
        return fail(m, "preparing");

    /* Development versions had other migrations (001_...), from which no upgrade was written. */
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

    struct serves_params params;
    if (!run_with(m, sql_retire, serves_params(m, &params) + 1, 1))
        return fail(m, "schema_serves");
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
    /* `dbname` is the whole connection string; its keywords override the ones listed before it. */
    static const char *const names[] = {"fallback_application_name", "connect_timeout", "dbname",
                                        NULL};
    const char *values[] = {"tiketi migrate", "10", url, NULL};
    PQconninfoOption *info = PQconninfoParse(url, NULL);
    PQconninfoFree(info);
    if (!info) {
        /* libpq's message is not passed on: it may contain the password. */
        snprintf(error, error_size, "DATABASE_URL is not a libpq URI or keyword string");
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
    PQfinish(m.pg); /* the server rolls back an open transaction and releases the lock */
    return st;
}
