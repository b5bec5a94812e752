/* SPDX-License-Identifier: MIT */
/*
 * httpd: an HTTP/1.1 server on one loop, over libmicrohttpd. It accepts connections, enforces limits, lets
 * requests wait for their reply, and answers each request exactly once, whole or in pieces. All calls are for the
 * loop's own thread; none blocks.
 *
 * httpd refuses a request and closes its connection for: ambiguous framing (400: two Host or Content-Length
 * headers, or Transfer-Encoding beside Content-Length), a body that is too large (413), a head over 8 KiB
 * (431; each header after the 30th counts 64 bytes more). libmicrohttpd itself refuses what it cannot parse and
 * heads that are far too large (400, 414, 431); no callback runs for those. The head of a response may have
 * up to 2 KiB. A connection over the limit is accepted, answered with 503 and closed.
 */
#ifndef TIKETI_HTTPD_H
#define TIKETI_HTTPD_H

#include "base/status.h"
#include "net/http_req.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct httpd;

/* The callbacks of one request, in this order. Inside each, everything in http_req.h is valid; on the
 * request's memory (http_req_alloc) nothing needs to be released.
 *
 *                          on_head   on_request      on_done
 *   complete, no body         -      refusal 0       yes
 *   complete, with a body    runs    refusal 0       yes
 *   refused by its head       -      400, 431        yes
 *   body too large           runs    413             yes
 *   lost within its body     runs       -            only if it was streamed
 *
 * So in on_request the user pointer is NULL unless on_head has set it. An on_head that acquires anything beyond the
 * request's memory must call http_req_stream_body, because only then is on_done certain to follow. */
struct httpd_opts {
    struct loop *loop; /* borrowed */
    const char *host;  /* IPv4 or IPv6 literal */
    uint16_t port;     /* 0: any free port */
    unsigned connection_limit;
    unsigned idle_timeout_s; /* of connections without a request */
    /* Runs once, when the request is complete or refused.
     * refusal 0: the handler replies before it returns, or later; until then the request waits. The handler must
     * reply eventually: a waiting request has no timeout.
     * refusal 400, 413, 431: the handler must reply with that status before it returns (httpd asks the
     * handler so that all errors have the same body and headers). If it does not, httpd sends the bare status
     * at once. The handler must still reply later, and the request stays valid until it does; that reply is
     * dropped. */
    void (*on_request)(void *arg, struct http_req *req, unsigned refusal);
    /* The head of a request with a body was accepted; on_request follows when the body is complete. The
     * only place for http_req_stream_body. Must not reply. May be NULL. */
    void (*on_head)(void *arg, struct http_req *req);
    /* The request ends: its response was sent, or its connection was lost and the handler has replied. httpd
     * frees the request when this returns. May be NULL. */
    void (*on_done)(void *arg, struct http_req *req);
    void *arg;
};

/* Returns new, listening. Each worker opens its own on the same port (SO_REUSEPORT). Borrows `opts` only
 * for the call. ST_INVALID: bad address. ST_CONFLICT: the port is taken. ST_UNAVAILABLE: anything
 * else. The last two are logged. */
MUST_CHECK enum status httpd_open(const struct httpd_opts *opts, struct httpd **ret_httpd);
uint16_t httpd_port(const struct httpd *httpd);
/* Monotonic time in ns at which httpd last began to read requests. Handlers use it as the start of a request when
 * they measure latency: the clock is read once for all requests of a turn. */
uint64_t httpd_turn_ns(const struct httpd *httpd);
unsigned httpd_connections(const struct httpd *httpd);
unsigned httpd_waiting(const struct httpd *httpd); /* requests waiting for their reply */
/* Stops listening; the next response on each open connection has `Connection: close`. */
void httpd_quiesce(struct httpd *httpd);
/* In a later turn of the loop: answers waiting requests with 503, closes all connections, frees the server, then
 * runs cb (may be NULL). Waiting requests stay valid until their handlers reply, so backends may be closed after
 * httpd. When `httpd` is NULL, cb runs at once. */
void httpd_close(struct httpd *httpd, loop_cb cb, void *arg);

/* ---- replying: exactly one of these, once per request; a second is dropped and logged ----
 * They never fail: when the connection is lost, the response is dropped. They may free the request before they
 * return: the caller must not use it afterwards. */

/* Copies the body. content_type may be NULL. */
void http_reply(struct http_req *req, unsigned code, const char *content_type, const void *body,
                size_t len);
/* Borrows the body until release(owner), which runs exactly once, when the request ends: for bytes with a
 * reference count. */
void http_reply_shared(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len, void (*release)(void *owner), void *owner);
/* Borrows the body forever: for embedded pages. */
void http_reply_static(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len);

/* Replies in pieces (chunked, so that an HTTP/1.1 client can tell whether it received everything). `more` runs to
 * ask for the first piece, and again when a piece was sent. It never runs for HEAD, nor after the
 * connection is lost. At most one piece is in memory, however slow the reader. */
void http_reply_stream(struct http_req *req, unsigned code, const char *content_type,
                       http_more_cb more, void *arg);
/* Passes the piece that `more` asked for. Call it exactly once for each `more`, even when the connection was lost
 * meanwhile: on_done runs only afterwards. Copies the data. After an empty HTTP_PIECE_MORE, `more` runs again. */
void http_reply_piece(struct http_req *req, const void *data, size_t len, enum http_piece kind);

#endif
