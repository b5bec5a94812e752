/* SPDX-License-Identifier: MIT */
/*
 * gateway: the sockets of one worker: join-queue, heartbeats, watch-seats; pushes entries, own
 * positions and event news. Learns everything from Redis (channel and scripts); keeps ids, not
 * pointers.
 */
#ifndef TIKETI_GATEWAY_H
#define TIKETI_GATEWAY_H

#include "catalog.h"
#include "config.h"
#include "loop.h"
#include "queue.h"
#include "token.h"

#include <stdint.h>

struct gateway;

struct gateway_opts {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct catalog *catalog;
    struct token_keys *keys;
    uint16_t port;
    unsigned connection_limit;
};
MUST_CHECK enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway);
/* From the worker: each message of QUEUE_CHANNEL, and each (re)subscription (messages may have
 * been missed: look again). */
void gateway_on_message(struct gateway *gateway, const char *data, size_t len);
void gateway_on_subscribed(struct gateway *gateway);
/* catalog_opts.on_refresh: push changed positions and numbers. */
void gateway_on_refresh(struct gateway *gateway, const char *event);
/* queue_on_seen's callback: entries and losses learned without the channel. */
void gateway_on_seen(struct gateway *gateway, const char *event, const char *buyer,
                     const struct queue_place *place);
/* Redis went away or came back. */
void gateway_on_redis(struct gateway *gateway, bool up);
unsigned gateway_connections(const struct gateway *gateway);
/* No new sockets; tells each a jittered retry delay (error {code:"draining", message, retryMs}) and
 * closes with 1001, spread over `spread_ms`. */
void gateway_drain(struct gateway *gateway, uint64_t spread_ms);
void gateway_close(struct gateway *gateway, loop_cb cb, void *arg);

#endif
