/* SPDX-License-Identifier: MIT */
/*
 * api_deep: /readyz?deep=1: may this pod take over from another one? A list of checks, each with its name.
 *
 *   call -> a key written to Redis, a statement run by PostgreSQL, both at once -> the checks -> the answer
 *
 * Why this way: /readyz alone is 200 while a backend is down, because buyers need the 503 with Retry-After of a pod that
 * served before. A pod that never reached its backends must not replace one that did, so a rollout asks this (the startup
 * probes in k8s/base). What is known without asking (redis_state, db_state) was learnt within the last second; writing and
 * the round trip are done for the answer, within CHECK_MS. Anybody may ask, so all who ask at once share one try, and
 * what it reached for REUSE_MS; and HTTP_PORT tells which checks fail, not why: the reasons name hosts and users.
 * Called by: api_ops. Owns: the try under way, and the list of those who wait for it. A backend gone: its checks fail.
 */
#include "api/api_internal.h"

#include "base/memory.h"
#include "net/db.h"
#include "net/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_MS 2000
#define REUSE_MS 500

struct waiter {
    struct waiter *next;
    struct api_call *call;
};

struct api_deep {
    unsigned pending;            /* operations of the try under way */
    uint64_t at_ms;              /* when the last try ended; 0: none has */
    enum status wrote, answered; /* what Redis and PostgreSQL did */
    bool read_only, standby;     /* PostgreSQL, when it answered */
    struct waiter *waiting;
};

/* ---- the checks ---- */

struct verdict {
    struct json *checks;
    bool details; /* what was found is told, too */
    bool ok;
};

static void check(struct verdict *verdict, const char *name, bool ok, const char *detail)
{
    struct json *row = json_new_object();
    json_set_str(row, "name", name);
    json_set_bool(row, "ok", ok);
    if (verdict->details)
        json_set_str(row, "detail", detail);
    json_append(verdict->checks, row);
    verdict->ok = verdict->ok && ok;
}

/* A check whose answer is known only when another one was passed. */
static void check_known(struct verdict *verdict, const char *name, bool known, bool ok,
                        const char *good, const char *bad)
{
    check(verdict, name, known && ok, !known ? "not known" : ok ? good : bad);
}

static const char *or_else(const char *text, const char *other)
{
    return *text ? text : other;
}

static void check_redis(struct verdict *verdict, const struct api *api)
{
    const struct redis_state state = redis_state(api->redis);
    const bool reached = state.up || state.fault > REDIS_FAULT_REACH;
    const bool writes = !state.refuses_writes && api->deep->wrote == ST_OK;
    const char *problem = or_else(state.problem, "not reached yet");
    check_known(verdict, "redis", true, reached, "it answers", problem);
    check_known(verdict, "redis-shards", state.up, !state.partial, "all are reached",
                or_else(state.problem, "a shard is missing"));
    check_known(verdict, "redis-primary", reached, state.fault != REDIS_FAULT_ROLE, "a primary",
                problem);
    check_known(verdict, "redis-permissions", state.up || state.fault == REDIS_FAULT_PERMISSION,
                state.up, or_else(state.muted, "all commands"), problem);
    check_known(verdict, "redis-write", state.up, writes, "a key was written",
                or_else(state.problem, "no key was written in time"));
    check_known(verdict, "redis-memory", state.up, !state.full,
                or_else(state.danger, "below maxmemory"), "over maxmemory");
}

static void check_postgres(struct verdict *verdict, const struct api *api)
{
    const struct api_deep *deep = api->deep;
    const struct db_state state = db_state(api->db);
    const bool answered = deep->answered == ST_OK;
    const bool judged = state.up || state.fault > DB_FAULT_ENCODING; /* after its encoding */
    const char *problem = or_else(state.problem, "not reached yet");
    char schema[160], room[160];
    (void)snprintf(schema, sizeof(schema),
                   "generation %" PRId64 ", serves programs of %" PRId64
                   " or newer; this program has %" PRId64,
                   state.generation, state.oldest, db_schema_own()->generation);
    if (state.pooled)
        (void)snprintf(room, sizeof(room), "behind a pooler; this process may open %" PRId64,
                       state.may_open);
    else
        (void)snprintf(room, sizeof(room),
                       "this process may open %" PRId64 "; %" PRId64
                       " are allowed, others used %" PRId64,
                       state.may_open, state.limit, state.others);
    check_known(verdict, "postgres", true, answered || state.fault > DB_FAULT_REACH, "it answers",
                state.up ? "no answer within two seconds" : problem);
    check_known(verdict, "postgres-encoding", judged || state.fault == DB_FAULT_ENCODING, judged,
                "UTF8", problem);
    check_known(verdict, "postgres-schema", judged, state.fault != DB_FAULT_SCHEMA, schema,
                problem);
    check_known(verdict, "postgres-write", answered, !deep->read_only, "it takes writes",
                deep->standby ? "a standby, which only reads"
                              : "read-only (default_transaction_read_only)");
    check_known(verdict, "postgres-connections", state.up || state.fault == DB_FAULT_CONNECTIONS,
                state.up, room, problem);
}

static void answer(struct api_call *call)
{
    const struct api *api = call->api;
    const unsigned starting = api->health->starting;
    struct verdict verdict = {
        .checks = json_new_array(), .details = api_tells_details(call), .ok = true};
    char workers[40];
    (void)snprintf(workers, sizeof(workers), "%u do not serve yet", starting);
    check(&verdict, "workers", starting == 0 && !api->health->draining,
          api->health->draining ? "draining"
          : starting == 0       ? "all serve"
                                : workers);
    check_redis(&verdict, api);
    check_postgres(&verdict, api);
    struct json *body = api_ready_body(call);
    json_set(body, "checks", verdict.checks);
    api_answer_ready(call, verdict.ok, body);
}

/* ---- the try ---- */

static void one_ended(struct api *api)
{
    struct api_deep *deep = api->deep;
    if (--deep->pending > 0)
        return;
    deep->at_ms = loop_now_ms(api->loop);
    while (deep->waiting) {
        struct waiter *waiter = deep->waiting;
        deep->waiting = waiter->next;
        answer(waiter->call);
    }
}

static void on_written(void *arg, enum status status, const struct redis_reply *reply)
{
    struct api *api = arg;
    (void)reply;
    api->deep->wrote = status;
    one_ended(api);
}

static void on_answered(void *arg, enum status status, const struct db_result *result)
{
    struct api *api = arg;
    api->deep->answered = status;
    if (status == ST_OK) {
        api->deep->read_only = strcmp(db_text(result, 0, 0), "on") == 0;
        api->deep->standby = strcmp(db_text(result, 0, 1), "t") == 0;
    }
    one_ended(api);
}

enum status api_deep_start(struct api_call *call)
{
    static const struct db_stmt round_trip = {
        .name = "db_round_trip",
        .sql = "SELECT current_setting('transaction_read_only'), pg_is_in_recovery()"};
    struct api *api = call->api;
    if (!api->deep)
        api->deep = xcalloc(1, sizeof(*api->deep));
    struct api_deep *deep = api->deep;
    if (deep->pending == 0 && deep->at_ms > 0 && deep->wrote == ST_OK && deep->answered == ST_OK &&
        loop_now_ms(api->loop) - deep->at_ms < REUSE_MS) {
        answer(call);
        return ST_OK;
    }
    struct waiter *waiter = http_req_alloc(call->req, sizeof(*waiter));
    *waiter = (struct waiter){.next = deep->waiting, .call = call};
    deep->waiting = waiter;
    if (deep->pending > 0)
        return ST_OK;
    deep->pending =
        3; /* the third is this function, so that nothing is answered before both are sent */
    deep->wrote = queue_write_probe(api->queue, on_written, api);
    if (deep->wrote != ST_OK)
        deep->pending--;
    deep->answered = db_query_within(api->db, CHECK_MS, &round_trip, NULL, on_answered, api);
    if (deep->answered != ST_OK)
        deep->pending--;
    one_ended(api);
    return ST_OK;
}

void api_deep_forget(struct api_call *call)
{
    struct waiter **at = call->api->deep ? &call->api->deep->waiting : NULL;
    while (at && *at && (*at)->call != call)
        at = &(*at)->next;
    if (at && *at)
        *at = (*at)->next;
}
