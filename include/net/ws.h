/* SPDX-License-Identifier: MIT */
/*
 * ws: a WebSocket server on one loop, over libwebsockets. It has a SO_REUSEPORT listener of its own, checks
 * handshakes and frames, delivers whole text messages, queues outgoing ones up to a limit, sends pings and does closing
 * handshakes. All calls are for the loop's own thread; none blocks.
 */
#ifndef TIKETI_WS_H
#define TIKETI_WS_H

#include "base/status.h"
#include "net/client_limit.h"
#include "net/loop.h"
#include "net/ws_handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_MESSAGE_MAX                                                                             \
    12288 /* bytes of a received message (a token of 8 KiB and a ticket); a longer one closes the connection with 1009 */
#define WS_SEND_QUEUE_MAX                                                                          \
    16384 /* bytes that may wait for one slow reader; more close it with 1013 */

struct ws_server;
struct ws_conn;

struct ws_opts {
    struct loop *loop; /* borrowed */
    const char *host;
    uint16_t port; /* 0: any free port */
    bool deferred; /* connections are refused until ws_listen_now */
    /* Borrowed until the server is closed; the first one has a subprotocol. Requests for another path get 404. */
    const struct ws_endpoint *endpoints;
    size_t endpoint_count;
    /* Further connections get 503. For these refusals the server uses up to 256 descriptors more. */
    unsigned connection_limit;
    struct client_limit *
        limit; /* what one address may take; further handshakes get 429. Borrowed; NULL: no limit */
    /* Each peer is pinged once in this time; after two unanswered pings its connection is closed. 0: no pings. */
    uint64_t ping_ms;
    size_t conn_user_size; /* zeroed bytes for the caller in each connection: ws_conn_user */
    /* A valid handshake has arrived. Return true to open the connection; on_close follows later. Return false
     * to refuse it with 403; `conn` is then freed. ws_send is allowed: the message is sent after the answer to
     * the handshake. */
    bool (*on_open)(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake);
    void (*on_message)(void *arg, struct ws_conn *conn, const char *text,
                       size_t len);                   /* borrowed */
    void (*on_pong)(void *arg, struct ws_conn *conn); /* may be NULL */
    /* The connection is gone; it is freed when this returns. Exactly once per on_open(true). */
    void (*on_close)(void *arg, struct ws_conn *conn);
    void *arg;
};

/* Returns new, listening; copies `host`. ST_UNAVAILABLE: the address cannot be listened on.
 * ST_INTERNAL: libwebsockets does not start. Both are logged. Because of SO_REUSEPORT, a second process of the
 * same user could listen on the same port unnoticed. */
MUST_CHECK enum status ws_open(const struct ws_opts *opts, struct ws_server **ret_server);
/* For a deferred server: begins to listen. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status ws_listen_now(struct ws_server *server);
uint16_t ws_port(const struct ws_server *server);
unsigned ws_connections(const struct ws_server *server);
/* Changes ping_ms. Only for a server that was opened with ping_ms > 0. */
void ws_set_ping(struct ws_server *server, uint64_t ping_ms);
/* Closes the listener; connections without a complete handshake get 503. */
void ws_quiesce(struct ws_server *server);
/* Closes all connections with 1001, waits up to a second for the peers' answers, frees the server, then runs cb
 * (may be NULL), never before this call has returned. The loop must keep running until then. */
void ws_close(struct ws_server *server, loop_cb cb, void *arg);

void *ws_conn_user(struct ws_conn *conn); /* conn_user_size bytes that live as long as `conn` */
/* Writes one text message, or queues a copy when the socket does not take it. on_close never runs before this
 * call has returned.
 * ST_FULL: the reader is too slow: the message is dropped and the connection closes with 1013. ST_UNAVAILABLE: the
 * connection is closing. ST_TOO_LARGE: longer than WS_SEND_QUEUE_MAX; the connection stays open. */
MUST_CHECK enum status ws_send(struct ws_conn *conn, const char *text, size_t len);
/* Sends a close frame after the queued messages, and ends the connection when the peer has answered or after
 * 3 s; on_close runs later, never before this call has returned. Messages that still arrive are dropped. Only the first
 * call counts. `reason` may be NULL; it is copied, and cut at 123 bytes. */
void ws_conn_close(struct ws_conn *conn, uint16_t code, const char *reason);

/* Messages sent between ws_cork and ws_uncork are collected and written by one system call. At most one connection
 * may be corked at a time, and only within one turn of the loop. In between, ST_OK of ws_send means that the
 * message was collected; ws_uncork closes the connection if its reader is too slow. */
void ws_cork(struct ws_conn *conn);
void ws_uncork(struct ws_conn *conn);

#endif
