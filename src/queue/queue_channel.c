/* SPDX-License-Identifier: MIT */
/*
 * queue_channel: the messages between pods: one Redis channel for all events; in a cluster, besides, one for each.
 *
 *   {"eventId":"ID","event":"KIND","payload":{...}}
 *
 * Why this way: every worker of every pod receives every message, and most concern an event without a socket on that
 * worker. A message begins in one fixed form without spaces, and neither ids nor kinds need escapes. So a worker
 * reads event and kind from the first bytes, and parses the payload only when it needs it. lua/promote.lua publishes
 * the same form.
 * In a cluster whose shards have channels, news of an event stays on its shard: a worker follows the events that it has
 * (queue_follow). What also concerns pods that do not know the event goes to the channel of all.
 * Called by: all roles. Owns nothing. Redis gone: publishing fails; messages are hints, and a worker that misses one
 * reads the change from Redis within a second.
 */
#include "queue/queue_internal.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX ((size_t)16 << 20)

static const char id_prefix[] = "{\"eventId\":\"";
static const char kind_prefix[] = "\",\"event\":\"";
static const char payload_prefix[] = "\",\"payload\":";

/* These concern every pod: one that does not know the event yet, and the one that asked. */
static bool is_for_all(const char *kind)
{
    static const char *const kinds[] = {"config-changed", "event-status-changed", "queue-cleared",
                                        "process", "processed"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static void event_channel(const struct queue *queue, const char *event_id, char *out)
{
    (void)snprintf(out, QUEUE_CHANNEL_SIZE, "%.*s:{%.*s}", QUEUE_CHANNEL_SIZE - EVENT_ID_MAX - 4,
                   queue->channel, EVENT_ID_MAX, event_id);
}

void queue_scripts_channel(const struct queue *queue, const char *event_id, char *out)
{
    if (redis_shards_channels(queue->redis))
        event_channel(queue, event_id, out);
    else
        memcpy(out, queue->channel, sizeof(queue->channel));
}

void queue_set_sub(struct queue *queue, struct redis_sub *sub)
{
    queue->sub = sub;
}

void queue_follow(struct queue *queue, const char *event_id)
{
    char channel[QUEUE_CHANNEL_SIZE];
    if (!queue->sub)
        return;
    event_channel(queue, event_id, channel);
    redis_sub_add(queue->sub, channel);
}

void queue_unfollow(struct queue *queue, const char *event_id)
{
    char channel[QUEUE_CHANNEL_SIZE];
    if (!queue->sub)
        return;
    event_channel(queue, event_id, channel);
    redis_sub_remove(queue->sub, channel);
}

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
        char channel[QUEUE_CHANNEL_SIZE];
        const bool sharded = redis_shards_channels(queue->redis);
        if (sharded && !is_for_all(kind))
            event_channel(queue, event_id, channel);
        else
            memcpy(channel, queue->channel, sizeof(channel));
        redis_args_add(&queue->args, sharded ? "SPUBLISH" : "PUBLISH");
        redis_args_add(&queue->args, channel);
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

/* Moves *at behind `prefix`. False: the text does not begin with it. */
static bool skip(const char **at, const char *end, const char *prefix)
{
    const size_t len = strlen(prefix);
    if ((size_t)(end - *at) < len || memcmp(*at, prefix, len) != 0)
        return false;
    *at += len;
    return true;
}

/* Copies the text before the next quote. False: it is empty, longer than `size` allows, or has a NUL. */
static bool take_word(const char **at, const char *end, char *out, size_t size)
{
    const char *quote = memchr(*at, '"', (size_t)(end - *at));
    const size_t len = quote ? (size_t)(quote - *at) : 0;
    if (len == 0 || len >= size || memchr(*at, 0, len))
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
