/* SPDX-License-Identifier: MIT */
/*
 * gateway_client: the messages of a client: how many it may send, and which function takes which.
 *
 * Why this way: the framings differ, the messages do not: both give an event's name and its payload to the same table.
 * Called by: gateway.c (raw sockets), gateway_socketio. Owns nothing.
 * Invariant: each message and each packet of a client costs a token, so that no kind of them is free.
 */
#include "gateway/gateway_internal.h"

#include <string.h>

#define MESSAGE_COST_MS  100  /* each client message costs 100 ms: 10 a second on average */
#define MESSAGE_BURST_MS 2000 /* up to 20 messages at once */

static void on_client_heartbeat(struct gateway *gateway, struct subscriber *subscriber,
                                const struct json *payload)
{
    struct json_error error = {0};
    /* Clients of the predecessor know no claim. A page of ours that is not seen says false. */
    bool claims = gateway->opts.config->compat_tiketi_node;
    if (payload && json_read_bool(payload, "claim", &claims, &error) != ST_OK) {
        subscriber_strike(gateway, subscriber, "invalid", error.detail);
        return;
    }
    /* A client whose buyer does not wait uses the heartbeat to ask whether the buyer is still inside, so it is always
     * passed on. */
    if (subscriber->state != SUBSCRIBER_WAITING)
        subscriber->heartbeat_ms = 0;
    if (claims)
        subscriber_claim(gateway, subscriber);
    else
        subscriber_heartbeat(gateway, subscriber);
    subscriber_send_ack(gateway, subscriber);
}

static const struct {
    const char *event;
    void (*handle)(struct gateway *gateway, struct subscriber *subscriber,
                   const struct json *payload);
} client_messages[] = {
    {"heartbeat", on_client_heartbeat},
    {"join-queue", gateway_join_queue},
    {"leave-queue", gateway_leave_queue},
    {"watch-seats", gateway_watch_seats},
};

/* The bucket is kept as one number: the time when it is full again. */
bool subscriber_may_send(struct gateway *gateway, struct subscriber *subscriber)
{
    const uint32_t now = gateway_now(gateway);
    if ((int32_t)(subscriber->allowance_ms - now) < 0 || !subscriber->allowance_ms)
        subscriber->allowance_ms = now;
    if (subscriber->allowance_ms - now + MESSAGE_COST_MS <= MESSAGE_BURST_MS) {
        subscriber->allowance_ms += MESSAGE_COST_MS;
        return true;
    }
    subscriber_strike(gateway, subscriber, "too-many-messages", "At most 10 messages a second.");
    return false;
}

void gateway_take_message(struct gateway *gateway, struct subscriber *subscriber, const char *event,
                          const struct json *payload)
{
    const size_t count = sizeof(client_messages) / sizeof(client_messages[0]);
    size_t i = 0;
    while (i < count && event && strcmp(event, client_messages[i].event) != 0)
        i++;
    if (!event || (payload && !json_is_object(payload) && !json_is_null(payload)))
        subscriber_strike(gateway, subscriber, "invalid",
                          "A message is {\"event\": text, \"payload\": object}.");
    else if (i == count)
        subscriber_strike(gateway, subscriber, "unknown-message",
                          "event must be join-queue, leave-queue, heartbeat or watch-seats.");
    else
        client_messages[i].handle(gateway, subscriber, payload);
}

void gateway_on_text(struct gateway *gateway, struct subscriber *subscriber, const char *text,
                     size_t len)
{
    struct json_error error = {0};
    if (!subscriber_may_send(gateway, subscriber))
        return;
    struct json *message = json_parse(text, len, WS_MESSAGE_MAX, &error);
    if (!message || !json_is_object(message))
        subscriber_strike(gateway, subscriber, "invalid",
                          error.detail[0] ? error.detail : "A message must be a JSON object.");
    else
        gateway_take_message(gateway, subscriber, json_str(message, "event"),
                             json_get(message, "payload"));
    json_free(message);
}
