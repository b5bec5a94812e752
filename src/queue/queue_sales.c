/* SPDX-License-Identifier: MIT */
/*
 * queue_sales: the copies of sales in Redis, for a PostgreSQL that is restored from a backup.
 *
 * Called by: processor_sales, which writes them; tiketi reconcile, which reads them. Owns nothing but calls under way.
 * Redis gone: a call ends with an error, and is repeated by the caller.
 */
#include "queue/queue_internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static struct redis_args *sales_args(struct queue *queue, const char *event_id, const char *verb)
{
    char key[QUEUE_KEY_SIZE];
    queue_key_write(queue, key, QUEUE_KEY_SALES, event_id);
    redis_args_reset(&queue->args);
    redis_args_add_copy(&queue->args, key, strlen(key));
    redis_args_add(&queue->args, verb);
    return &queue->args;
}

static void on_put(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    op->cb.done(op->arg, status, redis_reply_int(redis_reply_at(reply, 0)) > 0);
    queue_op_free(op);
}

enum status queue_put_sales(struct queue *queue, const char *event_id,
                            const struct queue_sale *list, size_t count, queue_done_cb cb,
                            void *arg)
{
    if (count > QUEUE_SALES_MAX)
        return ST_TOO_LARGE;
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    struct redis_args *args = sales_args(queue, event_id, "put");
    op->cb.done = cb;
    for (size_t i = 0; i < count; i++) {
        redis_args_add(args, list[i].id);
        redis_args_add_uint(args, list[i].version);
        redis_args_add_len(args, list[i].text, list[i].len);
    }
    return queue_run_keys(op, QUEUE_SCRIPT_SALES, 1, on_put);
}

static void on_list(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const size_t items = redis_reply_count(reply);
    const char *next = status == ST_OK ? redis_reply_str(redis_reply_at(reply, 0), NULL) : NULL;
    struct queue_sale *list = xcalloc(items / 3 + 1, sizeof(*list));
    size_t count = 0;
    if (status == ST_OK && !next)
        status = ST_INTERNAL;
    for (size_t i = 1; status == ST_OK && i + 2 < items; i += 3) {
        struct queue_sale *sale = &list[count];
        const int64_t version = redis_reply_int(redis_reply_at(reply, i + 1));
        sale->id = redis_reply_str(redis_reply_at(reply, i), NULL);
        sale->version = version > 0 ? (uint64_t)version : 0;
        sale->text = redis_reply_str(redis_reply_at(reply, i + 2), &sale->len);
        count += sale->id && sale->text; /* another is none of ours */
    }
    op->cb.sales(op->arg, status, list, count, status == ST_OK ? next : NULL);
    free(list);
    queue_op_free(op);
}

enum status queue_read_sales(struct queue *queue, const char *event_id, const char *cursor,
                             queue_sales_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, NULL, arg);
    op->cb.sales = cb;
    redis_args_add(sales_args(queue, event_id, "list"), cursor);
    return queue_run_keys(op, QUEUE_SCRIPT_SALES, 1, on_list);
}
