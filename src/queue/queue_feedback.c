/* SPDX-License-Identifier: MIT */
/*
 * queue_feedback: the calls of lua/feedback.lua: the shop's health, and the limit that follows from it.
 *
 * Called by: api_health (reports), processor_feedback (reads, and writes under its lease), api_operate (reads).
 * When Redis is gone: each call ends with an error. A report is then lost; the shop sends the next one soon.
 */
#include "queue/queue_internal.h"

#define ERRORS_UNIT 1000000.0 /* errors are stored as so many of a million requests */

static void on_feedback(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_feedback feedback = {0};
    const enum status st = queue_decode(op->event, status, reply, 8, &feedback.numbers);
    if (st == ST_OK) {
        int64_t items[8];
        for (size_t i = 0; i < 8; i++)
            items[i] = (int64_t)queue_uint_at(reply, i);
        feedback.health = (struct feedback_health){
            .p95_ms = items[0], .error_rate = (double)items[1] / ERRORS_UNIT, .at_ms = items[2]};
        feedback.state = (struct feedback){.limit = items[3],
                                           .lowered_ms = items[4],
                                           .raised_ms = items[5],
                                           .judged_ms = items[6]};
        feedback.most = items[7];
    }
    op->cb.feedback(op->arg, st, st == ST_OK ? &feedback : NULL);
    queue_op_free(op);
}

static void add_report(struct queue_op *op, struct redis_args *args)
{
    redis_args_add(args, "report");
    redis_args_add_int(args, op->health.p95_ms);
    redis_args_add_int(args, (int64_t)(op->health.error_rate * ERRORS_UNIT + 0.5));
}

static void add_read(struct queue_op *op, struct redis_args *args)
{
    (void)op;
    redis_args_add(args, "read");
}

static void add_write(struct queue_op *op, struct redis_args *args)
{
    const struct feedback *feedback = &op->feedback;
    redis_args_add(args, "write");
    redis_args_add(args, op->lease.text);
    redis_args_add_int(args, feedback->limit);
    redis_args_add_int(args, feedback->lowered_ms);
    redis_args_add_int(args, feedback->raised_ms);
    redis_args_add_int(args, feedback->judged_ms);
}

static struct queue_op *new_op(struct queue *queue, const char *event_id, queue_feedback_cb cb,
                               void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.feedback = cb;
    return op;
}

enum status queue_report_health(struct queue *queue, const char *event_id,
                                const struct feedback_health *health, queue_feedback_cb cb,
                                void *arg)
{
    struct queue_op *op = new_op(queue, event_id, cb, arg);
    op->health = *health;
    return queue_run_known(op, QUEUE_SCRIPT_FEEDBACK, add_report, on_feedback);
}

enum status queue_read_feedback(struct queue *queue, const char *event_id, queue_feedback_cb cb,
                                void *arg)
{
    return queue_run_known(new_op(queue, event_id, cb, arg), QUEUE_SCRIPT_FEEDBACK, add_read,
                           on_feedback);
}

enum status queue_write_feedback(struct queue *queue, const char *event_id,
                                 const struct lease_value *lease, const struct feedback *feedback,
                                 queue_feedback_cb cb, void *arg)
{
    struct queue_op *op = new_op(queue, event_id, cb, arg);
    op->lease = *lease;
    op->feedback = *feedback;
    return queue_run_known(op, QUEUE_SCRIPT_FEEDBACK, add_write, on_feedback);
}
