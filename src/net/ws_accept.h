/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: accepts connections for ws, waits until their handshake has arrived, and refuses what is not
 * a good one.
 */
#ifndef TIKETI_WS_ACCEPT_H
#define TIKETI_WS_ACCEPT_H

#include "base/status.h"
#include "net/loop.h"
#include "net/ws_handshake.h"

#include <stdint.h>

struct ws_accept;

struct ws_accept_opts {
    struct loop *loop; /* borrowed, like all texts here, for the life of the object */
    const char *host;
    uint16_t port; /* 0: any free port */
    const char *path, *subprotocol;
    unsigned limit;              /* of pending handshakes and `open` together; over it: 503 */
    unsigned (*open)(void *arg); /* returns the number of connections that were taken */
    /* A good handshake, still unread in the socket. 0: the receiver takes the fd. Else the HTTP status to
     * refuse it with. */
    unsigned (*on_handshake)(void *arg, int fd, const struct ws_handshake *handshake);
    void *arg;
};

/* Returns new, listening. ST_UNAVAILABLE (logged) when the address cannot be listened on. */
MUST_CHECK enum status ws_accept_open(const struct ws_accept_opts *opts,
                                      struct ws_accept **ret_acceptor);
uint16_t ws_accept_port(const struct ws_accept *acceptor);
/* Closes the listener. Pending handshakes, and connections still in its queue, get 503. */
void ws_accept_quiesce(struct ws_accept *acceptor);
/* Closes everything and frees at once. NULL is fine. */
void ws_accept_close(struct ws_accept *acceptor);

#endif
