/* SPDX-License-Identifier: MIT */
/*
 * crowd_conn: the client side of the rehearsal: HTTP/1.1 requests and one WebSocket on libuv
 * streams. A connection first speaks HTTP, one request at a time, and may then be upgraded.
 */
#ifndef TIKETI_CROWD_CONN_H
#define TIKETI_CROWD_CONN_H

#include "crowd_frame.h"
#include "loop.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CROWD_BODY_MAX    (4 * 1024 * 1024) /* of an answer; a longer one ends the connection */
#define CROWD_PER_ADDRESS 10000             /* buyers that share one loopback source address */

/* Where to connect. */
struct crowd_target {
    char host[128]; /* the Host header: name or address, with the port unless it is 80 */
    char name[128]; /* what to resolve: name or address alone, without brackets */
    char path[128]; /* "" or what stands before every route; "/ws" of a socket */
    uint16_t port;
    char address[64]; /* numeric; filled by whoever resolved `name` */
};

/* "http://host[:port][/path]" or "ws://…"; ST_INVALID on anything else (https and wss too: a
 * rehearsal speaks to the service itself). `address` is filled when the host is an address. */
MUST_CHECK enum status crowd_target_parse(const char *url, const char *scheme,
                                          struct crowd_target *ret_target);
void crowd_target_name_host(struct crowd_target *target); /* `host` from name and port */
/* Is the target's address on the loopback? */
bool crowd_target_is_loopback(const struct crowd_target *target);

/* ---- all connections of one crowd ---- */

struct crowd_net;

struct crowd_net_opts {
    struct loop *loop;
    unsigned open_max; /* connections open at once; more wait for one to close */
    uint64_t seed;     /* of the frame masks */
};
struct crowd_net *crowd_net_new(const struct crowd_net_opts *opts);
unsigned crowd_net_open_count(const struct crowd_net *net);
/* Every connection must have been closed; call after the loop has run out. NULL is fine. */
void crowd_net_free(struct crowd_net *net);

/* ---- one connection ---- */

struct crowd_conn;

struct crowd_answer {
    unsigned code;
    const char *body; /* never NULL */
    size_t len;
    const char *guest;      /* value of a tiketi_guest cookie that was set, or NULL */
    int64_t retry_after_ms; /* -1: not said */
};

/* Why a connection ended by itself. */
enum crowd_end {
    CROWD_END_REFUSED, /* never came up */
    CROWD_END_CLOSED,  /* the peer closed or reset it */
    CROWD_END_BROKEN   /* what came was not HTTP or WebSocket */
};

/* Borrowed by the connection. The memory behind a callback's arguments lives as long as the
 * callback. crowd_conn_close may be called from any of them. */
struct crowd_conn_ops {
    void (*on_answer)(void *arg, const struct crowd_answer *answer);
    void (*on_open)(void *arg); /* the WebSocket is up */
    void (*on_text)(void *arg, const char *text, size_t len);
    void (*on_sign)(void *arg); /* the peer pinged */
    /* The last callback; the connection is gone. close_code: of a close frame, else 0. */
    void (*on_end)(void *arg, enum crowd_end end, unsigned close_code);
};

/* New; connects soon. `source` is the buyer's number: on the loopback each CROWD_PER_ADDRESS buyers
 * get a source address of their own. Callbacks never run from inside. */
struct crowd_conn *crowd_conn_open(struct crowd_net *net, const struct crowd_target *target,
                                   uint32_t source, const struct crowd_conn_ops *ops, void *arg);
/* Sends one request (whole text; copied). At most one is under way; on_answer follows, or on_end. */
void crowd_conn_request(struct crowd_conn *conn, const char *text, size_t len);
/* The WebSocket handshake; extra: further header lines, each ended by CRLF, or "". on_open
 * follows; or on_answer, when the peer answered something else; or on_end. */
void crowd_conn_upgrade(struct crowd_conn *conn, const char *extra);
void crowd_conn_send(struct crowd_conn *conn, const char *text, size_t len); /* one text message */
/* May another request go out on it? (False once the peer said that it will close.) */
bool crowd_conn_reusable(const struct crowd_conn *conn);
/* Says goodbye if it is a WebSocket, and closes. No callback runs afterwards. NULL is fine. */
void crowd_conn_close(struct crowd_conn *conn);

#endif
