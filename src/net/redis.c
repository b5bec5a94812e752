/* SPDX-License-Identifier: MIT */
/*
 * redis: commands and scripts on one pipelined connection, each with a deadline.
 *
 * Why this way: replies come in the order of the commands, so one FIFO holds everything that is pending
 * and one timer, for its head, watches every deadline. A command that timed out cannot be withdrawn, and
 * from then on a late reply cannot be told from a dead connection: so a timeout drops the connection.
 * Called by: queue, lease, catalog and the processor, which run the scripts.
 * Owns: every pending operation; the caller owns its `arg`.
 * Invariants: a callback never runs inside the call that started it, runs exactly once, and no later
 * than its deadline plus one turn of the loop.
 * When Redis is gone: everything pending ends with ST_TIMEOUT (past its deadline) or ST_UNAVAILABLE;
 * both mean "outcome unknown", so every script must be idempotent. New commands get ST_UNAVAILABLE at
 * once.
 */
#include "net/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/redis_link.h"

#define IN_FLIGHT_MAX 10000                      /* commands */
#define OUT_MAX       ((size_t)64 * 1024 * 1024) /* bytes not yet written */
#define COMMAND_MAX   (OUT_MAX / 2)

/* The errors by which Redis says that it cannot serve now. All others are mistakes of ours. */
static const struct server_error {
    const char *code;
    bool drop; /* another server may do better: connect again */
} server_errors[] = {
    {"LOADING", false},  {"BUSY", false},       {"OOM", false},         {"MISCONF", false},
    {"TRYAGAIN", false}, {"NOREPLICAS", false}, {"CLUSTERDOWN", false}, {"MASTERDOWN", false},
    {"READONLY", true},  {"NOAUTH", true},
};

/* The row of an error reply; NULL when it is a mistake of ours. An error raised inside a script begins
 * with its code since Redis 7; Redis 6 wraps it: "ERR Error running script … -CODE …". */
static const struct server_error *server_error_find(const char *text)
{
    const bool wrapped = strncmp(text, "ERR Error running script", 24) == 0;
    for (size_t i = 0; i < sizeof(server_errors) / sizeof(server_errors[0]); i++) {
        const char *code = server_errors[i].code;
        const size_t len = strlen(code);
        if (strncmp(text, code, len) == 0 && (text[len] == ' ' || text[len] == '\0'))
            return &server_errors[i];
        const char *at = wrapped ? strstr(text, code) : NULL;
        if (at && at[-1] == '-' && at[len] == ' ')
            return &server_errors[i];
    }
    return NULL;
}

struct op {
    struct op *next;
    redis_cb cb; /* may be NULL */
    void *arg;
    uint64_t start_ns;
    uint64_t deadline_ms;
    /* A script call keeps its arguments, to be sent again as EVAL when Redis has lost the script. */
    const struct redis_script *script;
    size_t arg_count; /* of the command, its name and the script included */
    size_t text_len;
    char text[]; /* the formatted arguments that follow the script */
};

struct redis {
    struct redis_link *link;
    struct redis_opts opts;
    struct op *head, **tail; /* in the order sent, which is the order of replies and of deadlines */
    size_t in_flight;
    struct loop_timer *timer; /* while up always armed, at the latest for the head's deadline */
    bool late;                /* the head's deadline has passed; the socket is read once more */
    struct buf out;           /* the command being formatted */
    bool stopped;             /* replies that still arrive are dropped */
    bool closing;
    loop_cb on_closed;
    void *on_closed_arg;
};

static void op_push(struct redis *redis, struct op *op)
{
    op->next = NULL;
    *redis->tail = op;
    redis->tail = &op->next;
    redis->in_flight++;
}

static struct op *op_shift(struct redis *redis)
{
    struct op *op = redis->head;
    if (!op)
        return NULL;
    redis->head = op->next;
    if (!redis->head)
        redis->tail = &redis->head;
    redis->in_flight--;
    return op;
}

static void op_finish(struct op *op, enum status status, const struct redis_reply *reply)
{
    metrics_observe(HISTOGRAM_REDIS, (double)(clock_mono_ns() - op->start_ns) / 1e9);
    if (status != ST_OK)
        metrics_add(METRIC_REDIS_ERRORS, 1);
    if (op->cb)
        op->cb(op->arg, status, reply);
    free(op);
}

/* Takes one operation at a time from the list, because its callback may call redis_close. */
static void ops_fail(struct redis *redis)
{
    struct op *op;
    while ((op = op_shift(redis)))
        op_finish(op,
                  op->deadline_ms <= loop_now_ms(redis->opts.loop) ? ST_TIMEOUT : ST_UNAVAILABLE,
                  NULL);
}

/* Sends a script call again as EVAL. Its reply will follow those of everything sent meanwhile: to keep
 * the FIFO in the order of deadlines, the operations ahead of it get its deadline. */
static bool op_retry(struct redis *redis, struct op *op)
{
    struct buf *out = &redis->out;
    buf_reset(out);
    redis_format_head(out, op->arg_count);
    redis_format_arg(out, "EVAL", 4);
    redis_format_arg(out, op->script->body, op->script->len);
    buf_add(out, op->text, op->text_len);
    if (out->failed || !redis_link_send(redis->link, out->data, out->len))
        return false;
    for (struct op *ahead = redis->head; ahead; ahead = ahead->next)
        if (ahead->deadline_ms > op->deadline_ms)
            ahead->deadline_ms = op->deadline_ms;
    op->script = NULL; /* one retry only */
    op_push(redis, op);
    return true;
}

/* A script's error names a line of the text that Redis was given, which begins with lua/shared.lua: the log
 * names the file and its line. */
static void log_error_reply(const struct redis_script *script, const char *text)
{
    static const char mark[] = "user_script:";
    const char *at = script ? strstr(text, mark) : NULL;
    if (!at) {
        log_warn("redis error reply", LOG_TEXT("error", text));
        return;
    }
    const unsigned long line = strtoul(at + strlen(mark), NULL, 10);
    const bool shared = line <= script->shared_lines;
    char location[64];
    snprintf(location, sizeof(location), "lua/%s.lua:%lu", shared ? "shared" : script->name,
             shared ? line : line - script->shared_lines);
    log_warn("redis error reply", LOG_TEXT("error", text), LOG_TEXT("script", location));
}

static void on_redis_reply(void *arg, const struct redis_reply *reply)
{
    struct redis *redis = arg;
    struct op *op = redis->head;
    if (!op) {
        if (!redis->stopped)
            redis_link_fail(redis->link, "a reply without a command");
        return;
    }
    if (redis_reply_type(reply) != REDIS_ERROR) {
        op_shift(redis);
        op_finish(op, ST_OK, reply);
        return;
    }
    const char *text = redis_reply_str(reply, NULL);
    if (op->script && strncmp(text, "NOSCRIPT", 8) == 0) {
        op_shift(redis);
        if (!op_retry(redis, op))
            op_finish(op, ST_UNAVAILABLE, NULL);
        return;
    }
    const struct server_error *server_error = server_error_find(text);
    log_error_reply(op->script, text);
    if (server_error && server_error->drop) {
        redis_link_fail(redis->link, text); /* ends this operation with the others */
        return;
    }
    op_shift(redis);
    op_finish(op, server_error ? ST_UNAVAILABLE : ST_INTERNAL, server_error ? NULL : reply);
}

static enum status can_start(const struct redis *redis, const struct redis_args *args)
{
    if (args->failed)
        return ST_TOO_LARGE;
    if (redis->stopped || !redis_link_up(redis->link))
        return ST_UNAVAILABLE;
    if (redis->in_flight >= IN_FLIGHT_MAX || redis_link_unsent(redis->link) > OUT_MAX)
        return ST_FULL;
    return ST_OK;
}

/* Sends the command in redis->out and queues its operation, which keeps the text from keep_at on for a
 * retry. */
static enum status op_start(struct redis *redis, size_t keep_at, redis_cb cb, void *arg,
                            struct op **ret_op)
{
    struct buf *out = &redis->out;
    if (out->failed)
        return ST_TOO_LARGE;
    if (!redis_link_send(redis->link, out->data, out->len))
        return ST_UNAVAILABLE;
    struct op *op = xrealloc(NULL, sizeof(*op) + out->len - keep_at);
    *op = (struct op){.cb = cb, .arg = arg, .text_len = out->len - keep_at};
    memcpy(op->text, out->data + keep_at, op->text_len);
    op->start_ns = clock_mono_ns();
    op->deadline_ms = loop_now_ms(redis->opts.loop) + (uint64_t)redis->opts.timeout_ms;
    op_push(redis, op);
    *ret_op = op;
    return ST_OK;
}

enum status redis_command(struct redis *redis, const struct redis_args *args, redis_cb cb,
                          void *arg)
{
    struct op *op;
    enum status st = args->count ? can_start(redis, args) : ST_INVALID;
    if (st != ST_OK)
        return st;
    buf_reset(&redis->out);
    redis_format_head(&redis->out, args->count);
    for (size_t i = 0; i < args->count; i++)
        redis_format_arg(&redis->out, args->argv[i], args->lens[i]);
    return op_start(redis, redis->out.len, cb, arg, &op);
}

enum status redis_eval(struct redis *redis, const struct redis_script *script, size_t key_count,
                       const struct redis_args *args, redis_cb cb, void *arg)
{
    struct op *op;
    char keys[24];
    enum status st = key_count <= args->count ? can_start(redis, args) : ST_INVALID;
    if (st != ST_OK)
        return st;
    buf_reset(&redis->out);
    redis_format_head(&redis->out, args->count + 3);
    redis_format_arg(&redis->out, "EVALSHA", 7);
    redis_format_arg(&redis->out, script->sha, 40);
    size_t keep_at = redis->out.len;
    redis_format_arg(&redis->out, keys, (size_t)snprintf(keys, sizeof(keys), "%zu", key_count));
    for (size_t i = 0; i < args->count; i++)
        redis_format_arg(&redis->out, args->argv[i], args->lens[i]);
    st = op_start(redis, keep_at, cb, arg, &op);
    if (st != ST_OK)
        return st;
    op->script = script;
    op->arg_count = args->count + 3;
    return ST_OK;
}

/* ---- the connection ---- */

static void on_redis_greet(void *arg)
{
    struct redis *redis = arg;
    const char *argv[] = {"SCRIPT", "LOAD", NULL};
    for (size_t i = 0; i < redis->opts.script_count; i++) {
        argv[2] = redis->opts.scripts[i]->body;
        redis_link_greet(redis->link, 3, argv);
    }
}

static void on_redis_up(void *arg)
{
    struct redis *redis = arg;
    redis->late = false;
    loop_timer_set(redis->timer, (uint64_t)redis->opts.timeout_ms);
    if (redis->opts.on_state)
        redis->opts.on_state(redis->opts.arg, true);
}

static void on_redis_down(void *arg, bool was_up)
{
    struct redis *redis = arg;
    loop_timer_stop(redis->timer);
    ops_fail(redis); /* may close */
    if (was_up && redis->opts.on_state && !redis->closing)
        redis->opts.on_state(redis->opts.arg, false);
}

/* libuv runs timers before it reads sockets. After a pause of this process (a slow turn, SIGSTOP) the reply may
 * already be in the socket, so a command times out only one turn after its deadline. A connection without
 * commands is pinged, so that a Redis that does not answer is noticed before it is needed. */
static void on_redis_timer(void *arg)
{
    struct redis *redis = arg;
    struct op *op = redis->head;
    const uint64_t now = loop_now_ms(redis->opts.loop);
    const uint64_t timeout_ms = (uint64_t)redis->opts.timeout_ms;
    const bool overdue = op && op->deadline_ms <= now;
    if (overdue && redis->late) {
        redis_link_fail(redis->link, "command timed out");
        return;
    }
    redis->late = overdue;
    if (overdue) {
        loop_timer_set(redis->timer, 1);
        return;
    }
    loop_timer_set(redis->timer, op ? op->deadline_ms - now : timeout_ms);
    if (op || now - redis_link_heard_ms(redis->link) < timeout_ms)
        return;
    buf_reset(&redis->out);
    redis_format_head(&redis->out, 1);
    redis_format_arg(&redis->out, "PING", 4);
    if (op_start(redis, redis->out.len, NULL, NULL, &op) != ST_OK)
        redis_link_fail(redis->link, "out of memory");
}

static const struct redis_link_user redis_user = {
    .greet = on_redis_greet,
    .on_up = on_redis_up,
    .on_reply = on_redis_reply,
    .on_down = on_redis_down,
};

static void on_redis_gone(void *arg)
{
    struct redis *redis = arg;
    loop_cb cb = redis->on_closed;
    void *cb_arg = redis->on_closed_arg;
    buf_clear(&redis->out);
    free(redis);
    if (cb)
        cb(cb_arg);
}

enum status redis_open(const struct redis_opts *opts, struct redis **ret_redis)
{
    struct redis *redis = xcalloc(1, sizeof(*redis));
    enum status st =
        redis_link_open(opts->loop, opts->url, opts->timeout_ms, &redis_user, redis, &redis->link);
    if (st != ST_OK) {
        free(redis);
        return st;
    }
    redis->opts = *opts;
    redis->tail = &redis->head;
    redis->timer = loop_timer_new(opts->loop, on_redis_timer, redis);
    buf_init(&redis->out, COMMAND_MAX);
    *ret_redis = redis;
    return ST_OK;
}

void redis_stop(struct redis *redis)
{
    redis->stopped = true;
    ops_fail(redis);
}

void redis_close(struct redis *redis, loop_cb cb, void *arg)
{
    if (!redis) {
        if (cb)
            cb(arg);
        return;
    }
    redis->on_closed = cb;
    redis->on_closed_arg = arg;
    redis->closing = true;
    redis_link_close(redis->link, on_redis_gone, redis);
    loop_timer_close(redis->timer);
    redis_stop(redis);
}

bool redis_up(const struct redis *redis)
{
    return redis_link_up(redis->link);
}
