/* SPDX-License-Identifier: MIT */
/* ws_context: libwebsockets on one loop: how it starts, what it logs, and how it ends. */
#ifndef TIKETI_WS_CONTEXT_H
#define TIKETI_WS_CONTEXT_H

#include "base/status.h"
#include "net/loop.h"

#include <libwebsockets.h>
#include <stdbool.h>

/* Stays where it is while it is open: lws keeps pointers into it. */
struct ws_context {
    struct loop *loop;
    struct lws_protocols protocols[2];
    struct lws_context *lws; /* lws sets it to NULL when it is gone */
    struct lws_vhost *vhost; /* which sockets are adopted into */
};

/* `subprotocol` is borrowed while it is open; `callback` runs on the loop, from inside lws. ST_INTERNAL
 * (logged): it does not start; it is ended all the same. */
MUST_CHECK enum status ws_context_open(struct ws_context *context, struct loop *loop,
                                       const char *subprotocol, lws_callback_function *callback);
/* Begins the end: what is still open is closed, the callback hears of each. */
void ws_context_end(struct ws_context *context);
/* After ws_context_end: true when nothing of it is left; false: ask again after a turn of the loop. */
MUST_CHECK bool ws_context_is_gone(struct ws_context *context);

#endif
