/* SPDX-License-Identifier: MIT */
/*
 * db_conn: one connection of the pool, from the attempt to connect to its end, and the queries on it.
 *
 * Why this way: a query that PostgreSQL certainly did nothing of goes back to the head of its line, once; all others on a
 * connection that is lost end with unknown outcome. Failed attempts are logged when they begin and every half a minute.
 * Called by: db (the pool) and db_link (its callbacks). Owns: the link, and the queries in flight on it.
 * Invariants: those of db.c. PostgreSQL gone: see db.c.
 */
#include "net/db_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

#define CONNECT_TIMEOUT_MS 5000
#define CONNECT_ANY_MS     2000 /* limit of one attempt when the URL names several hosts */
#define PROBE_TIMEOUT_MS   2500
#define BACKOFF_MIN_MS     50
#define BACKOFF_MAX_MS     500
#define STABLE_MS          1000  /* losing a younger connection counts as a failed attempt */
#define REMIND_MS          30000 /* between two log lines about the same failure to connect */

/* ---- lists of queries ---- */

void db_list_push(struct db_query_list *list, struct db_query *query)
{
    query->next = NULL;
    if (list->tail)
        list->tail->next = query;
    else
        list->head = query;
    list->tail = query;
    list->count++;
}

struct db_query *db_list_pop(struct db_query_list *list)
{
    struct db_query *query = list->head;
    if (!query)
        return NULL;
    list->head = query->next;
    if (!list->head)
        list->tail = NULL;
    list->count--;
    return query;
}

/* ---- kinds ---- */

static void flight_push(struct db_conn *conn, struct db_query *query)
{
    const enum db_kind kind = query->stmt->kind;
    db_list_push(&conn->in_flight, query);
    if (conn->of_kind[kind]++ == 0)
        conn->db->occupied[kind]++;
}

static struct db_query *flight_pop(struct db_conn *conn)
{
    struct db_query *query = db_list_pop(&conn->in_flight);
    if (query && --conn->of_kind[query->stmt->kind] == 0)
        conn->db->occupied[query->stmt->kind]--;
    return query;
}

bool db_conn_fits(const struct db_conn *conn, enum db_kind kind)
{
    return conn->of_kind[kind] > 0 || conn->db->occupied[kind] < conn->db->most[kind];
}

/* ---- the end of a query ---- */

void db_query_finish(struct db *db, struct db_query *query, enum status status,
                     struct db_result *result)
{
    query->status = status;
    query->result = result;
    db_list_push(&db->done, query);
}

void db_done_run(struct db *db)
{
    struct db_query *query;
    while ((query = db_list_pop(&db->done))) {
        enum status st = query->status;
        if (!query->probe) {
            metrics_observe(HISTOGRAM_DB, (double)(clock_mono_ns() - query->began_ns) / 1e9);
            if (st != ST_OK && !query->answered)
                metrics_add(st == ST_TIMEOUT ? METRIC_DB_TIMEOUTS : METRIC_DB_CONNECTION_ERRORS, 1);
            trace_enter(&query->trace);
            query->cb(query->arg, st, st == ST_OK ? query->result : NULL);
            trace_enter(NULL);
        }
        db_result_free(query->result);
        free(query);
    }
}

void db_fail_waiting(struct db *db)
{
    struct db_query *query;
    for (size_t kind = 0; kind < DB_KINDS; kind++) {
        while ((query = db_list_pop(&db->waiting[kind])))
            db_query_finish(db, query, ST_UNAVAILABLE, NULL);
    }
}

/* ---- time ---- */

void db_timer_need(struct db *db, uint64_t at)
{
    if (at >= db->timer_at)
        return;
    uint64_t now = loop_now_ms(db->loop);
    db->timer_at = at;
    loop_timer_set(db->timer, at > now ? at - now : 0);
}

void db_pump_later(struct db *db)
{
    if (!db->closing)
        loop_defer(db->loop, &db->pump);
}

static void retry_later(struct db *db)
{
    if (db->retry_pending || db->closing)
        return;
    db->backoff_ms = db->backoff_ms ? db->backoff_ms * 2 : BACKOFF_MIN_MS * 2;
    if (db->backoff_ms > BACKOFF_MAX_MS)
        db->backoff_ms = BACKOFF_MAX_MS;
    db->random ^= db->random << 13; /* xorshift32 is good enough: it only spreads reconnects */
    db->random ^= db->random >> 17;
    db->random ^= db->random << 5;
    const uint32_t spread = (uint32_t)(db->backoff_ms - BACKOFF_MIN_MS) + 1;
    db->retry_pending = true;
    loop_timer_set(db->retry, BACKOFF_MIN_MS + db->random % spread);
}

/* ---- connections ---- */

unsigned db_conns_in(const struct db *db, enum db_conn_state from, enum db_conn_state to)
{
    unsigned count = 0;
    for (const struct db_conn *conn = db->conns; conn; conn = conn->next)
        count += conn->state >= from && conn->state <= to;
    return count;
}

void db_conn_free(struct db_conn *conn)
{
    struct db_conn **at = &conn->db->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    assert(!conn->in_flight.head);
    db_link_close(conn->link);
    free(conn);
}

#define LINE_SIZE 256

/* Copies the first line of a message of libpq into line[LINE_SIZE] and returns it. The lines after it only
 * give details. */
static const char *first_line(const char *message, char *line)
{
    size_t len = strcspn(message, "\n");
    len = len < LINE_SIZE ? len : LINE_SIZE - 1;
    memcpy(line, message, len);
    line[len] = '\0';
    return line;
}

void db_conn_refused(struct db_conn *conn, const char *error)
{
    struct db *db = conn->db;
    const bool none = db_conns_in(db, CONN_UP, CONN_RETIRING) == 0;
    const uint64_t now = loop_now_ms(db->loop);
    char line[LINE_SIZE];
    if (error != db->health.problem)
        db_health_unreached(&db->health, first_line(error, line));
    if (!none)
        log_warn("db connect failed, other connections still work",
                 LOG_TEXT("host", db_link_host(conn->link)),
                 LOG_TEXT("port", db_link_port(conn->link)),
                 LOG_TEXT("error", first_line(error, line)));
    else if (!db->failing || now - db->refused_logged_ms >= REMIND_MS) {
        db->refused_logged_ms = now;
        log_warn("db unreachable, queries are refused until it reconnects",
                 LOG_TEXT("host", db_link_host(conn->link)),
                 LOG_TEXT("port", db_link_port(conn->link)),
                 LOG_TEXT("error", first_line(error, line)));
    }
    db_conn_free(conn);
    if (none) {
        db->failing = db->lost = true;
        db_fail_waiting(db);
    }
    retry_later(db);
}

/* Puts a query of which PostgreSQL did nothing back at the head of the waiting list. False: it must not be
 * repeated, because it was repeated once, is a probe, or db is closing. */
static bool query_retry(struct db *db, struct db_query *query)
{
    if (db->closing || query->retried || query->probe)
        return false;
    struct db_query_list *waiting = &db->waiting[query->stmt->kind];
    query->retried = true;
    query->answered = false;
    query->next = waiting->head;
    waiting->head = query;
    if (!waiting->tail)
        waiting->tail = query;
    waiting->count++;
    return true;
}

void db_conn_lost(struct db_conn *conn)
{
    struct db *db = conn->db;
    const uint64_t now = loop_now_ms(db->loop);
    const bool sent = db_link_sent(conn->link);
    struct db_query *query;
    while ((query = flight_pop(conn))) {
        const bool overdue = query->deadline <= now;
        if (overdue || sent || conn->in_flight.head || !query_retry(db, query))
            db_query_finish(db, query, overdue ? ST_TIMEOUT : ST_UNAVAILABLE, NULL);
    }
    db->lost = true;
    if (now - conn->up_at < STABLE_MS)
        retry_later(db);
    db_conn_free(conn);
    db_pump_later(db);
}

void db_conn_broken(struct db_conn *conn, const char *error)
{
    char line[LINE_SIZE];
    log_warn("db connection lost", LOG_TEXT("host", db_link_host(conn->link)),
             LOG_TEXT("port", db_link_port(conn->link)),
             LOG_TEXT("error", error[0] ? first_line(error, line) : "closed by the server"));
    db_conn_lost(conn);
}

static void on_up(void *arg)
{
    struct db_conn *conn = arg;
    struct db *db = conn->db;
    conn->state = CONN_UP;
    conn->up_at = conn->used_at = conn->heard_at = db->judged_ms = loop_now_ms(db->loop);
    db->backoff_ms = 0;
    if (db->lost)
        metrics_add(METRIC_DB_RECONNECTS, 1);
    if (db->failing)
        log_info("db reachable again");
    db->failing = db->lost = false;
    db_timer_need(db, conn->heard_at + PROBE_AFTER_MS);
    db_pump_later(db);
}

/* Judges what a probe has found. The schema may have changed, so that this connection, and the next one, is refused. */
static void probed(struct db_conn *conn, struct db_outcome outcome, const struct db_result *result)
{
    struct db_health *health = &conn->db->health;
    const bool was_read_only = health->state.read_only;
    if (outcome.status != ST_OK)
        return;
    const char *fault = db_health_row(health, result, db_link_backend(conn->link));
    if (fault) {
        conn->state = CONN_RETIRING;
        log_error("db connection given up", LOG_TEXT("error", fault));
    } else if (health->state.read_only != was_read_only) {
        log_warn(health->state.read_only ? "postgresql refuses writes"
                                         : "postgresql accepts writes again",
                 LOG_TEXT("server", health->state.standby ? "standby" : "primary"));
    }
}

/* Stores the result. The query's callback runs later in this turn, from on_pump, because the link may have more
 * results to pass on. */
static void on_result(void *arg, struct db_outcome outcome, struct db_result *result)
{
    struct db_conn *conn = arg;
    struct db *db = conn->db;
    struct db_query *query = flight_pop(conn);
    query->answered = true;
    conn->head_at = conn->heard_at = loop_now_ms(db->loop);
    if (!query->probe)
        conn->used_at = conn->heard_at;
    if (query->probe)
        probed(conn, outcome, result);
    if (outcome.drop)
        conn->state = CONN_RETIRING;
    if (outcome.retry && query_retry(db, query))
        db_result_free(result);
    else
        db_query_finish(db, query, outcome.status, result);
    db_timer_need(db, conn->heard_at + PROBE_AFTER_MS);
    db_pump_later(db);
}

static void on_down(void *arg, const char *error)
{
    struct db_conn *conn = arg;
    struct db *db = conn->db;
    if (conn->state == CONN_CONNECTING)
        db_conn_refused(conn, error);
    else
        db_conn_broken(conn, error);
    db_pool_report(db, !db->closing);
    db_done_run(db);
}

void db_conn_open(struct db *db)
{
    static const struct db_link_user user = {
        .on_up = on_up, .on_result = on_result, .on_down = on_down};
    struct db_conn *conn = xcalloc(1, sizeof(*conn));
    conn->db = db;
    conn->skip = db->skip;
    conn->next = db->conns;
    db->conns = conn;
    conn->deadline = loop_now_ms(db->loop) +
                     (db->endpoint->target_count > 1 ? CONNECT_ANY_MS : CONNECT_TIMEOUT_MS);
    conn->link = db_link_open(db->loop, db->endpoint, db->skip, &db->health, &user, conn);
    db_timer_need(db, conn->deadline);
}

bool db_query_is_alone(const struct db *db, const struct db_query *query)
{
    return query->timeout_ms != db->timeout_ms && !query->probe;
}

void db_conn_run(struct db_conn *conn, struct db_query *query)
{
    struct db *db = conn->db;
    int64_t limit_ms = db_query_is_alone(db, query) ? query->timeout_ms : 0;
    if (!conn->in_flight.head)
        conn->head_at = loop_now_ms(db->loop);
    flight_push(conn, query);
    db_timer_need(db, query->deadline);
    if (!query->probe)
        metrics_observe(HISTOGRAM_DB_WAIT, (double)(clock_mono_ns() - query->began_ns) / 1e9);
    if (!db_link_send(conn->link, query->stmt, query->params, limit_ms, &query->trace))
        db_conn_broken(conn, db_link_error(conn->link));
}

void db_conn_probe(struct db_conn *conn)
{
    struct db *db = conn->db;
    const uint64_t now = loop_now_ms(db->loop);
    struct db_query *query = xcalloc(1, sizeof(*query) + sizeof(char *));
    query->stmt = db_health_probe(&db->health);
    query->params[0] = *db_health_params(&db->health); /* outlives every query */
    query->probe = true;
    query->timeout_ms = PROBE_TIMEOUT_MS;
    query->deadline = now + PROBE_TIMEOUT_MS;
    db->judged_ms = now;
    db_conn_run(conn, query);
}
