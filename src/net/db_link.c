/* SPDX-License-Identifier: MIT */
/*
 * db_link: one non-blocking connection to PostgreSQL in libpq's pipeline mode, and its results.
 *
 * Why this way: a statement is one implicit transaction: Parse (the first time on this connection),
 * Bind, Execute and a Sync of its own leave in one write, so that one that fails aborts nothing but
 * itself, however many are under way. Its answer counts only when the Sync's is there, because the
 * commit happens at the Sync and may still fail (a deferred constraint).
 * Called by: db alone, which adds the pool, deadlines and retries.
 * Owns: the PGconn, its watch, the names being looked up, the list of what it has prepared.
 * Invariants: answers come in the order of the statements, so `flights` is a ring and its oldest
 * is the one being answered. A statement is parsed once, by the first that needs it: those right
 * behind it trust in that, and if it fails they get 26000, with nothing done, and may go elsewhere.
 * The watch is closed before libpq may close its descriptor.
 * PostgreSQL gone: on_down; the link stays as it is until db closes it.
 *
 * Steps:  begin -> look up each host -> connect_poll... -> up -> send... -> take... -> on_result
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

#define LIST_MAX      4096 /* bytes of all hosts, or addresses, of one connection string */
#define ADDRESSES_MAX 64

/* What each answer of a pipeline belongs to. A prepare is followed by what it prepares. */
enum step { STEP_PREPARE_LIMIT, STEP_LIMIT, STEP_PREPARE, STEP_EXECUTE, STEP_MAX };

/* A statement under way. */
struct flight {
    const struct db_stmt *stmt;
    PGresult *result; /* what counts of its answers so far */
    enum step steps[STEP_MAX];
    size_t step, step_count;
};

struct address {
    const struct db_target *target;
    char *text; /* "" : the target needs none */
};

struct db_link {
    struct loop *loop;
    const struct db_endpoint *endpoint;
    const struct db_link_user *user;
    void *arg;
    struct loop_task begin;
    struct loop_resolve *resolve;
    size_t target; /* the host being looked up */
    unsigned skip;
    struct address addresses[ADDRESSES_MAX];
    size_t address_count;
    struct buf host, hostaddr, port; /* lists for libpq, one entry an address */
    PGconn *pg;
    struct loop_watch *watch;
    bool up, dying; /* dying: the server said good-bye */
    const struct db_stmt **prepared;
    size_t prepared_count, prepared_cap;

    struct flight flights[DB_LINK_DEPTH]; /* a ring */
    size_t oldest, flying;
    bool sent;     /* all of it */
    unsigned ends; /* of answers, without an answer between */
};

/* Gives a statement a time limit of its own, within its own transaction. */
static const struct db_stmt stmt_limit = {
    .name = "db_limit",
    .sql = "SELECT set_config('statement_timeout', $1, true)",
    .param_count = 1,
};

/* ---- results ---- */

static const PGresult *pg_of(const struct db_result *result)
{
    return (const PGresult *)result;
}

int db_rows(const struct db_result *result)
{
    return PQntuples(pg_of(result));
}

bool db_is_null(const struct db_result *result, int row, int col)
{
    return PQgetisnull(pg_of(result), row, col);
}

const char *db_text(const struct db_result *result, int row, int col)
{
    const char *text = PQgetvalue(pg_of(result), row, col);
    return text ? text : "";
}

size_t db_len(const struct db_result *result, int row, int col)
{
    return (size_t)PQgetlength(pg_of(result), row, col);
}

int64_t db_int(const struct db_result *result, int row, int col)
{
    return strtoll(db_text(result, row, col), NULL, 10);
}

void db_result_free(struct db_result *result)
{
    PQclear((PGresult *)result);
}

/* The first row whose prefix fits counts. */
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

static const struct sqlstate *sqlstate_find(const PGresult *result)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (!code)
        code = "08000"; /* libpq's own errors have none: they are about the connection */
    const struct sqlstate *row = sqlstates;
    while (strncmp(code, row->prefix, strlen(row->prefix)) != 0)
        row++;
    return row;
}

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result); /* of NULL: PGRES_FATAL_ERROR */
    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

static void log_refusal(const struct db_stmt *stmt, const PGresult *result, enum status status)
{
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (status == ST_INTERNAL)
        log_error("postgres: statement failed", LOG_TEXT("statement", stmt->name),
                  LOG_TEXT("sqlstate", code), LOG_TEXT("error", text));
    else if (status == ST_CONFLICT || status == ST_INVALID)
        log_debug("postgres: statement refused", LOG_TEXT("statement", stmt->name),
                  LOG_TEXT("sqlstate", code), LOG_TEXT("error", text));
    else
        log_warn("postgres: statement stopped", LOG_TEXT("statement", stmt->name),
                 LOG_TEXT("sqlstate", code), LOG_TEXT("error", text));
}

/* ---- sending ---- */

static bool is_prepared(const struct db_link *link, const struct db_stmt *stmt)
{
    for (size_t i = 0; i < link->prepared_count; i++)
        if (link->prepared[i] == stmt)
            return true;
    return false;
}

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

static void remember_prepared(struct db_link *link, const struct db_stmt *stmt)
{
    if (link->prepared_count == link->prepared_cap) {
        link->prepared_cap = link->prepared_cap ? link->prepared_cap * 2 : 16;
        link->prepared =
            xrealloc((void *)link->prepared, link->prepared_cap * sizeof(const struct db_stmt *));
    }
    link->prepared[link->prepared_count++] = stmt;
}

static bool send_stmt(struct db_link *link, struct flight *flight, const struct db_stmt *stmt,
                      const char *const *params)
{
    enum step prepare = stmt == &stmt_limit ? STEP_PREPARE_LIMIT : STEP_PREPARE;
    if (!is_prepared(link, stmt)) {
        if (!PQsendPrepare(link->pg, stmt->name, stmt->sql, 0, NULL))
            return false;
        remember_prepared(link, stmt); /* for those behind it; keep() takes it back if it fails */
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
    struct flight flight = *oldest(link);
    struct db_outcome outcome = {.status = ST_OK};
    link->oldest = (link->oldest + 1) % DB_LINK_DEPTH;
    link->flying--;
    if (is_error(flight.result)) {
        outcome = sqlstate_find(flight.result)->outcome;
        log_refusal(flight.stmt, flight.result, outcome.status);
    }
    link->user->on_result(link->arg, outcome, (struct db_result *)flight.result);
}

/* Keeps what counts: the first error, else the rows of the statement itself. */
static void keep(struct db_link *link, PGresult *result)
{
    struct flight *flight = oldest(link);
    enum step step = flight->step < flight->step_count ? flight->steps[flight->step] : STEP_MAX;
    bool error = is_error(result); /* aborted by an earlier step counts as one */
    if (error && step == STEP_PREPARE_LIMIT)
        forget_prepared(link, &stmt_limit);
    if (error && step == STEP_PREPARE)
        forget_prepared(link, flight->stmt);
    bool had_error = flight->result && is_error(flight->result);
    if (had_error || PQresultStatus(result) == PGRES_PIPELINE_ABORTED ||
        (!error && step != STEP_EXECUTE)) {
        PQclear(result);
        return;
    }
    PQclear(flight->result);
    flight->result = result;
}

/* libpq's own word, not the server's: the connection is lost. */
static bool is_loss(const PGconn *pg, const PGresult *result)
{
    return PQstatus(pg) != CONNECTION_OK && is_error(result) &&
           PQresultStatus(result) != PGRES_PIPELINE_ABORTED &&
           !PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

/* One answer. False: there are no more. */
static bool take(struct db_link *link)
{
    PGresult *result = PQgetResult(link->pg);
    if (!result) { /* the end of one answer's results */
        oldest(link)->step++;
        return ++link->ends <= 2;
    }
    link->ends = 0;
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        finish(link);
    } else if (is_loss(link->pg, result)) {
        PQclear(result);
        return false;
    } else {
        keep(link, result);
    }
    return true;
}

static void receive(struct db_link *link)
{
    /* Without a statement under way it is a notice, a changed setting, or a good-bye. */
    bool ok = link->flying > 0 ? PQconsumeInput(link->pg) : db_link_alive(link);
    /* A server that goes may have answered before: what has come still counts. */
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

/* An error that nobody asked for comes as a notice: the server is about to close the connection. */
static void on_notice(void *arg, const PGresult *result)
{
    struct db_link *link = arg;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
        link->dying = true;
    log_debug("postgres: notice",
              LOG_TEXT("text", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
}

static void connected(struct db_link *link)
{
    if (PQsetnonblocking(link->pg, 1) || !PQenterPipelineMode(link->pg) ||
        !watch(link, LOOP_READ)) {
        link->user->on_down(link->arg, "cannot set up the connection");
        return;
    }
    link->up = true;
    link->user->on_up(link->arg);
}

/* libpq may go on to the next address with another descriptor, or with the same number anew: the
 * old watch must be gone before it does. */
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
    if (!ok)
        link->user->on_down(link->arg, db_link_error(link));
    else if (next == PGRES_POLLING_OK)
        connected(link);
}

static void on_event(void *arg, int events)
{
    struct db_link *link = arg;
    if (!link->up)
        connect_poll(link);
    else if (!(events & LOOP_WRITE) || flush(link))
        receive(link);
    else
        link->user->on_down(link->arg, db_link_error(link));
}

/* The lists for libpq, begun where it was told to. */
static enum status addresses_write(struct db_link *link)
{
    for (size_t i = 0; i < link->address_count; i++) {
        const struct address *address = &link->addresses[(i + link->skip) % link->address_count];
        const struct {
            struct buf *out;
            const char *text;
        } lists[] = {{&link->host, address->target->host},
                     {&link->hostaddr, address->text},
                     {&link->port, address->target->port}};
        for (size_t j = 0; j < sizeof(lists) / sizeof(lists[0]); j++) {
            if (i > 0)
                buf_add_char(lists[j].out, ',');
            buf_add_str(lists[j].out, lists[j].text);
            if (buf_status(lists[j].out) != ST_OK)
                return ST_TOO_LARGE;
        }
    }
    return ST_OK;
}

static void connect_start(struct db_link *link)
{
    struct db_keywords words = {.count = 0};
    if (addresses_write(link) != ST_OK) {
        link->user->on_down(link->arg, "too many addresses");
        return;
    }
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

/* ---- host names ---- */

static void add_address(struct db_link *link, const char *address)
{
    if (link->address_count < ADDRESSES_MAX)
        link->addresses[link->address_count++] =
            (struct address){&link->endpoint->targets[link->target], xstrdup(address)};
}

/* A path is a Unix socket, nothing the default one. */
static bool is_name(const char *host)
{
    return host[0] && host[0] != '/' && host[0] != '@';
}

static void on_resolved(void *arg, enum status status, const char *const *list, size_t count);

static void resolve_next(struct db_link *link)
{
    for (; link->target < link->endpoint->target_count; link->target++) {
        const struct db_target *target = &link->endpoint->targets[link->target];
        if (!target->hostaddr[0] && is_name(target->host)) {
            link->resolve = loop_resolve_start(link->loop, target->host, on_resolved, link);
            return;
        }
        add_address(link, target->hostaddr);
    }
    if (link->endpoint->target_count > 0 && link->address_count == 0)
        link->user->on_down(link->arg, "the host name cannot be resolved");
    else
        connect_start(link);
}

static void on_resolved(void *arg, enum status status, const char *const *list, size_t count)
{
    struct db_link *link = arg;
    link->resolve = NULL;
    for (size_t i = 0; status == ST_OK && i < count; i++)
        add_address(link, list[i]);
    link->target++;
    resolve_next(link);
}

/* ---- open, close ---- */

static void on_begin(void *arg)
{
    resolve_next(arg);
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
