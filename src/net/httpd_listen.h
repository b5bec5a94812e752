/* SPDX-License-Identifier: MIT */
/* httpd_listen: the listening sockets of one worker's httpd, and the 503 for connections over its limit. */
#ifndef TIKETI_HTTPD_LISTEN_H
#define TIKETI_HTTPD_LISTEN_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct httpd_listen;

/* A new connection. True: the receiver takes the non-blocking socket. False: no capacity; the peer is
 * answered 503 and the socket closed by httpd_listen. */
typedef bool (*httpd_accept_cb)(void *arg, int fd, const struct sockaddr *addr, socklen_t len);

/* Returns new, listening on an IPv4 or IPv6 literal; port 0: any free one. SO_REUSEPORT lets each worker
 * open its own on the same port. ST_INVALID: bad address. ST_CONFLICT: the port is taken.
 * ST_UNAVAILABLE: anything else. The last two are logged. */
MUST_CHECK enum status httpd_listen_open(struct loop *loop, const char *host, uint16_t port,
                                         httpd_accept_cb cb, void *arg,
                                         struct httpd_listen **ret_listen);
uint16_t httpd_listen_port(const struct httpd_listen *listener);
/* Accepts what is already in the kernel's queue (closing would reset it), then stops listening. */
void httpd_listen_stop(struct httpd_listen *listener);
/* Stops, then frees at once. NULL is fine. */
void httpd_listen_close(struct httpd_listen *listener);

#endif
