/* SPDX-License-Identifier: MIT */
/*
 * ws: WebSocket server sockets on one loop, over libwebsockets: an own SO_REUSEPORT
 * listener, handshake checks, whole text messages in, a bounded queue out, pings, close.
 */
#ifndef TIKETI_WS_H
#define TIKETI_WS_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_MESSAGE_MAX    8192  /* a longer message from a client closes the socket with 1009 */
#define WS_SEND_QUEUE_MAX 16384 /* bytes waiting for one slow reader; over it: dropped with 1013 */

struct ws_server;
struct ws_conn;

/* What the handshake said; borrowed inside on_open. "" when absent; a header that came more than
 * once is one list. */
struct ws_handshake {
    const char *origin;
    const char *host;
    const char *cookie;        /* the raw Cookie header */
    const char *peer;          /* numeric address of the other end */
    const char *forwarded_for; /* X-Forwarded-For */
};

struct ws_opts {
    struct loop *loop;
    const char *host;
    uint16_t port;             /* 0: any free port */
    const char *path;          /* "/ws"; anything else is 404 */
    const char *subprotocol;   /* "tiketi.v1" */
    unsigned connection_limit; /* over it: 503. Up to 256 descriptors more while saying so */
    uint64_t ping_ms;          /* 25000; a socket that sent nothing for 2 pings is closed */
    size_t conn_user_size;     /* zeroed bytes of the caller in each connection: ws_conn_user */
    /* false: refused with 403. The socket is not open yet: what is sent here leaves after the
     * handshake. */
    bool (*on_open)(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake);
    void (*on_message)(void *arg, struct ws_conn *conn, const char *text, size_t len);
    void (*on_pong)(void *arg, struct ws_conn *conn);
    void (*on_close)(void *arg,
                     struct ws_conn *conn); /* last look, exactly once per on_open(true) */
    void *arg;
};

/* Listening when it returns ST_OK. ST_UNAVAILABLE (logged): the address cannot be listened on.
 * With SO_REUSEPORT a second process of the same user can listen on the same port, unnoticed. */
MUST_CHECK enum status ws_open(const struct ws_opts *opts, struct ws_server **ret_server);
uint16_t ws_port(const struct ws_server *server);
unsigned ws_connections(const struct ws_server *server);
/* Changes how often each socket is pinged, from the next ping on. Only for a server that was opened with
 * pings. */
void ws_set_ping(struct ws_server *server, uint64_t ping_ms);
/* No more accepts: the listener is closed; who was on the way in gets 503. */
void ws_quiesce(struct ws_server *server);
/* Closes what is left with 1001, waits for the good-byes up to a second, then frees; then cb (may be
 * NULL). The loop must go on running meanwhile. */
void ws_close(struct ws_server *server, loop_cb cb, void *arg);

void *ws_conn_user(struct ws_conn *conn);
/* Queues (or directly writes) one text message; copied when it cannot be written at once.
 * ST_FULL: the reader is too slow; the socket will be closed with 1013 and on_close follows later
 * (never from inside ws_send). ST_UNAVAILABLE: it is closing. ST_TOO_LARGE: longer than
 * WS_SEND_QUEUE_MAX; nothing happens to the socket. */
MUST_CHECK enum status ws_send(struct ws_conn *conn, const char *text, size_t len);
/* Sends a close frame, after what is queued, and ends the socket when the other end has answered or
 * 3 s have passed; on_close follows later, never from inside. No message of it is heard any more.
 * The first code counts. `reason` is cut at 123 bytes. */
void ws_conn_close(struct ws_conn *conn, uint16_t code, const char *reason);

/* From here to ws_uncork what is sent to this connection is gathered and leaves in one system call; at
 * most one connection is corked at a time, within one turn of the loop. ST_OK of ws_send then means
 * gathered; a reader who is too slow is closed at ws_uncork. */
void ws_cork(struct ws_conn *conn);
void ws_uncork(struct ws_conn *conn);

#endif
