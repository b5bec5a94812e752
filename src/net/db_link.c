/* SPDX-License-Identifier: MIT */
/*
 * db_link: one non-blocking connection to PostgreSQL in libpq's pipeline mode.
 *
 * Why this way: a statement is one implicit transaction: Parse (the first time on this connection),
 * Bind, Execute and a Sync of its own leave in one write, so that a failing statement aborts nothing but
 * itself, however many are in flight. Its result counts only once the Sync is answered, because the
 * commit happens at the Sync and may still fail (a deferred constraint).
 * Called by: db alone, which adds the pool, deadlines and retries.
 * Owns: the PGconn, its watch, the running name resolution, the list of what it has prepared.
 * Invariants: results come in the order of the statements, so `flights` is a ring and its oldest entry
 * is the one being answered. A statement is parsed once, by the first that needs it. Those right behind
 * rely on that; if it fails they get 26000, with nothing done, and may be retried elsewhere. The watch is
 * closed before libpq may close its descriptor.
 * PostgreSQL gone: on_down; the link stays as it is until db closes it.
 *
 * Steps:  begin -> resolve each host -> connect_poll… -> up -> send… -> take… -> on_result
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
#include "net/db_endpoint.h"

#define LIST_MAX      4096 /* bytes of all hosts, or addresses, of one connection string */
#define ADDRESSES_MAX 64

/* What each result of a pipeline belongs to. A prepare is followed by what it prepares. */
enum step { STEP_PREPARE_LIMIT, STEP_LIMIT, STEP_PREPARE, STEP_EXECUTE, STEP_MAX };

/* A statement in flight. */
struct flight {
    const struct db_stmt *stmt;
    PGresult *result; /* the result to report: the first error, else the rows */
    enum step steps[STEP_MAX];
    size_t step, step_count;
};

struct address {
    const struct db_target *target;
    char *text; /* the resolved address; "": the target needs none */
};

struct db_link {
    struct loop *loop;
    const struct db_endpoint *endpoint;
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
    bool up, dying; /* dying: the server has announced that it closes */
    const struct db_stmt **prepared;
    size_t prepared_count, prepared_cap;

    struct flight flights[DB_LINK_DEPTH]; /* a ring */
    size_t oldest, flying;
    bool sent;     /* libpq has written everything to the socket */
    unsigned ends; /* consecutive NULLs of PQgetResult, without a result between them */
};

/* Gives the next statement a time limit of its own, within its own transaction. */
static const struct db_stmt stmt_limit = {
    .name = "db_limit",
    .sql = "SELECT set_config('statement_timeout', $1, true)",
    .param_count = 1,
};

/* ---- errors ---- */

/* What an SQLSTATE means: the first row whose prefix fits. */
static const struct sqlstate {
    const char *prefix;
    struct db_outcome outcome;
} sqlstates[] = {
    {"23505", {ST_CONFLICT, false, false}},  /* unique_violation */
    {"23P01", {ST_CONFLICT, false, false}},  /* exclusion_violation */
    {"40", {ST_CONFLICT, false, true}},      /* serialization_failure, deadlock_detected */
    {"55P03", {ST_CONFLICT, false, false}},  /* lock_not_available */
    {"22", {ST_INVALID, false, false}},      /* data exception */
    {"23", {ST_INVALID, false, false}},      /* the other constraints */
    {"57014", {ST_TIMEOUT, false, false}},   /* query_canceled: statement_timeout */
    {"25006", {ST_UNAVAILABLE, true, true}}, /* read_only_sql_transaction: a standby */
    {"0A000", {ST_UNAVAILABLE, true, true}}, /* "cached plan must not change result type" */
    {"26000", {ST_UNAVAILABLE, true, true}}, /* our prepared statements are gone */
    {"57", {ST_UNAVAILABLE, true, false}},   /* shutting down, crashed, starting up */
    {"08", {ST_UNAVAILABLE, true, false}},   /* connection exception */
    {"25P0", {ST_UNAVAILABLE, true, false}}, /* a session or transaction timeout */
    {"53", {ST_UNAVAILABLE, false, false}},  /* out of memory, disk, connections */
    {"", {ST_INTERNAL, false, false}},
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
        link->prepared[link->prepared_count++] = stmt; /* take() removes it if this fails */
        flight->steps[flight->step_count++] = prepare;
    }
    flight->steps[flight->step_count++] = prepare + 1;
    return PQsendQueryPrepared(link->pg, stmt->name, stmt->param_count, params, NULL, NULL, 0);
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

bool db_link_send(struct db_link *link, const struct db_stmt *stmt, const char *const *params,
                  int64_t limit_ms)
{
    char limit[24];
    const char *limit_param[] = {limit};
    assert(link->up && link->flying < DB_LINK_DEPTH);
    struct flight *flight = &link->flights[(link->oldest + link->flying++) % DB_LINK_DEPTH];
    *flight = (struct flight){.stmt = stmt};
    link->sent = false;
    snprintf(limit, sizeof(limit), "%" PRId64, limit_ms);
    return (limit_ms <= 0 || send_stmt(link, flight, &stmt_limit, limit_param)) &&
           send_stmt(link, flight, stmt, params) && PQpipelineSync(link->pg) && flush(link);
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

/* ---- receiving ---- */

/* The Sync is answered: the transaction is committed, or nothing happened. */
static void finish(struct db_link *link)
{
    const struct flight flight = *oldest(link);
    struct db_outcome outcome = {.status = ST_OK};
    link->oldest = (link->oldest + 1) % DB_LINK_DEPTH;
    link->flying--;
    if (is_error(flight.result)) {
        const char *sqlstate = PQresultErrorField(flight.result, PG_DIAG_SQLSTATE);
        const char *text = PQresultErrorField(flight.result, PG_DIAG_MESSAGE_PRIMARY);
        /* libpq's own errors have no code: they are about the connection. */
        const char *code = sqlstate ? sqlstate : "08000";
        const struct sqlstate *row = sqlstates;
        while (strncmp(code, row->prefix, strlen(row->prefix)) != 0)
            row++;
        outcome = row->outcome;
        if (outcome.status == ST_INTERNAL)
            log_error("db statement failed", LOG_TEXT("statement", flight.stmt->name),
                      LOG_TEXT("sqlstate", sqlstate), LOG_TEXT("error", text));
        else if (outcome.status == ST_CONFLICT || outcome.status == ST_INVALID)
            log_debug("db statement refused", LOG_TEXT("statement", flight.stmt->name),
                      LOG_TEXT("sqlstate", sqlstate), LOG_TEXT("error", text));
        else
            log_warn("db statement failed, may be repeated",
                     LOG_TEXT("statement", flight.stmt->name), LOG_TEXT("sqlstate", sqlstate),
                     LOG_TEXT("error", text));
    }
    link->user->on_result(link->arg, outcome, (struct db_result *)flight.result);
}

/* Takes one result, and keeps it if it counts: the first error, else the rows of the statement itself.
 * False: there are no more, the connection is lost. */
static bool take(struct db_link *link)
{
    PGresult *result = PQgetResult(link->pg);
    struct flight *flight = oldest(link);
    if (!result) { /* the end of one step's results */
        flight->step++;
        return ++link->ends <= 2;
    }
    link->ends = 0;
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        finish(link);
        return true;
    }
    const bool error = is_error(result); /* also when an earlier step has aborted it */
    /* An error of libpq's own, not of the server: the connection is lost. */
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

/* An unsolicited error arrives as a notice: the server is about to close the connection. */
static void on_notice(void *arg, const PGresult *result)
{
    struct db_link *link = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        link->dying = true;
    log_debug("db notice", LOG_TEXT("text", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

/* libpq may go on to the next address with another descriptor, or with a new one of the same number: the
 * old watch must be closed before it does. */
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
        link->user->on_down(link->arg, db_link_error(link));
        return;
    }
    if (next != PGRES_POLLING_OK)
        return;
    if (PQsetnonblocking(link->pg, 1) || !PQenterPipelineMode(link->pg) ||
        !watch(link, LOOP_READ)) {
        link->user->on_down(link->arg, "cannot set up the connection");
        return;
    }
    link->up = true;
    link->user->on_up(link->arg);
}

static void on_event(void *arg, int events)
{
    struct db_link *link = arg;
    if (!link->up) {
        connect_poll(link);
        return;
    }
    if (events & LOOP_WRITE && !flush(link)) {
        link->user->on_down(link->arg, db_link_error(link));
        return;
    }
    /* With nothing in flight it is a notice, a changed setting, or the end of the connection. */
    bool ok = link->flying > 0 ? PQconsumeInput(link->pg) : db_link_alive(link);
    /* A server may have answered before it closed: results that have arrived still count. */
    while (link->flying > 0 && !PQisBusy(link->pg)) {
        if (!take(link)) {
            ok = false;
            break;
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
        const char first = target->host[0]; /* '/', '@': a Unix socket; none: libpq's default */
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

struct db_link *db_link_open(struct loop *loop, const struct db_endpoint *endpoint, unsigned skip,
                             const struct db_link_user *user, void *arg)
{
    struct db_link *link = xcalloc(1, sizeof(*link));
    link->loop = loop;
    link->endpoint = endpoint;
    link->skip = skip;
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
