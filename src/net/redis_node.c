/* SPDX-License-Identifier: MIT */
/*
 * redis_node: commands and scripts on one pipelined connection, each with a deadline.
 *
 * Why this way: replies come in the order of the commands, so the pending commands are in one FIFO, and one timer for
 * the deadline of its head is enough. A command that timed out cannot be withdrawn, and nobody can tell a late reply
 * from a dead connection. So after a timeout the connection is closed.
 * Called by: node; in a cluster redis_cluster, which is given each command that the node sends elsewhere.
 * Owns: every pending operation; the caller owns its `arg`.
 * Invariants: a callback never runs inside the call that started its command. It runs exactly once, no later than
 * the deadline plus one turn of the loop.
 * When Redis is gone: each pending command ends with ST_TIMEOUT when its deadline has passed, otherwise with
 * ST_UNAVAILABLE. With both the outcome is unknown, so every script must be idempotent. New commands get
 * ST_UNAVAILABLE at once.
 */
#include "net/redis_node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/redis_dial.h"
#include "net/redis_error.h"
#include "net/redis_slots.h"

#define IN_FLIGHT_MAX 10000                      /* commands */
#define OUT_MAX       ((size_t)64 * 1024 * 1024) /* bytes that the socket has not taken yet */
#define COMMAND_MAX   (OUT_MAX / 2)

static void op_push(struct redis_node *node, struct redis_op *op)
{
    op->next = NULL;
    *node->tail = op;
    node->tail = &op->next;
    node->last_deadline_ms = op->deadline_ms;
    node->in_flight++;
}

static struct redis_op *op_shift(struct redis_node *node)
{
    struct redis_op *op = node->head;
    if (!op)
        return NULL;
    node->head = op->next;
    if (!node->head)
        node->tail = &node->head;
    node->in_flight--;
    return op;
}

static void op_finish(struct redis_op *op, enum status status, const struct redis_reply *reply)
{
    metrics_observe(HISTOGRAM_REDIS, (double)(clock_mono_ns() - op->start_ns) / 1e9);
    if (op->cb)
        op->cb(op->arg, status, reply);
    free(op);
}

/* Ends all pending commands. Takes them from the list one by one, because a callback may call redis_close. */
static void ops_fail(struct redis_node *node)
{
    struct redis_op *op;
    while ((op = op_shift(node))) {
        const bool late = op->deadline_ms <= loop_now_ms(node->opts.loop);
        metrics_add(late ? METRIC_REDIS_TIMEOUTS : METRIC_REDIS_CONNECTION_ERRORS, 1);
        op_finish(op, late ? ST_TIMEOUT : ST_UNAVAILABLE, NULL);
    }
}

/* ASKING has a reply of its own, which nobody needs. */
static bool send_asking(struct redis_node *node, uint64_t deadline_ms)
{
    struct buf *out = &node->out;
    buf_reset(out);
    redis_format_head(out, 1);
    redis_format_arg(out, "ASKING", 6);
    if (out->failed || !redis_link_send(node->link, out->data, out->len))
        return false;
    struct redis_op *op = xcalloc(1, sizeof(*op));
    op->slot = -1;
    op->start_ns = clock_mono_ns();
    op->deadline_ms = deadline_ms;
    op_push(node, op);
    return true;
}

/* Formats a command that was sent before. */
static void format_again(struct buf *out, const struct redis_op *op)
{
    buf_reset(out);
    if (!op->script) {
        buf_add(out, op->text, op->text_len);
        return;
    }
    redis_format_head(out, op->arg_count);
    redis_format_arg(out, op->by_text ? "EVAL" : "EVALSHA", op->by_text ? 4 : 7);
    if (op->by_text)
        redis_format_arg(out, op->script->body, op->script->len);
    else
        redis_format_arg(out, op->script->sha, 40);
    buf_add(out, op->text, op->text_len);
}

/* It moves to the end of the FIFO, which must stay sorted by deadline: commands ahead of it with a later deadline get
 * its deadline. Of many that are sent again, only the first finds such commands. */
bool redis_node_resend(struct redis_node *node, struct redis_op *op)
{
    struct buf *out = &node->out;
    if (node->stopped || !redis_link_up(node->link) || node->in_flight >= IN_FLIGHT_MAX ||
        redis_link_unsent(node->link) > OUT_MAX)
        return false;
    const bool sorted = node->in_flight > 0 && node->last_deadline_ms <= op->deadline_ms;
    if (op->asking && !send_asking(node, op->deadline_ms))
        return false;
    format_again(out, op);
    if (out->failed || !redis_link_send(node->link, out->data, out->len))
        return false;
    op_push(node, op);
    if (sorted)
        return true;
    for (struct redis_op *ahead = node->head; ahead; ahead = ahead->next)
        if (ahead->deadline_ms > op->deadline_ms)
            ahead->deadline_ms = op->deadline_ms;
    const struct redis_op *first = node->head;
    if (first && !node->late) { /* the timer was set for a later deadline, or for none */
        const uint64_t now = loop_now_ms(node->opts.loop);
        loop_timer_set(node->timer, first->deadline_ms > now ? first->deadline_ms - now : 1);
    }
    return true;
}

void redis_op_fail(struct redis_op *op, enum status status)
{
    op_finish(op, status, NULL);
}

static void on_redis_reply(void *arg, const struct redis_reply *reply)
{
    struct redis_node *node = arg;
    struct redis_op *op = node->head;
    if (!op) {
        if (!node->stopped)
            redis_link_fail(node->link, "Redis sent a reply to no command");
        return;
    }
    if (redis_reply_type(reply) != REDIS_ERROR) {
        op_shift(node);
        op_finish(op, ST_OK, reply);
        return;
    }
    const char *text = redis_reply_str(reply, NULL);
    if (op->script && !op->by_text && strncmp(text, "NOSCRIPT", 8) == 0) {
        op_shift(node);
        op->by_text = true;
        if (!redis_node_resend(node, op)) {
            metrics_add(METRIC_REDIS_CONNECTION_ERRORS, 1);
            op_finish(op, ST_UNAVAILABLE, NULL);
        }
        return;
    }
    if (op->whole && redis_redirect_read(text).kind != REDIS_REDIRECT_NONE) {
        op_shift(node);
        node->opts.user->on_misplaced(node->opts.arg, op, text);
        return;
    }
    const enum redis_error_kind kind = redis_error_judge(text, op->script, node->shard);
    if (kind == REDIS_ERROR_NO_WRITES && !op->script)
        redis_health_refused(&node->health, text);
    if (kind == REDIS_ERROR_DROP) {
        redis_link_fail(node->link, text); /* ends this command and all others */
        return;
    }
    op_shift(node);
    if (kind == REDIS_ERROR_OURS)
        op_finish(op, ST_INTERNAL, reply);
    else
        op_finish(op, ST_UNAVAILABLE, NULL);
}

static enum status can_start(const struct redis_node *node, const struct redis_args *args)
{
    if (args->failed)
        return ST_TOO_LARGE;
    if (node->stopped || !redis_link_up(node->link))
        return ST_UNAVAILABLE;
    if (node->in_flight >= IN_FLIGHT_MAX || redis_link_unsent(node->link) > OUT_MAX)
        return ST_FULL;
    return ST_OK;
}

/* Returns a new operation for the command in node->out; keeps a copy of the text from keep_at on, to send it again. */
static struct redis_op *op_new(const struct redis_node *node, size_t keep_at, redis_cb cb,
                               void *arg)
{
    const struct buf *out = &node->out;
    struct redis_op *op = xrealloc(NULL, sizeof(*op) + out->len - keep_at);
    *op = (struct redis_op){.cb = cb, .arg = arg, .slot = -1, .text_len = out->len - keep_at};
    memcpy(op->text, out->data + keep_at, op->text_len);
    op->start_ns = clock_mono_ns();
    op->deadline_ms = loop_now_ms(node->opts.loop) + (uint64_t)node->opts.timeout_ms;
    return op;
}

/* Sends the command in node->out and appends it to the FIFO. */
static enum status op_start(struct redis_node *node, size_t keep_at, redis_cb cb, void *arg,
                            struct redis_op **ret_op)
{
    const struct buf *out = &node->out;
    if (out->failed)
        return ST_TOO_LARGE;
    if (!redis_link_send(node->link, out->data, out->len))
        return ST_UNAVAILABLE;
    *ret_op = op_new(node, keep_at, cb, arg);
    op_push(node, *ret_op);
    return ST_OK;
}

static void format_command(struct redis_node *node, const struct redis_args *args)
{
    buf_reset(&node->out);
    redis_format_head(&node->out, args->count);
    for (size_t i = 0; i < args->count; i++)
        redis_format_arg(&node->out, args->argv[i], args->lens[i]);
}

/* Returns where the text begins that follows the script. */
static size_t format_eval(struct redis_node *node, const struct redis_script *script,
                          size_t key_count, const struct redis_args *args)
{
    char keys[24];
    buf_reset(&node->out);
    redis_format_head(&node->out, args->count + 3);
    redis_format_arg(&node->out, "EVALSHA", 7);
    redis_format_arg(&node->out, script->sha, 40);
    const size_t keep_at = node->out.len;
    redis_format_arg(&node->out, keys, (size_t)snprintf(keys, sizeof(keys), "%zu", key_count));
    for (size_t i = 0; i < args->count; i++)
        redis_format_arg(&node->out, args->argv[i], args->lens[i]);
    return keep_at;
}

enum status redis_node_command(struct redis_node *node, int slot, const struct redis_args *args,
                               redis_cb cb, void *arg)
{
    struct redis_op *op;
    enum status st = args->count ? can_start(node, args) : ST_INVALID;
    if (st != ST_OK)
        return st;
    format_command(node, args);
    st = op_start(node, slot < 0 ? node->out.len : 0, cb, arg, &op);
    if (st == ST_OK) {
        op->slot = slot;
        op->whole = slot >= 0;
    }
    return st;
}

enum status redis_node_eval(struct redis_node *node, int slot, const struct redis_script *script,
                            size_t key_count, const struct redis_args *args, redis_cb cb, void *arg)
{
    struct redis_op *op;
    enum status st = key_count <= args->count ? can_start(node, args) : ST_INVALID;
    if (st != ST_OK)
        return st;
    st = op_start(node, format_eval(node, script, key_count, args), cb, arg, &op);
    if (st != ST_OK)
        return st;
    op->slot = slot;
    op->whole = slot >= 0;
    op->script = script;
    op->arg_count = args->count + 3;
    return ST_OK;
}

enum status redis_node_prepare(struct redis_node *node, const struct redis_call *call,
                               struct redis_op **ret_op)
{
    size_t keep_at = 0;
    if (node->stopped)
        return ST_UNAVAILABLE;
    if (call->script)
        keep_at = format_eval(node, call->script, call->key_count, call->args);
    else
        format_command(node, call->args);
    if (node->out.failed)
        return ST_TOO_LARGE;
    struct redis_op *op = op_new(node, keep_at, call->cb, call->arg);
    op->slot = call->slot;
    op->whole = true;
    op->script = call->script;
    op->arg_count = call->script ? call->args->count + 3 : 0;
    *ret_op = op;
    return ST_OK;
}

/* ---- the connection: up and down ---- */

static void on_redis_up(void *arg)
{
    struct redis_node *node = arg;
    node->judged = true;
    node->late = false;
    loop_timer_set(node->timer, (uint64_t)node->opts.timeout_ms);
    redis_node_check_later(node);
    node->opts.user->on_up(node->opts.arg);
}

static void on_redis_down(void *arg, bool was_up)
{
    struct redis_node *node = arg;
    node->judged = true;
    loop_timer_stop(node->timer);
    if (node->check)
        loop_timer_stop(node->check);
    ops_fail(node); /* a callback may call redis_node_close */
    if (!node->closing)
        node->opts.user->on_down(node->opts.arg, was_up);
}

/* Ends a command at its deadline, or pings Redis on a connection without commands, so that a Redis that does not
 * answer is noticed before it is needed. libuv runs timers before it reads sockets: after a pause of this process (a
 * slow turn, SIGSTOP) the reply may be in the socket already. So a command times out one turn after its deadline. */
static void on_redis_timer(void *arg)
{
    struct redis_node *node = arg;
    struct redis_op *op = node->head;
    const uint64_t now = loop_now_ms(node->opts.loop);
    const uint64_t timeout_ms = (uint64_t)node->opts.timeout_ms;
    const bool overdue = op && op->deadline_ms <= now;
    if (overdue && node->late) {
        redis_link_fail(node->link, "command timed out");
        return;
    }
    node->late = overdue;
    if (overdue) {
        loop_timer_set(node->timer, 1);
        return;
    }
    loop_timer_set(node->timer, op ? op->deadline_ms - now : timeout_ms);
    if (op || now - redis_link_heard_ms(node->link) < timeout_ms)
        return;
    buf_reset(&node->out);
    redis_format_head(&node->out, 1);
    redis_format_arg(&node->out, "PING", 4);
    if (op_start(node, node->out.len, NULL, NULL, &op) != ST_OK)
        redis_link_fail(node->link, "out of memory");
}

static const struct redis_link_user link_user = {
    .greet = redis_node_greet,
    .on_greeted = redis_node_greeted,
    .on_up = on_redis_up,
    .on_reply = on_redis_reply,
    .on_down = on_redis_down,
};

static void on_redis_gone(void *arg)
{
    struct redis_node *node = arg;
    loop_cb cb = node->on_closed;
    void *cb_arg = node->on_closed_arg;
    buf_clear(&node->out);
    redis_args_clear(&node->check_args);
    redis_health_forget(&node->health);
    redis_risk_forget(&node->risks);
    free(node);
    if (cb)
        cb(cb_arg);
}

enum status redis_node_open(const struct redis_node_opts *opts, struct redis_node **ret)
{
    struct redis_node *node = xcalloc(1, sizeof(*node));
    enum status st = ST_OK;
    struct redis_link_opts link = {
        .loop = opts->loop, .timeout_ms = opts->timeout_ms, .user = &link_user, .arg = node};
    if (opts->endpoint) {
        link.endpoint = *opts->endpoint;
        node->link = redis_link_open(&link);
    } else {
        st = redis_dial(opts->server, &link, &node->link);
    }
    if (st != ST_OK) {
        free(node);
        return st;
    }
    node->opts = *opts;
    node->health.server = node->risks.server = node->server;
    node->shard = opts->endpoint;
    node->opts.endpoint = NULL;
    node->opts.server = NULL;
    node->tail = &node->head;
    redis_node_set_tag(node, "probe");
    node->timer = loop_timer_new(opts->loop, on_redis_timer, node);
    if (opts->probe)
        node->check = loop_timer_new(opts->loop, redis_node_check, node);
    redis_args_init(&node->check_args);
    buf_init(&node->out, COMMAND_MAX);
    *ret = node;
    return ST_OK;
}

void redis_node_stop(struct redis_node *node)
{
    node->stopped = true;
    ops_fail(node);
}

void redis_node_close(struct redis_node *node, loop_cb cb, void *arg)
{
    node->on_closed = cb;
    node->on_closed_arg = arg;
    node->closing = true;
    redis_link_close(node->link, on_redis_gone, node);
    loop_timer_close(node->timer);
    loop_timer_close(node->check);
    redis_node_stop(node);
}

bool redis_node_up(const struct redis_node *node)
{
    return redis_link_up(node->link);
}

bool redis_node_is_new(const struct redis_node *node)
{
    return !node->judged;
}

size_t redis_node_in_flight(const struct redis_node *node)
{
    return node->in_flight;
}

bool redis_node_has_older(const struct redis_node *node, int slot, uint64_t start_ns)
{
    for (const struct redis_op *op = node->head; op; op = op->next)
        if (op->slot == slot && op->start_ns < start_ns)
            return true;
    return false;
}

void redis_node_set_tag(struct redis_node *node, const char *tag)
{
    (void)snprintf(node->tag, sizeof(node->tag), "%s", tag);
}

void redis_node_set_clock(struct redis_node *node, bool feeds)
{
    node->clock_unused = !feeds;
}

bool redis_node_shards_channels(const struct redis_node *node)
{
    return node->health.shards_channels;
}

struct redis_state redis_node_state(const struct redis_node *node)
{
    const bool up = redis_link_up(node->link);
    const struct redis_health *health = &node->health;
    const struct redis_risks *risks = &node->risks;
    const bool refuses = up && health->refused[0] != '\0';
    const char *problem = up ? health->refused : redis_link_problem(node->link);
    enum redis_fault fault = REDIS_FAULT_NONE;
    if (!up && *problem)
        fault = redis_health_is_problem(health, problem) ? health->fault : REDIS_FAULT_REACH;
    return (struct redis_state){
        .up = up,
        .refuses_writes = refuses,
        .fault = fault,
        .full = risks->full,
        .problem = problem,
        .warning = node->warning,
        .danger = *risks->text[REDIS_RISK_EVICTS] ? risks->text[REDIS_RISK_EVICTS]
                                                  : risks->text[REDIS_RISK_MEMORY],
        .muted = health->muted,
    };
}
