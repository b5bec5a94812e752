/* SPDX-License-Identifier: MIT */
/*
 * gateway: the WebSockets of one worker: join-queue, leave-queue, heartbeat and watch-seats come in;
 * admissions, positions and news of the event go out. docs/http-api.md has all messages.
 *
 * Messages are {"event", "payload"}, on /ws as they are, on /socket.io/ in the framing of Socket.IO 5. The codes of `error`:
 *   invalid             malformed message or field          unknown-message    no such message
 *   too-many-messages   over 10 a second (20 at once)       unknown-event      no such event
 *   unauthorized        no valid token or guest cookie (the socket is closed), or an invalid ticket
 *   not-yours           the ticket is of another buyer or event
 *   login-required      the event takes no guests           other-event        waits for another event
 *   not-in-queue        has no place, or has lost it: `check` by HTTP takes a new one
 *   event-closed        the event is closed                 unavailable        Redis is away: try again
 *   draining            with retryMs: connect again after this time
 * Close codes: 1001 draining, 1008 no join-queue or watch-seats within 5 s or ten invalid messages,
 * 1009 message too long, 1013 reader too slow, 4401 unauthorized; for Socket.IO also 1002 for a packet that no client sends.
 */
#ifndef TIKETI_GATEWAY_H
#define TIKETI_GATEWAY_H

#include "auth/token.h"
#include "base/config.h"
#include "net/client_limit.h"
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
    struct jwks *jwks;                 /* of JWT_JWKS_URL */
    struct client_limit *client_limit; /* of the process; set again by serve */
    uint16_t port;
    unsigned connection_limit;
};
/* Binds opts->port; connections are refused until gateway_listen. Copies the opts, borrows what they point to until
 * gateway_close has called back. ST_UNAVAILABLE (logged): the address cannot be used. */
MUST_CHECK enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway);

/* Another config, of config_adopt, is in force: origins. Borrows it until the next one or gateway_close has
 * called back. Open sockets stay open. */
void gateway_reconfigure(struct gateway *gateway, const struct config *config);

/* ---- what the worker hands over: everything is borrowed for the call ---- */

/* A message of the channel between pods. Its payload is parsed only if a socket here has its event. */
void gateway_on_message(struct gateway *gateway, const struct queue_message *message);
/* The channel is subscribed, or subscribed again. Messages may have been missed, so Redis is asked for every place. */
void gateway_on_subscribed(struct gateway *gateway);
/* catalog_opts.on_refresh: the event has a new rank index or config. */
void gateway_on_refresh(struct gateway *gateway, const char *event);
/* Callback of queue_on_heartbeat: where a buyer of a heartbeat stands according to Redis. */
void gateway_on_heartbeat(struct gateway *gateway, const char *event, const char *buyer,
                          const struct queue_place *place, const struct queue_numbers *numbers);
/* The connection to Redis was lost (false) or is back (true). */
void gateway_on_redis(struct gateway *gateway, bool up);

/* Begins to listen. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status gateway_listen(struct gateway *gateway);
/* Sockets that are open or still closing. */
unsigned gateway_connections(const struct gateway *gateway);
/* Takes no new sockets; over `spread_ms` sends each socket error {code:"draining", message, retryMs}, the
 * retry delay with jitter, and closes it with 1001. */
void gateway_drain(struct gateway *gateway, uint64_t spread_ms);
/* Closes the remaining sockets; then `cb` (may be NULL) runs once, later. The memory is freed when no callback of
 * queue, catalog or seat maps is outstanding any more, which may be after `cb`. */
void gateway_close(struct gateway *gateway, loop_cb cb, void *arg);

#endif
