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

/* Runs for a new connection. Returns true to take the socket, which is non-blocking; false when there is no capacity:
 * httpd_listen then answers 503 and closes the socket. */
typedef bool (*httpd_accept_cb)(void *arg, int fd, const struct sockaddr *addr, socklen_t len);

/* Returns new, bound to an IPv4 or IPv6 literal; port 0: any free one. SO_REUSEPORT lets each worker open
 * its own on the same port. Connections are refused until httpd_listen_begin. ST_INVALID: `host` is not such a literal.
 * ST_CONFLICT: the port is taken. ST_UNAVAILABLE: binding failed for another reason. The last two are logged. */
MUST_CHECK enum status httpd_listen_open(struct loop *loop, const char *host, uint16_t port,
                                         httpd_accept_cb cb, void *arg,
                                         struct httpd_listen **ret_listen);
/* Listens: from now on `cb` runs for new connections. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status httpd_listen_begin(struct httpd_listen *listener);
uint16_t httpd_listen_port(const struct httpd_listen *listener);
/* Tells how long the requests of the last second had waited to be read at most; call it once a second. While that is too
 * long, the kernel keeps fewer new connections. */
void httpd_listen_pace(struct httpd_listen *listener, uint64_t age_ms);
/* Takes a socket whose peer was refused and may still be sending, and closes it after a second: closing it at once, with
 * bytes unread, would reset the connection and might destroy the answer on its way. */
void httpd_listen_linger(struct httpd_listen *listener, int fd);
/* Accepts the connections in the kernel's queue, which closing would reset, then stops listening. */
void httpd_listen_stop(struct httpd_listen *listener);
/* Stops, then frees at once. NULL is fine. */
void httpd_listen_close(struct httpd_listen *listener);

#endif
