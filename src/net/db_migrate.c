/* SPDX-License-Identifier: MIT */
/*
 * db_migrate: brings the schema up to date, blocking, for the command line alone.
 *
 * Why this way: forward-only numbered files, each in one transaction with the note that it was
 * applied, all under an advisory lock: several pods may start it at once, and one that is killed
 * leaves nothing half done. A database that a newer program has migrated is refused: this program
 * does not know what it would find there.
 * Owns: one connection. PostgreSQL gone: ST_UNAVAILABLE, and nothing half done.
 */
#include "net/db.h"

#include <stdio.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/log.h"

#define LOCK "7234856023118" /* any number, always the same */

static const char sql_begin[] =
    "SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = '5min';"
    "SELECT pg_advisory_lock(" LOCK ");"
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());"
    "SET lock_timeout = '30s'"; /* a migration must not queue up behind a long transaction */

static const char sql_note[] = "INSERT INTO schema_migrations (name) VALUES ($1)";

static enum status fail(const PGconn *pg, const char *what, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s: %s", what, PQerrorMessage(pg));
    error[strcspn(error, "\n")] = '\0';
    return PQstatus(pg) == CONNECTION_OK ? ST_INTERNAL : ST_UNAVAILABLE;
}

/* Takes the result. */
static bool is_done(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg;
    log_debug("postgres: notice",
              LOG_TEXT("text", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

static bool is_listed(const struct db_migration *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return true;
    return false;
}

static bool is_applied(const PGresult *applied, const char *name)
{
    for (int row = 0; row < PQntuples(applied); row++)
        if (strcmp(PQgetvalue(applied, row, 0), name) == 0)
            return true;
    return false;
}

/* One migration and its note, in one transaction. */
static enum status apply(PGconn *pg, const struct db_migration *one, char *error, size_t error_size)
{
    const char *params[] = {one->name};
    if (!is_done(PQexec(pg, "BEGIN")) || !is_done(PQexec(pg, one->sql)))
        return fail(pg, one->name, error, error_size);
    if (PQtransactionStatus(pg) != PQTRANS_INTRANS) {
        snprintf(error, error_size, "%s: must not end its transaction", one->name);
        return ST_INTERNAL;
    }
    if (!is_done(PQexecParams(pg, sql_note, 1, NULL, params, NULL, NULL, 0)) ||
        !is_done(PQexec(pg, "COMMIT")))
        return fail(pg, one->name, error, error_size);
    return ST_OK;
}

static enum status apply_all(PGconn *pg, const struct db_migration *list, size_t count,
                             void (*on_applied)(const char *name), char *error, size_t error_size)
{
    enum status st = ST_OK;
    PGresult *applied = PQexec(pg, "SELECT name FROM schema_migrations ORDER BY name");
    if (PQresultStatus(applied) != PGRES_TUPLES_OK)
        st = fail(pg, "reading schema_migrations", error, error_size);
    for (int row = 0; st == ST_OK && row < PQntuples(applied); row++) {
        const char *name = PQgetvalue(applied, row, 0);
        if (is_listed(list, count, name))
            continue;
        snprintf(error, error_size, "the database has migration %s of a newer program", name);
        st = ST_CONFLICT;
    }
    for (size_t i = 0; st == ST_OK && i < count; i++) {
        if (is_applied(applied, list[i].name))
            continue;
        st = apply(pg, &list[i], error, error_size);
        if (st == ST_OK && on_applied)
            on_applied(list[i].name);
    }
    PQclear(applied);
    return st;
}

static enum status check_url(const char *url, char *error, size_t error_size)
{
    PQconninfoOption *info = PQconninfoParse(url, NULL);
    PQconninfoFree(info);
    if (info)
        return ST_OK;
    snprintf(error, error_size, "the connection string is not valid"); /* it holds a password */
    return ST_INVALID;
}

enum status db_migrate(const char *url, const struct db_migration *list, size_t count,
                       void (*on_applied)(const char *name), char *error, size_t error_size)
{
    /* `dbname` may be a whole connection string; what it says overrides what stands before it. */
    static const char *const names[] = {"fallback_application_name", "connect_timeout", "dbname",
                                        NULL};
    const char *values[] = {"tiketi migrate", "10", url, NULL};
    enum status st = check_url(url, error, error_size);
    if (st != ST_OK)
        return st;
    PGconn *pg = PQconnectdbParams(names, values, 1);
    PQsetNoticeReceiver(pg, on_notice, NULL);
    if (PQstatus(pg) != CONNECTION_OK)
        st = fail(pg, "cannot connect", error, error_size);
    else if (!is_done(PQexec(pg, sql_begin)))
        st = fail(pg, "preparing", error, error_size);
    else
        st = apply_all(pg, list, count, on_applied, error, error_size);
    PQfinish(pg); /* rolls back what is open and lets go of the lock */
    return st;
}
