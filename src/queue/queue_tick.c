/* SPDX-License-Identifier: MIT */
/*
 * queue_tick: the processor's calls: promote, the rank index, the lease; consumed places and the admission log.
 *
 * Called by: processor. Calls made under the lease pass its whole value, which begins with a fencing token, and the
 * script compares it: a process that was stopped, and continues after another has taken the lease, changes nothing.
 * When Redis is gone: each call ends with an error, and the processor repeats it, which is harmless.
 */
#include "queue/queue_internal.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_TTL_MS 3000
#define LOG_KEEP     1000000 /* entries that the log keeps at most */

/* ---- promote ---- */

static void on_tick(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_tick tick = {0};
    enum status st = queue_decode(op->event, status, reply, 10, &tick.numbers);
    if (st == ST_STALE) {
        tick.lease_lost = true;
        st = ST_OK;
    } else if (st == ST_OK) {
        tick.admitted = queue_uint_at(reply, 0);
        tick.evicted_idle = queue_uint_at(reply, 1);
        tick.evicted_session = queue_uint_at(reply, 2);
        tick.parked = queue_uint_at(reply, 3);
        tick.more = queue_uint_at(reply, 4) == 1;
        tick.log_count = queue_uint_at(reply, 5);
        tick.unclaimed = queue_uint_at(reply, 6);
        tick.idle_kept = queue_uint_at(reply, 7);
        tick.seq = op->event->known_place;
        size_t len;
        const char *limit = redis_reply_str(queue_item_at(reply, 8), &len);
        tick.places = redis_reply_str(queue_item_at(reply, 9), NULL);
        if (!limit || !tick.places || admission_limit_parse(limit, &tick.limit) != ST_OK)
            st = ST_INTERNAL;
    }
    op->cb.tick(op->arg, st, st == ST_OK ? &tick : NULL);
    queue_op_free(op);
}

static void add_promote(struct queue_op *op, struct redis_args *args)
{
    static const char *const parts[] = {[QUEUE_PROMOTE_TICK] = "tick",
                                        [QUEUE_PROMOTE_CHECK] = "check",
                                        [QUEUE_PROMOTE_REFILL] = "refill"};
    redis_args_add(args, op->lease.text);
    redis_args_add_uint(args, op->admit);
    redis_args_add_uint(args, op->event->known_place);
    redis_args_add_int(args, op->queue->config->queue_silent_ms);
    redis_args_add_int(args, QUEUE_CALL_MAX);
    char channel[QUEUE_CHANNEL_SIZE];
    queue_scripts_channel(op->queue, op->event->id, channel);
    redis_args_add_copy(args, channel, strlen(channel));
    redis_args_add_int(args, op->queue->config->queue_claim_ms);
    redis_args_add(args, parts[op->part]);
}

enum status queue_promote(struct queue *queue, const char *event_id,
                          const struct queue_promotion *promotion, queue_tick_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.tick = cb;
    op->lease = *promotion->lease;
    op->admit = promotion->admit;
    op->part = promotion->part;
    return queue_run_known(op, QUEUE_SCRIPT_PROMOTE, add_promote, on_tick);
}

/* ---- the rank index ---- */

static void on_published(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_published published = {0};
    enum status st = queue_decode(op->event, status, reply, 3, NULL);
    if (st == ST_OK) {
        published.index = redis_reply_str(queue_item_at(reply, 0), &published.index_len);
        published.limit = redis_reply_str(queue_item_at(reply, 1), NULL);
        published.counts = redis_reply_str(queue_item_at(reply, 2), NULL);
        if (!published.index || !published.limit || !published.counts)
            st = ST_INTERNAL;
    }
    op->cb.published(op->arg, st, st == ST_OK ? &published : NULL);
    queue_op_free(op);
}

static void add_rate(struct redis_args *args, double rate)
{
    char text[64];
    const int len = snprintf(text, sizeof(text), "%.6f", isfinite(rate) && rate > 0 ? rate : 0);
    redis_args_add_copy(args, text, len > 0 && (size_t)len < sizeof(text) ? (size_t)len : 0);
}

static void add_index(struct queue_op *op, struct redis_args *args)
{
    redis_args_add(args, op->lease.text);
    add_rate(args, op->rate.mean);
    add_rate(args, op->rate.spread);
    redis_args_add_uint(args, op->rate.ticks);
}

enum status queue_publish_index(struct queue *queue, const char *event_id,
                                const struct lease_value *lease, const struct queue_rate *rate,
                                queue_published_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.published = cb;
    op->lease = *lease;
    op->rate = *rate;
    return queue_run_known(op, QUEUE_SCRIPT_INDEX, add_index, on_published);
}

/* ---- the lease: its reply has no numbers ---- */

static void on_lease(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    struct queue_lease lease = {0};
    if (status == ST_OK &&
        (!queue_is(redis_reply_at(reply, 0), "OK") || redis_reply_count(reply) < 8))
        status = ST_INTERNAL;
    if (status == ST_OK) {
        size_t len;
        const char *text = redis_reply_str(redis_reply_at(reply, 2), &len);
        lease.held = redis_reply_int(redis_reply_at(reply, 1)) == 1 && text &&
                     len < sizeof(lease.value.text);
        if (lease.held)
            memcpy(lease.value.text, text, len);
        lease.need_consumed = lease.held && redis_reply_int(redis_reply_at(reply, 3)) == 1;
        lease.open = redis_reply_int(redis_reply_at(reply, 4)) == 1;
        lease.ticked_ms = redis_reply_int(redis_reply_at(reply, 5));
        lease.interval_ms = redis_reply_int(redis_reply_at(reply, 6));
        lease.inside = (uint64_t)redis_reply_int(redis_reply_at(reply, 7));
    }
    op->cb.lease(op->arg, status, status == ST_OK ? &lease : NULL);
    queue_op_free(op);
}

static enum status run_lease(struct queue_op *op, const char *verb, const char *owner,
                             const char *value)
{
    struct redis_args *args = queue_args(op->queue, op->event);
    redis_args_add(args, verb);
    redis_args_add(args, owner);
    redis_args_add(args, value);
    redis_args_add_int(args, LEASE_TTL_MS);
    return queue_run(op, QUEUE_SCRIPT_LEASE, on_lease);
}

enum status queue_lease_take(struct queue *queue, const char *event_id, const char *owner,
                             queue_lease_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.lease = cb;
    return run_lease(op, "take", owner, "");
}

enum status queue_lease_renew(struct queue *queue, const char *event_id,
                              const struct lease_value *lease, queue_lease_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.lease = cb;
    return run_lease(op, "renew", "", lease->text);
}

enum status queue_lease_release(struct queue *queue, const char *event_id,
                                const struct lease_value *lease, queue_lease_cb cb, void *arg)
{
    struct queue_op *op = queue_op_new(queue, queue_event_of(queue, event_id), arg);
    op->cb.lease = cb;
    return run_lease(op, "release", "", lease->text);
}

/* ---- consumed places ---- */

enum status queue_load_consumed(struct queue *queue, const char *event_id,
                                const struct queue_consumed_chunk *chunk, queue_done_cb cb,
                                void *arg)
{
    if (chunk->count > QUEUE_CALL_MAX)
        return ST_TOO_LARGE;
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.done = cb;
    struct redis_args *args = queue_args(queue, event);
    redis_args_add_uint(args, chunk->epoch);
    redis_args_add(args, chunk->run);
    redis_args_add_uint(args, chunk->number);
    redis_args_add_int(args, chunk->last ? 1 : 0);
    for (size_t i = 0; i < chunk->count; i++) {
        redis_args_add(args, chunk->list[i].buyer_id);
        redis_args_add_uint(args, chunk->list[i].place);
        redis_args_add_uint(args, chunk->list[i].kept);
        redis_args_add_uint(args, chunk->list[i].kept_used_ms);
        redis_args_add_uint(args, chunk->list[i].kept_since_ms);
    }
    return queue_run(op, QUEUE_SCRIPT_CONSUMED, queue_on_applied);
}

/* ---- the admission log ---- */

#define LOG_WIDTH 10 /* items of an entry in the reply */

static const char *text_at(const struct redis_reply *reply, size_t i)
{
    size_t len;
    const char *text = redis_reply_str(queue_item_at(reply, i), &len);
    return text ? text : "";
}

static struct log_entry decode_entry(const struct redis_reply *reply, size_t at)
{
    static const struct {
        const char *name;
        enum log_kind kind;
    } kinds[] = {{"direct", LOG_KIND_DIRECT},      {"offered", LOG_KIND_OFFERED},
                 {"promote", LOG_KIND_OFFERED}, /* of an older release: claimed at once */
                 {"restored", LOG_KIND_RESTORED},  {"claimed", LOG_KIND_CLAIMED},
                 {"unclaimed", LOG_KIND_KEPT},     {"idle_kept", LOG_KIND_KEPT},
                 {"banned", LOG_KIND_KEPT},        {"left", LOG_KIND_DEPARTED},
                 {"idle", LOG_KIND_DEPARTED},      {"timeout", LOG_KIND_DEPARTED},
                 {"completed", LOG_KIND_DEPARTED}, {"withdrawn", LOG_KIND_DEPARTED},
                 {"cleared", LOG_KIND_DEPARTED}};
    struct log_entry entry = {
        .kind = LOG_KIND_NOTED,
        .kind_name = text_at(reply, at + 1),
        .buyer = text_at(reply, at + 2),
        .place = queue_uint_at(reply, at + 3),
        .epoch = queue_uint_at(reply, at + 4),
        .at_ms = redis_reply_int(queue_item_at(reply, at + 5)),
        .inside = queue_uint_at(reply, at + 6),
        .threshold = queue_uint_at(reply, at + 7),
        .n = queue_uint_at(reply, at + 8),
        .active_now = queue_uint_at(reply, at + 9) == 1,
    };
    (void)snprintf(entry.id, sizeof(entry.id), "%s", text_at(reply, at));
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(entry.kind_name, kinds[i].name) == 0)
            entry.kind = kinds[i].kind;
    return entry;
}

static void on_log(void *arg, enum status status, const struct redis_reply *reply)
{
    struct queue_op *op = arg;
    const enum status st = queue_decode(op->event, status, reply, 0, NULL);
    const size_t count =
        st == ST_OK ? (redis_reply_count(reply) - QUEUE_REPLY_HEAD) / LOG_WIDTH : 0;
    struct log_entry *entries = xcalloc(count + 1, sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = decode_entry(reply, i * LOG_WIDTH);
    op->cb.log(op->arg, st, entries, count);
    free(entries);
    queue_op_free(op);
}

/* Adds a stream id with both parts: "0" and "" become "0-0", the beginning. */
static void add_stream_id(struct redis_args *args, const char *id)
{
    char text[64];
    const int len =
        snprintf(text, sizeof(text), "%s%s", *id ? id : "0", strchr(id, '-') ? "" : "-0");
    redis_args_add_copy(args, text, len > 0 && (size_t)len < sizeof(text) ? (size_t)len : 0);
}

enum status queue_read_log(struct queue *queue, const char *event_id,
                           const struct queue_log_range *range, queue_log_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.log = cb;
    struct redis_args *args = queue_args(queue, event);
    add_stream_id(args, range->after);
    redis_args_add_uint(args, range->limit < QUEUE_CALL_MAX ? range->limit : QUEUE_CALL_MAX);
    redis_args_add(args, range->is_cursor ? "1" : "0");
    return queue_run(op, QUEUE_SCRIPT_LOG, on_log);
}

enum status queue_write_free(struct queue *queue, const char *event_id,
                             const struct queue_free_seats *seats, queue_done_cb cb, void *arg)
{
    struct queue_event *event = queue_event_of(queue, event_id);
    struct queue_op *op = queue_op_new(queue, event, arg);
    op->cb.done = cb;
    struct redis_args *args = queue_args(queue, event);
    redis_args_add_int(args, seats->count);
    redis_args_add_uint(args, seats->admitted);
    add_stream_id(args, seats->consumed_id);
    redis_args_add_int(args, LOG_KEEP);
    return queue_run(op, QUEUE_SCRIPT_FREE, queue_on_applied);
}
