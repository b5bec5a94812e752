/* SPDX-License-Identifier: MIT */
/* ws_context: starts and ends libwebsockets (lws) on one loop, and passes its log on. */
#ifndef TIKETI_WS_CONTEXT_H
#define TIKETI_WS_CONTEXT_H

#include "base/status.h"
#include "net/loop.h"

#include <libwebsockets.h>
#include <stdbool.h>

/* Must stay at the same address while it is open, because lws keeps pointers into it. */
struct ws_context {
    struct loop *loop;
    struct lws_protocols protocols[2];
    struct lws_context *lws; /* lws sets it to NULL when it is gone */
    struct lws_vhost *vhost; /* sockets are adopted into it */
};

/* Fills `context`. Borrows `subprotocol` until the context is gone; lws calls `callback` on the loop's thread.
 * ST_INTERNAL (logged): lws does not start; the caller must call ws_context_end nevertheless. */
MUST_CHECK enum status ws_context_open(struct ws_context *context, struct loop *loop,
                                       const char *subprotocol, lws_callback_function *callback);
/* Closes all connections; lws reports the end of each to the callback. */
void ws_context_end(struct ws_context *context);
/* Call it after ws_context_end. True: nothing of the context is left. False: call it again after a turn of the loop. */
MUST_CHECK bool ws_context_is_gone(struct ws_context *context);

#endif
