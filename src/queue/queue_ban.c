/* SPDX-License-Identifier: MIT */
/*
 * queue_ban: the calls of lua/ban.lua.
 *
 * Called by: api_ban, processor_bans. Owns: operations under way.
 * When Redis is gone: each call ends with an error, and may be repeated.
 */
#include "queue/queue_internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void on_banned(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_numbers numbers;
    struct queue_place place;
    enum status st = queue_decode(op->event, status, reply, 1, &numbers);
    if (st == ST_OK) {
        struct queue_answer answer = queue_answer_of(reply);
        st = queue_answer_next(&answer, &place);
    }
    op->cb.join(op->arg, st, st == ST_OK ? &place : NULL, st == ST_OK ? &numbers : NULL);
    free(op->ban.buyer);
    queue_op_free(op);
}

static void add_channel(const struct queue_op *op, struct redis_args *args)
{
    char channel[QUEUE_CHANNEL_SIZE];
    queue_scripts_channel(op->queue, op->event->id, channel);
    redis_args_add_copy(args, channel, strlen(channel));
}

static void add_ban(struct queue_op *op, struct redis_args *args)
{
    redis_args_add(args, op->ban.lifts ? "unban" : "ban");
    add_channel(op, args);
    redis_args_add(args, "");
    redis_args_add(args, "");
    redis_args_add(args, op->ban.buyer);
    redis_args_add_uint(args, op->ban.place);
    redis_args_add_uint(args, op->ban.epoch);
}

static enum status change(struct queue *queue, const char *event_id, const struct queue_ban *ban,
                          bool lifts, queue_join_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    char *buyer = xstrdup(ban->buyer);
    op->cb.join = cb;
    op->ban.lifts = lifts;
    op->ban.buyer = buyer;
    op->ban.place = ban->place;
    op->ban.epoch = ban->epoch;
    const enum status st = queue_run_known(op, QUEUE_SCRIPT_BAN, add_ban, on_banned);
    if (st != ST_OK)
        free(buyer);
    return st;
}

enum status queue_ban(struct queue *queue, const char *event_id, const struct queue_ban *ban,
                      queue_join_cb cb, void *arg)
{
    return change(queue, event_id, ban, false, cb, arg);
}

enum status queue_unban(struct queue *queue, const char *event_id, const struct queue_ban *ban,
                        queue_join_cb cb, void *arg)
{
    return change(queue, event_id, ban, true, cb, arg);
}

enum status queue_sync_bans(struct queue *queue, const char *event_id,
                            const struct queue_ban_list *bans, queue_done_cb cb, void *arg)
{
    if (bans->count > QUEUE_BANS_MAX)
        return ST_TOO_LARGE;
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.done = cb;
    struct redis_args *args = queue_args(queue, event);
    redis_args_add(args, "sync");
    add_channel(op, args);
    redis_args_add_int(args, bans->seq);
    redis_args_add_int(args, bans->mark);
    for (size_t i = 0; i < bans->count; i++) {
        redis_args_add_copy(args, bans->list[i].buyer, strlen(bans->list[i].buyer));
        redis_args_add_uint(args, bans->list[i].place);
        redis_args_add_uint(args, bans->list[i].epoch);
    }
    return queue_run(op, QUEUE_SCRIPT_BAN, queue_on_applied);
}
