/* SPDX-License-Identifier: MIT */
/*
 * dial: client connections: HTTP/1.1 requests and WebSockets on libuv streams. A connection begins with HTTP, one
 * request at a time, and may then be upgraded.
 */
#ifndef TIKETI_DIAL_H
#define TIKETI_DIAL_H

#include "base/status.h"
#include "client/dial_frame.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_BODY_MAX    (4 * 1024 * 1024) /* bytes of an answer; a longer one ends the connection */
#define DIAL_PER_ADDRESS 10000             /* buyers that share one loopback source address */

/* An endpoint. */
struct dial_target {
    char host[128]; /* the Host header: name or address, and the port unless it is 80 */
    char name[128]; /* name or address alone, without brackets; to be resolved */
    char path[128]; /* "", or the prefix of every route; "/ws" for a WebSocket */
    uint16_t port;
    char address[64]; /* numeric; "" until the caller has resolved `name` */
};

/* Reads "http://host[:port][/path]", or "ws://…" for the scheme "ws". `address` is filled where the host is one.
 * ST_INVALID for anything else, also for https and wss: a rehearsal connects to the service itself. */
MUST_CHECK enum status dial_target_parse(const char *url, const char *scheme,
                                         struct dial_target *ret_target);
void dial_target_name_host(struct dial_target *target); /* fills `host` from name and port */
/* Is the target's address on the loopback? */
bool dial_target_is_loopback(const struct dial_target *target);

/* ---- the connections of a loop ---- */

struct dial_net;

struct dial_net_opts {
    struct loop *loop;
    unsigned open_max; /* connections open at once; further ones wait */
    uint64_t seed;     /* of the frame masks */
    /* Keep-alive: after dial_close between two requests the connection stays open, and the next dial_open to the
     * same target takes it. */
    bool shares;
};
/* New. */
struct dial_net *dial_net_new(const struct dial_net_opts *opts);
/* Closes the idle connections; from now on a connection whose dial is closed is not kept. */
void dial_net_close_idle(struct dial_net *net);
/* Call it after the loop has ended and every dial was closed. NULL is fine. */
void dial_net_free(struct dial_net *net);

/* ---- one connection ---- */

struct dial;

struct dial_answer {
    unsigned code;
    const char *body; /* never NULL */
    size_t len;
    const char *guest;      /* value of the cookie tiketi_guest, if it was set, or NULL */
    int64_t retry_after_ms; /* -1: no Retry-After */
};

/* Why a connection ended, other than by dial_close. */
enum dial_end {
    DIAL_END_REFUSED, /* the connection could not be opened */
    DIAL_END_CLOSED,  /* the peer closed or reset it */
    DIAL_END_BROKEN,  /* the peer sent neither HTTP nor WebSocket */
    DIAL_END_STALE /* the peer had closed the idle connection that was reused: send the request again */
};

/* Arguments are borrowed until the callback returns. dial_close may be called from any of them. */
struct dial_ops {
    void (*on_answer)(void *arg, const struct dial_answer *answer);
    void (*on_open)(void *arg); /* the WebSocket is up */
    void (*on_text)(void *arg, const char *text, size_t len);
    void (*on_ping)(void *arg); /* the peer has sent a ping; the pong is sent already */
    /* The last callback; the connection no longer exists. close_code: of the close frame, else 0. */
    void (*on_end)(void *arg, enum dial_end end, unsigned close_code);
};

/* New; connects in a later turn of the loop. `source` is the buyer's number: on the loopback, each group of
 * DIAL_PER_ADDRESS buyers has a source address of its own. `target` and `ops` are borrowed. Callbacks never run
 * from inside this call. */
struct dial *dial_open(struct dial_net *net, const struct dial_target *target, uint32_t source,
                       const struct dial_ops *ops, void *arg);
/* Sends the complete text of a request, which is copied; then on_answer or on_end is called. The next request must
 * wait for that. */
void dial_request(struct dial *dial, const char *text, size_t len);
/* Starts the WebSocket handshake. `extra`: further header lines, each with its CRLF, or "". Then on_open is called; or
 * on_answer, if the peer answered otherwise; or on_end. */
void dial_upgrade(struct dial *dial, const char *extra);
void dial_send(struct dial *dial, const char *text,
               size_t len); /* a text message; ignored unless the WebSocket is open */
/* Can the connection carry another request? False once the peer has announced that it will close. */
bool dial_reusable(const struct dial *dial);
/* Closes the connection; a WebSocket gets a close frame first. No callback runs afterwards. NULL is fine. */
void dial_close(struct dial *dial);

#endif
