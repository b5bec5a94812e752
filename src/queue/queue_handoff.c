/* SPDX-License-Identifier: MIT */
/*
 * queue_handoff: the call of lua/handoff.lua.
 *
 * Called by: api_handoff. Owns: calls under way.
 * When Redis is gone: the call ends with an error, and nothing was redeemed or, if the reply was lost, the token may have been.
 */
#include "queue/queue_internal.h"

#include <string.h>

static void on_redeemed(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_redeemed redeemed = {.used = false};
    enum status st = queue_decode(op->event, status, reply, 2, &redeemed.numbers);
    if (st == ST_OK) {
        struct queue_answer answer = queue_answer_of(reply);
        st = queue_answer_next(&answer, &redeemed.place);
        redeemed.used = queue_uint_at(reply, 1) == 1;
    }
    op->cb.redeemed(op->arg, st, st == ST_OK ? &redeemed : NULL);
    queue_op_free(op);
}

enum status queue_redeem(struct queue *queue, const struct queue_handoff *handoff,
                         queue_redeem_cb cb, void *arg)
{
    char key[QUEUE_KEY_SIZE];
    struct queue_event *event = queue_event_of(queue, handoff->event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    struct redis_args *args = queue_args(queue, event);
    op->cb.redeemed = cb;
    queue_key_write(queue, key, QUEUE_KEY_HANDED, event->id);
    redis_args_add(args, key);
    redis_args_add_copy(args, handoff->buyer_id, strlen(handoff->buyer_id));
    redis_args_add_uint(args, handoff->place);
    redis_args_add_uint(args, handoff->epoch);
    redis_args_add_copy(args, handoff->jti, strlen(handoff->jti));
    redis_args_add_int(args, handoff->expires_ms);
    return queue_run_keys(op, QUEUE_SCRIPT_HANDOFF, QUEUE_KEY_COUNT + 1, on_redeemed);
}
