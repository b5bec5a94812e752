/* SPDX-License-Identifier: MIT */
/*
 * db: PostgreSQL: a small pool of connections on one loop, a deadline for every query, reconnects with
 * jittered back-off.
 *
 * Why this way: a query goes to an idle connection. When there is none and the pool cannot grow, it goes
 * behind others (libpq's pipeline), where the fewest are in flight; but not behind one that has run for
 * STALL_MS, and a query with a time limit of its own shares a connection with none. The rest wait in line.
 * A deadline counts from the call. A query that reaches it is given up by closing its connection:
 * PQcancel would block, and statement_timeout stops the server. Whatever else is in flight on that
 * connection ends with it, outcome unknown; so no more queries share a connection than must.
 * A connection without work is probed every second: a server that hangs, or a host that is gone, does
 * not announce it.
 * Called by: queue, selling, api, the processor and crowd, on the loop's thread.
 * Owns: the connections (db_link), the queries in line, a timer for all deadlines, one for retries.
 * Invariants: callbacks of queries run only from done_run, which ends every entry point, so nothing below
 * them is in use when they call db_query or db_close. `db` itself lives until on_gone.
 * PostgreSQL gone: waiting queries end with ST_UNAVAILABLE, new ones are refused at once, and one
 * attempt at a time is made every 50..500 ms. Of several hosts, one that does not answer in time is
 * passed over at the next attempt: libpq itself would wait for it forever.
 *
 * A connection:  CONNECTING -> UP (-> RETIRING: takes no more queries); each may end in conn_free.
 * A query:       waiting -> on a connection -> done; back to waiting once, if nothing of it was done.
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
#include "net/db_endpoint.h"
#include "net/db_link.h"

#define CONNECT_TIMEOUT_MS 5000
#define CONNECT_ANY_MS     2000 /* while another host remains to be tried */
#define STALL_MS           50   /* nothing is put behind a query that has run for this long */
#define PROBE_AFTER_MS     1000 /* of silence on an idle connection */
#define PROBE_TIMEOUT_MS   2500
#define BACKOFF_MIN_MS     50
#define BACKOFF_MAX_MS     500
#define STABLE_MS          1000 /* a connection that died younger counts as a failed attempt */
#define SPARE_MS           60000 /* a connection above pool_min is closed when unused for this long */
#define SLEEP_MS           3600000

struct query {
    struct query *next;
    const struct db_stmt *stmt;
    db_cb cb;
    void *arg;
    uint64_t began_ns, deadline;
    int64_t timeout_ms;
    bool retried;
    bool probe;         /* sent by db itself; it has no callback */
    enum status status; /* set when the query is done */
    struct db_result *result;
    const char *params[]; /* followed by their texts */
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
    struct query_list in_flight; /* in order */
    uint64_t deadline; /* of the attempt to connect; this and the next four: loop_now_ms */
    uint64_t up_at;    /* when it connected */
    uint64_t used_at;  /* when the last query ended */
    uint64_t heard_at; /* when anything arrived */
    uint64_t head_at;  /* when the oldest query in flight became the oldest */
    unsigned skip;     /* db's, at the attempt to connect */
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
    unsigned skip; /* addresses to pass over at the next attempt */
    uint32_t random;
    struct loop_task pump;
    bool failing; /* no connection, and the last attempt failed */
    bool lost;    /* the next connection counts as a reconnect */
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

/* Takes `result`. The callback runs at the end of the entry point. */
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

/* Makes on_timer run at `at` or earlier; on_timer looks up what is due. */
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

static void retry_later(struct db *db)
{
    if (db->retry_pending || db->closing)
        return;
    db->backoff_ms = db->backoff_ms ? db->backoff_ms * 2 : BACKOFF_MIN_MS * 2;
    if (db->backoff_ms > BACKOFF_MAX_MS)
        db->backoff_ms = BACKOFF_MAX_MS;
    db->random ^= db->random << 13; /* xorshift32: it only spreads reconnects */
    db->random ^= db->random >> 17;
    db->random ^= db->random << 5;
    const uint32_t spread = (uint32_t)(db->backoff_ms - BACKOFF_MIN_MS) + 1;
    db->retry_pending = true;
    loop_timer_set(db->retry, BACKOFF_MIN_MS + db->random % spread);
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

/* An attempt to connect has failed. */
static void conn_refused(struct conn *conn, const char *error)
{
    struct db *db = conn->db;
    const bool none = conns_in(db, CONN_UP, CONN_RETIRING) == 0;
    char line[LINE_SIZE];
    if (!none)
        log_warn("db connect failed", LOG_TEXT("error", first_line(error, line)));
    else if (!db->failing)
        log_warn("db unreachable", LOG_TEXT("error", first_line(error, line)));
    conn_free(conn);
    if (none) {
        db->failing = db->lost = true;
        fail_waiting(db);
    }
    retry_later(db);
}

/* PostgreSQL did nothing of this query: puts it back at the head of the waiting list. False: it may
 * not be repeated (a second time, for a probe, while closing). */
static bool query_retry(struct db *db, struct query *query)
{
    if (db->closing || query->retried || query->probe)
        return false;
    query->retried = true;
    query->next = db->waiting.head;
    db->waiting.head = query;
    if (!db->waiting.tail)
        db->waiting.tail = query;
    db->waiting.count++;
    return true;
}

/* Gives up a connection that worked. Queries in flight end with ST_UNAVAILABLE, overdue ones with
 * ST_TIMEOUT. Only the last one may be retried, when it has not left completely. */
static void conn_lost(struct conn *conn)
{
    struct db *db = conn->db;
    const uint64_t now = loop_now_ms(db->loop);
    const bool sent = db_link_sent(conn->link);
    struct query *query;
    while ((query = list_pop(&conn->in_flight))) {
        const bool overdue = query->deadline <= now;
        if (overdue || sent || conn->in_flight.head || !query_retry(db, query))
            query_finish(db, query, overdue ? ST_TIMEOUT : ST_UNAVAILABLE, NULL);
    }
    db->lost = true;
    if (now - conn->up_at < STABLE_MS)
        retry_later(db);
    conn_free(conn);
    pump_later(db);
}

static void conn_broken(struct conn *conn, const char *error)
{
    char line[LINE_SIZE];
    log_warn("db connection lost",
             LOG_TEXT("error", error[0] ? first_line(error, line) : "closed by the server"));
    conn_lost(conn);
}

static void on_up(void *arg)
{
    struct conn *conn = arg;
    struct db *db = conn->db;
    conn->state = CONN_UP;
    conn->up_at = conn->used_at = conn->heard_at = loop_now_ms(db->loop);
    db->backoff_ms = 0;
    if (db->lost)
        metrics_add(METRIC_DB_RECONNECTS, 1);
    if (db->failing)
        log_info("db reachable again");
    db->failing = db->lost = false;
    timer_need(db, conn->heard_at + PROBE_AFTER_MS);
    pump_later(db);
}

/* The callback runs later in this turn, from on_pump: more results may follow at once. */
static void on_result(void *arg, struct db_outcome outcome, struct db_result *result)
{
    struct conn *conn = arg;
    struct db *db = conn->db;
    struct query *query = list_pop(&conn->in_flight);
    conn->head_at = conn->heard_at = loop_now_ms(db->loop);
    if (!query->probe)
        conn->used_at = conn->heard_at;
    if (outcome.drop)
        conn->state = CONN_RETIRING;
    if (outcome.retry && query_retry(db, query))
        db_result_free(result);
    else
        query_finish(db, query, outcome.status, result);
    timer_need(db, conn->heard_at + PROBE_AFTER_MS);
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

/* Has the query a timeout of its own? Then it shares its connection with no other: a longer timeout would delay
 * the queries behind it, and a shorter one would end the queries before it. */
static bool is_alone(const struct db *db, const struct query *query)
{
    return query->timeout_ms != db->timeout_ms && !query->probe;
}

static void conn_run(struct conn *conn, struct query *query)
{
    struct db *db = conn->db;
    int64_t limit_ms = is_alone(db, query) ? query->timeout_ms : 0;
    if (!conn->in_flight.head)
        conn->head_at = loop_now_ms(db->loop);
    list_push(&conn->in_flight, query);
    timer_need(db, query->deadline);
    if (!db_link_send(conn->link, query->stmt, query->params, limit_ms))
        conn_broken(conn, db_link_error(conn->link));
}

/* ---- the pool ---- */

static bool is_stalled(const struct conn *conn)
{
    return conn->in_flight.head && loop_now_ms(conn->db->loop) - conn->head_at >= STALL_MS;
}

/* The idle connection that was used last, so that connections above pool_min grow old and can be closed. A
 * probe does not make one busy: it is answered at once, or never. */
static struct conn *conn_pick_idle(const struct db *db)
{
    struct conn *best = NULL;
    for (struct conn *conn = db->conns; conn; conn = conn->next) {
        const struct query *head = conn->in_flight.head;
        const bool idle = !head || (head->probe && !head->next && !is_stalled(conn));
        if (conn->state == CONN_UP && idle && (!best || conn->used_at > best->used_at))
            best = conn;
    }
    return best;
}

/* For the head of the line, when no connection is idle and none is being opened: the busy connection with
 * the fewest queries in flight; NULL if none may be shared. A query that is alone is always the last in
 * flight: only a probe can be before it. */
static struct conn *conn_pick_shared(const struct db *db)
{
    struct conn *best = NULL;
    if (is_alone(db, db->waiting.head) || conns_in(db, CONN_CONNECTING, CONN_CONNECTING) > 0)
        return NULL;
    for (struct conn *conn = db->conns; conn; conn = conn->next) {
        const struct query_list *in_flight = &conn->in_flight;
        const bool shareable = conn->state == CONN_UP && in_flight->head &&
                               in_flight->count < DB_LINK_DEPTH && !is_stalled(conn) &&
                               !is_alone(db, in_flight->tail);
        if (shareable && (!best || in_flight->count < best->in_flight.count))
            best = conn;
    }
    return best;
}

static void on_pump(void *arg)
{
    static const struct db_link_user user = {
        .on_up = on_up, .on_result = on_result, .on_down = on_down};
    struct db *db = arg;
    struct conn *conn, *after;
    for (conn = db->conns; conn; conn = after) {
        after = conn->next;
        if (conn->state == CONN_RETIRING && !conn->in_flight.head)
            conn_lost(conn);
    }

    while (db->waiting.head && (conn = conn_pick_idle(db))) {
        if (conn->in_flight.head || db_link_alive(conn->link))
            conn_run(conn, list_pop(&db->waiting));
        else
            conn_broken(conn, db_link_error(conn->link));
    }

    /* As many connections as the pool's minimum and the waiting queries need; while PostgreSQL is
     * unreachable, one attempt at a time. */
    while (!db->retry_pending) {
        const unsigned coming = conns_in(db, CONN_CONNECTING, CONN_CONNECTING);
        const unsigned all = conns_in(db, CONN_CONNECTING, CONN_RETIRING);
        const bool wanted = all < db->pool_min || coming < db->waiting.count;
        if (!wanted || all >= db->pool_max || (db->failing && coming > 0))
            break;
        conn = xcalloc(1, sizeof(*conn));
        conn->db = db;
        conn->skip = db->skip;
        conn->next = db->conns;
        db->conns = conn;
        conn->deadline = loop_now_ms(db->loop) +
                         (db->endpoint->target_count > 1 ? CONNECT_ANY_MS : CONNECT_TIMEOUT_MS);
        conn->link = db_link_open(db->loop, db->endpoint, db->skip, &user, conn);
        timer_need(db, conn->deadline);
    }

    while (db->waiting.head && (conn = conn_pick_shared(db)))
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

/* When on_timer next has work for this connection: a deadline passes, a probe is due, or the connection was
 * unused for so long that it can be closed. */
static uint64_t conn_due(const struct conn *conn)
{
    uint64_t due = conn->deadline;
    if (conn->state == CONN_CONNECTING)
        return due;
    if (!conn->in_flight.head) {
        const uint64_t probe = conn->heard_at + PROBE_AFTER_MS, spare = conn->used_at + SPARE_MS;
        return probe < spare ? probe : spare;
    }
    due = UINT64_MAX;
    for (const struct query *query = conn->in_flight.head; query; query = query->next)
        due = query->deadline < due ? query->deadline : due;
    return due;
}

static void conn_expire(struct conn *conn)
{
    static const struct db_stmt probe = {.name = "db_probe", .sql = "SELECT 1"};
    struct db *db = conn->db;
    const uint64_t now = loop_now_ms(db->loop);
    if (conn->state == CONN_CONNECTING) {
        /* The next attempt begins with the next address. Several may run at the same time: only the first that
         * times out moves on. */
        if (db->skip == conn->skip)
            db->skip++;
        conn_refused(conn, "timed out");
    } else if (conn->in_flight.head) {
        const struct query *query = conn->in_flight.head;
        while (query->deadline > now)
            query = query->next;
        log_warn("db query timed out", LOG_TEXT("statement", query->stmt->name),
                 LOG_NUM("timeoutMs", query->timeout_ms),
                 LOG_NUM("inFlight", conn->in_flight.count));
        conn_lost(conn);
    } else if (conn->used_at + SPARE_MS > now) {
        struct query *query = xcalloc(1, sizeof(*query));
        query->stmt = &probe;
        query->probe = true;
        query->timeout_ms = PROBE_TIMEOUT_MS;
        query->deadline = now + PROBE_TIMEOUT_MS;
        conn_run(conn, query);
    } else if (conns_in(db, CONN_CONNECTING, CONN_RETIRING) > db->pool_min) {
        conn_free(conn);
    } else {
        conn->used_at = now; /* pool_min needs this connection: check again after SPARE_MS */
    }
}

static void on_timer(void *arg)
{
    struct db *db = arg;
    const uint64_t now = loop_now_ms(db->loop);
    uint64_t next = now + SLEEP_MS;
    struct query_list keep = {0};
    struct query *query;
    while ((query = list_pop(&db->waiting))) {
        if (query->deadline <= now) {
            query_finish(db, query, ST_TIMEOUT, NULL);
            continue;
        }
        if (query->deadline < next)
            next = query->deadline;
        list_push(&keep, query);
    }
    db->waiting = keep;
    struct conn *after;
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

enum status db_query_within(struct db *db, int64_t timeout_ms, const struct db_stmt *stmt,
                            const char *const *params, db_cb cb, void *arg)
{
    if (db->closing || db->failing)
        return ST_UNAVAILABLE;
    if (db->waiting.count >= db->queue_max + conns_in(db, CONN_UP, CONN_UP))
        return ST_FULL;

    /* One block: the query, its parameters, their texts. */
    const size_t count = (size_t)stmt->param_count;
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
    db->pool_min = opts->pool_min > 0 ? (unsigned)opts->pool_min : 1; /* for db_up */
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
    db_stop(db); /* last: it runs callbacks */
}
