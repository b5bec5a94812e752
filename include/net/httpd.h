/* SPDX-License-Identifier: MIT */
/*
 * httpd: HTTP, over libmicrohttpd. The life of a request on one loop: accept, bounds
 * (headers 8 KiB, body 64 KiB unless it is poured), suspend, reply once or in pieces, resume. Refuses: TE with CL, duplicate
 * Content-Length or Host, bodies too large (413), heads over 8 KiB (431; each header over 30 counts 64
 * bytes more), and closes the connection then; libmicrohttpd by itself: lines it cannot read, and heads
 * far too large (400, 414, 431; the handler never sees those). The head of an answer has its limit
 * too: 2 KiB.
 * Connections over the limit are accepted, answered 503 and closed.
 */
#ifndef TIKETI_HTTPD_H
#define TIKETI_HTTPD_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPD_BODY_MAX (64 * 1024)

struct httpd;
struct http_req;

/* A piece of body, borrowed. False: nothing more of it is wanted, the rest is read and thrown away. */
typedef bool (*http_body_cb)(void *arg, struct http_req *req, const char *data, size_t len);
/* All that was given has left: the next piece is wanted, by http_reply_piece, now or later. */
typedef void (*http_more_cb)(void *arg, struct http_req *req);
enum http_piece {
    HTTP_PIECE_MORE,  /* and others follow */
    HTTP_PIECE_LAST,  /* may be empty */
    HTTP_PIECE_BROKEN /* there is no more, and it is not all: the connection is cut */
};

struct httpd_opts {
    struct loop *loop;
    const char *host; /* IPv4 or IPv6 literal */
    uint16_t port;    /* 0: any free port */
    unsigned connection_limit;
    unsigned idle_timeout_s; /* keep-alive connections without a request */
    /* Called once per request, when its body is complete or refused. `refusal` is 0, or the status
     * with which httpd asks for an error answer (400, 413, 431): the handler must then reply with it before
     * it returns (so that every error has the same problem body and CORS headers).
     * Otherwise it replies before it returns, or later: then the connection waits. */
    void (*on_request)(void *arg, struct http_req *req, unsigned refusal);
    /* A request with a body to come: its head has passed, on_request follows when the body is complete.
     * The only place for http_req_pour_body. May be NULL. */
    void (*on_head)(void *arg, struct http_req *req);
    /* After the answer was sent or the connection died: last look at a request that on_request has
     * seen, or whose body was poured, exactly once. May be NULL. */
    void (*on_done)(void *arg, struct http_req *req);
    void *arg;
};

/* Workers share a port (SO_REUSEPORT). ST_INVALID on a bad address, ST_CONFLICT when somebody else has
 * the port, else ST_UNAVAILABLE (logged). */
MUST_CHECK enum status httpd_open(const struct httpd_opts *opts, struct httpd **ret_httpd);
uint16_t httpd_port(const struct httpd *httpd);
/* When the last turn of reading requests began: monotonic, ns. For how long an answer took, from inside on_request:
 * it counts those read before it, and a clock is not read for each. */
uint64_t httpd_turn_ns(const struct httpd *httpd);
unsigned httpd_connections(const struct httpd *httpd);
/* No new connections; keep-alive connections get `Connection: close` with their next answer. */
void httpd_quiesce(struct httpd *httpd);
unsigned httpd_suspended(const struct httpd *httpd); /* requests waiting for http_reply */
/* Soon, never from inside: answers 503 to what is still waiting, closes all connections, then runs cb
 * (may be NULL) and is gone. The waiting requests themselves stay valid until the caller replies to
 * them, so backends may be closed afterwards. NULL is fine: then cb runs at once. */
void httpd_close(struct httpd *httpd, loop_cb cb, void *arg);

/* ---- the request ----
 * It lives until on_done, and so does everything returned here; all of it is borrowed. A request that
 * waits may lose its connection (reset by the peer, or httpd_close): then the reply is still owed, the
 * words go nowhere, and on_done comes within http_reply. From then on http_req_header, _query and
 * _cookie find nothing any more; what they returned before stays. */
const char *http_req_method(const struct http_req *req);
const char *http_req_path(const struct http_req *req); /* as sent: not decoded; up to '?' */
/* NULL when absent; the first of several. Not for cookies: see http_req_cookie. */
const char *http_req_header(const struct http_req *req, const char *name);
/* Of a header that is a list: all of several, in their order, as one (RFC 9110 5.3). */
const char *http_req_header_list(const struct http_req *req, const char *name);
/* Decoded; NULL when absent, without '=', or badly escaped. */
const char *http_req_query(const struct http_req *req, const char *name);
/* The value of a cookie (RFC 6265), NUL-terminated; its length in *ret_len; NULL when absent. */
const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len);
const char *http_req_body(const struct http_req *req, size_t *ret_len); /* "" when absent */
/* A field of the urlencoded form that is the body; NULL when absent or badly escaped. */
const char *http_req_form(struct http_req *req, const char *name);
const char *http_req_peer(const struct http_req *req); /* the peer's address as text */

/* From on_head: the body, at most `max` bytes, goes to on_body as it arrives (NULL: nowhere) instead of
 * being kept; http_req_body is then "". One that is larger is refused with 413. */
void http_req_pour_body(struct http_req *req, uint64_t max, http_body_cb on_body, void *arg);

/* Zeroed memory that lives as long as the request (an arena). Aborts only when memory is out. */
void *http_req_alloc(struct http_req *req, size_t size);
char *http_req_strdup(struct http_req *req, const char *text, size_t len);
void http_req_set_user(struct http_req *req, void *user);
void *http_req_user(const struct http_req *req);

/* Adds a header to the answer to come; the same name may be added again. The name is a literal, the value
 * is copied. Names that are no tokens and values that are empty or have control characters are
 * dropped and logged. */
void http_req_add_header(struct http_req *req, const char *name, const char *value);

/* Hints that it will be answered soon: the first asks for its own memory, the second, which reads that, for what
 * an answer touches besides. */
void http_req_prefetch(const struct http_req *req);
void http_req_prefetch_answer(const struct http_req *req);

/* Answers; exactly once per request. The body is copied. Last statement of the caller: the request
 * may be gone afterwards. */
void http_reply(struct http_req *req, unsigned code, const char *content_type, const void *body,
                size_t len);
/* The same for bytes that somebody else counts the users of: not copied; `release(owner)` runs once,
 * when the request is over. */
void http_reply_shared(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len, void (*release)(void *owner), void *owner);
/* The same for bytes that outlive the process (embedded pages): not copied. */
void http_reply_static(struct http_req *req, unsigned code, const char *content_type,
                       const void *body, size_t len);

/* Answers in pieces (chunked: so a client sees whether it got all; one of HTTP/1.0 does not). `more`
 * asks for each, from the first on, when the one before has left; never for HEAD. No piece is asked
 * for once the connection is gone; but one that was asked for is owed, whatever became of the
 * connection: on_done comes no sooner. Of a slow reader, one piece is kept. */
void http_reply_stream(struct http_req *req, unsigned code, const char *content_type,
                       http_more_cb more, void *arg);
/* The next piece; exactly once each time it was asked for. Copied; an empty one asks again. Last
 * statement of the caller: the request may be gone afterwards. */
void http_reply_piece(struct http_req *req, const void *data, size_t len, enum http_piece kind);

#endif
