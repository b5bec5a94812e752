/* SPDX-License-Identifier: MIT */
/*
 * db_link: one non-blocking connection to PostgreSQL in libpq's pipeline mode.
 *
 * Why this way: a statement is one implicit transaction. Parse (the first time on this connection), Bind,
 * Execute and a Sync are sent in one write. As each statement has its own Sync, one that fails does not abort
 * the others in flight. The result is reported only when the Sync is answered, because the commit happens at
 * the Sync and may still fail (a deferred constraint).
 * The first statement is db_health's greeting: a database with a fault is refused before it is used. It also finds out
 * whether a pooler (PgBouncer) is in between, which may run each transaction in another session: then nothing is prepared,
 * and each statement is sent with the settings of its transaction, up to the same Sync.
 * Called by: db alone, which adds the pool, deadlines and retries.
 * Owns: the PGconn, its watch, the running name resolution, the list of statements that it has prepared.
 * Invariants: results come in the order of the statements, so `flights` is a ring, and its oldest entry is the
 * one being answered. A statement is prepared with its first execution on this connection. Later executions rely
 * on that: if preparing failed, PostgreSQL refuses those already sent with 26000 (unknown statement), does nothing
 * of them, and db may retry them. The watch is closed before libpq may close its descriptor.
 * PostgreSQL gone: on_down runs; the link stays as it is until db closes it.
 *
 * Steps:  begin -> resolve each host -> connect_poll… -> greet -> up -> send… -> take… -> on_result
 */
#include "net/db_link.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/db_endpoint.h"
#include "net/db_health.h"

#define LIST_MAX        4096 /* bytes of all hosts, or addresses, of one connection string */
#define ADDRESSES_MAX   64
#define REFUSES_OPTIONS "unsupported startup parameter" /* PgBouncer's words */

enum link_state { LINK_CONNECTING, LINK_GREETING, LINK_UP };

/* The commands of one statement in the pipeline, in the order sent; each has its own results. */
enum step { STEP_PREPARE_LIMIT, STEP_LIMIT, STEP_PREPARE, STEP_EXECUTE, STEP_MAX };

/* A statement in flight. */
struct flight {
    const struct db_stmt *stmt;
    const struct trace *trace;
    PGresult *result; /* to be reported: the first error, or the rows */
    enum step steps[STEP_MAX];
    size_t step, step_count;
};

struct address {
    const struct db_target *target;
    char *text; /* the resolved address; "": a Unix socket or libpq's default */
};

struct db_link {
    struct loop *loop;
    struct db_endpoint *endpoint;
    struct db_health *health;
    const struct db_link_user *user;
    void *arg;
    struct loop_task begin;
    struct loop_resolve *resolve;
    size_t target; /* index of the host being resolved */
    unsigned skip;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
    struct buf host, hostaddr, port; /* comma-separated for libpq, one entry per address */
    PGconn *pg;
    struct loop_watch *watch;
    enum link_state state;
    bool greeted; /* the greeting's Sync is answered */
    bool pooled;
    bool dying; /* the server has announced that it closes the connection */
    const struct db_stmt **prepared;
    size_t prepared_count, prepared_cap;

    struct flight flights[DB_LINK_DEPTH]; /* a ring */
    size_t oldest, flying;
    bool sent;     /* libpq has written everything to the socket */
    unsigned ends; /* how often in a row PQgetResult has returned NULL */
};

/* Sets the statement_timeout of the next statement, inside the same transaction, and lets it wait for locks as long. */
static const struct db_stmt stmt_limit = {
    .name = "db_limit",
    .sql = "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true)",
    .param_count = 1,
};

/* Behind a pooler, what db_endpoint otherwise sets when the connection is made. The isolation has a statement of its own,
 * because a SELECT has begun to read when it sets something. */
static const char sql_isolation[] = "SET transaction_isolation TO 'read committed'";
static const char sql_settings[] =
    "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),"
    " set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true),"
    " set_config('client_min_messages', 'warning', true), set_config('jit', 'off', true)";

/* ---- errors ---- */

/* The outcome for an SQLSTATE, and what it counts as: those of the first row whose prefix matches. */
static const struct sqlstate {
    const char *prefix;
    struct db_outcome outcome;
    enum metric error; /* METRIC_COUNT: it is no fault, but an answer */
} sqlstates[] = {
    {"23505", {ST_CONFLICT, false, false}, METRIC_COUNT}, /* unique_violation */
    {"23P01", {ST_CONFLICT, false, false}, METRIC_COUNT}, /* exclusion_violation */
    {"40",
     {ST_CONFLICT, false, true},
     METRIC_DB_CONFLICTS}, /* serialization_failure, deadlock_detected */
    {"55P03",
     {ST_BUSY, false, false},
     METRIC_DB_LOCK_ERRORS}, /* lock_not_available: lock_timeout or NOWAIT */
    {"22", {ST_INVALID, false, false}, METRIC_COUNT}, /* data exception */
    {"23", {ST_INVALID, false, false}, METRIC_COUNT}, /* the other constraints */
    {"57014",
     {ST_TIMEOUT, false, false},
     METRIC_DB_TIMEOUTS}, /* query_canceled: statement_timeout */
    {"25006",
     {ST_UNAVAILABLE, true, true},
     METRIC_DB_READONLY_ERRORS}, /* read_only_sql_transaction: a standby */
    {"0A000",
     {ST_UNAVAILABLE, true, true},
     METRIC_DB_SCHEMA_ERRORS}, /* "cached plan must not change result type" */
    {"26000",
     {ST_UNAVAILABLE, true, true},
     METRIC_DB_SCHEMA_ERRORS}, /* invalid_sql_statement_name: a prepared statement is gone */
    {"42P05",
     {ST_UNAVAILABLE, true, true},
     METRIC_DB_SCHEMA_ERRORS}, /* duplicate_prepared_statement: a pooler has begun */
    {"57",
     {ST_UNAVAILABLE, true, false},
     METRIC_DB_CONNECTION_ERRORS}, /* shutting down, crashed, starting up */
    {"08", {ST_UNAVAILABLE, true, false}, METRIC_DB_CONNECTION_ERRORS}, /* connection exception */
    {"25P0",
     {ST_UNAVAILABLE, true, false},
     METRIC_DB_TIMEOUTS}, /* a session or transaction timeout */
    {"53",
     {ST_UNAVAILABLE, false, false},
     METRIC_DB_RESOURCE_ERRORS}, /* out of memory, disk, connections */
    {"42",
     {ST_INTERNAL, false, false},
     METRIC_DB_SCHEMA_ERRORS}, /* no such table or function; not permitted */
    {"XX",
     {ST_INTERNAL, false, false},
     METRIC_DB_INTERNAL_ERRORS}, /* internal_error, damaged data */
    {"58", {ST_INTERNAL, false, false}, METRIC_DB_INTERNAL_ERRORS}, /* of the machine: io_error */
    {"", {ST_INTERNAL, false, false}, METRIC_DB_OTHER_ERRORS},
};

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result); /* of NULL: PGRES_FATAL_ERROR */
    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

/* ---- sending ---- */

static struct flight *oldest(struct db_link *link)
{
    return &link->flights[link->oldest];
}

static void forget_prepared(struct db_link *link, const struct db_stmt *stmt)
{
    for (size_t i = 0; i < link->prepared_count; i++)
        if (link->prepared[i] == stmt)
            link->prepared[i--] = link->prepared[--link->prepared_count];
}

static bool send_stmt(struct db_link *link, struct flight *flight, const struct db_stmt *stmt,
                      const char *const *params)
{
    const enum step prepare = stmt == &stmt_limit ? STEP_PREPARE_LIMIT : STEP_PREPARE;
    size_t at = 0;
    while (at < link->prepared_count && link->prepared[at] != stmt)
        at++;
    if (at == link->prepared_count) {
        if (!PQsendPrepare(link->pg, stmt->name, stmt->sql, 0, NULL))
            return false;
        if (at == link->prepared_cap) {
            link->prepared_cap = at ? at * 2 : 16;
            link->prepared = xrealloc((void *)link->prepared,
                                      link->prepared_cap * sizeof(const struct db_stmt *));
        }
        link->prepared[link->prepared_count++] = stmt; /* take() removes it if preparing fails */
        flight->steps[flight->step_count++] = prepare;
    }
    flight->steps[flight->step_count++] = prepare + 1;
    return PQsendQueryPrepared(link->pg, stmt->name, stmt->param_count, params, NULL, NULL, 0);
}

/* Sends one statement of a transaction through a pooler, with the settings of that transaction. */
static bool send_pooled(struct db_link *link, struct flight *flight, const struct db_stmt *stmt,
                        const char *const *params, int64_t limit_ms)
{
    char limit[24], lock[24];
    const char *timeout = limit_ms > 0 ? limit : link->endpoint->user_timeout;
    snprintf(limit, sizeof(limit), "%" PRId64, limit_ms);
    snprintf(lock, sizeof(lock), "%d", DB_LOCK_TIMEOUT_MS);
    const char *settings[] = {timeout, limit_ms > 0 ? limit : lock};
    flight->steps[0] = flight->steps[1] = STEP_LIMIT;
    flight->steps[2] = STEP_EXECUTE;
    flight->step_count = 3;
    return PQsendQueryParams(link->pg, sql_isolation, 0, NULL, NULL, NULL, NULL, 0) &&
           PQsendQueryParams(link->pg, sql_settings, 2, NULL, settings, NULL, NULL, 0) &&
           PQsendQueryParams(link->pg, stmt->sql, stmt->param_count, NULL, params, NULL, NULL, 0);
}

/* False: the connection is lost. */
static bool flush(struct db_link *link)
{
    int left = PQflush(link->pg);
    link->sent = left == 0;
    if (left >= 0)
        loop_watch_set(link->watch, left ? LOOP_READ | LOOP_WRITE : LOOP_READ);
    return left >= 0;
}

static struct flight *flight_new(struct db_link *link, const struct db_stmt *stmt)
{
    struct flight *flight = &link->flights[(link->oldest + link->flying++) % DB_LINK_DEPTH];
    *flight = (struct flight){.stmt = stmt};
    link->sent = false;
    return flight;
}

bool db_link_send(struct db_link *link, const struct db_stmt *stmt, const char *const *params,
                  int64_t limit_ms, const struct trace *trace)
{
    char limit[24];
    const char *limit_param[] = {limit};
    assert(link->state == LINK_UP && link->flying < DB_LINK_DEPTH);
    struct flight *flight = flight_new(link, stmt);
    flight->trace = trace;
    if (link->pooled)
        return send_pooled(link, flight, stmt, params, limit_ms) && PQpipelineSync(link->pg) &&
               flush(link);
    snprintf(limit, sizeof(limit), "%" PRId64, limit_ms);
    return (limit_ms <= 0 || send_stmt(link, flight, &stmt_limit, limit_param)) &&
           send_stmt(link, flight, stmt, params) && PQpipelineSync(link->pg) && flush(link);
}

bool db_link_pooled(const struct db_link *link)
{
    return link->pooled;
}

int64_t db_link_backend(const struct db_link *link)
{
    return PQbackendPID(link->pg);
}

bool db_link_sent(const struct db_link *link)
{
    return link->sent;
}

bool db_link_alive(struct db_link *link)
{
    return PQconsumeInput(link->pg) && !PQisBusy(link->pg) && !link->dying;
}

const char *db_link_error(const struct db_link *link)
{
    return PQerrorMessage(link->pg);
}

/* Before libpq has begun, the server is the first of the connection string. */
const char *db_link_host(const struct db_link *link)
{
    const struct db_endpoint *endpoint = link->endpoint;
    return link->pg ? PQhost(link->pg) : endpoint->target_count ? endpoint->targets[0].host : "";
}

const char *db_link_port(const struct db_link *link)
{
    const struct db_endpoint *endpoint = link->endpoint;
    return link->pg ? PQport(link->pg) : endpoint->target_count ? endpoint->targets[0].port : "";
}

/* ---- receiving ---- */

/* Reports the oldest statement, whose Sync is answered: its transaction is committed or rolled back. */
static void finish(struct db_link *link)
{
    const struct flight flight = *oldest(link);
    struct db_outcome outcome = {.status = ST_OK};
    link->oldest = (link->oldest + 1) % DB_LINK_DEPTH;
    link->flying--;
    if (is_error(flight.result)) {
        const char *sqlstate = PQresultErrorField(flight.result, PG_DIAG_SQLSTATE);
        const char *text = PQresultErrorField(flight.result, PG_DIAG_MESSAGE_PRIMARY);
        /* An error without a code is libpq's own, about the connection. */
        const char *code = sqlstate ? sqlstate : "08000";
        const struct sqlstate *row = sqlstates;
        while (strncmp(code, row->prefix, strlen(row->prefix)) != 0)
            row++;
        outcome = row->outcome;
        if (row->error != METRIC_COUNT)
            metrics_add(row->error, 1);
        trace_enter(flight.trace);
        if (outcome.status == ST_INTERNAL)
            log_error("db statement failed", LOG_TEXT("statement", flight.stmt->name),
                      LOG_TEXT("sqlstate", sqlstate), LOG_TEXT("error", text));
        else if (outcome.status == ST_CONFLICT || outcome.status == ST_BUSY ||
                 outcome.status == ST_INVALID)
            log_debug("db statement refused by a constraint or a conflict",
                      LOG_TEXT("statement", flight.stmt->name), LOG_TEXT("sqlstate", sqlstate),
                      LOG_TEXT("error", text));
        else
            log_warn("db statement failed, may be tried again",
                     LOG_TEXT("statement", flight.stmt->name), LOG_TEXT("sqlstate", sqlstate),
                     LOG_TEXT("error", text));
        trace_enter(NULL);
    }
    link->user->on_result(link->arg, outcome, (struct db_result *)flight.result);
}

/* Reads one result from libpq. Keeps it if it is the first error of the statement, or its rows. False: there are
 * no more results, because the connection is lost. */
static bool take(struct db_link *link)
{
    PGresult *result = PQgetResult(link->pg);
    struct flight *flight = oldest(link);
    if (!result) { /* NULL ends the results of one step */
        flight->step++;
        return ++link->ends <= 2;
    }
    link->ends = 0;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        link->greeted = link->state == LINK_GREETING;
        if (!link->greeted)
            finish(link);
        return true;
    }
    const bool error =
        is_error(result); /* true also for a step that an earlier error has skipped */
    /* Without an SQLSTATE it is libpq's own error: the connection is lost. */
    if (PQstatus(link->pg) != CONNECTION_OK && error && status != PGRES_PIPELINE_ABORTED &&
        !PQresultErrorField(result, PG_DIAG_SQLSTATE)) {
        PQclear(result);
        return false;
    }

    const enum step step =
        flight->step < flight->step_count ? flight->steps[flight->step] : STEP_MAX;
    if (error && step == STEP_PREPARE_LIMIT)
        forget_prepared(link, &stmt_limit);
    if (error && step == STEP_PREPARE)
        forget_prepared(link, flight->stmt);
    const bool had_error = flight->result && is_error(flight->result);
    if (had_error || status == PGRES_PIPELINE_ABORTED || (!error && step != STEP_EXECUTE)) {
        PQclear(result);
        return true;
    }
    PQclear(flight->result);
    flight->result = result;
    return true;
}

/* ---- connecting ---- */

static void on_event(void *arg, int events);

static bool watch(struct db_link *link, int events)
{
    if (!link->watch)
        link->watch = loop_watch_new(link->loop, PQsocket(link->pg), on_event, link);
    if (link->watch)
        loop_watch_set(link->watch, events);
    return link->watch != NULL;
}

/* libpq passes an error that answers no statement as a notice. FATAL or PANIC: the server is about to close the
 * connection. */
static void on_notice(void *arg, const PGresult *result)
{
    struct db_link *link = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        link->dying = true;
    log_debug("postgresql notice",
              LOG_TEXT("text", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

static void connect_start(struct db_link *link)
{
    struct db_keywords words = {.count = 0};
    db_endpoint_keywords(link->endpoint, &words);
    if (link->address_count > 0) {
        db_keywords_add(&words, "host", buf_str(&link->host));
        db_keywords_add(&words, "hostaddr", buf_str(&link->hostaddr));
        db_keywords_add(&words, "port", buf_str(&link->port));
    }

    link->pg = PQconnectStartParams(words.names, words.values, 0);
    if (!link->pg || PQstatus(link->pg) == CONNECTION_BAD) {
        link->user->on_down(link->arg, link->pg ? db_link_error(link) : "out of memory");
        return;
    }
    PQsetNoticeReceiver(link->pg, on_notice, link);
    if (!watch(link, LOOP_WRITE))
        link->user->on_down(link->arg, "cannot watch the connection");
}

/* Has the attempt failed because a pooler does not take our options? Then connects again without them. */
static bool connect_plainly(struct db_link *link)
{
    if (link->endpoint->no_options || !strstr(db_link_error(link), REFUSES_OPTIONS))
        return false;
    log_info("postgresql is behind a pooler: settings are sent with each statement",
             LOG_TEXT("host", db_link_host(link)), LOG_TEXT("port", db_link_port(link)));
    link->endpoint->no_options = true;
    PQfinish(link->pg);
    link->pg = NULL;
    connect_start(link);
    return true;
}

/* Sends the greeting; it is answered before the connection is used. False: the connection is lost. */
static bool greet(struct db_link *link)
{
    const struct db_stmt *stmt = db_health_greeting(link->health);
    struct flight *flight = flight_new(link, stmt);
    flight->steps[flight->step_count++] = STEP_EXECUTE;
    link->state = LINK_GREETING;
    return PQsendQueryParams(link->pg, stmt->sql, stmt->param_count, NULL,
                             db_health_params(link->health), NULL, NULL, 0) &&
           PQpipelineSync(link->pg) && flush(link);
}

/* The greeting is answered. */
static void greeted(struct db_link *link)
{
    PGresult *result = oldest(link)->result;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *fault =
        is_error(result)
            ? db_health_failed(link->health, sqlstate ? sqlstate : "",
                               text ? text : db_link_error(link))
            : db_health_row(link->health, (const struct db_result *)result, PQbackendPID(link->pg));
    link->pooled = link->endpoint->no_options || link->health->state.pooled;
    PQclear(result);
    link->oldest = (link->oldest + 1) % DB_LINK_DEPTH;
    link->flying--;
    if (fault) {
        link->user->on_down(link->arg, fault);
        return;
    }
    link->state = LINK_UP;
    link->user->on_up(link->arg);
}

/* Lets libpq take the next step of connecting. For the next address it opens a new descriptor, which may have the
 * same number as the old one, so the old watch is closed before. */
static void connect_poll(struct db_link *link)
{
    loop_watch_close(link->watch);
    link->watch = NULL;
    PostgresPollingStatusType next = PQconnectPoll(link->pg);
    bool ok = next == PGRES_POLLING_OK;
    if (next == PGRES_POLLING_READING)
        ok = watch(link, LOOP_READ);
    else if (next == PGRES_POLLING_WRITING)
        ok = watch(link, LOOP_WRITE);
    if (!ok) {
        if (!connect_plainly(link))
            link->user->on_down(link->arg, db_link_error(link));
        return;
    }
    if (next != PGRES_POLLING_OK)
        return;
    /* Another encoding would refuse, at any later moment, the first text that it cannot hold. */
    const char *fault =
        db_health_encoding(link->health, PQparameterStatus(link->pg, "server_encoding"));
    if (!fault && (PQsetnonblocking(link->pg, 1) || !PQenterPipelineMode(link->pg) ||
                   !watch(link, LOOP_READ) || !greet(link)))
        fault = "cannot set up the connection";
    if (fault)
        link->user->on_down(link->arg, fault);
}

static void on_event(void *arg, int events)
{
    struct db_link *link = arg;
    if (link->state == LINK_CONNECTING) {
        connect_poll(link);
        return;
    }
    if (events & LOOP_WRITE && !flush(link)) {
        link->user->on_down(link->arg, db_link_error(link));
        return;
    }
    /* With nothing in flight the socket has a notice, a changed setting, or the end of the connection. */
    bool ok = link->flying > 0 ? PQconsumeInput(link->pg) : db_link_alive(link);
    /* The server may have answered before it closed the connection: results that have arrived still count. */
    while (link->flying > 0 && !PQisBusy(link->pg)) {
        if (!take(link)) {
            ok = false;
            break;
        }
        if (link->greeted && link->state == LINK_GREETING) {
            greeted(link);
            return;
        }
    }
    if (!ok || PQstatus(link->pg) != CONNECTION_OK)
        link->user->on_down(link->arg,
                            link->ends > 2 ? "out of step with the server" : db_link_error(link));
}

static void add_address(struct db_link *link, const char *address)
{
    if (link->address_count < ADDRESSES_MAX)
        link->addresses[link->address_count++] =
            (struct address){&link->endpoint->targets[link->target], xstrdup(address)};
}

static void on_resolved(void *arg, enum status status, const char *const *list, size_t count);

/* Resolves the next host name; when none is left, begins to connect. */
static void connect_next(struct db_link *link)
{
    for (; link->target < link->endpoint->target_count; link->target++) {
        const struct db_target *target = &link->endpoint->targets[link->target];
        const char first = target->host[0]; /* '/' or '@': a Unix socket; NUL: libpq's default */
        if (!target->hostaddr[0] && first && first != '/' && first != '@') {
            link->resolve = loop_resolve_start(link->loop, target->host, on_resolved, link);
            return;
        }
        add_address(link, target->hostaddr);
    }
    if (link->endpoint->target_count > 0 && link->address_count == 0) {
        link->user->on_down(link->arg, "the host name cannot be resolved");
        return;
    }

    for (size_t i = 0; i < link->address_count; i++) {
        const struct address *address = &link->addresses[(i + link->skip) % link->address_count];
        const char *comma = i > 0 ? "," : "";
        buf_printf(&link->host, "%s%s", comma, address->target->host);
        buf_printf(&link->hostaddr, "%s%s", comma, address->text);
        buf_printf(&link->port, "%s%s", comma, address->target->port);
    }
    if (link->host.failed || link->hostaddr.failed || link->port.failed) {
        link->user->on_down(link->arg, "too many addresses");
        return;
    }
    connect_start(link);
}

static void on_resolved(void *arg, enum status status, const char *const *list, size_t count)
{
    struct db_link *link = arg;
    link->resolve = NULL;
    for (size_t i = 0; status == ST_OK && i < count; i++)
        add_address(link, list[i]);
    link->target++;
    connect_next(link);
}

/* ---- open, close ---- */

static void on_begin(void *arg)
{
    connect_next(arg);
}

struct db_link *db_link_open(struct loop *loop, struct db_endpoint *endpoint, unsigned skip,
                             struct db_health *health, const struct db_link_user *user, void *arg)
{
    struct db_link *link = xcalloc(1, sizeof(*link));
    link->loop = loop;
    link->endpoint = endpoint;
    link->skip = skip;
    link->health = health;
    link->user = user;
    link->arg = arg;
    buf_init(&link->host, LIST_MAX);
    buf_init(&link->hostaddr, LIST_MAX);
    buf_init(&link->port, LIST_MAX);
    link->begin = (struct loop_task){.cb = on_begin, .arg = link};
    loop_defer(loop, &link->begin);
    return link;
}

void db_link_close(struct db_link *link)
{
    loop_undefer(link->loop, &link->begin);
    loop_resolve_cancel(link->resolve);
    loop_watch_close(link->watch); /* before libpq closes the descriptor */
    for (; link->flying > 0; link->flying--, link->oldest = (link->oldest + 1) % DB_LINK_DEPTH)
        PQclear(oldest(link)->result);
    PQfinish(link->pg);
    for (size_t i = 0; i < link->address_count; i++)
        free(link->addresses[i].text);
    buf_clear(&link->host);
    buf_clear(&link->hostaddr);
    buf_clear(&link->port);
    free((void *)link->prepared);
    free(link);
}

void db_result_free(struct db_result *result)
{
    PQclear((PGresult *)result);
}
