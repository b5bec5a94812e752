/* SPDX-License-Identifier: MIT */
/*
 * queue_personal: the calls of lua/person.lua and lua/expire.lua.
 *
 * Called by: personal (the commands erase and export), processor_retention. Owns: operations under way.
 * When Redis is gone: each call ends with an error; both scripts may be repeated.
 */
#include "queue/queue_internal.h"

/* The keys that both scripts are given: one more than the others. `sales` is scratch, in use until the call is sent. */
static struct redis_args *personal_args(struct queue *queue, const struct queue_event *event,
                                        char sales[QUEUE_KEY_SIZE])
{
    struct redis_args *args = queue_args(queue, event);
    queue_key_write(queue, sales, QUEUE_KEY_SALES, event->id);
    redis_args_add(args, sales);
    return args;
}

static const char *text_at(const struct redis_reply *reply, size_t i, size_t *ret_len)
{
    const char *text = redis_reply_str(redis_reply_at(reply, i), ret_len);
    return text ? text : "";
}

static void on_expired(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    size_t len;
    if (status == ST_OK &&
        (redis_reply_count(reply) != 2 || !queue_is(redis_reply_at(reply, 0), "OK")))
        status = ST_INTERNAL;
    op->cb.expired(op->arg, status, status == ST_OK ? text_at(reply, 1, &len) : NULL);
    queue_op_free(op);
}

enum status queue_expire(struct queue *queue, const char *event_id, const char *cursor, bool sales,
                         queue_expire_cb cb, void *arg)
{
    char key[QUEUE_KEY_SIZE];
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    struct redis_args *args = personal_args(queue, event, key);
    op->cb.expired = cb;
    redis_args_add(args, cursor);
    redis_args_add(args, sales ? "1" : "0");
    return queue_run_keys(op, QUEUE_SCRIPT_EXPIRE, QUEUE_KEY_COUNT + 1, on_expired);
}

static void on_personal(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_personal personal = {.json = ""};
    size_t len;
    if (status == ST_OK && queue_is(redis_reply_at(reply, 0), "NOCONFIG"))
        status = ST_NOT_FOUND;
    else if (status == ST_OK &&
             (redis_reply_count(reply) != 6 || !queue_is(redis_reply_at(reply, 0), "OK")))
        status = ST_INTERNAL;
    if (status == ST_OK) {
        personal.state = text_at(reply, 1, &len);
        personal.next = text_at(reply, 2, &len);
        personal.found = (uint64_t)redis_reply_int(redis_reply_at(reply, 3));
        personal.waiting = (uint64_t)redis_reply_int(redis_reply_at(reply, 4));
        personal.json = text_at(reply, 5, &personal.len);
    }
    op->cb.personal(op->arg, status, status == ST_OK ? &personal : NULL);
    queue_op_free(op);
}

enum status queue_personal(struct queue *queue, const struct queue_personal_call *call,
                           queue_personal_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, call->event);
    struct queue_op *op = queue_op_new(queue, event, arg);
    char key[QUEUE_KEY_SIZE];
    struct redis_args *args = personal_args(queue, event, key);
    op->cb.personal = cb;
    redis_args_add(args, call->erase ? "erase" : "read");
    redis_args_add(args, call->buyer);
    redis_args_add(args, call->after);
    redis_args_add_uint(args, call->entries);
    redis_args_add(args, call->cursor);
    redis_args_add(args, call->places ? call->places : "");
    redis_args_add(args, call->sales ? call->sales : "");
    return queue_run_keys(op, QUEUE_SCRIPT_PERSON, QUEUE_KEY_COUNT + 1, on_personal);
}
