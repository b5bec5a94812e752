/* SPDX-License-Identifier: MIT */
/* httpd_listen: a listening socket of one worker, and a polite word for those it has no room for. */
#ifndef TIKETI_HTTPD_LISTEN_H
#define TIKETI_HTTPD_LISTEN_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct httpd_listen;

/* Takes the new non-blocking socket and returns true; or returns false: then the peer is answered
 * 503 and the socket closed here. */
typedef bool (*httpd_accept_cb)(void *arg, int fd, const struct sockaddr *addr, socklen_t len);

/* Binds with SO_REUSEPORT, so that each worker has one on the same port. ST_INVALID on a bad address,
 * ST_CONFLICT when the port is taken, ST_UNAVAILABLE on anything else (logged). */
MUST_CHECK enum status httpd_listen_open(struct loop *loop, const char *host, uint16_t port,
                                         httpd_accept_cb cb, void *arg,
                                         struct httpd_listen **ret_listen);
uint16_t httpd_listen_port(const struct httpd_listen *listener);
/* Accepts what already waits in the kernel's queue (closing would reset it), then listens no more. */
void httpd_listen_stop(struct httpd_listen *listener);
void httpd_listen_close(struct httpd_listen *listener); /* stops, then frees; NULL is fine */

#endif
