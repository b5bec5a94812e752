/* SPDX-License-Identifier: MIT */
/*
 * http_req: one HTTP request as its handler sees it: reading it, allocating memory that lives as long as it, and
 * setting headers of its response. httpd.h says when a request begins and ends, and how it is answered.
 *
 * A request lives until on_done returns, and so do all texts that the functions here return: they are borrowed.
 * If the connection is lost (reset by the peer, or httpd_close) before the handler has replied, the request
 * stays valid, and all of it readable, until the handler replies.
 *
 * A request that httpd refuses has the method and the path that were read (or GET and "*"). Refused with 400 it has no
 * headers, since it is not certain which they are; refused with 431 it has those that arrived, the last one cut.
 */
#ifndef TIKETI_HTTP_REQ_H
#define TIKETI_HTTP_REQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_BODY_MAX                                                                              \
    (64 * 1024) /* bytes of a body kept in memory; a larger one is refused with 413 */

struct http_req;

const char *http_req_method(const struct http_req *req);
const char *http_req_path(const struct http_req *req); /* not decoded, without the query */
/* Takes `prefix` ("/…", or "") off the path: "/x" for "/prefix/x", "/" for "/prefix". False: the path is not below it, and
 * stays as it is. Only the first call counts. */
bool http_req_enter(struct http_req *req, const char *prefix);
/* The first header of that name; NULL when absent. Not for cookies: see http_req_cookie. */
const char *http_req_header(const struct http_req *req, const char *name);
/* All headers of that name in their order, joined by ", " (RFC 9110 5.3); NULL when absent. */
const char *http_req_header_list(const struct http_req *req, const char *name);
/* A query argument, decoded; NULL when absent, without '=', or badly escaped. */
const char *http_req_query(const struct http_req *req, const char *name);
/* The whole query as it was sent, with its '?', for a redirect; "" when there is none. */
const char *http_req_query_text(const struct http_req *req);
/* The value of a cookie (RFC 6265), NUL-terminated, with its length; NULL when absent. */
const char *http_req_cookie(const struct http_req *req, const char *name, size_t *ret_len);
/* All Cookie headers, joined by "; "; NULL when absent. */
const char *http_req_cookies(const struct http_req *req);
/* The whole body and its length; "" when there is none, or it was streamed or refused. Call it from on_request
 * or later: before, the body is incomplete. */
const char *http_req_body(const struct http_req *req, size_t *ret_len);
/* A field of a urlencoded form in the body, decoded; NULL when absent or badly escaped. */
const char *http_req_form(struct http_req *req, const char *name);
/* The numeric address of the peer; "" when unknown. */
const char *http_req_peer(const struct http_req *req);

/* Receives a part of the body, borrowed. Return false to get no further parts: httpd reads and drops the rest. */
typedef bool (*http_body_cb)(void *arg, struct http_req *req, const char *data, size_t len);
/* Passes the body to on_body as it arrives instead of keeping it in memory; NULL drops it. A body over `max` bytes is
 * refused with 413. Call it only from on_head. */
void http_req_stream_body(struct http_req *req, uint64_t max, http_body_cb on_body, void *arg);

/* For a response in pieces (httpd.h: http_reply_stream). Asks for the next piece: pass it to http_reply_piece,
 * from inside this callback or later. */
typedef void (*http_more_cb)(void *arg, struct http_req *req);
enum http_piece {
    HTTP_PIECE_MORE, /* more pieces follow */
    HTTP_PIECE_LAST, /* the last piece; may be empty */
    HTTP_PIECE_BROKEN /* the rest cannot be produced: the connection is cut, so that the client notices */
};

/* Returns zeroed memory that lives as long as the request (an arena); aborts when memory is out. */
void *http_req_alloc(struct http_req *req, size_t size);
/* Returns a NUL-terminated copy in the same memory. */
char *http_req_strdup(struct http_req *req, const char *text, size_t len);
/* Returns both texts, one behind the other, in the same memory. */
char *http_req_concat(struct http_req *req, const char *first, const char *second);
/* A pointer that the handler may keep with the request; NULL until it is set. */
void http_req_set_user(struct http_req *req, void *user);
void *http_req_user(const struct http_req *req);

/* Adds a header to the response; the same name may be added several times. `name` must be a literal, `value` is
 * copied. A header is dropped and logged when its name is not a token, or its value is empty or has control
 * characters. */
void http_req_add_header(struct http_req *req, const char *name, const char *value);

#endif
