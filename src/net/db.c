/* SPDX-License-Identifier: MIT */
/*
 * db: PostgreSQL: a small pool of connections on one loop, a deadline for every query, reconnects
 * with jittered back-off.
 *
 * Why this way: a query goes to a free connection; when the pool cannot grow, behind others (libpq's
 * pipeline): to where the fewest are, but never behind one that has been running for long, nor
 * behind or before one with a limit of its own: those wait in line. A deadline counts from the
 * call. At the deadline a query is given up by closing its connection: PQcancel would block, and
 * statement_timeout stops the server too. Whatever else is under way on that connection ends with
 * it, unknown; so as much as must be is put behind others, and not more.
 * A connection without work is asked every second whether it is still there: a server that hangs,
 * or a host that is gone, says nothing by itself.
 * Called by: domain and role files, on the loop's thread.
 * Owns: the connections (db_link), the queries in line, a timer for all deadlines, one for retries.
 * Invariants: user callbacks run only from done_run, which ends every entry point: so nothing below
 * them is in use when they call db_query or db_close. `db` itself lives until on_gone.
 * PostgreSQL gone: waiting queries end with ST_UNAVAILABLE, new ones are refused at once, and one
 * attempt at a time is made every 50..500 ms. Of several hosts, one that does not answer in time is
 * passed over at the next attempt: libpq itself would wait for it for ever.
 *
 * A connection:  CONNECTING -> UP (-> RETIRING: takes no more);  each may end in conn_free.
 * A query:       waiting -> on a connection -> done;  back to waiting once, if nothing of it was done.
 */
#include "net/db.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/db_link.h"

#define CONNECT_TIMEOUT_MS 5000
#define CONNECT_ANY_MS     2000 /* where there is another host to try */
#define STALL_MS           50   /* nothing is put behind a query that has run for so long */
#define LOOK_MS            1000 /* a connection idle for so long is asked for a sign of life */
#define LOOK_TIMEOUT_MS    2500
#define BACKOFF_MIN_MS     50
#define BACKOFF_MAX_MS     500
#define LIVED_MS           1000  /* a connection that died younger counts as a failed attempt */
#define SPARE_MS           60000 /* a connection above pool_min, unused for so long, is closed */
#define SLEEP_MS           3600000

struct query {
    struct query *next;
    const struct db_stmt *stmt;
    db_cb cb;
    void *arg;
    uint64_t began_ns, deadline;
    int64_t timeout_ms;
    bool retried;
    bool probe;         /* ours: a sign of life, not somebody's query */
    enum status status; /* when done */
    struct db_result *result;
    const char *params[]; /* then their texts */
};

struct query_list {
    struct query *head, *tail;
    unsigned count;
};

enum conn_state { CONN_CONNECTING, CONN_UP, CONN_RETIRING };

struct conn {
    struct db *db;
    struct conn *next;
    struct db_link *link;
    enum conn_state state;
    struct query_list flight; /* under way, in order */
    uint64_t deadline;        /* of the attempt to connect */
    uint64_t since;           /* connected */
    uint64_t used;            /* the last query ended */
    uint64_t heard;           /* anything came */
    uint64_t head_at;         /* the oldest under way became that */
    unsigned skip;            /* as db had it at the attempt to connect */
};

struct db {
    struct loop *loop;
    struct db_endpoint *endpoint;
    unsigned pool_min, pool_max, queue_max;
    int64_t timeout_ms;
    struct conn *conns;
    struct query_list waiting, done;
    struct loop_timer *timer; /* the earliest deadline of anything */
    uint64_t timer_at;
    struct loop_timer *retry;
    bool retry_pending;
    uint64_t backoff_ms;
    unsigned skip; /* addresses passed over at the next attempt to connect */
    uint32_t random;
    struct loop_task pump;
    bool failing; /* no connection, and the last attempt failed */
    bool lost;    /* the next connection is a reconnection */
    bool closing;
    struct loop_task gone;
    loop_cb on_closed;
    void *closed_arg;
};

/* ---- lists of queries ---- */

static void list_push(struct query_list *list, struct query *query)
{
    query->next = NULL;
    if (list->tail)
        list->tail->next = query;
    else
        list->head = query;
    list->tail = query;
    list->count++;
}

static void list_push_front(struct query_list *list, struct query *query)
{
    query->next = list->head;
    list->head = query;
    if (!list->tail)
        list->tail = query;
    list->count++;
}

static struct query *list_pop(struct query_list *list)
{
    struct query *query = list->head;
    if (!query)
        return NULL;
    list->head = query->next;
    if (!list->head)
        list->tail = NULL;
    list->count--;
    return query;
}

/* ---- the end of a query ---- */

/* Takes `result`. The callback runs at the end of this entry point. */
static void query_finish(struct db *db, struct query *query, enum status status,
                         struct db_result *result)
{
    query->status = status;
    query->result = result;
    list_push(&db->done, query);
}

static void done_run(struct db *db)
{
    struct query *query;
    while ((query = list_pop(&db->done))) {
        enum status st = query->status;
        if (!query->probe) {
            metrics_observe(HISTOGRAM_DB, (double)(clock_mono_ns() - query->began_ns) / 1e9);
            if (st == ST_TIMEOUT || st == ST_UNAVAILABLE || st == ST_INTERNAL)
                metrics_add(METRIC_DB_ERRORS, 1);
            query->cb(query->arg, st, st == ST_OK ? query->result : NULL);
        }
        db_result_free(query->result);
        free(query);
    }
}

static void fail_waiting(struct db *db)
{
    struct query *query;
    while ((query = list_pop(&db->waiting)))
        query_finish(db, query, ST_UNAVAILABLE, NULL);
}

/* ---- time ---- */

/* The timer is set earlier, never later: on_timer looks what is due and sets it anew. */
static void timer_need(struct db *db, uint64_t at)
{
    if (at >= db->timer_at)
        return;
    uint64_t now = loop_now_ms(db->loop);
    db->timer_at = at;
    loop_timer_set(db->timer, at > now ? at - now : 0);
}

static void pump_later(struct db *db)
{
    if (!db->closing)
        loop_defer(db->loop, &db->pump);
}

static uint32_t random_below(struct db *db, uint32_t bound)
{
    db->random ^= db->random << 13; /* xorshift32: it only spreads reconnects */
    db->random ^= db->random >> 17;
    db->random ^= db->random << 5;
    return db->random % bound;
}

static void retry_later(struct db *db)
{
    if (db->retry_pending || db->closing)
        return;
    db->backoff_ms = db->backoff_ms ? db->backoff_ms * 2 : BACKOFF_MIN_MS * 2;
    if (db->backoff_ms > BACKOFF_MAX_MS)
        db->backoff_ms = BACKOFF_MAX_MS;
    uint32_t spread = (uint32_t)(db->backoff_ms - BACKOFF_MIN_MS) + 1;
    db->retry_pending = true;
    loop_timer_set(db->retry, BACKOFF_MIN_MS + random_below(db, spread));
}

/* ---- connections ---- */

static unsigned conns_in(const struct db *db, enum conn_state from, enum conn_state to)
{
    unsigned count = 0;
    for (const struct conn *conn = db->conns; conn; conn = conn->next)
        count += conn->state >= from && conn->state <= to;
    return count;
}

static void conn_free(struct conn *conn)
{
    struct conn **at = &conn->db->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    assert(!conn->flight.head);
    db_link_close(conn->link);
    free(conn);
}

static void log_trouble(const char *message, const char *error)
{
    char line[256];
    size_t len = strcspn(error, "\n");
    len = len < sizeof(line) ? len : sizeof(line) - 1;
    memcpy(line, error, len);
    line[len] = '\0';
    log_warn(message, LOG_TEXT("error", line));
}

/* An attempt to connect came to nothing. */
static void conn_refused(struct conn *conn, const char *error)
{
    struct db *db = conn->db;
    bool none = conns_in(db, CONN_UP, CONN_RETIRING) == 0;
    if (!none || !db->failing)
        log_trouble(none ? "postgres: out of reach" : "postgres: cannot add a connection", error);
    conn_free(conn);
    if (none) {
        db->failing = db->lost = true;
        fail_waiting(db);
    }
    retry_later(db);
}

/* Nothing of this query was done, so it may be done elsewhere: once. */
static bool query_again(struct db *db, struct query *query)
{
    if (db->closing || query->retried || query->probe)
        return false;
    query->retried = true;
    list_push_front(&db->waiting, query);
    return true;
}

/* Gives up a working connection. What is under way on it is unknown; ST_TIMEOUT for what is
 * overdue. Only what was sent last is certain not to have left, if not all has. */
static void conn_lost(struct conn *conn)
{
    struct db *db = conn->db;
    uint64_t now = loop_now_ms(db->loop);
    bool sent = db_link_sent(conn->link);
    struct query *query;
    while ((query = list_pop(&conn->flight))) {
        bool overdue = query->deadline <= now;
        if (overdue || sent || conn->flight.head || !query_again(db, query))
            query_finish(db, query, overdue ? ST_TIMEOUT : ST_UNAVAILABLE, NULL);
    }
    db->lost = true;
    if (now - conn->since < LIVED_MS)
        retry_later(db);
    conn_free(conn);
    pump_later(db);
}

static void conn_broken(struct conn *conn, const char *error)
{
    log_trouble("postgres: connection lost", error[0] ? error : "closed by the server");
    conn_lost(conn);
}

static void on_up(void *arg)
{
    struct conn *conn = arg;
    struct db *db = conn->db;
    conn->state = CONN_UP;
    conn->since = conn->used = conn->heard = loop_now_ms(db->loop);
    db->backoff_ms = 0;
    if (db->lost)
        metrics_add(METRIC_DB_RECONNECTS, 1);
    if (db->failing)
        log_info("postgres: back in reach");
    db->failing = db->lost = false;
    timer_need(db, conn->heard + LOOK_MS);
    pump_later(db);
}

/* The callback runs later in this turn, from on_pump: more results may follow at once. */
static void on_result(void *arg, struct db_outcome outcome, struct db_result *result)
{
    struct conn *conn = arg;
    struct db *db = conn->db;
    struct query *query = list_pop(&conn->flight);
    conn->head_at = conn->heard = loop_now_ms(db->loop);
    if (!query->probe)
        conn->used = conn->heard;
    if (outcome.drop)
        conn->state = CONN_RETIRING;
    if (outcome.again && query_again(db, query))
        db_result_free(result);
    else
        query_finish(db, query, outcome.status, result);
    timer_need(db, conn->heard + LOOK_MS);
    pump_later(db);
}

static void on_down(void *arg, const char *error)
{
    struct conn *conn = arg;
    struct db *db = conn->db;
    if (conn->state == CONN_CONNECTING)
        conn_refused(conn, error);
    else
        conn_broken(conn, error);
    done_run(db);
}

static void conn_open(struct db *db)
{
    static const struct db_link_user user = {
        .on_up = on_up, .on_result = on_result, .on_down = on_down};
    struct conn *conn = xcalloc(1, sizeof(*conn));
    conn->db = db;
    conn->skip = db->skip;
    conn->next = db->conns;
    db->conns = conn;
    conn->deadline = loop_now_ms(db->loop) +
                     (db->endpoint->target_count > 1 ? CONNECT_ANY_MS : CONNECT_TIMEOUT_MS);
    conn->link = db_link_open(db->loop, db->endpoint, db->skip, &user, conn);
    timer_need(db, conn->deadline);
}

/* Has it a limit of its own? Then it has its connection for itself: whatever is behind a query with
 * more time would wait too long, and one with less would end what is before it. */
static bool is_alone(const struct db *db, const struct query *query)
{
    return query->timeout_ms != db->timeout_ms && !query->probe;
}

static void conn_run(struct conn *conn, struct query *query)
{
    struct db *db = conn->db;
    int64_t limit_ms = is_alone(db, query) ? query->timeout_ms : 0;
    if (!conn->flight.head)
        conn->head_at = loop_now_ms(db->loop);
    list_push(&conn->flight, query);
    timer_need(db, query->deadline);
    if (!db_link_send(conn->link, query->stmt, query->params, limit_ms))
        conn_broken(conn, db_link_error(conn->link));
}

/* ---- the pool ---- */

static bool is_stalled(const struct conn *conn)
{
    return conn->flight.head && loop_now_ms(conn->db->loop) - conn->head_at >= STALL_MS;
}

/* A probe alone does not count: it is over at once, or never. */
static bool is_free(const struct conn *conn)
{
    const struct query *head = conn->flight.head;
    return conn->state == CONN_UP && (!head || (head->probe && !head->next && !is_stalled(conn)));
}

/* Of the free ones the one used last, so that connections above pool_min become old and can go. */
static struct conn *conn_free_one(const struct db *db)
{
    struct conn *best = NULL;
    for (struct conn *conn = db->conns; conn; conn = conn->next)
        if (is_free(conn) && (!best || conn->used > best->used))
            best = conn;
    return best;
}

/* May a query be put behind those under way here? One that is alone is the last: a probe at most is
 * before it. */
static bool has_room(const struct conn *conn)
{
    return conn->state == CONN_UP && conn->flight.head && conn->flight.count < DB_LINK_DEPTH &&
           !is_stalled(conn) && !is_alone(conn->db, conn->flight.tail);
}

/* Where the fewest are under way; for the head of the line, when no connection is free and none is
 * to come. */
static struct conn *conn_least(const struct db *db)
{
    struct conn *best = NULL;
    if (is_alone(db, db->waiting.head) || conns_in(db, CONN_CONNECTING, CONN_CONNECTING) > 0)
        return NULL;
    for (struct conn *conn = db->conns; conn; conn = conn->next)
        if (has_room(conn) && (!best || conn->flight.count < best->flight.count))
            best = conn;
    return best;
}

/* As many connections as the pool's minimum and the waiting queries need; while none can be had,
 * one attempt at a time. */
static void pool_fill(struct db *db)
{
    while (!db->retry_pending) {
        unsigned coming = conns_in(db, CONN_CONNECTING, CONN_CONNECTING);
        unsigned all = conns_in(db, CONN_CONNECTING, CONN_RETIRING);
        bool wanted = all < db->pool_min || coming < db->waiting.count;
        if (!wanted || all >= db->pool_max || (db->failing && coming > 0))
            return;
        conn_open(db);
    }
}

/* Connections of no use any more go as soon as everything on them is answered. */
static void pool_retire(struct db *db)
{
    struct conn *after;
    for (struct conn *conn = db->conns; conn; conn = after) {
        after = conn->next;
        if (conn->state == CONN_RETIRING && !conn->flight.head)
            conn_lost(conn);
    }
}

static void on_pump(void *arg)
{
    struct db *db = arg;
    struct conn *conn;
    pool_retire(db);
    while (db->waiting.head && (conn = conn_free_one(db))) {
        if (conn->flight.head || db_link_alive(conn->link))
            conn_run(conn, list_pop(&db->waiting));
        else
            conn_broken(conn, db_link_error(conn->link));
    }
    pool_fill(db);
    while (db->waiting.head && (conn = conn_least(db)))
        conn_run(conn, list_pop(&db->waiting));
    done_run(db);
}

static void on_retry(void *arg)
{
    struct db *db = arg;
    db->retry_pending = false;
    on_pump(db);
}

/* ---- deadlines ---- */

static void expire_waiting(struct db *db, uint64_t now, uint64_t *next)
{
    struct query_list keep = {0};
    struct query *query;
    while ((query = list_pop(&db->waiting))) {
        if (query->deadline <= now) {
            query_finish(db, query, ST_TIMEOUT, NULL);
            continue;
        }
        if (query->deadline < *next)
            *next = query->deadline;
        list_push(&keep, query);
    }
    db->waiting = keep;
}

/* When this connection has to be looked at again. */
static uint64_t conn_due(const struct conn *conn)
{
    uint64_t due = conn->deadline;
    if (conn->state == CONN_CONNECTING)
        return due;
    if (!conn->flight.head)
        return conn->heard + LOOK_MS < conn->used + SPARE_MS ? conn->heard + LOOK_MS
                                                             : conn->used + SPARE_MS;
    due = UINT64_MAX;
    for (const struct query *query = conn->flight.head; query; query = query->next)
        due = query->deadline < due ? query->deadline : due;
    return due;
}

/* Asks a connection without work for a sign of life. */
static void conn_probe(struct conn *conn)
{
    static const struct db_stmt stmt = {.name = "db_probe", .sql = "SELECT 1"};
    struct db *db = conn->db;
    struct query *query = xcalloc(1, sizeof(*query));
    query->stmt = &stmt;
    query->probe = true;
    query->timeout_ms = LOOK_TIMEOUT_MS;
    query->deadline = loop_now_ms(db->loop) + LOOK_TIMEOUT_MS;
    conn_run(conn, query);
}

static void conn_overdue(struct conn *conn)
{
    const struct query *query = conn->flight.head;
    while (query->deadline > loop_now_ms(conn->db->loop))
        query = query->next;
    log_warn("postgres: deadline passed", LOG_TEXT("statement", query->stmt->name),
             LOG_NUM("timeoutMs", query->timeout_ms), LOG_NUM("underWay", conn->flight.count));
    conn_lost(conn);
}

static void conn_expire(struct conn *conn)
{
    struct db *db = conn->db;
    uint64_t now = loop_now_ms(db->loop);
    if (conn->state == CONN_CONNECTING) {
        if (db->skip == conn->skip) /* several may have been at it */
            db->skip++;             /* begin with the next one */
        conn_refused(conn, "no answer in time");
    } else if (conn->flight.head) {
        conn_overdue(conn);
    } else if (conn->used + SPARE_MS > now) {
        conn_probe(conn);
    } else if (conns_in(db, CONN_CONNECTING, CONN_RETIRING) > db->pool_min) {
        conn_free(conn);
    } else {
        conn->used = now; /* belongs to the minimum: look again later */
    }
}

static void on_timer(void *arg)
{
    struct db *db = arg;
    uint64_t now = loop_now_ms(db->loop);
    uint64_t next = now + SLEEP_MS;
    struct conn *after;
    expire_waiting(db, now, &next);
    for (struct conn *conn = db->conns; conn; conn = after) {
        after = conn->next;
        if (conn_due(conn) <= now)
            conn_expire(conn);
    }
    for (const struct conn *conn = db->conns; conn; conn = conn->next)
        if (conn_due(conn) < next)
            next = conn_due(conn);
    db->timer_at = UINT64_MAX;
    timer_need(db, next);
    pump_later(db);
    done_run(db);
}

/* ---- queries ---- */

/* One block: the query, its parameters, their texts. */
static enum status query_new(const struct db_stmt *stmt, const char *const *params,
                             struct query **ret_query)
{
    size_t count = (size_t)stmt->param_count;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += params[i] ? strlen(params[i]) + 1 : 0;
    if (size > DB_PARAMS_MAX)
        return ST_TOO_LARGE;
    struct query *query = malloc(sizeof(*query) + count * sizeof(char *) + size);
    if (!query)
        return ST_UNAVAILABLE;
    memset(query, 0, sizeof(*query));
    char *text = (char *)(query->params + count);
    for (size_t i = 0; i < count; i++) {
        query->params[i] = params[i] ? text : NULL;
        if (params[i])
            text = stpcpy(text, params[i]) + 1;
    }
    query->stmt = stmt;
    *ret_query = query;
    return ST_OK;
}

enum status db_query_within(struct db *db, int64_t timeout_ms, const struct db_stmt *stmt,
                            const char *const *params, db_cb cb, void *arg)
{
    if (db->closing || db->failing)
        return ST_UNAVAILABLE;
    if (db->waiting.count >= db->queue_max + conns_in(db, CONN_UP, CONN_UP))
        return ST_FULL;
    struct query *query;
    enum status st = query_new(stmt, params, &query);
    if (st != ST_OK)
        return st;
    query->cb = cb;
    query->arg = arg;
    query->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
    query->began_ns = clock_mono_ns();
    query->deadline = loop_now_ms(db->loop) + (uint64_t)query->timeout_ms;
    list_push(&db->waiting, query);
    timer_need(db, query->deadline);
    pump_later(db); /* not now: the callback must not run from inside this call */
    return ST_OK;
}

enum status db_query(struct db *db, const struct db_stmt *stmt, const char *const *params, db_cb cb,
                     void *arg)
{
    return db_query_within(db, db->timeout_ms, stmt, params, cb, arg);
}

bool db_up(const struct db *db)
{
    return conns_in(db, CONN_UP, CONN_RETIRING) > 0;
}

/* ---- open, close ---- */

enum status db_open(const struct db_opts *opts, struct db **ret_db)
{
    struct db_endpoint *endpoint;
    const char *name = opts->application_name ? opts->application_name : "tiketi";
    enum status st = db_endpoint_parse(opts->url, name, opts->timeout_ms, &endpoint);
    if (st != ST_OK)
        return st;
    struct db *db = xcalloc(1, sizeof(*db));
    db->loop = opts->loop;
    db->endpoint = endpoint;
    db->pool_max = opts->pool_max > 0 ? (unsigned)opts->pool_max : 1;
    db->pool_min =
        opts->pool_min > 0 ? (unsigned)opts->pool_min : 1; /* one tells whether it is up */
    if (db->pool_min > db->pool_max)
        db->pool_min = db->pool_max;
    db->timeout_ms = opts->timeout_ms;
    db->queue_max = opts->queue_max;
    db->timer_at = UINT64_MAX;
    if (getrandom(&db->random, sizeof(db->random), 0) < 0 || db->random == 0)
        db->random = 1;
    db->timer = loop_timer_new(db->loop, on_timer, db);
    db->retry = loop_timer_new(db->loop, on_retry, db);
    db->pump = (struct loop_task){.cb = on_pump, .arg = db};
    pump_later(db);
    *ret_db = db;
    return ST_OK;
}

static void on_gone(void *arg)
{
    struct db *db = arg;
    loop_cb cb = db->on_closed;
    void *cb_arg = db->closed_arg;
    db_endpoint_free(db->endpoint);
    free(db);
    if (cb)
        cb(cb_arg);
}

void db_stop(struct db *db)
{
    if (db->closing)
        return;
    db->closing = true;
    struct conn *after;
    for (struct conn *conn = db->conns; conn; conn = after) {
        after = conn->next;
        conn_lost(conn);
    }
    fail_waiting(db);
    loop_timer_close(db->timer);
    loop_timer_close(db->retry);
    loop_undefer(db->loop, &db->pump);
    done_run(db);
}

void db_close(struct db *db, loop_cb cb, void *arg)
{
    assert(!db->gone.cb);
    db->on_closed = cb;
    db->closed_arg = arg;
    db->gone = (struct loop_task){.cb = on_gone, .arg = db};
    loop_defer(db->loop, &db->gone);
    db_stop(db); /* last: its callbacks may be long */
}
