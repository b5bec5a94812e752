/* SPDX-License-Identifier: MIT */
/*
 * ws_accept: accepts connections for ws, waits until the handshake of each has arrived, and refuses those that are
 * wrong.
 */
#ifndef TIKETI_WS_ACCEPT_H
#define TIKETI_WS_ACCEPT_H

#include "base/status.h"
#include "net/client_limit.h"
#include "net/loop.h"
#include "net/ws_handshake.h"

#include <stdint.h>

struct ws_accept;

struct ws_accept_opts {
    struct loop *loop; /* borrowed, like all texts here, for the life of the object */
    const char *host;
    uint16_t port; /* 0: any free port */
    const struct ws_endpoint *endpoints;
    size_t endpoint_count;
    unsigned limit; /* of pending and open connections together; further ones get 503 */
    unsigned (*open)(void *arg);       /* returns the number of open connections, which ws counts */
    struct client_limit *client_limit; /* what one address may take; NULL: no limit */
    /* A good handshake has arrived; only its last byte is left in the socket. Returns 0 to take the fd and the share (NULL: it does not
     * count; else it is given back when the connection is gone), or the HTTP status to refuse the handshake with. */
    unsigned (*on_handshake)(void *arg, int fd, const struct ws_handshake *handshake,
                             struct client_share *share);
    void *arg;
};

/* Returns new, bound to the address: connections are refused until ws_accept_begin. ST_UNAVAILABLE (logged) when the
 * address cannot be used. */
MUST_CHECK enum status ws_accept_open(const struct ws_accept_opts *opts,
                                      struct ws_accept **ret_acceptor);
/* Listens. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status ws_accept_begin(struct ws_accept *acceptor);
uint16_t ws_accept_port(const struct ws_accept *acceptor);
/* Closes the listener. Connections with a pending handshake, and those in the kernel's queue, get 503. */
void ws_accept_quiesce(struct ws_accept *acceptor);
/* Closes everything and frees at once. NULL is fine. */
void ws_accept_close(struct ws_accept *acceptor);

#endif
