/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: the door of ws: the listener, and connections whose handshake has not come whole yet,
 * or that are being turned away politely.
 */
#ifndef TIKETI_WS_ACCEPT_H
#define TIKETI_WS_ACCEPT_H

#include "net/loop.h"
#include "net/ws.h"

struct ws_accept;

struct ws_accept_opts {
    struct loop *loop;
    const char *host;
    uint16_t port;
    const char *path, *subprotocol; /* borrowed for the acceptor's life */
    unsigned limit;                 /* of guests and `taken` together; over it: 503 */
    unsigned (*taken)(void *arg);
    /* A good handshake, still unread in the socket. 0: the fd is the receiver's now. Else the HTTP
     * status to turn it away with. */
    unsigned (*on_handshake)(void *arg, int fd, const struct ws_handshake *handshake);
    void *arg;
};

/* ST_UNAVAILABLE (logged) when the address cannot be listened on. */
MUST_CHECK enum status ws_accept_open(const struct ws_accept_opts *opts,
                                      struct ws_accept **ret_lobby);
uint16_t ws_accept_port(const struct ws_accept *acceptor);
/* No more accepts: closes the listener. Who is in the acceptor, or was on the way in, gets 503. */
void ws_accept_quiesce(struct ws_accept *acceptor);
void ws_accept_close(struct ws_accept *acceptor); /* the memory goes at once */

#endif
