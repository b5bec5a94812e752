/* SPDX-License-Identifier: MIT */
/*
 * db: PostgreSQL: a small pool of connections on one loop, a deadline for every query, reconnects with
 * jittered back-off.
 *
 * Why this way: a query goes to an idle connection. When none is idle and the pool cannot grow, the query is
 * sent on the busy connection with the fewest queries in flight (libpq's pipeline). Two exceptions: no query is
 * sent behind one that has run for STALL_MS, and a query with a timeout of its own never shares a connection.
 * All other queries wait in a list: each kind of statement in its own, because a kind may occupy only its part of
 * the pool (db->most). A connection counts for every kind that has a query in flight on it.
 * A deadline counts from the call of db_query. When a query reaches it, db closes the connection, because
 * PQcancel would block; statement_timeout ends the query in the server. The other queries in flight on that
 * connection end too, with unknown outcome. Therefore queries share a connection only when they must.
 * An idle connection is probed every second, because a server that hangs, or a host that is gone, sends nothing. So is a
 * busy pool, before one of its queries, because the schema may become one that this program must not work on.
 * Called by: queue, selling, api, the processor and crowd, on the loop's thread.
 * Owns: the connections (db_link), the waiting queries, one timer for all deadlines, one for retries.
 * Invariants: a query's callback runs only from db_done_run, the last step of every entry point. So a callback may
 * call db_query or db_close: no function of this file is halfway through a list then. `db` lives until on_gone.
 * PostgreSQL gone: waiting queries end with ST_UNAVAILABLE, new ones are refused at once, and db tries to
 * connect every 50..500 ms, one attempt at a time. When one of several hosts does not answer in time, the next
 * attempt begins with the next host: libpq itself would wait forever.
 *
 * db_conn.c has one connection and its queries.
 *
 * A connection:  CONNECTING -> UP (-> RETIRING: takes no more queries); each may end in db_conn_free.
 * A query:       waiting -> on a connection -> done; back to waiting once, if PostgreSQL did nothing of it.
 */
#include "net/db_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"

#define STALL_MS 50    /* no query is sent behind one that has run for this long */
#define SPARE_MS 60000 /* a connection above pool_min is closed when unused for this long */
#define SLEEP_MS 3600000

/* ---- the pool ---- */

void db_pool_report(struct db *db, bool open)
{
    struct pool_numbers now = {0};
    for (const struct db_conn *conn = open ? db->conns : NULL; conn; conn = conn->next) {
        const bool up = conn->state != CONN_CONNECTING;
        now.size += up;
        now.in_use += up && conn->in_flight.head && !conn->in_flight.head->probe;
    }
    for (size_t kind = 0; open && kind < DB_KINDS; kind++)
        now.waiting += db->waiting[kind].count;
    now.pools = open;
    now.up = now.size > 0;
    now.max = open ? db->pool_max : 0;
    const struct {
        enum metric_gauge gauge;
        int64_t now, last;
    } rows[] = {{GAUGE_DB_POOLS, now.pools, db->told.pools},
                {GAUGE_DB_POOLS_UP, now.up, db->told.up},
                {GAUGE_DB_POOL_MAX, now.max, db->told.max},
                {GAUGE_DB_POOL_SIZE, now.size, db->told.size},
                {GAUGE_DB_POOL_IN_USE, now.in_use, db->told.in_use},
                {GAUGE_DB_POOL_WAITING, now.waiting, db->told.waiting}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].now != rows[i].last)
            metrics_shift(rows[i].gauge, rows[i].now - rows[i].last);
    }
    db->told = now;
}

/* Was the schema last judged a while ago? Idle connections are probed by themselves; a busy pool has none. */
static bool judge_due(const struct db *db)
{
    return db->health.schema && loop_now_ms(db->loop) - db->judged_ms >= PROBE_AFTER_MS;
}

static bool is_stalled(const struct db_conn *conn)
{
    return conn->in_flight.head && loop_now_ms(conn->db->loop) - conn->head_at >= STALL_MS;
}

/* Returns the idle connection that was used last, so that connections above pool_min stay unused and can be
 * closed. A connection with only a probe in flight counts as idle: a probe is answered at once, or never. */
static struct db_conn *conn_pick_idle(const struct db *db)
{
    struct db_conn *best = NULL;
    for (struct db_conn *conn = db->conns; conn; conn = conn->next) {
        const struct db_query *head = conn->in_flight.head;
        const bool idle = !head || (head->probe && !head->next && !is_stalled(conn) &&
                                    !db_link_pooled(conn->link));
        if (conn->state == CONN_UP && idle && (!best || conn->used_at > best->used_at))
            best = conn;
    }
    return best;
}

/* Returns the busy connection with the fewest queries in flight that this query may share; NULL if there is none.
 * Called when no connection is idle and none is being opened. To see whether a connection has a
 * query that must not share it (db_query_is_alone), the last one in flight is enough: nothing is ever sent behind it. */
static struct db_conn *conn_pick_shared(const struct db *db, const struct db_query *query)
{
    struct db_conn *best = NULL;
    if (db_query_is_alone(db, query) || db_conns_in(db, CONN_CONNECTING, CONN_CONNECTING) > 0)
        return NULL;
    for (struct db_conn *conn = db->conns; conn; conn = conn->next) {
        const struct db_query_list *in_flight = &conn->in_flight;
        const bool shareable =
            conn->state == CONN_UP && in_flight->head && in_flight->count < DB_LINK_DEPTH &&
            !is_stalled(conn) && !db_link_pooled(conn->link) &&
            !db_query_is_alone(db, in_flight->tail) && db_conn_fits(conn, query->stmt->kind);
        if (shareable && (!best || in_flight->count < best->in_flight.count))
            best = conn;
    }
    return best;
}

/* Of the kinds that may occupy one more connection, the line whose head has waited longest; NULL: none. */
static struct db_query_list *line_for_idle(struct db *db)
{
    struct db_query_list *best = NULL;
    for (size_t kind = 0; kind < DB_KINDS; kind++) {
        struct db_query_list *line = &db->waiting[kind];
        if (line->head && db->occupied[kind] < db->most[kind] &&
            (!best || line->head->began_ns < best->head->began_ns))
            best = line;
    }
    return best;
}

/* How many waiting queries another connection would help. */
static unsigned helped_by_more(const struct db *db)
{
    unsigned count = 0;
    for (size_t kind = 0; kind < DB_KINDS; kind++) {
        const unsigned waiting = db->waiting[kind].count;
        const unsigned left =
            db->most[kind] > db->occupied[kind] ? db->most[kind] - db->occupied[kind] : 0;
        count += waiting < left ? waiting : left;
    }
    return count;
}

static void on_pump(void *arg)
{
    struct db *db = arg;
    struct db_conn *conn, *after;
    for (conn = db->conns; conn; conn = after) {
        after = conn->next;
        if (conn->state == CONN_RETIRING && !conn->in_flight.head)
            db_conn_lost(conn);
    }

    struct db_query_list *line;
    while ((line = line_for_idle(db)) && (conn = conn_pick_idle(db))) {
        if (!conn->in_flight.head && !db_link_alive(conn->link))
            db_conn_broken(conn, db_link_error(conn->link));
        else if (!conn->in_flight.head && judge_due(db))
            db_conn_probe(conn); /* the query follows it */
        else
            db_conn_run(conn, db_list_pop(line));
    }

    /* Open as many connections as the pool's minimum and the waiting queries need; while PostgreSQL is
     * unreachable, make one attempt at a time. */
    while (!db->retry_pending) {
        const unsigned coming = db_conns_in(db, CONN_CONNECTING, CONN_CONNECTING);
        const unsigned all = db_conns_in(db, CONN_CONNECTING, CONN_RETIRING);
        const bool wanted = all < db->pool_min || coming < helped_by_more(db);
        if (!wanted || all >= db->pool_max || (db->failing && coming > 0))
            break;
        db_conn_open(db);
    }

    for (size_t kind = 0; kind < DB_KINDS; kind++) {
        line = &db->waiting[kind];
        while (line->head && (conn = conn_pick_shared(db, line->head)))
            db_conn_run(conn, db_list_pop(line));
    }
    db_pool_report(db, true);
    db_done_run(db);
}

static void on_retry(void *arg)
{
    struct db *db = arg;
    db->retry_pending = false;
    on_pump(db);
}

/* ---- deadlines ---- */

/* Returns the time at which on_timer next has work for this connection: a deadline passes, a probe is due, or
 * the connection was unused for so long that it can be closed. */
static uint64_t conn_due(const struct db_conn *conn)
{
    uint64_t due = conn->deadline;
    if (conn->state == CONN_CONNECTING)
        return due;
    if (!conn->in_flight.head) {
        const uint64_t probe = conn->heard_at + PROBE_AFTER_MS, spare = conn->used_at + SPARE_MS;
        return probe < spare ? probe : spare;
    }
    due = UINT64_MAX;
    for (const struct db_query *query = conn->in_flight.head; query; query = query->next)
        due = query->deadline < due ? query->deadline : due;
    return due;
}

static void conn_expire(struct db_conn *conn)
{
    struct db *db = conn->db;
    const uint64_t now = loop_now_ms(db->loop);
    if (conn->state == CONN_CONNECTING) {
        /* The next attempt begins with the next address. When several attempts with the same address time out,
         * only the first of them advances `skip`. */
        if (db->skip == conn->skip)
            db->skip++;
        db_conn_refused(conn, "timed out");
    } else if (conn->in_flight.head) {
        const struct db_query *query = conn->in_flight.head;
        while (query->deadline > now)
            query = query->next;
        trace_enter(&query->trace);
        log_warn("db query timed out, its connection is closed",
                 LOG_TEXT("statement", query->stmt->name), LOG_NUM("timeoutMs", query->timeout_ms),
                 LOG_NUM("queriesInFlight", conn->in_flight.count));
        trace_enter(NULL);
        db_conn_lost(conn);
    } else if (conn->used_at + SPARE_MS > now) {
        db_conn_probe(conn);
    } else if (db_conns_in(db, CONN_CONNECTING, CONN_RETIRING) > db->pool_min) {
        db_conn_free(conn);
    } else {
        conn->used_at = now; /* pool_min needs this connection: check again after SPARE_MS */
    }
}

static void on_timer(void *arg)
{
    struct db *db = arg;
    const uint64_t now = loop_now_ms(db->loop);
    uint64_t next = now + SLEEP_MS;
    for (size_t kind = 0; kind < DB_KINDS; kind++) {
        struct db_query_list keep = {0};
        struct db_query *query;
        while ((query = db_list_pop(&db->waiting[kind]))) {
            if (query->deadline <= now) {
                db_query_finish(db, query, ST_TIMEOUT, NULL);
                continue;
            }
            if (query->deadline < next)
                next = query->deadline;
            db_list_push(&keep, query);
        }
        db->waiting[kind] = keep;
    }
    struct db_conn *after;
    for (struct db_conn *conn = db->conns; conn; conn = after) {
        after = conn->next;
        if (conn_due(conn) <= now)
            conn_expire(conn);
    }
    for (const struct db_conn *conn = db->conns; conn; conn = conn->next)
        if (conn_due(conn) < next)
            next = conn_due(conn);
    db->timer_at = UINT64_MAX;
    db_timer_need(db, next);
    db_pool_report(db, true);
    db_pump_later(db);
    db_done_run(db);
}

/* ---- queries ---- */

enum status db_query_within(struct db *db, int64_t timeout_ms, const struct db_stmt *stmt,
                            const char *const *params, db_cb cb, void *arg)
{
    if (db->closing || db->failing)
        return ST_UNAVAILABLE;
    struct db_query_list *line = &db->waiting[stmt->kind];
    if (line->count >= db->queue_max + db_conns_in(db, CONN_UP, CONN_UP))
        return ST_FULL;

    /* One allocation has the query, the pointers to its parameters, and their texts. */
    const size_t count = (size_t)stmt->param_count;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += params[i] ? strlen(params[i]) + 1 : 0;
    if (size > DB_PARAMS_MAX)
        return ST_TOO_LARGE;
    struct db_query *query = malloc(sizeof(*query) + count * sizeof(char *) + size);
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
    query->cb = cb;
    query->arg = arg;
    query->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
    if (trace_current())
        query->trace = *trace_current();
    query->began_ns = clock_mono_ns();
    query->deadline = loop_now_ms(db->loop) + (uint64_t)query->timeout_ms;
    db_list_push(line, query);
    db_timer_need(db, query->deadline);
    db_pump_later(db); /* later, because the callback must not run from inside this call */
    return ST_OK;
}

enum status db_query(struct db *db, const struct db_stmt *stmt, const char *const *params, db_cb cb,
                     void *arg)
{
    return db_query_within(db, db->timeout_ms, stmt, params, cb, arg);
}

bool db_lacks_file(const char *url, char *problem, size_t size)
{
    return db_endpoint_lacks_file(url, problem, size);
}

bool db_up(const struct db *db)
{
    return db_conns_in(db, CONN_UP, CONN_RETIRING) > 0;
}

struct db_state db_state(const struct db *db)
{
    struct db_state state = db->health.state;
    state.up = db_up(db);
    state.problem = state.up ? "" : db->health.problem;
    state.fault = state.up ? DB_FAULT_NONE : state.fault;
    return state;
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
    db->pool_min = opts->pool_min > 0 ? (unsigned)opts->pool_min : 1; /* db_up needs one */
    if (db->pool_min > db->pool_max)
        db->pool_min = db->pool_max;
    const unsigned quarter = db->pool_max >= 4 ? db->pool_max / 4 : 1;
    db->most[DB_ANY] = db->pool_max;
    db->most[DB_BUYER] = db->pool_max > quarter ? db->pool_max - quarter : 1;
    db->most[DB_PUBLIC] = db->most[DB_STAFF] = quarter;
    db_health_init(&db->health, opts->schema, opts->may_open);
    db->timeout_ms = opts->timeout_ms;
    db->queue_max = opts->queue_max;
    db->timer_at = UINT64_MAX;
    if (getrandom(&db->random, sizeof(db->random), 0) < 0 || db->random == 0)
        db->random = 1;
    db->timer = loop_timer_new(db->loop, on_timer, db);
    db->retry = loop_timer_new(db->loop, on_retry, db);
    db->pump = (struct loop_task){.cb = on_pump, .arg = db};
    db_pump_later(db);
    *ret_db = db;
    return ST_OK;
}

static void on_gone(void *arg)
{
    struct db *db = arg;
    loop_cb cb = db->on_closed;
    void *cb_arg = db->closed_arg;
    db_endpoint_free(db->endpoint);
    db_health_clear(&db->health);
    free(db);
    if (cb)
        cb(cb_arg);
}

void db_stop(struct db *db)
{
    if (db->closing)
        return;
    db->closing = true;
    struct db_conn *after;
    for (struct db_conn *conn = db->conns; conn; conn = after) {
        after = conn->next;
        db_conn_lost(conn);
    }
    db_fail_waiting(db);
    loop_timer_close(db->timer);
    loop_timer_close(db->retry);
    loop_undefer(db->loop, &db->pump);
    db_pool_report(db, false);
    db_done_run(db);
}

void db_close(struct db *db, loop_cb cb, void *arg)
{
    assert(!db->gone.cb);
    db->on_closed = cb;
    db->closed_arg = arg;
    db->gone = (struct loop_task){.cb = on_gone, .arg = db};
    loop_defer(db->loop, &db->gone);
    db_stop(db); /* the last step, because it runs callbacks */
}
