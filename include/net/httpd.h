/* SPDX-License-Identifier: MIT */
/*
 * httpd: an HTTP/1.1 server on one loop, over libmicrohttpd. It accepts connections, enforces limits, lets
 * requests wait for their reply, and answers each request exactly once, whole or in pieces. All calls are for the
 * loop's own thread; none blocks.
 *
 * httpd reads every byte itself, strictly (src/net/httpd_intake.c). It refuses a request and closes its connection for:
 * anything that is not exactly HTTP/1.1 or that a proxy may read differently (400), a head or body that comes too
 * slowly (408), a body that is too large (413), a target over 8 KiB (414), a head over 16 KiB or of more than
 * 128 headers (431), too many requests sent ahead (503), another version (505). The head of a response may have up to 3
 * KiB. At the limit of connections, a new one takes the place of the one that has been idle longest, if one has been for a
 * second. Else it is accepted, answered with 503 (or, is_probe, its one request) and closed.
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
struct metrics_http_meter;

/* The callbacks of one request, in this order. Inside each, everything in http_req.h is valid; on the
 * request's memory (http_req_alloc) nothing needs to be released.
 *
 *                          on_head   on_request      on_done
 *   complete, no body         -      refusal 0       yes
 *   complete, with a body    runs    refusal 0       yes
 *   refused by its head       -      400, 408, 414,  yes
 *                                    431, 503, 505
 *   body too large           runs    413             yes
 *   body malformed or slow   runs    400, 408        yes
 *   lost within its body     runs       -            only if it was streamed
 *
 * So in on_request the user pointer is NULL unless on_head has set it. An on_head that acquires anything beyond the
 * request's memory must call http_req_stream_body, because only then is on_done certain to follow. */
struct httpd_opts {
    struct loop *loop; /* borrowed */
    const char *host;  /* IPv4 or IPv6 literal */
    uint16_t port;     /* 0: any free port */
    bool deferred;     /* connections are refused until httpd_listen_now */
    unsigned connection_limit;
    bool limited_by_memory; /* why the limit is what it is, for the metrics */
    struct metrics_http_meter
        *meter;              /* shows the connections; borrowed. NULL: they are not counted */
    unsigned idle_timeout_s; /* a connection without a request is closed after it */
    /* A head must have arrived so long after its first byte, and of a body 500 bytes a second after so long, or the
     * request is refused with 408. 0: 10,000. */
    unsigned slow_ms;
    /* At the limit, a connection that has been idle for so long may be closed for another. 0: 1,000. */
    unsigned shed_ms;
    /* One that has been idle for so long gives back most of its memory. 0: 15,000. */
    unsigned release_ms;
    /* A client of this numeric address connects. False: it has its share of connections already. *ret_share, NULL
     * before, is passed to on_disconnect when a connection that was let in is gone. Both may be NULL. */
    bool (*on_connect)(void *arg, const char *peer, void **ret_share);
    void (*on_disconnect)(void *arg, void *share);
    /* Is the answer to this path wanted even at the limit of connections, or of its peer's share? Such a connection is
     * let into a small reserve, answers this one request, or 503 to any other, and is closed. May be NULL:
     * then it is answered 503 at once. */
    bool (*is_probe)(const char *path);
    /* Runs once, when the request is complete or refused.
     * refusal 0: the handler replies before it returns, or later; until then the request waits. The handler must
     * reply eventually: a waiting request has no timeout.
     * any other: the handler must reply with that status before it returns (httpd asks the
     * handler so that all errors have the same body and headers). If it does not, httpd sends the bare status
     * at once. The handler must still reply later, and the request stays valid until it does; that reply is
     * dropped. */
    void (*on_request)(void *arg, struct http_req *req, unsigned refusal);
    /* The head of a request with a body was accepted; on_request follows when the body is complete. Only
     * here http_req_stream_body may be called. Must not reply. May be NULL. */
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
/* For a deferred httpd: begins to listen. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status httpd_listen_now(struct httpd *httpd);
uint16_t httpd_port(const struct httpd *httpd);
/* Monotonic time in ns at which httpd last began to read requests. Handlers use it as the start of a request when
 * they measure latency: the clock is read once for all requests of a turn. */
uint64_t httpd_turn_ns(const struct httpd *httpd);
/* How long requests wait at present before they are read, in ms: a sample (httpd_intake.c). 0: they do not. */
uint64_t httpd_age_ms(const struct httpd *httpd);
unsigned httpd_connections(const struct httpd *httpd);
unsigned httpd_waiting(const struct httpd *httpd); /* requests waiting for their reply */
/* Stops listening. From now on each response has `Connection: close`, so that its connection ends. */
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
/* A body with a reference count. */
struct http_shared_body {
    const void *data;
    size_t len;
    void (*release)(void *owner);
    void *owner;
};
/* Borrows the body until the request ends, when release(owner) runs, exactly once. The struct is copied. */
void http_reply_shared(struct http_req *req, unsigned code, const char *content_type,
                       const struct http_shared_body *body);
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
