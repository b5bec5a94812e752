/* SPDX-License-Identifier: MIT */
/*
 * gateway: the sockets of one worker: join-queue, heartbeats, watch-seats; pushes entries, own
 * positions and event news. Learns everything from Redis (channel and scripts); keeps ids, not
 * pointers.
 *
 * Messages are {"event", "payload"}. Codes of `error`:
 *   invalid             malformed message or field          unknown-message    no such message
 *   too-many-messages   over 10 a second (20 at once)       unknown-event      no such event
 *   unauthorized        no valid token or guest cookie (closes), or a ticket that does not verify
 *   not-yours           the ticket is of another buyer or event
 *   login-required      the event takes no guests           other-event        waits for another event
 *   not-in-queue        holds no place (any more): `check` by HTTP takes a new one
 *   event-closed        the sale is over                    unavailable        not done, try again
 *   draining            with retryMs: connect again after so long
 * Close codes: 1001 draining, 1008 no join-queue or watch-seats within 5 s, or ten pieces of
 * nonsense, 1009 message too long, 1013 reader too slow, 4401 unauthorized.
 */
#ifndef TIKETI_GATEWAY_H
#define TIKETI_GATEWAY_H

#include "auth/token.h"
#include "base/config.h"
#include "net/loop.h"
#include "queue/catalog.h"
#include "queue/queue.h"
#include "selling/seat_map.h"

#include <stdint.h>

struct gateway;

struct gateway_opts {
    struct loop *loop;
    const struct config *config;
    struct queue *queue;
    struct catalog *catalog;
    struct seat_maps *seat_maps;
    struct token_keys *keys;
    uint16_t port;
    unsigned connection_limit;
};
MUST_CHECK enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway);
/* From the worker: each message of QUEUE_CHANNEL, and each (re)subscription (messages may have
 * been missed: look again). */
void gateway_on_message(struct gateway *gateway, const struct queue_message *message);
void gateway_on_subscribed(struct gateway *gateway);
/* catalog_opts.on_refresh: push changed positions and numbers. */
void gateway_on_refresh(struct gateway *gateway, const char *event);
/* queue_on_heartbeat's callback: entries and losses learned without the channel. */
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
