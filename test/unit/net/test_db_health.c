/* SPDX-License-Identifier: MIT */
/* db_health: which database is refused, and with which words, on a private PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/db_health.h"

#include "pg_server.h"

static struct pg_server server;

static const struct embed migrations[] = {
    {.name = "0001_a.sql"},
    {.name = "0002_b.sql"},
};
static const struct db_schema schema = {migrations, 2, NULL, 0, 7, 5};

/* What the greeting finds, as seen by a connection whose server told that it is process `pid`; 0: its own. */
static const char *greet(struct db_health *health, const struct db_stmt *stmt, int64_t pid)
{
    PGconn *pg = PQconnectdb(server.url);
    assert_true(PQstatus(pg) == CONNECTION_OK);
    PGresult *result = PQexecParams(pg, stmt->sql, stmt->param_count, NULL,
                                    db_health_params(health), NULL, NULL, 0);
    const bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    const char *fault =
        ok ? db_health_row(health, (const struct db_result *)result, pid ? pid : PQbackendPID(pg))
           : db_health_failed(health, PQresultErrorField(result, PG_DIAG_SQLSTATE),
                              PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(result);
    PQfinish(pg);
    return fault;
}

static void serves(int generation, int oldest, const char *names)
{
    char sql[512];
    (void)snprintf(sql, sizeof(sql),
                   "DROP TABLE IF EXISTS schema_serves, schema_migrations;"
                   "CREATE TABLE schema_migrations AS SELECT unnest('{%s}'::text[]) AS name;"
                   "CREATE TABLE schema_serves (generation bigint, oldest bigint);"
                   "INSERT INTO schema_serves VALUES (%d, %d)",
                   names, generation, oldest);
    assert_true(pg_exec(&server, sql));
}

static void expect(const char *fault, const struct db_health *health, enum db_fault kind,
                   const char *words)
{
    assert_int_equal(health->state.fault, kind);
    if (!words) {
        assert_null(fault);
        return;
    }
    assert_non_null(fault);
    if (!strstr(fault, words))
        print_error("'%s' is not in '%s'\n", words, fault);
    assert_non_null(strstr(fault, words));
}

static void test_schema(void **state)
{
    static const struct {
        int generation, oldest;
        const char *names, *words; /* NULL: it may be used */
    } cases[] = {
        {7, 5, "0001_a.sql,0002_b.sql", NULL},
        {7, 7, "0001_a.sql,0002_b.sql", NULL},
        {9, 7, "0001_a.sql,0002_b.sql,0003_c.sql", NULL},
        {9, 8, "0001_a.sql,0002_b.sql,0003_c.sql", "serves programs of generation 8 or newer"},
        {6, 5, "0001_a.sql,0002_b.sql", "it has generation 6 and this program needs 7: run"},
        {7, 5, "0002_b.sql", "it lacks migration 0001_a.sql: run tiketi migrate"},
        {9, 5, "0001_a.sql", "it lacks migration 0002_b.sql: run tiketi migrate"},
    };
    struct db_health health;
    (void)state;
    db_health_init(&health, &schema, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        serves(cases[i].generation, cases[i].oldest, cases[i].names);
        const enum db_fault kind = cases[i].words ? DB_FAULT_SCHEMA : DB_FAULT_NONE;
        expect(greet(&health, db_health_greeting(&health), 0), &health, kind, cases[i].words);
        expect(greet(&health, db_health_probe(&health), 0), &health, kind, cases[i].words);
        if (!cases[i].words)
            assert_int_equal(health.state.oldest, cases[i].oldest);
    }
    serves(9, 5, "0001_a.sql,0002_b.sql");
    assert_true(pg_exec(&server, "TRUNCATE schema_serves"));
    expect(greet(&health, db_health_probe(&health), 0), &health, DB_FAULT_SCHEMA, "generation 0");
    assert_true(pg_exec(&server, "DROP TABLE schema_serves"));
    expect(greet(&health, db_health_probe(&health), 0), &health, DB_FAULT_SCHEMA, "has no schema");
    expect(db_health_failed(&health, "42501", "permission denied for table x"), &health,
           DB_FAULT_SCHEMA, "cannot be read: permission denied for table x");
    expect(db_health_failed(&health, "57P03", "starting up"), &health, DB_FAULT_REACH,
           "starting up");
    db_health_clear(&health);
}

static void test_encoding(void **state)
{
    struct db_health health;
    (void)state;
    db_health_init(&health, NULL, 0);
    assert_null(db_health_encoding(&health, "UTF8"));
    expect(db_health_encoding(&health, "LATIN1"), &health, DB_FAULT_ENCODING,
           "server_encoding is LATIN1, and must be UTF8");
    expect(db_health_encoding(&health, NULL), &health, DB_FAULT_ENCODING, "is unknown");
    db_health_clear(&health);
}

static void test_connections(void **state)
{
    struct db_health health;
    (void)state;
    db_health_init(&health, NULL, 97);
    expect(greet(&health, db_health_greeting(&health), 0), &health, DB_FAULT_NONE, NULL);
    assert_int_equal(health.state.limit, 97); /* 100, and 3 reserved */
    assert_int_equal(health.state.others, 0);
    assert_false(health.state.pooled);
    health.may_open = 98;
    expect(greet(&health, db_health_greeting(&health), 0), &health, DB_FAULT_CONNECTIONS,
           "may open 98 connections and PostgreSQL allows 97");
    expect(greet(&health, db_health_probe(&health), 0), &health, DB_FAULT_NONE, NULL);
    assert_true(pg_exec(&server, "ALTER DATABASE postgres CONNECTION LIMIT 60"));
    health.may_open = 61;
    expect(greet(&health, db_health_greeting(&health), 0), &health, DB_FAULT_CONNECTIONS,
           "allows 60");

    /* Behind a pooler its own limits count. */
    expect(greet(&health, db_health_greeting(&health), 1), &health, DB_FAULT_NONE, NULL);
    assert_true(health.state.pooled);
    assert_true(pg_exec(&server, "ALTER DATABASE postgres CONNECTION LIMIT -1"));
    db_health_clear(&health);
}

static void test_read_only(void **state)
{
    struct db_health health;
    (void)state;
    db_health_init(&health, NULL, 0);
    expect(greet(&health, db_health_probe(&health), 0), &health, DB_FAULT_NONE, NULL);
    assert_false(health.state.read_only);
    assert_true(pg_exec(&server, "ALTER DATABASE postgres SET default_transaction_read_only = on"));
    expect(greet(&health, db_health_probe(&health), 0), &health, DB_FAULT_NONE, NULL);
    assert_true(health.state.read_only);
    assert_false(health.state.standby);
    assert_true(pg_exec(&server, "BEGIN READ WRITE;"
                                 "ALTER DATABASE postgres RESET default_transaction_read_only;"
                                 "COMMIT"));
    db_health_clear(&health);
}

static int start(void **state)
{
    (void)state;
    if (pg_server_start(&server))
        return 0;
    print_error("cannot start PostgreSQL: see %s/log\n", server.dir);
    return -1;
}

static int stop(void **state)
{
    (void)state;
    pg_server_stop(&server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
