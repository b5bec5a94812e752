/* SPDX-License-Identifier: MIT */
/*
 * queue_script: the Lua scripts: their texts, their calls, the part that all replies share; and the loading of events
 * that Redis does not know.
 *
 * queue_run_known -> NOCONFIG -> queue->loader, once per event for all waiting operations -> the same call again
 *
 * Why this way: the scripts are embedded in the binary, so a pod and its scripts are always of the same build. Only
 * under test hooks may a folder (TIKETI_LUA_DIR) replace some of them, so that tests can prove that they notice a
 * script that decides wrongly. A lost event is loaded here, so that callers get only the final answer.
 * Called by: main (init), worker (the list for redis), the files of queue.
 * Owns: the texts of replaced scripts, for the life of the process; written once, before threads start. The
 * operations that wait for an event.
 * When Redis is gone: queue_run refuses, and calls under way end with redis' status. When PostgreSQL is gone, calls
 * that wait for an event get the status of the failed load.
 */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/log.h"

#define SHARED_END                                                                                 \
    "-- end of shared.lua\n\n" /* src/embed.sh: shared.lua, an empty line, the script */
#define FILE_MAX ((size_t)256 * 1024)

static const char *const names[QUEUE_SCRIPT_COUNT] = {
    [QUEUE_SCRIPT_JOIN] = "join",
    [QUEUE_SCRIPT_SEEN] = "seen",
    [QUEUE_SCRIPT_LEAVE] = "leave",
    [QUEUE_SCRIPT_PROMOTE] = "promote",
    [QUEUE_SCRIPT_CONFIGURE] = "configure",
    [QUEUE_SCRIPT_CLEAR] = "clear",
    [QUEUE_SCRIPT_LEASE] = "lease",
    [QUEUE_SCRIPT_INDEX] = "index",
    [QUEUE_SCRIPT_CONSUMED] = "consumed",
    [QUEUE_SCRIPT_FREE] = "free",
    [QUEUE_SCRIPT_LOG] = "log",
    [QUEUE_SCRIPT_SEATS] = "seats",
    [QUEUE_SCRIPT_SALES] = "sales",
    [QUEUE_SCRIPT_NETWORKS] = "networks",
    [QUEUE_SCRIPT_PAY] = "pay",
    [QUEUE_SCRIPT_FIND] = "find",
    [QUEUE_SCRIPT_FEEDBACK] = "feedback",
    [QUEUE_SCRIPT_PROBE] = "probe",
    [QUEUE_SCRIPT_EXPIRE] = "expire",
    [QUEUE_SCRIPT_PERSON] = "person",
    [QUEUE_SCRIPT_HANDOFF] = "handoff",
    [QUEUE_SCRIPT_BAN] = "ban",
};

static struct redis_script scripts[QUEUE_SCRIPT_COUNT];
static struct redis_script *list[QUEUE_SCRIPT_COUNT];
/* the texts of scripts that were replaced for a test */
static struct buf replaced[QUEUE_SCRIPT_COUNT];

/* Writes shared.lua and then dir/name.lua into `out`. False: there is no such file. */
static bool replace(const char *dir, const struct embed *embed, struct buf *out)
{
    char path[512];
    const int len = snprintf(path, sizeof(path), "%s/%s.lua", dir, embed->name);
    FILE *file = len > 0 && (size_t)len < sizeof(path) ? fopen(path, "r") : NULL;
    if (!file)
        return false;
    const char *end = strstr(embed->data, SHARED_END);
    buf_init(out, FILE_MAX);
    if (end)
        buf_add(out, embed->data, (size_t)(end - embed->data) + strlen(SHARED_END));
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), file)) > 0;)
        buf_add(out, part, n);
    (void)fclose(file);
    log_warn("script replaced for a test", LOG_TEXT("path", path));
    return buf_status(out) == ST_OK;
}

/* The number of lines before the script's own, for line numbers in errors. */
static unsigned shared_lines(const char *body)
{
    const char *end = strstr(body, SHARED_END);
    unsigned lines = 0;
    if (end)
        for (const char *at = body; at < end + strlen(SHARED_END); at++)
            lines += *at == '\n';
    return lines;
}

void queue_scripts_init(bool test_hooks)
{
    const char *dir =
        test_hooks ? getenv("TIKETI_LUA_DIR") : NULL; /* NOLINT(concurrency-mt-unsafe) */
    for (size_t i = 0; i < QUEUE_SCRIPT_COUNT; i++) {
        const struct embed *embed = embed_find(embed_lua, embed_lua_count, names[i]);
        if (!embed) {
            log_error("aborting: script missing from the binary", LOG_TEXT("script", names[i]));
            abort();
        }
        buf_clear(&replaced[i]);
        if (dir && *dir && replace(dir, embed, &replaced[i]))
            redis_script_init(&scripts[i], embed->name, replaced[i].data, replaced[i].len);
        else
            redis_script_init(&scripts[i], embed->name, embed->data, embed->len);
        scripts[i].shared_lines = shared_lines(scripts[i].body);
        list[i] = &scripts[i];
    }
}

struct redis_script *const *queue_scripts(size_t *ret_count)
{
    *ret_count = QUEUE_SCRIPT_COUNT;
    return list;
}

const struct redis_script *queue_probe_script(void)
{
    return &scripts[QUEUE_SCRIPT_PROBE];
}

/* ---- calls ---- */

struct redis_args *queue_args(struct queue *queue, const struct queue_event *event)
{
    redis_args_reset(&queue->args);
    for (size_t i = 0; i < QUEUE_KEY_COUNT; i++)
        redis_args_add(&queue->args, event->keys[i]);
    return &queue->args;
}

static void on_script_reply(void *arg, enum status status, const struct redis_reply *reply);

static void flight_begin(struct queue_op *op)
{
    struct queue_event *event = op->event;
    event->joins_under_way++;
    op->before = event->last_flight;
    op->after = NULL;
    op->sent_ms = loop_now_ms(op->queue->loop);
    *(op->before ? &op->before->after : &event->first_flight) = op;
    event->last_flight = op;
}

static void flight_end(struct queue_op *op)
{
    struct queue_event *event = op->event;
    const bool slow = loop_now_ms(op->queue->loop) - op->sent_ms > QUEUE_FLIGHT_SLOW_MS;
    event->flights_max = slow                                     ? 1
                         : event->flights_max < QUEUE_FLIGHTS_MAX ? event->flights_max + 1
                                                                  : QUEUE_FLIGHTS_MAX;
    event->joins_under_way--;
    *(op->before ? &op->before->after : &event->first_flight) = op->after;
    *(op->after ? &op->after->before : &event->last_flight) = op->before;
}

static enum status call_send(struct queue_op *op, size_t keys)
{
    const enum status st = redis_eval(op->queue->redis, &scripts[op->script], keys,
                                      &op->queue->args, on_script_reply, op);
    if (st == ST_OK && op->script == QUEUE_SCRIPT_JOIN)
        flight_begin(op);
    return st;
}

/* ---- events that Redis does not know ---- */

/* The load has ended: the waiting operations repeat their calls, or end with the status of the failed load. */
static void on_loaded(void *arg, enum status status)
{
    struct queue_event *event = arg;
    struct queue_op *op = event->waiting;
    event->waiting = NULL;
    event->waiting_end = &event->waiting;
    for (struct queue_op *next; op; op = next) {
        enum status st = status;
        next = op->next;
        if (st == ST_OK && op->add_args) {
            op->add_args(op, queue_args(op->queue, event));
            st = call_send(op, QUEUE_KEY_COUNT);
            if (st == ST_OK)
                continue;
        }
        op->on_reply(op, st, NULL);
    }
}

/* Single-flight: the first operation that needs the event has it loaded, the others wait for the same load. */
static enum status wait_until_known(struct queue_op *op)
{
    struct queue *queue = op->queue;
    struct queue_event *event = op->event;
    if (!event->waiting) {
        const enum status st = queue->loader(queue->loader_arg, event->id, on_loaded, event);
        if (st != ST_OK)
            return st;
    }
    op->next = NULL;
    *event->waiting_end = op;
    event->waiting_end = &op->next;
    return ST_OK;
}

static void on_script_reply(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    if (op->script == QUEUE_SCRIPT_JOIN) {
        flight_end(op);
        if (op->event->joins.head || op->event->claims.head)
            queue_flush_soon(op->queue, op->event);
    }
    if (op->add_args && op->queue->loader && status == ST_OK &&
        queue_is(redis_reply_at(reply, 0), "NOCONFIG")) {
        /* After a repetition the event exists, and Redis has lost it again: ST_NOT_FOUND would be wrong. */
        status = op->repeated ? ST_UNAVAILABLE : wait_until_known(op);
        op->repeated = true;
        if (status == ST_OK)
            return;
        reply = NULL;
    }
    op->on_reply(op, status, reply);
}

static void on_known(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const queue_loaded_cb cb = op->cb.loaded;
    void *cb_arg = op->arg;
    (void)reply;
    queue_op_free(op);
    cb(cb_arg, status);
}

enum status queue_ensure_known(struct queue *queue, const char *event_id, queue_loaded_cb cb,
                               void *arg)
{
    if (queue->stopped || !queue->loader)
        return ST_UNAVAILABLE;
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.loaded = cb;
    op->on_reply = on_known;
    const enum status st = wait_until_known(op);
    if (st != ST_OK)
        queue_op_free(op);
    return st;
}

void queue_set_loader(struct queue *queue, queue_loader loader, void *arg)
{
    queue->loader = loader;
    queue->loader_arg = arg;
}

/* ---- running a call ---- */

enum status queue_run_keys(struct queue_op *op, enum queue_script script, size_t keys, redis_cb cb)
{
    op->script = script;
    op->on_reply = cb;
    const enum status st = call_send(op, keys);
    if (st != ST_OK)
        queue_op_free(op);
    return st;
}

enum status queue_run(struct queue_op *op, enum queue_script script, redis_cb cb)
{
    return queue_run_keys(op, script, QUEUE_KEY_COUNT, cb);
}

enum status queue_run_known(struct queue_op *op, enum queue_script script, queue_args_fn add_args,
                            redis_cb cb)
{
    op->add_args = add_args;
    add_args(op, queue_args(op->queue, op->event));
    return queue_run(op, script, cb);
}

enum status queue_send(struct queue_op *op, redis_cb cb)
{
    enum status st = redis_command(op->queue->redis, &op->queue->args, cb, op);
    if (st != ST_OK)
        queue_op_free(op);
    return st;
}

/* ---- replies ---- */

bool queue_is(const struct redis_reply *reply, const char *text)
{
    size_t len;
    const char *own = redis_reply_str(reply, &len);
    return own && len == strlen(text) && memcmp(own, text, len) == 0;
}

const struct redis_reply *queue_item_at(const struct redis_reply *reply, size_t i)
{
    return redis_reply_at(reply, QUEUE_REPLY_HEAD + i);
}

static uint64_t uint_of(const struct redis_reply *reply)
{
    int64_t value = redis_reply_int(reply);
    return value > 0 ? (uint64_t)value : 0;
}

uint64_t queue_uint_at(const struct redis_reply *reply, size_t i)
{
    return uint_of(queue_item_at(reply, i));
}

enum status queue_decode(struct queue_event *event, enum status status,
                         const struct redis_reply *reply, size_t items,
                         struct queue_numbers *ret_numbers)
{
    if (status != ST_OK)
        return status;
    const struct redis_reply *code = redis_reply_at(reply, 0);
    if (queue_is(code, "NOCONFIG"))
        return ST_NOT_FOUND;
    if (queue_is(code, "LEASE"))
        return ST_STALE;
    if (!queue_is(code, "OK") || redis_reply_count(reply) < QUEUE_REPLY_HEAD + items)
        return ST_INTERNAL;
    uint64_t seq = uint_of(redis_reply_at(reply, 9));
    if (seq > event->known_place)
        event->known_place = seq;
    if (ret_numbers) {
        size_t len;
        const char *text = redis_reply_str(redis_reply_at(reply, 1), &len);
        enum event_status in_force;
        if (!text || event_status_parse(text, &in_force) != ST_OK)
            /* this build does not know the status, so nobody is admitted */
            in_force = EVENT_CLOSED;
        *ret_numbers = (struct queue_numbers){
            .status = in_force,
            .restoring = redis_reply_int(redis_reply_at(reply, 2)) == 1,
            .version = uint_of(redis_reply_at(reply, 3)),
            .epoch = uint_of(redis_reply_at(reply, 4)),
            .queue_size = uint_of(redis_reply_at(reply, 5)),
            .active = uint_of(redis_reply_at(reply, 6)),
            .threshold = uint_of(redis_reply_at(reply, 7)),
            .now_ms = redis_reply_int(redis_reply_at(reply, 8)),
        };
    }
    return ST_OK;
}

void queue_on_applied(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    enum status st = queue_decode(op->event, status, reply, 1, NULL);
    queue_done_cb cb = op->cb.done;
    void *cb_arg = op->arg;
    bool applied = st == ST_OK && queue_uint_at(reply, 0) == 1;
    queue_op_free(op);
    if (cb)
        cb(cb_arg, st, applied);
}
