/* SPDX-License-Identifier: MIT */
/*
 * ws_lobby: the door of ws: the listener, and connections whose handshake has not come whole yet,
 * or that are being turned away politely.
 */
#ifndef TIKETI_WS_LOBBY_H
#define TIKETI_WS_LOBBY_H

#include "net/loop.h"
#include "net/ws.h"

struct ws_lobby;

struct ws_lobby_opts {
    struct loop *loop;
    const char *host;
    uint16_t port;
    const char *path, *subprotocol; /* borrowed for the lobby's life */
    unsigned limit;                 /* of guests and `taken` together; over it: 503 */
    unsigned (*taken)(void *arg);
    /* A good handshake, still unread in the socket. 0: the fd is the receiver's now. Else the HTTP
     * status to turn it away with. */
    unsigned (*on_guest)(void *arg, int fd, const struct ws_handshake *handshake);
    void *arg;
};

/* ST_UNAVAILABLE (logged) when the address cannot be listened on. */
MUST_CHECK enum status ws_lobby_open(const struct ws_lobby_opts *opts, struct ws_lobby **ret_lobby);
uint16_t ws_lobby_port(const struct ws_lobby *lobby);
/* No more accepts: closes the listener. Who is in the lobby, or was on the way in, gets 503. */
void ws_lobby_quiesce(struct ws_lobby *lobby);
void ws_lobby_close(struct ws_lobby *lobby); /* the memory goes at once */

#endif
