/* SPDX-License-Identifier: MIT */
/*
 * ws: the only includer of libwebsockets. Server sockets on one loop: an own SO_REUSEPORT
 * listener, handshake checks, whole text messages in, a bounded queue out, pings, close.
 */
#ifndef TIKETI_WS_H
#define TIKETI_WS_H

#include "loop.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_MESSAGE_MAX 8192    /* a longer message from a client closes the socket with 1009 */
#define WS_SEND_QUEUE_MAX 16384 /* bytes waiting for one slow reader; over it: dropped with 1013 */

struct ws_server;
struct ws_conn;

/* What the handshake said; borrowed inside on_open. "" when absent. */
struct ws_handshake {
    const char *origin;
    const char *host;
    const char *cookie; /* the raw Cookie header */
    const char *peer;
    const char *forwarded_for; /* X-Forwarded-For */
};

struct ws_opts {
    struct loop *loop;
    const char *host;
    uint16_t port;           /* 0: any free port */
    const char *path;        /* "/ws"; anything else is 404 */
    const char *subprotocol; /* "tiketi.v1" */
    unsigned connection_limit;
    uint64_t ping_ms;         /* 25000; a socket that sent nothing for 2 pings is closed */
    size_t conn_user_size;    /* zeroed bytes of the caller in each connection: ws_conn_user */
    /* false: refused with 403. */
    bool (*on_open)(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake);
    void (*on_message)(void *arg, struct ws_conn *conn, const char *text, size_t len);
    void (*on_pong)(void *arg, struct ws_conn *conn);
    void (*on_close)(void *arg, struct ws_conn *conn); /* last look, exactly once per on_open(true) */
    void *arg;
};

MUST_CHECK enum status ws_open(const struct ws_opts *opts, struct ws_server **ret_server);
uint16_t ws_port(const struct ws_server *server);
unsigned ws_connections(const struct ws_server *server);
void ws_quiesce(struct ws_server *server); /* no more accepts */
/* Closes what is left with 1001, then frees; then cb. */
void ws_close(struct ws_server *server, loop_cb cb, void *arg);

void *ws_conn_user(struct ws_conn *conn);
/* Queues (or directly writes) one text message; copied when it cannot be written at once.
 * ST_FULL: the reader is too slow; the socket will be closed with 1013 and on_close follows later
 * (never from inside ws_send). */
MUST_CHECK enum status ws_send(struct ws_conn *conn, const char *text, size_t len);
/* Sends a close frame and ends the socket soon; on_close follows later, never from inside. */
void ws_conn_close(struct ws_conn *conn, uint16_t code, const char *reason);

/* Walks all open sockets in steps so that a fan-out never blocks the loop: visit(arg, conn) for
 * 64..256 sockets per turn. Sockets opened during the walk may be missed, closed ones are skipped;
 * done(arg) at the end (may be NULL). A second walk queues behind the first. */
MUST_CHECK enum status ws_walk(struct ws_server *server, void (*visit)(void *arg, struct ws_conn *),
                               loop_cb done, void *arg);

#endif
