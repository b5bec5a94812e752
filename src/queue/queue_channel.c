/* SPDX-License-Identifier: MIT */
/*
 * queue_channel: the messages between pods: one Redis channel for all events.
 *
 *   {"eventId":"ID","event":"KIND","payload":{...}}
 *
 * Why this way: every worker of every pod receives every message, and most concern an event that the
 * worker has no socket of. The head has one fixed form without spaces, and neither ids nor kinds need
 * escapes, so a worker knows whom a message concerns from its first bytes and parses the payload only
 * when it needs it. lua/promote.lua publishes the same form.
 * Called by: all roles. Owns nothing. Redis gone: publishing fails; messages are hints: a worker that
 * misses one learns the same from the rank index within a second.
 */
#include "queue/queue_internal.h"

#include <string.h>

#define MESSAGE_MAX ((size_t)16 << 20)

static const char id_prefix[] = "{\"eventId\":\"";
static const char kind_prefix[] = "\",\"event\":\"";
static const char payload_prefix[] = "\",\"payload\":";

enum status queue_publish(struct queue *queue, const char *event_id, const char *kind,
                          const char *payload, size_t len)
{
    struct buf message;
    buf_init(&message, MESSAGE_MAX);
    buf_add_str(&message, id_prefix);
    buf_add_str(&message, event_id);
    buf_add_str(&message, kind_prefix);
    buf_add_str(&message, kind);
    buf_add_str(&message, payload_prefix);
    buf_add(&message, payload, len);
    buf_add_char(&message, '}');
    enum status st = buf_status(&message);
    if (st == ST_OK) {
        redis_args_reset(&queue->args);
        redis_args_add(&queue->args, "PUBLISH");
        redis_args_add(&queue->args, QUEUE_CHANNEL);
        redis_args_add_len(&queue->args, message.data, message.len);
        st = redis_command(queue->redis, &queue->args, NULL, NULL);
    }
    buf_clear(&message);
    return st;
}

enum status queue_publish_version(struct queue *queue, const char *kind, const struct event *event)
{
    struct buf payload;
    buf_init(&payload, 128);
    buf_add_str(&payload, "{\"version\":");
    buf_add_int(&payload, event->version);
    buf_add_str(&payload, ",\"status\":\"");
    buf_add_str(&payload, event_status_name(event->status));
    buf_add_str(&payload, "\"}");
    const enum status st = queue_publish(queue, event->id, kind, buf_str(&payload), payload.len);
    buf_clear(&payload);
    return st;
}

/* Moves *at behind `prefix`; false when the text does not begin with it. */
static bool skip(const char **at, const char *end, const char *prefix)
{
    const size_t len = strlen(prefix);
    if ((size_t)(end - *at) < len || memcmp(*at, prefix, len) != 0)
        return false;
    *at += len;
    return true;
}

/* Copies what stands before the next quote; false when it is empty or longer than `size` allows. */
static bool take_word(const char **at, const char *end, char *out, size_t size)
{
    const char *quote = memchr(*at, '"', (size_t)(end - *at));
    const size_t len = quote ? (size_t)(quote - *at) : 0;
    if (len == 0 || len >= size)
        return false;
    memcpy(out, *at, len);
    out[len] = '\0';
    *at = quote;
    return true;
}

enum status queue_message_read(const char *data, size_t len, struct queue_message *ret_message)
{
    const char *at = data, *end = data + len;
    struct queue_message message;
    if (!skip(&at, end, id_prefix) || !take_word(&at, end, message.event, sizeof(message.event)) ||
        !skip(&at, end, kind_prefix) || !take_word(&at, end, message.kind, sizeof(message.kind)) ||
        !skip(&at, end, payload_prefix) || at == end || end[-1] != '}' ||
        !token_is_event_id(message.event, strlen(message.event)))
        return ST_INVALID;
    message.payload = at;
    message.len = (size_t)(end - 1 - at);
    *ret_message = message;
    return ST_OK;
}
