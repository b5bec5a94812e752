/* SPDX-License-Identifier: MIT */
/* ws_context: libwebsockets (lws) on one loop: how it starts, logs and ends. */
#ifndef TIKETI_WS_CONTEXT_H
#define TIKETI_WS_CONTEXT_H

#include "base/status.h"
#include "net/loop.h"

#include <libwebsockets.h>
#include <stdbool.h>

/* Must not move while it is open: lws keeps pointers into it. */
struct ws_context {
    struct loop *loop;
    struct lws_protocols protocols[2];
    struct lws_context *lws; /* lws sets it to NULL when it is gone */
    struct lws_vhost *vhost; /* sockets are adopted into it */
};

/* Borrows `subprotocol` while it is open; `callback` runs on the loop, from inside lws. ST_INTERNAL (logged):
 * lws does not start; the context must be ended all the same. */
MUST_CHECK enum status ws_context_open(struct ws_context *context, struct loop *loop,
                                       const char *subprotocol, lws_callback_function *callback);
/* Begins the end: closes what is open; the callback is told of each connection. */
void ws_context_end(struct ws_context *context);
/* After ws_context_end: true once nothing of it is left; false: ask again after a turn of the loop. */
MUST_CHECK bool ws_context_is_gone(struct ws_context *context);

#endif
