/* SPDX-License-Identifier: MIT */
/*
 * http_req: one HTTP request as its handler sees it: what can be read of it, its memory, the headers of
 * the response to come. httpd.h says when a request begins and ends, and how it is answered.
 *
 * A request lives until on_done returns, and so does everything returned here: all of it is borrowed.
 * A request whose connection is lost (reset by the peer, or httpd_close) while its reply is owed stays
 * valid until that reply; http_req_header, _header_list, _query and _cookie then return NULL, and what
 * they returned before stays valid.
 */
#ifndef TIKETI_HTTP_REQ_H
#define TIKETI_HTTP_REQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_BODY_MAX                                                                              \
    (64 * 1024) /* bytes of a body that is kept in memory; a larger one is refused with 413 */

struct http_req;

const char *http_req_method(const struct http_req *req);
const char *http_req_path(const struct http_req *req); /* as sent: not decoded; up to the '?' */
/* The first header of that name; NULL when absent. Not for cookies: see http_req_cookie. */
const char *http_req_header(const struct http_req *req, const char *name);
/* All headers of that name in their order, joined by ", " (RFC 9110 5.3); NULL when absent. */
const char *http_req_header_list(const struct http_req *req, const char *name);
/* A query argument, decoded; NULL when absent, without '=', or badly escaped. */
const char *http_req_query(const struct http_req *req, const char *name);
/* The value of a cookie (RFC 6265), NUL-terminated, with its length; NULL when absent. */
const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len);
/* The whole body and its length; "" when there is none, it was streamed, or it was refused. Complete
 * from on_request on. */
const char *http_req_body(const struct http_req *req, size_t *ret_len);
/* A field of a urlencoded form in the body, decoded; NULL when absent or badly escaped. */
const char *http_req_form(struct http_req *req, const char *name);
/* The numeric address of the peer; "" when unknown. */
const char *http_req_peer(const struct http_req *req);

/* Receives a part of the body, borrowed. False: no more of it is wanted; the rest is read and dropped. */
typedef bool (*http_body_cb)(void *arg, struct http_req *req, const char *data, size_t len);
/* Only from on_head: passes the body to on_body as it arrives (NULL: drops it) instead of keeping it.
 * A body over `max` bytes is refused with 413. */
void http_req_stream_body(struct http_req *req, uint64_t max, http_body_cb on_body, void *arg);

/* A response in pieces (httpd.h: http_reply_stream). The next piece is wanted: give it by
 * http_reply_piece, from inside or later. */
typedef void (*http_more_cb)(void *arg, struct http_req *req);
enum http_piece {
    HTTP_PIECE_MORE,  /* others follow */
    HTTP_PIECE_LAST,  /* may be empty */
    HTTP_PIECE_BROKEN /* the rest cannot be had: the connection is cut, so that the client notices */
};

/* Returns zeroed memory that lives as long as the request (an arena); aborts when memory is out. */
void *http_req_alloc(struct http_req *req, size_t size);
/* Returns a NUL-terminated copy in the same memory. */
char *http_req_strdup(struct http_req *req, const char *text, size_t len);
/* A pointer of the handler's; NULL until it is set. */
void http_req_set_user(struct http_req *req, void *user);
void *http_req_user(const struct http_req *req);

/* Adds a header to the response to come; a name may be added again. `name` is a literal, `value` is
 * copied. A name that is no token, or a value that is empty or has control characters, is dropped and
 * logged. */
void http_req_add_header(struct http_req *req, const char *name, const char *value);

/* Hints that the request will be answered soon, so that its memory is in the CPU's cache by then. The
 * first asks for the request itself; the second reads it, and asks for the rest. */
void http_req_prefetch(const struct http_req *req);
void http_req_prefetch_answer(const struct http_req *req);

#endif
