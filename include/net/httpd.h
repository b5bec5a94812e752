/* SPDX-License-Identifier: MIT */
/*
 * httpd: an HTTP/1.1 server on one loop, over libmicrohttpd: it accepts, bounds, suspends requests that
 * wait, answers each once, whole or in pieces. All calls are for the loop's own thread; none blocks.
 *
 * Refused, and the connection closed: ambiguous framing (two Host or Content-Length headers,
 * Transfer-Encoding beside Content-Length, 400), a body that is too large (413), a head over 8 KiB
 * (431; each header over 30 counts 64 bytes more). libmicrohttpd itself refuses what it cannot parse and
 * heads that are far too large (400, 414, 431): no callback runs for those. The head of a response may
 * have 2 KiB. A connection over the limit is accepted, answered 503 and closed.
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
 * So a handler finds the user pointer NULL, unless on_head has set it; and what on_head takes beyond
 * the request's memory must come with http_req_stream_body, which promises on_done. */
struct httpd_opts {
    struct loop *loop; /* borrowed */
    const char *host;  /* IPv4 or IPv6 literal */
    uint16_t port;     /* 0: any free port */
    unsigned connection_limit;
    unsigned idle_timeout_s; /* of connections without a request */
    /* Once, when the request is complete or refused.
     * refusal 0: replies before it returns, or later: then the request waits. Whoever has the request
     * must reply in the end: a waiting request has no timeout of its own.
     * refusal 400, 413, 431: replies with that status before it returns, synchronously (httpd asks so
     * that every error has the same body and headers). If it does not, httpd sends the bare status at
     * once; the reply is still owed, the request stays valid until then, and the reply goes nowhere. */
    void (*on_request)(void *arg, struct http_req *req, unsigned refusal);
    /* The head of a request with a body was accepted; on_request follows when the body is complete. The
     * only place for http_req_stream_body. Must not reply. May be NULL. */
    void (*on_head)(void *arg, struct http_req *req);
    /* The request ends: its response was sent, or its connection is lost and its reply was given. After it
     * returns the request is freed. May be NULL. */
    void (*on_done)(void *arg, struct http_req *req);
    void *arg;
};

/* Returns new, listening. Each worker opens its own on the same port (SO_REUSEPORT). Borrows `opts` only
 * for the call. ST_INVALID: bad address. ST_CONFLICT: the port is taken. ST_UNAVAILABLE: anything
 * else. The last two are logged. */
MUST_CHECK enum status httpd_open(const struct httpd_opts *opts, struct httpd **ret_httpd);
uint16_t httpd_port(const struct httpd *httpd);
/* Monotonic time, ns, at which the last turn of reading requests began. From inside on_request it is the
 * start of the request for measuring latency: one clock reading for all requests of a turn. */
uint64_t httpd_turn_ns(const struct httpd *httpd);
unsigned httpd_connections(const struct httpd *httpd);
unsigned httpd_waiting(const struct httpd *httpd); /* requests waiting for their reply */
/* Stops listening; connections get `Connection: close` with their next response. */
void httpd_quiesce(struct httpd *httpd);
/* Soon, never from inside: answers waiting requests with 503, closes all connections, then runs cb (may
 * be NULL); the server is gone then. Requests that wait stay valid until they are replied to, so
 * backends may be closed after httpd. For NULL, cb runs at once. */
void httpd_close(struct httpd *httpd, loop_cb cb, void *arg);

/* ---- replying: exactly one of these, once per request; a second is dropped and logged ----
 * Never fails: when the connection is lost the response goes nowhere. The request may be freed before the
 * call returns: make it the last statement. */

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

/* Replies in pieces (chunked, so that a client of HTTP/1.1 can tell whether it got everything). `more`
 * asks for the first and, when a piece has left, for the next; never for HEAD, and not after the
 * connection is lost. At most one piece is in memory, however slow the reader. */
void http_reply_stream(struct http_req *req, unsigned code, const char *content_type,
                       http_more_cb more, void *arg);
/* Gives the piece that was asked for: exactly once each time, also when the connection is lost by then
 * (on_done waits for it). Copies; an empty HTTP_PIECE_MORE is asked for again. */
void http_reply_piece(struct http_req *req, const void *data, size_t len, enum http_piece kind);

#endif
