/* SPDX-License-Identifier: MIT */
/*
 * db_internal: what db.c (the pool, deadlines, the public functions) and db_conn.c (one connection and its queries) share.
 * Nobody else includes it.
 */
#ifndef TIKETI_DB_INTERNAL_H
#define TIKETI_DB_INTERNAL_H

#include "base/trace.h"
#include "net/db.h"
#include "net/db_endpoint.h"
#include "net/db_health.h"
#include "net/db_link.h"

#define PROBE_AFTER_MS 1000 /* an idle connection is probed when it was silent for this long */

struct db_query {
    struct db_query *next;
    const struct db_stmt *stmt;
    db_cb cb;
    void *arg;
    uint64_t began_ns, deadline;
    int64_t timeout_ms;
    bool retried;
    bool probe;         /* sent by db itself; it has no callback */
    bool answered;      /* PostgreSQL has answered: an error was counted by its SQLSTATE */
    enum status status; /* set when the query is done */
    struct db_result *result;
    struct trace trace;   /* of the request that it is for; request_id "": for none */
    const char *params[]; /* followed by their texts */
};

struct db_query_list {
    struct db_query *head, *tail;
    unsigned count;
};

enum db_conn_state { CONN_CONNECTING, CONN_UP, CONN_RETIRING };

struct db_conn {
    struct db *db;
    struct db_conn *next;
    struct db_link *link;
    enum db_conn_state state;
    struct db_query_list in_flight; /* in the order sent */
    unsigned of_kind[DB_KINDS];     /* how many of them are of each kind */
    /* times of loop_now_ms */
    uint64_t deadline; /* of the attempt to connect */
    uint64_t up_at;    /* when it connected */
    uint64_t used_at;  /* when the last query ended */
    uint64_t heard_at; /* when the last bytes arrived */
    uint64_t head_at;  /* when the oldest query in flight became the oldest */
    unsigned skip;     /* db->skip when the attempt to connect began */
};

/* What the metrics are told of a pool. */
struct pool_numbers {
    int64_t pools, up, max, size, in_use, waiting;
};

struct db {
    struct loop *loop;
    struct pool_numbers told;
    struct db_endpoint *endpoint;
    struct db_health health;
    unsigned pool_min, pool_max, queue_max;
    int64_t timeout_ms;
    struct db_conn *conns;
    struct db_query_list waiting[DB_KINDS], done;
    unsigned most[DB_KINDS];     /* connections that each kind may occupy */
    unsigned occupied[DB_KINDS]; /* connections that each kind occupies */
    struct loop_timer *timer;    /* fires at the earliest deadline of a query or connection */
    uint64_t timer_at;
    struct loop_timer *retry;
    bool retry_pending;
    uint64_t backoff_ms;
    unsigned skip; /* the next attempt begins with this address (modulo their count) */
    uint32_t random;
    struct loop_task pump;
    bool failing;               /* there is no connection, and the last attempt failed */
    uint64_t judged_ms;         /* when the last probe was sent */
    uint64_t refused_logged_ms; /* when that was last logged; 0: not since a connection worked */
    bool lost;                  /* a connection was lost: the next one counts as a reconnect */
    bool closing;
    struct loop_task gone;
    loop_cb on_closed;
    void *closed_arg;
};

void db_list_push(struct db_query_list *list, struct db_query *query);
struct db_query *db_list_pop(struct db_query_list *list); /* NULL: it is empty */

/* ---- queries ---- */

/* Takes `result`. The query's callback runs later, from db_done_run. */
void db_query_finish(struct db *db, struct db_query *query, enum status status,
                     struct db_result *result);
/* Runs the callbacks of all queries that are done: the last step of every entry point. */
void db_done_run(struct db *db);
void db_fail_waiting(struct db *db);
/* Has the query a timeout of its own? Such a query must not share a connection: with a longer timeout it would
 * delay the queries behind it, and with a shorter one it would end the queries before it. */
bool db_query_is_alone(const struct db *db, const struct db_query *query);

/* ---- time ---- */

/* Makes the pool's timer run at `at` or earlier. */
void db_timer_need(struct db *db, uint64_t at);
/* Lets the pool look at its queries and connections later in this turn. */
void db_pump_later(struct db *db);

/* Tells the metrics what has changed since the last call. With `open` false the pool counts for nothing any more. */
void db_pool_report(struct db *db, bool open);

/* ---- connections: db_conn.c ---- */

void db_conn_open(struct db *db);
void db_conn_free(struct db_conn *conn);
/* How many are in one of these states. */
unsigned db_conns_in(const struct db *db, enum db_conn_state from, enum db_conn_state to);
/* May a query of this kind go to this connection? Not if it would be one more than the kind's part of the pool. */
bool db_conn_fits(const struct db_conn *conn, enum db_kind kind);
/* Takes the query. The connection may be gone afterwards. */
void db_conn_run(struct db_conn *conn, struct db_query *query);
/* Sends the question of db_health.h. */
void db_conn_probe(struct db_conn *conn);
/* An attempt to connect has failed. */
void db_conn_refused(struct db_conn *conn, const char *error);
/* Closes a connection that worked. Its queries in flight end with ST_UNAVAILABLE, or with ST_TIMEOUT when they
 * are overdue. Only the last query may be retried, and only when it was not sent completely: PostgreSQL then
 * has not executed it. */
void db_conn_lost(struct db_conn *conn);
/* The same, and logs it. */
void db_conn_broken(struct db_conn *conn, const char *error);

#endif
