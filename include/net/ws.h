/* SPDX-License-Identifier: MIT */
/*
 * ws: a WebSocket server on one loop, over libwebsockets: a SO_REUSEPORT listener of its own, checked
 * handshakes, whole text messages in, a bounded queue out, pings, closing handshakes. All calls are for the
 * loop's own thread; none blocks.
 */
#ifndef TIKETI_WS_H
#define TIKETI_WS_H

#include "base/status.h"
#include "net/loop.h"
#include "net/ws_handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_MESSAGE_MAX    8192  /* bytes of a received message; a longer one closes with 1009 */
#define WS_SEND_QUEUE_MAX 16384 /* bytes waiting for one slow reader; more close with 1013 */

struct ws_server;
struct ws_conn;

struct ws_opts {
    struct loop *loop; /* borrowed */
    const char *host;
    uint16_t port;             /* 0: any free port */
    const char *path;          /* "/ws"; anything else is 404 */
    const char *subprotocol;   /* "tiketi.v1" */
    unsigned connection_limit; /* over it: 503, which may take up to 256 more descriptors */
    uint64_t ping_ms;          /* one round of pings; a peer silent for two is dropped; 0: none */
    size_t conn_user_size;     /* zeroed bytes for the caller in each connection: ws_conn_user */
    /* A good handshake. True: the connection opens, on_close will follow. False: refused with 403, and
     * `conn` is freed. ws_send is allowed: the message leaves after the handshake is answered. */
    bool (*on_open)(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake);
    void (*on_message)(void *arg, struct ws_conn *conn, const char *text,
                       size_t len);                   /* borrowed */
    void (*on_pong)(void *arg, struct ws_conn *conn); /* may be NULL */
    /* The connection is gone; it is freed when this returns. Exactly once per on_open(true). */
    void (*on_close)(void *arg, struct ws_conn *conn);
    void *arg;
};

/* Returns new, listening; copies all texts. ST_UNAVAILABLE: the address cannot be listened on.
 * ST_INTERNAL: libwebsockets does not start. Both are logged. With SO_REUSEPORT a second process of the
 * same user can listen on the same port, unnoticed. */
MUST_CHECK enum status ws_open(const struct ws_opts *opts, struct ws_server **ret_server);
uint16_t ws_port(const struct ws_server *server);
unsigned ws_connections(const struct ws_server *server);
/* Changes the duration of a round of pings, beginning with the next tick. Only for a server that was opened
 * with pings. */
void ws_set_ping(struct ws_server *server, uint64_t ping_ms);
/* Closes the listener; connections without a complete handshake get 503. */
void ws_quiesce(struct ws_server *server);
/* Closes all connections with 1001, waits up to a second for the answers, frees, then runs cb (may be NULL).
 * Later, never from inside; the loop must go on running meanwhile. */
void ws_close(struct ws_server *server, loop_cb cb, void *arg);

void *ws_conn_user(struct ws_conn *conn); /* conn_user_size bytes that live as long as `conn` */
/* Writes one text message, or queues a copy when the socket does not take it. on_close never runs from
 * inside.
 * ST_FULL: the reader is too slow: dropped, the connection closes with 1013. ST_UNAVAILABLE: it is closing.
 * ST_TOO_LARGE: longer than WS_SEND_QUEUE_MAX; the connection is not affected. */
MUST_CHECK enum status ws_send(struct ws_conn *conn, const char *text, size_t len);
/* Sends a close frame after what is queued, and ends the connection when the peer has answered or after
 * 3 s; on_close follows later, never from inside. Messages that still arrive are dropped. Only the first
 * call counts. `reason` may be NULL; it is copied, and cut at 123 bytes. */
void ws_conn_close(struct ws_conn *conn, uint16_t code, const char *reason);

/* What ws_send is given between these two is gathered and leaves in one system call. At most one connection
 * is corked at a time, within one turn of the loop. ST_OK of ws_send then means gathered; a reader that is
 * too slow is closed at ws_uncork. */
void ws_cork(struct ws_conn *conn);
void ws_uncork(struct ws_conn *conn);

#endif
