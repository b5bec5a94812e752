/* SPDX-License-Identifier: MIT */
/*
 * dial: connections we open: HTTP/1.1 requests and one WebSocket on libuv streams. A connection first speaks HTTP, one request at a time, and may then be upgraded.
 */
#ifndef TIKETI_DIAL_H
#define TIKETI_DIAL_H

#include "base/status.h"
#include "client/dial_frame.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_BODY_MAX    (4 * 1024 * 1024) /* of an answer; a longer one ends the connection */
#define DIAL_PER_ADDRESS 10000             /* buyers that share one loopback source address */

/* Where to connect. */
struct dial_target {
    char host[128]; /* the Host header: name or address, with the port unless it is 80 */
    char name[128]; /* what to resolve: name or address alone, without brackets */
    char path[128]; /* "" or what stands before every route; "/ws" of a socket */
    uint16_t port;
    char address[64]; /* numeric; filled by whoever resolved `name` */
};

/* "http://host[:port][/path]" or "ws://…"; ST_INVALID on anything else (https and wss too: a
 * rehearsal speaks to the service itself). `address` is filled when the host is an address. */
MUST_CHECK enum status dial_target_parse(const char *url, const char *scheme,
                                         struct dial_target *ret_target);
void dial_target_name_host(struct dial_target *target); /* `host` from name and port */
/* Is the target's address on the loopback? */
bool dial_target_is_loopback(const struct dial_target *target);

/* ---- all connections of one loop ---- */

struct dial_net;

struct dial_net_opts {
    struct loop *loop;
    unsigned open_max; /* connections open at once; more wait for one to close */
    uint64_t seed;     /* of the frame masks */
    bool shares; /* a connection closed between two requests stays, for the next to its target */
};
struct dial_net *dial_net_new(const struct dial_net_opts *opts);
/* Closes what is kept of a net that shares; from now on nothing is kept. */
void dial_net_close_idle(struct dial_net *net);
/* Every connection must have been closed; call after the loop has run out. NULL is fine. */
void dial_net_free(struct dial_net *net);

/* ---- one connection ---- */

struct dial;

struct dial_answer {
    unsigned code;
    const char *body; /* never NULL */
    size_t len;
    const char *guest;      /* value of a tiketi_guest cookie that was set, or NULL */
    int64_t retry_after_ms; /* -1: not said */
};

/* Why a connection ended by itself. */
enum dial_end {
    DIAL_END_REFUSED, /* never came up */
    DIAL_END_CLOSED,  /* the peer closed or reset it */
    DIAL_END_BROKEN,  /* what came was not HTTP or WebSocket */
    DIAL_END_STALE    /* closed by the peer, as he may any that has served: ask again */
};

/* Borrowed by the connection. The memory behind a callback's arguments lives as long as the
 * callback. dial_close may be called from any of them. */
struct dial_ops {
    void (*on_answer)(void *arg, const struct dial_answer *answer);
    void (*on_open)(void *arg); /* the WebSocket is up */
    void (*on_text)(void *arg, const char *text, size_t len);
    void (*on_sign)(void *arg); /* the peer pinged */
    /* The last callback; the connection is gone. close_code: of a close frame, else 0. */
    void (*on_end)(void *arg, enum dial_end end, unsigned close_code);
};

/* New; connects soon. `source` is the buyer's number: on the loopback each DIAL_PER_ADDRESS buyers
 * get a source address of their own. Callbacks never run from inside. */
struct dial *dial_open(struct dial_net *net, const struct dial_target *target, uint32_t source,
                       const struct dial_ops *ops, void *arg);
/* Sends one request (whole text; copied). At most one is under way; on_answer follows, or on_end. */
void dial_request(struct dial *conn, const char *text, size_t len);
/* The WebSocket handshake; extra: further header lines, each ended by CRLF, or "". on_open
 * follows; or on_answer, when the peer answered something else; or on_end. */
void dial_upgrade(struct dial *conn, const char *extra);
void dial_send(struct dial *conn, const char *text, size_t len); /* one text message */
/* May another request go out on it? (False once the peer said that it will close.) */
bool dial_reusable(const struct dial *conn);
/* Says goodbye if it is a WebSocket, and closes. No callback runs afterwards. NULL is fine. */
void dial_close(struct dial *conn);

#endif
