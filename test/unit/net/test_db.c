/* SPDX-License-Identifier: MIT */
/* db: rows, errors, deadlines, the pool and its recovery, migrations, on a private PostgreSQL. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "base/embed.h"
#include "base/log.h"
#include "net/db.h"
#include "net/db_migrate.h"
#include "net/loop.h"

#include "pg_server.h"

static struct pg_server server;

/* ---- driving the loop step by step ---- */

struct world {
    struct loop *loop;
    struct loop_timer *guard;
    struct db *db;
    bool late, closed;
};

static void on_guard(void *arg)
{
    struct world *w = arg;
    w->late = true;
}

/* Runs the loop until *flag, for at most `ms`. */
static bool turn_until(struct world *w, const bool *flag, uint64_t ms)
{
    w->late = false;
    loop_timer_set(w->guard, ms);
    while (!*flag && !w->late)
        uv_run(loop_uv(w->loop), UV_RUN_ONCE);
    loop_timer_stop(w->guard);
    return *flag;
}

static void turn_for(struct world *w, uint64_t ms)
{
    bool never = false;
    turn_until(w, &never, ms);
}

static void on_closed(void *arg)
{
    struct world *w = arg;
    assert_false(w->closed);
    w->closed = true;
}

static void world_open(struct world *w, const struct db_opts *given)
{
    struct db_opts opts = *given;
    memset(w, 0, sizeof(*w));
    w->loop = loop_new();
    w->guard = loop_timer_new(w->loop, on_guard, w);
    opts.loop = w->loop;
    opts.application_name = "test_db";
    opts.url = opts.url ? opts.url : server.url;
    opts.pool_min = opts.pool_min ? opts.pool_min : 1;
    opts.pool_max = opts.pool_max ? opts.pool_max : 4;
    opts.timeout_ms = opts.timeout_ms ? opts.timeout_ms : 20000;
    opts.queue_max = opts.queue_max ? opts.queue_max : 100;
    assert_int_equal(db_open(&opts, &w->db), ST_OK);
}

static void world_close(struct world *w)
{
    if (!w->closed)
        db_close(w->db, on_closed, w);
    loop_timer_close(w->guard);
    loop_stop(w->loop);
    loop_run(w->loop);
    assert_true(w->closed);
    loop_free(w->loop);
}

#define WORLD(w, ...)                                                                              \
    struct world w;                                                                                \
    world_open(&w, &(struct db_opts){__VA_ARGS__})

/* ---- one query and its result ---- */

struct answer {
    struct world *world;
    bool done;
    unsigned calls;
    enum status status;
    int rows;
    int64_t number;
    char text[64];
    bool null;
};

static void on_answer(void *arg, enum status status, const struct db_result *result)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    answer->status = status;
    assert_true((status == ST_OK) == (result != NULL));
    answer->rows = result ? db_rows(result) : 0;
    if (answer->rows == 0)
        return;
    answer->number = db_int(result, 0, 0);
    answer->null = db_is_null(result, 0, 0);
    snprintf(answer->text, sizeof(answer->text), "%s", db_text(result, 0, 0));
    assert_int_equal(db_len(result, 0, 0), strlen(db_text(result, 0, 0)));
}

static enum status ask(struct world *w, const struct db_stmt *stmt, const char *const *params)
{
    struct answer answer = {0};
    enum status st = db_query(w->db, stmt, params, on_answer, &answer);
    if (st != ST_OK)
        return st;
    assert_false(answer.done);
    assert_true(turn_until(w, &answer.done, 30000));
    return answer.status;
}

static int64_t ask_number(struct world *w, const struct db_stmt *stmt, const char *param)
{
    struct answer answer = {0};
    assert_int_equal(db_query(w->db, stmt, (const char *[]){param}, on_answer, &answer), ST_OK);
    assert_true(turn_until(w, &answer.done, 30000));
    assert_int_equal(answer.status, ST_OK);
    return answer.number;
}

/* Repeats the query until it succeeds. */
static bool heals(struct world *w)
{
    static const struct db_stmt stmt = {"heals", "SELECT 1", 0, DB_ANY};
    for (int i = 0; i < 400; i++) {
        if (ask(w, &stmt, NULL) == ST_OK)
            return true;
        turn_for(w, 25);
    }
    return false;
}

static const struct db_stmt stmt_one = {"one", "SELECT 1", 0, DB_ANY};
static const struct db_stmt stmt_sleep = {"sleep", "SELECT pg_sleep($1::float8)", 1, DB_ANY};

/* ---- results ---- */

static void on_rows(void *arg, enum status status, const struct db_result *result)
{
    bool *done = arg;
    assert_int_equal(status, ST_OK);
    assert_int_equal(db_rows(result), 3);
    assert_int_equal(db_int(result, 0, 0), 1);
    assert_int_equal(db_int(result, 2, 0), 9000000000);
    assert_string_equal(db_text(result, 0, 1), "ä b");
    assert_int_equal(db_len(result, 0, 1), 4);
    assert_true(db_is_null(result, 1, 1));
    assert_string_equal(db_text(result, 1, 1), "");
    assert_int_equal(db_len(result, 1, 1), 0);
    assert_false(db_is_null(result, 1, 2));
    assert_int_equal(db_int(result, 2, 2), 0);
    *done = true;
}

static void test_rows(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {
        "rows",
        "SELECT * FROM (VALUES (1::int8, 'ä b', true), (2, NULL, false), "
        "(9000000000, '', NULL)) AS t",
        0, DB_ANY};
    WORLD(w, 0);
    bool done = false;
    assert_int_equal(db_query(w.db, &stmt, NULL, on_rows, &done), ST_OK);
    assert_false(done);
    assert_true(turn_until(&w, &done, 10000));
    assert_true(db_up(w.db));
    world_close(&w);
}

static void test_params(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {"params", "SELECT $1::text || coalesce($2, '-') || $3", 3,
                                        DB_ANY};
    WORLD(w, 0);
    struct answer answer = {0};
    char first[] = "it's";
    assert_int_equal(db_query(w.db, &stmt, (const char *[]){first, NULL, ""}, on_answer, &answer),
                     ST_OK);
    strcpy(first, "xxx"); /* parameters were copied */
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_string_equal(answer.text, "it's-");
    world_close(&w);
}

static void test_big_params(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {"big", "SELECT length($1::text)", 1, DB_ANY};
    WORLD(w, 0);
    static char big[DB_PARAMS_MAX + 1];
    struct answer answer = {0};
    memset(big, 'x', DB_PARAMS_MAX);
    assert_int_equal(db_query(w.db, &stmt, (const char *[]){big}, on_answer, &answer),
                     ST_TOO_LARGE);
    big[DB_PARAMS_MAX - 1] = '\0';
    assert_int_equal(ask_number(&w, &stmt, big), DB_PARAMS_MAX - 1);
    world_close(&w);
}

/* A big result arrives in many reads. */
static void test_big_result(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {
        "many", "SELECT length(repeat('x', 500)), repeat('x', 500) FROM generate_series(1, 20000)",
        0, DB_ANY};
    WORLD(w, 0);
    struct answer answer = {0};
    assert_int_equal(db_query(w.db, &stmt, NULL, on_answer, &answer), ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_int_equal(answer.rows, 20000);
    world_close(&w);
}

static void test_prepared_once(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {"count", "SELECT count(*) FROM pg_prepared_statements", 0,
                                        DB_ANY};
    WORLD(w, .pool_max = 1);
    assert_int_equal(ask_number(&w, &stmt, NULL), 1);
    assert_int_equal(ask_number(&w, &stmt, NULL), 1);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(ask_number(&w, &stmt, NULL), 2);
    world_close(&w);
}

/* ---- errors ---- */

static void test_sqlstates(void **state)
{
    (void)state;
    static const struct {
        struct db_stmt stmt;
        enum status status,
            again; /* the second time it is prepared already, though it may have failed */
    } rows[] = {
        {{"e1", "INSERT INTO t VALUES (1, 1)", 0, DB_ANY}, ST_OK, ST_CONFLICT},
        {{"e2", "INSERT INTO t VALUES (2, -1)", 0, DB_ANY}, ST_INVALID, ST_INVALID},
        {{"e3", "INSERT INTO t VALUES (NULL, 1)", 0, DB_ANY}, ST_INVALID, ST_INVALID},
        {{"e4", "SELECT 'x' || (1 / (SELECT 0))", 0, DB_ANY}, ST_INVALID, ST_INVALID},
        {{"e5", "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", 0, DB_ANY}, ST_INTERNAL, ST_INTERNAL},
        {{"e6", "SELECT nothing FROM nowhere", 0, DB_ANY},
         ST_INTERNAL,
         ST_INTERNAL}, /* Parse fails */
        {{"e7", "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$", 0, DB_ANY}, ST_CONFLICT, ST_CONFLICT},
        {{"e8", "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$", 0, DB_ANY}, ST_CONFLICT, ST_CONFLICT},
        {{"e9", "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$", 0, DB_ANY},
         ST_UNAVAILABLE,
         ST_UNAVAILABLE},
        /* deferred: the Execute succeeds, the commit fails */
        {{"e10", "INSERT INTO late VALUES (1), (1)", 0, DB_ANY}, ST_CONFLICT, ST_CONFLICT},
        {{"e11", "INSERT INTO t VALUES (2, 1) ON CONFLICT DO NOTHING", 0, DB_ANY}, ST_OK, ST_OK},
    };
    WORLD(w, .pool_max = 1);
    assert_true(pg_exec(&server, "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n > 0))"));
    assert_true(
        pg_exec(&server, "CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum status first = ask(&w, &rows[i].stmt, NULL), again = ask(&w, &rows[i].stmt, NULL);
        if (first != rows[i].status || again != rows[i].again)
            fail_msg("%s: %s, %s", rows[i].stmt.sql, status_name(first), status_name(again));
    }
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM late"), 0);
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM t"), 2);
    assert_int_equal(
        pg_number(&server,
                  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_db'"),
        1);
    world_close(&w);
}

static const struct db_stmt stmt_pid = {"pid", "SELECT pg_backend_pid()", 0, DB_ANY};

/* A standby after a failover: the connection is dropped, so that the next one may find the primary. */
static void test_read_only(void **state)
{
    (void)state;
    char url[256];
    static const struct db_stmt stmt = {"write", "CREATE TABLE never (id int)", 0, DB_ANY};
    snprintf(url, sizeof(url), "%s options='-c default_transaction_read_only=on'", server.url);
    WORLD(w, .url = url, .pool_max = 1);
    int64_t pid = ask_number(&w, &stmt_pid, NULL);
    assert_int_equal(ask(&w, &stmt, NULL), ST_UNAVAILABLE);
    assert_int_not_equal(ask_number(&w, &stmt_pid, NULL), pid);
    world_close(&w);
}

/* A migration changes a table that prepared statements use. */
static void test_changed_table(void **state)
{
    (void)state;
    static const struct db_stmt stmt = {"star", "SELECT * FROM star", 0, DB_ANY};
    WORLD(w, .pool_max = 1);
    assert_true(pg_exec(&server, "CREATE TABLE star (a int)"));
    assert_int_equal(ask(&w, &stmt, NULL), ST_OK);
    assert_true(pg_exec(&server, "ALTER TABLE star ADD b int"));
    assert_int_equal(ask(&w, &stmt, NULL),
                     ST_OK); /* retried on another connection: nothing was done */
    assert_int_equal(ask(&w, &stmt, NULL), ST_OK);
    world_close(&w);
}

/* ---- deadlines and the queue ---- */

static long sleepers(void)
{
    return pg_number(&server, "SELECT count(*) FROM pg_stat_activity "
                              "WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'");
}

static void test_deadline(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    struct answer answer = {0};
    uint64_t began = loop_now_ms(w.loop);
    assert_int_equal(
        db_query_within(w.db, 200, &stmt_sleep, (const char *[]){"30"}, on_answer, &answer), ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    uint64_t took = loop_now_ms(w.loop) - began;
    assert_int_equal(answer.status, ST_TIMEOUT);
    assert_in_range(took, 199, 9000);
    assert_true(heals(&w));
    assert_int_equal(answer.calls, 1);
    for (int i = 0; i < 100 && sleepers() > 0; i++)
        turn_for(&w, 20);
    assert_int_equal(sleepers(), 0); /* the server has stopped it too */
    world_close(&w);
}

/* The pool's own statement_timeout, and a longer one for a single query, which does not persist. */
static void test_longer_deadline(void **state)
{
    (void)state;
    static const struct db_stmt limit = {"limit", "SHOW statement_timeout", 0, DB_ANY};
    WORLD(w, .pool_max = 1, .timeout_ms = 300);
    struct answer answer = {0};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(
        db_query_within(w.db, 20000, &stmt_sleep, (const char *[]){"0.6"}, on_answer, &answer),
        ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_int_equal(answer.status, ST_OK);
    answer = (struct answer){0};
    assert_int_equal(db_query(w.db, &limit, NULL, on_answer, &answer), ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_string_equal(answer.text, "300ms");
    assert_int_equal(ask(&w, &stmt_sleep, (const char *[]){"30"}), ST_TIMEOUT);
    world_close(&w);
}

static void test_queue_full(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 1, .queue_max = 2);
    struct answer answers[4] = {{0}};
    const char *params[] = {"0.3"};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    /* with time limits of their own, so that they do not share a connection */
    for (int i = 0; i < 3; i++)
        assert_int_equal(db_query_within(w.db, 15000, &stmt_sleep, params, on_answer, &answers[i]),
                         ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, params, on_answer, &answers[3]), ST_FULL);
    turn_for(&w, 20);
    struct answer late = {0};
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &late), ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, params, on_answer, &answers[3]), ST_FULL);
    assert_true(turn_until(&w, &late.done, 10000));
    for (int i = 0; i < 3; i++)
        assert_int_equal(answers[i].status, ST_OK);
    assert_int_equal(answers[3].calls, 0);
    world_close(&w);
}

/* The deadline counts while waiting for a connection, too. */
/* One kind fills its part of the pool with slow statements, and its line: the others are answered at once. */
static void test_kinds_leave_room(void **state)
{
    (void)state;
    static const struct db_stmt slow = {"slow_kind", "SELECT pg_sleep(0.6)", 0, DB_BUYER};
    static const struct db_stmt open = {"open_kind", "SELECT 7", 0, DB_PUBLIC};
    static const struct db_stmt staff = {"staff_kind", "SELECT 8", 0, DB_STAFF};
    WORLD(w, .pool_max = 4, .queue_max = 4);
    struct answer answers[16] = {{0}}, last = {0};
    unsigned accepted = 0;
    assert_int_equal(ask_number(&w, &open, NULL), 7);
    for (size_t i = 0; i < 16; i++)
        accepted += db_query(w.db, &slow, NULL, on_answer, &answers[i]) == ST_OK;
    assert_true(accepted < 16); /* its line is full */
    turn_for(&w, 100);
    const uint64_t began = uv_hrtime();
    assert_int_equal(ask_number(&w, &open, NULL), 7);
    assert_int_equal(ask_number(&w, &staff, NULL), 8);
    assert_true(uv_hrtime() - began < UINT64_C(300000000));
    assert_false(answers[0].done);
    assert_int_equal(db_query(w.db, &slow, NULL, on_answer, &last), ST_OK); /* some have gone out */
    assert_true(turn_until(&w, &last.done, 10000));
    for (size_t i = 0; i < accepted; i++)
        assert_int_equal(answers[i].status, ST_OK);
    world_close(&w);
}

/* A lock is waited for half a second, or as long as the query's own deadline says. */
static void test_lock_timeout(void **state)
{
    (void)state;
    static const struct db_stmt lock = {
        "lock_held", "SELECT pg_advisory_xact_lock(4711), pg_sleep(1.5)", 0, DB_ANY};
    static const struct db_stmt want = {"lock_wanted", "SELECT pg_advisory_xact_lock(4711)", 0,
                                        DB_ANY};
    WORLD(w, .pool_max = 3);
    struct answer held = {0}, longer = {0};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(db_query_within(w.db, 5000, &lock, NULL, on_answer, &held), ST_OK);
    turn_for(&w, 100);
    assert_int_equal(db_query_within(w.db, 5000, &want, NULL, on_answer, &longer), ST_OK);
    const uint64_t began = uv_hrtime();
    assert_int_equal(ask(&w, &want, NULL), ST_BUSY);
    const uint64_t took_ms = (uv_hrtime() - began) / 1000000;
    assert_true(took_ms >= 400 && took_ms < 1200);
    assert_true(turn_until(&w, &longer.done, 10000));
    assert_int_equal(longer.status, ST_OK);
    world_close(&w);
}

static void test_deadline_in_queue(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 1);
    struct answer slow = {0}, waiting = {0};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"0.5"}, on_answer, &slow), ST_OK);
    assert_int_equal(db_query_within(w.db, 100, &stmt_one, NULL, on_answer, &waiting), ST_OK);
    assert_true(turn_until(&w, &waiting.done, 10000));
    assert_int_equal(waiting.status, ST_TIMEOUT);
    assert_false(slow.done);
    assert_true(turn_until(&w, &slow.done, 10000));
    assert_int_equal(slow.status, ST_OK);
    world_close(&w);
}

static void test_pool_grows(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 4);
    struct answer answers[4] = {{0}};
    uint64_t began = loop_now_ms(w.loop);
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            db_query(w.db, &stmt_sleep, (const char *[]){"0.5"}, on_answer, &answers[i]), ST_OK);
    for (int i = 0; i < 4; i++)
        assert_true(turn_until(&w, &answers[i].done, 10000));
    assert_in_range(loop_now_ms(w.loop) - began, 400, 1950); /* in parallel */
    world_close(&w);
}

/* A port that accepts connections and never answers. */
static int silent_port(int *ret_fd)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_fd = fd;
    return ntohs(addr.sin_port);
}

/* The deadline also holds while connecting to a server that never answers. */
static void test_deadline_while_connecting(void **state)
{
    (void)state;
    int fd;
    char url[96];
    snprintf(url, sizeof(url), "postgresql://x@127.0.0.1:%d/x", silent_port(&fd));
    WORLD(w, .url = url, .timeout_ms = 200);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_TIMEOUT);
    assert_false(db_up(w.db));
    world_close(&w); /* while the attempt is running */
    close(fd);
}

/* ---- several in flight on one connection ---- */

/* One connection, up and idle. */
#define ONE_CONNECTION(w, ...)                                                                     \
    WORLD(w, .pool_max = 1, __VA_ARGS__);                                                          \
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK)

static enum status statuses_of(const struct answer *answers, int count)
{
    for (int i = 1; i < count; i++)
        if (answers[i].status != answers[0].status || answers[i].calls != 1)
            return ST_INTERNAL;
    return answers[0].status;
}

static void all_done(struct world *w, const struct answer *answers, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(turn_until(w, &answers[i].done, 20000));
}

/* Queries in flight when the connection dies end unknown; those in line go to the next connection. */
static void test_many_in_flight(void **state)
{
    (void)state;
    struct answer answers[12] = {{0}};
    ONE_CONNECTION(w, .timeout_ms = 20000);
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"60"}, on_answer, &answers[0]),
                     ST_OK);
    for (int i = 1; i < 12; i++)
        assert_int_equal(db_query(w.db, &stmt_pid, NULL, on_answer, &answers[i]), ST_OK);
    turn_for(&w, 100);
    assert_true(pg_exec(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name = 'test_db'"));
    all_done(&w, answers, 12);
    assert_int_equal(statuses_of(answers, 8), ST_UNAVAILABLE);
    assert_int_equal(statuses_of(answers + 8, 4), ST_OK);
    for (int i = 0; i < 12; i++)
        assert_int_equal(answers[i].calls, 1);
    world_close(&w);
}

/* Each has a Sync of its own: one that fails does not affect the others. */
static void test_failures_are_isolated(void **state)
{
    (void)state;
    static const struct db_stmt insert = {"ins", "INSERT INTO apart VALUES ($1::int)", 1, DB_ANY};
    static const struct db_stmt bad = {"bad", "SELECT nothing FROM nowhere", 0, DB_ANY};
    static const struct db_stmt late = {"late", "INSERT INTO apart_late VALUES (1)", 0, DB_ANY};
    struct answer answers[8] = {{0}};
    const char *two[] = {"2"}, *three[] = {"3"}, *word[] = {"word"};
    const struct {
        const struct db_stmt *stmt;
        const char *const *params;
        enum status status;
    } rows[8] = {
        {&insert, two, ST_OK},       {&insert, two, ST_CONFLICT}, {&bad, NULL, ST_INTERNAL},
        {&bad, NULL, ST_INTERNAL}, /* relies on the first one's Parse */
        {&insert, word, ST_INVALID}, {&late, NULL, ST_CONFLICT}, /* at the commit */
        {&insert, three, ST_OK},     {&stmt_one, NULL, ST_OK},
    };
    assert_true(pg_exec(&server, "CREATE TABLE apart (id int PRIMARY KEY)"));
    assert_true(pg_exec(&server, "CREATE TABLE apart_late (id int UNIQUE DEFERRABLE INITIALLY "
                                 "DEFERRED); INSERT INTO apart_late VALUES (1)"));
    ONE_CONNECTION(w, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(db_query(w.db, rows[i].stmt, rows[i].params, on_answer, &answers[i]),
                         ST_OK);
    all_done(&w, answers, 8);
    for (int i = 0; i < 8; i++) {
        if (answers[i].status != rows[i].status || answers[i].calls != 1)
            fail_msg("%d: %s", i, status_name(answers[i].status));
    }
    assert_int_equal(pg_number(&server, "SELECT sum(id) FROM apart"), 5);
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM apart_late"), 1);
    world_close(&w);
}

/* An overdue query ends its connection and everything in flight on it. */
static void test_overdue_among_others(void **state)
{
    (void)state;
    struct answer answers[5] = {{0}};
    ONE_CONNECTION(w, .timeout_ms = 400);
    pid_t pid = (pid_t)ask_number(&w, &stmt_pid, NULL);
    kill(pid, SIGSTOP); /* else statement_timeout would act first */
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &answers[0]), ST_OK);
    turn_for(&w, 20);
    for (int i = 1; i < 5; i++)
        assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &answers[i]), ST_OK);
    all_done(&w, answers, 5);
    assert_int_equal(answers[0].status, ST_TIMEOUT);
    for (int i = 1; i < 5; i++) /* a busy machine may blur the difference */
        assert_true(answers[i].status == ST_UNAVAILABLE || answers[i].status == ST_TIMEOUT);
    assert_true(heals(&w));
    kill(pid, SIGCONT);
    for (int i = 0; i < 5; i++)
        assert_int_equal(answers[i].calls, 1);
    world_close(&w);
}

/* A slow query delays no later one while another connection is left. */
static void test_slow_query_delays_none(void **state)
{
    (void)state;
    struct answer slow = {0}, answers[20] = {{0}};
    WORLD(w, .pool_min = 2, .pool_max = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"2"}, on_answer, &slow), ST_OK);
    turn_for(&w, 200);
    for (int i = 0; i < 20; i++)
        assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &answers[i]), ST_OK);
    all_done(&w, answers, 20);
    assert_false(slow.done);
    assert_int_equal(statuses_of(answers, 20), ST_OK);
    assert_true(
        turn_until(&w, &slow.done, 20000)); /* so that the next test does not meet its connection */
    assert_int_equal(slow.status, ST_OK);
    world_close(&w);
}

/* Big parameters and big results at the same time: neither side may wait for the other to read. */
static void test_big_both_ways(void **state)
{
    (void)state;
    static const struct db_stmt echo = {"echo", "SELECT $1::text", 1, DB_ANY};
    static const struct db_stmt len = {"len", "SELECT length($1::text)", 1, DB_ANY};
    static char big[4 << 20];
    struct answer answers[8] = {{0}};
    memset(big, 'x', sizeof(big) - 1);
    ONE_CONNECTION(w, 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            db_query(w.db, i % 2 ? &len : &echo, (const char *[]){big}, on_answer, &answers[i]),
            ST_OK);
    all_done(&w, answers, 8);
    assert_int_equal(statuses_of(answers, 8), ST_OK);
    assert_int_equal(answers[7].number, sizeof(big) - 1);
    world_close(&w);
}

/* ---- probes ---- */

/* A server that is there but silent is noticed within five seconds, without any query. */
static void test_frozen_server(void **state)
{
    (void)state;
    pid_t pids[8];
    int count = 0;
    WORLD(w, .pool_min = 2, .pool_max = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    turn_for(&w, 300);
    pids[count++] = server.pid;
    for (; count < 3; count++) {
        char sql[160];
        snprintf(sql, sizeof(sql),
                 "SELECT pid FROM pg_stat_activity WHERE application_name = 'test_db' "
                 "ORDER BY backend_start DESC OFFSET %d LIMIT 1",
                 count - 1);
        pids[count] = (pid_t)pg_number(&server, sql);
        assert_true(pids[count] > 0);
    }
    assert_true(db_up(w.db));
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGSTOP);
    uint64_t began = loop_now_ms(w.loop);
    while (db_up(w.db) && loop_now_ms(w.loop) - began < 9000)
        turn_for(&w, 50);
    uint64_t took = loop_now_ms(w.loop) - began;
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGCONT);
    assert_in_range(took, 1000, 5000);
    assert_true(heals(&w));
    assert_true(db_up(w.db));
    world_close(&w);
}

/* Idle connections that answer are kept: no reconnect, no growth. */
static void test_probe_is_quiet(void **state)
{
    (void)state;
    ONE_CONNECTION(w, 0);
    int64_t pid = ask_number(&w, &stmt_pid, NULL);
    turn_for(&w, 2500);
    assert_int_equal(ask_number(&w, &stmt_pid, NULL), pid);
    assert_int_equal(
        pg_number(&server,
                  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test_db'"),
        1);
    world_close(&w);
}

/* A query with a time limit of its own shares its connection with none, even if a probe is ahead of it:
 * else a later query, once overdue, would end the connection under it. */
static void test_alone_behind_probe(void **state)
{
    (void)state;
    struct answer longer = {0}, behind = {0};
    ONE_CONNECTION(w, .timeout_ms = 400);
    pid_t pid = (pid_t)ask_number(&w, &stmt_pid, NULL);
    kill(pid, SIGSTOP);
    turn_for(&w, 1015); /* the probe leaves after a second, and counts as stalled 50 ms later */
    assert_int_equal(
        db_query_within(w.db, 10000, &stmt_sleep, (const char *[]){"1"}, on_answer, &longer),
        ST_OK);
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &behind), ST_OK);
    turn_for(&w, 10);
    kill(pid, SIGCONT);
    assert_true(turn_until(&w, &behind.done, 10000));
    assert_int_equal(behind.status, ST_TIMEOUT);
    assert_true(turn_until(&w, &longer.done, 10000));
    assert_int_equal(longer.status, ST_OK);
    world_close(&w);
}

/* ---- connecting ---- */

/* libpq alone would wait for the first host forever. */
static void test_hanging_host(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "host=127.0.0.1,localhost port=%d,%d user=tester dbname=postgres",
        "hostaddr=127.0.0.1,127.0.0.1 port=%d,%d user=tester dbname=postgres",
        "postgresql://tester@127.0.0.1:%d,localhost:%d/postgres?target_session_attrs=read-write",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        int fd;
        char url[160];
        snprintf(url, sizeof(url), forms[i], silent_port(&fd), server.port);
        WORLD(w, .url = url, .pool_min = 2);
        assert_true(heals(&w));
        world_close(&w);
        close(fd);
    }
}

static void test_host_names(void **state)
{
    (void)state;
    char url[160];
    /* nothing listens on port 1: libpq goes on to the next address with another descriptor */
    snprintf(url, sizeof(url), "host=127.0.0.1,localhost port=1,%d user=tester dbname=postgres",
             server.port);
    WORLD(w, .url = url);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    world_close(&w);
    snprintf(url, sizeof(url), "postgresql://tester@localhost:%d/postgres", server.port);
    world_open(&w, &(struct db_opts){.url = url});
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    world_close(&w);
}

static void test_bad_url(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct db *db = NULL;
    struct db_opts opts = {.loop = loop, .pool_max = 1, .timeout_ms = 1000, .queue_max = 1};
    opts.url = "postgresql://[::1";
    assert_int_equal(db_open(&opts, &db), ST_INVALID);
    opts.url = "service=shop";
    assert_int_equal(db_open(&opts, &db), ST_INVALID);
    assert_null(db);
    loop_free(loop);
}

static void refused(const char *url)
{
    WORLD(w, .url = url, .pool_min = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_UNAVAILABLE);
    for (int i = 0; i < 20; i++) { /* while it keeps trying */
        struct answer answer = {0};
        assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &answer), ST_UNAVAILABLE);
        turn_for(&w, 20);
        assert_false(answer.done);
        assert_false(db_up(w.db));
    }
    world_close(&w);
}

static void test_refused(void **state)
{
    (void)state;
    refused("host=/nowhere user=x");
    refused("host=127.0.0.1 port=1 user=x");
    refused("host=no-such-host.invalid user=x");
}

/* ---- losing the server ---- */

static void test_killed_server(void **state)
{
    (void)state;
    WORLD(w, .pool_min = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    struct answer answer = {0};
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"60"}, on_answer, &answer),
                     ST_OK);
    turn_for(&w, 50);
    assert_true(pg_exec(&server, "CREATE TABLE IF NOT EXISTS keep (id int)"));
    pg_server_signal(&server, SIGKILL);
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_int_equal(answer.status, ST_UNAVAILABLE);
    for (int i = 0; i < 100 && db_up(w.db); i++)
        turn_for(&w, 20);
    turn_for(&w, 50);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_UNAVAILABLE);
    assert_true(pg_server_run(&server));
    assert_true(heals(&w));
    assert_int_equal(answer.calls, 1);
    world_close(&w);
}

/* An idle connection has died unnoticed: the query goes to a new one. */
static void test_idle_connection_died(void **state)
{
    (void)state;
    WORLD(w, .pool_min = 2, .pool_max = 2);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    turn_for(&w, 100);
    pg_server_signal(&server, SIGINT);
    assert_true(pg_server_run(&server));
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    world_close(&w);
}

static void test_terminated_backend(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 1);
    struct answer answer = {0};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"60"}, on_answer, &answer),
                     ST_OK);
    turn_for(&w, 50);
    assert_true(pg_exec(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name = 'test_db'"));
    assert_true(turn_until(&w, &answer.done, 10000));
    assert_int_equal(answer.status, ST_UNAVAILABLE);
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    world_close(&w);
}

/* ---- closing ---- */

static void test_close_with_pending(void **state)
{
    (void)state;
    WORLD(w, .pool_max = 1);
    struct answer running = {0}, waiting = {0}, refused_one = {0};
    assert_int_equal(ask(&w, &stmt_one, NULL), ST_OK);
    assert_int_equal(db_query(w.db, &stmt_sleep, (const char *[]){"9"}, on_answer, &running),
                     ST_OK);
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &waiting), ST_OK);
    turn_for(&w, 30);
    db_close(w.db, on_closed, &w);
    assert_int_equal(running.status, ST_UNAVAILABLE);
    assert_int_equal(waiting.status, ST_UNAVAILABLE);
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer, &refused_one), ST_UNAVAILABLE);
    assert_true(turn_until(&w, &w.closed, 1000));
    assert_int_equal(running.calls + waiting.calls, 2);
    world_close(&w);
}

static void test_close_at_once(void **state)
{
    (void)state;
    WORLD(w, .url = "host=localhost user=x"); /* the name is being resolved, or not yet */
    world_close(&w);
    world_open(&w, &(struct db_opts){.url = "host=localhost user=x"});
    turn_for(&w, 1);
    world_close(&w);
}

static void on_answer_close(void *arg, enum status status, const struct db_result *result)
{
    struct answer *answer = arg;
    db_close(answer->world->db, on_closed, answer->world);
    assert_int_equal(status, ST_OK);
    assert_int_equal(db_int(result, 0, 0), 1); /* the result is still valid */
    answer->done = true;
}

static void test_close_from_callback(void **state)
{
    (void)state;
    WORLD(w, 0);
    struct answer answer = {.world = &w};
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer_close, &answer), ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    world_close(&w);
}

static void on_answer_again(void *arg, enum status status, const struct db_result *result)
{
    struct answer *answer = arg;
    (void)result;
    assert_int_equal(status, ST_OK);
    if (++answer->calls == 200)
        answer->done = true;
    else
        assert_int_equal(db_query(answer->world->db, &stmt_one, NULL, on_answer_again, answer),
                         ST_OK);
}

static void test_query_from_callback(void **state)
{
    (void)state;
    WORLD(w, 0);
    struct answer answer = {.world = &w};
    assert_int_equal(db_query(w.db, &stmt_one, NULL, on_answer_again, &answer), ST_OK);
    assert_true(turn_until(&w, &answer.done, 10000));
    world_close(&w);
}

/* ---- migrations ---- */

#define FILE_OF(name_, hash_, text_)                                                               \
    {                                                                                              \
        .name = name_, .data = (text_), .len = sizeof(text_) - 1, .hash = (hash_)                  \
    }

static const struct embed migrations[] = {
    FILE_OF("0001_a.sql", "a1", "CREATE TABLE m (id int); INSERT INTO m VALUES (1);"),
    FILE_OF("0002_b.sql", "b1", "SELECT pg_sleep(0.2); INSERT INTO m VALUES (2);"),
    FILE_OF("0003_c.sql", "c1", "INSERT INTO m VALUES (3);"),
    FILE_OF("0004_bad.sql", "d1", "INSERT INTO m VALUES (4); SELECT nothing;"),
    FILE_OF("0005_commit.sql", "e1", "INSERT INTO m VALUES (5); ROLLBACK;"),
};

#define ONE "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS "
#define TWO "CREATE OR REPLACE FUNCTION two() RETURNS int LANGUAGE sql AS "

/* one() calls a function of a file that comes later. */
static const struct embed functions[] = {
    FILE_OF("a.sql", "1", ONE "'SELECT two() - 1'"),
    FILE_OF("b.sql", "1", TWO "'SELECT 2'"),
};

static char told[512];

static void say(const char *line)
{
    const size_t len = strlen(told);
    (void)snprintf(told + len, sizeof(told) - len, "%s\n", line);
}

static enum status migrate_to(const struct db_schema *schema, char *error, size_t size)
{
    told[0] = '\0';
    return db_migrate(server.url, schema, say, error, size);
}

static enum status migrate(const struct embed *list, size_t count, char *error, size_t size)
{
    const struct db_schema schema = {list, count, NULL, 0, 0, 0};
    return migrate_to(&schema, error, size);
}

static pid_t migrate_apart(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char error[256];
        const struct db_schema schema = {migrations, 3, functions, 2, 1, 1};
        _exit(migrate_to(&schema, error, sizeof(error)));
    }
    return pid;
}

static int empty_schema(void **state)
{
    (void)state;
    return (int)pg_number(&server, "DROP TABLE IF EXISTS m, schema_migrations, schema_serves;"
                                   "DROP FUNCTION IF EXISTS one(); DROP FUNCTION IF EXISTS two();"
                                   "SELECT 0");
}

static void test_migrate(void **state)
{
    (void)state;
    char error[256] = "";
    const struct db_schema schema = {migrations, 3, functions, 2, 1, 1};
    pid_t first = migrate_apart(), second = migrate_apart();
    assert_true(pg_wait(first));
    assert_true(pg_wait(second));
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM m"), 3);
    assert_int_equal(pg_number(&server, "SELECT one()"), 1);
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM schema_migrations"), 5);
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "");
    assert_string_equal(error, "");
}

static void test_migrate_errors(void **state)
{
    (void)state;
    char error[256] = "";
    assert_int_equal(migrate(migrations, 3, error, sizeof(error)), ST_OK);
    assert_int_equal(migrate(migrations, 4, error, sizeof(error)), ST_INTERNAL);
    assert_non_null(strstr(error, "0004_bad.sql"));
    assert_non_null(strstr(error, "nothing"));
    const struct embed commit[] = {migrations[0], migrations[1], migrations[2], migrations[4]};
    assert_int_equal(migrate(commit, 4, error, sizeof(error)), ST_INTERNAL);
    assert_int_equal(pg_number(&server, "SELECT max(id) FROM m"), 3); /* nothing of them was kept */
    assert_int_equal(migrate(migrations, 2, error, sizeof(error)), ST_CONFLICT);
    assert_non_null(strstr(error, "0003_c.sql"));
    struct embed changed[] = {migrations[0], migrations[1], migrations[2]};
    changed[1].hash = "b2";
    assert_int_equal(migrate(changed, 3, error, sizeof(error)), ST_CONFLICT);
    assert_non_null(strstr(error, "0002_b.sql was changed"));
    const struct db_schema schema = {migrations, 3, NULL, 0, 0, 0};
    assert_int_equal(db_migrate("host=/nowhere", &schema, NULL, error, sizeof(error)),
                     ST_UNAVAILABLE);
    assert_int_equal(db_migrate("x", &schema, NULL, error, sizeof(error)), ST_INVALID);
}

/* A database from before the first release. */
static void test_migrate_unreleased(void **state)
{
    (void)state;
    char error[256] = "";
    assert_int_equal(pg_number(&server, "CREATE TABLE schema_migrations (name text PRIMARY KEY,"
                                        " applied_at timestamptz NOT NULL DEFAULT now());"
                                        "INSERT INTO schema_migrations VALUES ('001_events.sql');"
                                        "SELECT 0"),
                     0);
    assert_int_equal(migrate(migrations, 3, error, sizeof(error)), ST_CONFLICT);
    assert_non_null(strstr(error, "001_events.sql"));
    assert_non_null(strstr(error, "create an empty database"));
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM schema_migrations"), 1);
}

static void test_migrate_functions(void **state)
{
    (void)state;
    char error[256] = "";
    struct db_schema schema = {migrations, 1, functions, 2, 5, 3};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "applied 0001_a.sql\napplied functions: a.sql\n"
                              "applied functions: b.sql\n");

    /* Only what has changed is applied. */
    struct embed newer[] = {functions[0], FILE_OF("b.sql", "2", TWO "'SELECT 3'")};
    schema = (struct db_schema){migrations, 1, newer, 2, 6, 4};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "applied functions: b.sql\n");
    assert_int_equal(pg_number(&server, "SELECT one()"), 2);

    /* An older program leaves them alone, though its texts differ. */
    schema = (struct db_schema){migrations, 1, functions, 2, 5, 3};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "left the functions alone: generation 6 is newer than this "
                              "program's 5\n");
    assert_int_equal(pg_number(&server, "SELECT one()"), 2);
    assert_int_equal(pg_number(&server, "SELECT max(generation) FROM schema_migrations"), 6);

    /* Neither program is the newer one. */
    schema.migration_count = 2;
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_CONFLICT);
    assert_non_null(strstr(error, "0002_b.sql"));
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM m"), 1);

    /* A file that fails undoes all of them; bodies are checked once all are there. */
    struct embed bad[] = {FILE_OF("a.sql", "3", ONE "'SELECT 9'"),
                          FILE_OF("b.sql", "3", TWO "'SELECT three()'")};
    schema = (struct db_schema){migrations, 1, bad, 2, 7, 4};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_INTERNAL);
    assert_non_null(strstr(error, "b.sql"));
    assert_non_null(strstr(error, "three"));
    assert_int_equal(pg_number(&server, "SELECT one()"), 2);
    assert_int_equal(pg_number(&server, "SELECT max(generation) FROM schema_migrations"), 6);

    /* The table forgets a file that the program no longer has. */
    schema = (struct db_schema){migrations, 1, newer + 1, 1, 7, 4};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "");
    assert_int_equal(pg_number(&server, "SELECT count(*) FROM schema_migrations"), 2);
}

/* The step back: the previous program finds a newer schema. */
static void test_migrate_step_back(void **state)
{
    (void)state;
    char error[256] = "";
    struct db_schema schema = {migrations, 3, functions, 2, 6, 5};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_int_equal(pg_number(&server, "SELECT generation * 100 + oldest FROM schema_serves"),
                     605);
    schema = (struct db_schema){migrations, 2, functions, 2, 5, 1};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_string_equal(told, "left the functions alone: generation 6 is newer than this "
                              "program's 5\n");
    assert_int_equal(pg_number(&server, "SELECT generation * 100 + oldest FROM schema_serves"),
                     605);
    schema.generation = 4;
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_CONFLICT);
    assert_non_null(strstr(error, "serves programs of generation 5 or newer and this one has 4"));

    /* A failing migration of a release that contracts: those before it are refused already. */
    schema = (struct db_schema){migrations, 4, functions, 2, 8, 7};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_INTERNAL);
    assert_int_equal(pg_number(&server, "SELECT generation * 100 + oldest FROM schema_serves"),
                     607);
    /* What was taken away stays away. */
    schema = (struct db_schema){migrations, 3, functions, 2, 8, 1};
    assert_int_equal(migrate_to(&schema, error, sizeof(error)), ST_OK);
    assert_int_equal(pg_number(&server, "SELECT generation * 100 + oldest FROM schema_serves"),
                     807);
}

/* ---- */

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
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_big_params),
        cmocka_unit_test(test_big_result),
        cmocka_unit_test(test_prepared_once),
        cmocka_unit_test(test_sqlstates),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_changed_table),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_longer_deadline),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_kinds_leave_room),
        cmocka_unit_test(test_lock_timeout),
        cmocka_unit_test(test_deadline_in_queue),
        cmocka_unit_test(test_pool_grows),
        cmocka_unit_test(test_many_in_flight),
        cmocka_unit_test(test_failures_are_isolated),
        cmocka_unit_test(test_overdue_among_others),
        cmocka_unit_test(test_slow_query_delays_none),
        cmocka_unit_test(test_big_both_ways),
        cmocka_unit_test(test_frozen_server),
        cmocka_unit_test(test_probe_is_quiet),
        cmocka_unit_test(test_alone_behind_probe),
        cmocka_unit_test(test_deadline_while_connecting),
        cmocka_unit_test(test_hanging_host),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_bad_url),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_idle_connection_died),
        cmocka_unit_test(test_terminated_backend),
        cmocka_unit_test(test_killed_server),
        cmocka_unit_test(test_close_with_pending),
        cmocka_unit_test(test_close_at_once),
        cmocka_unit_test(test_close_from_callback),
        cmocka_unit_test(test_query_from_callback),
        cmocka_unit_test_setup(test_migrate, empty_schema),
        cmocka_unit_test_setup(test_migrate_errors, empty_schema),
        cmocka_unit_test_setup(test_migrate_unreleased, empty_schema),
        cmocka_unit_test_setup(test_migrate_functions, empty_schema),
        cmocka_unit_test_setup(test_migrate_step_back, empty_schema),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, start, stop);
}
