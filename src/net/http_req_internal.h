/* SPDX-License-Identifier: MIT */
/*
 * http_req_internal: the fields of a request, and the steps of its life that httpd.c takes. What handlers
 * may ask of a request is in http_req.h.
 */
#ifndef TIKETI_HTTP_REQ_INTERNAL_H
#define TIKETI_HTTP_REQ_INTERNAL_H

#include "net/http_req.h"

#include <microhttpd.h>
#include <sys/types.h>

#include "net/http_text.h"

/* libmicrohttpd keeps in one block per connection: the head of the request, 64 bytes for each header and
 * query argument, and the head of the response. If the last does not fit, it closes the connection
 * without a response; so all of it is added up before a request is accepted. The block is zeroed for each
 * request, at 50 ns per KiB: it is just large enough for the promised head of 8 KiB. */
#define CONNECTION_MEMORY 12288

struct httpd;

/* A header: of the request (text in the connection's memory) or of the response (in the request's). */
struct header {
    struct header *next;
    const char *name, *value;
    size_t name_len, value_len; /* not set for those of the response */
};

struct arena_block {
    struct arena_block *next;
    _Alignas(16) char data[];
};

/* A response in pieces. */
struct stream {
    http_more_cb more;
    void *arg;
    char *piece; /* sent up to `at` */
    size_t len, at;
    enum http_piece kind; /* of the piece in hand: whether more follow it */
    bool begun;
    bool asked; /* the caller owes the next piece */
};

/* Freed requests, kept for reuse. */
struct req_pool {
    struct http_req *free;
    unsigned count;
};

struct http_req {
    struct httpd *httpd;
    struct MHD_Connection
        *connection; /* NULL: the connection was lost before the handler replied */
    const char *method, *path;
    struct http_req *next, *prev; /* in httpd's waiting list; next: in the pool */
    void *user;
    const char *peer;
    struct header *seen, **seen_tail;       /* the request's headers in their order, without */
    struct header *cookies, **cookies_tail; /* its Cookie headers: a proxy may send several */
    struct header *headers, **headers_tail; /* the response's */
    char *body;
    size_t body_len, body_cap;
    uint64_t
        body_seen; /* bytes of the body received so far, also those that were streamed or dropped */
    uint64_t body_max;
    http_body_cb on_body; /* takes the body when it is streamed */
    void *on_body_arg;
    struct stream stream;
    unsigned refusal;
    bool http11;
    bool streamed;  /* the body is passed to on_body; on_done will run */
    bool delivered; /* on_request has run */
    bool replied;   /* the handler has replied */
    bool queued;    /* libmicrohttpd has a response */
    bool waiting;   /* for the reply: polled or suspended (httpd.c) */
    bool suspended;
    uint64_t polled_until_ms;
    void (*release)(void *owner); /* of a shared body */
    void *owner;
    struct arena_block *blocks;
    char *at, *end; /* the free part of the arena */
};

/* Returns new, for a connection whose head has been read; fields not mentioned are zero. May come from the
 * pool. */
struct http_req *req_new(struct req_pool *pool, struct httpd *httpd,
                         struct MHD_Connection *connection);
/* Frees the request and its arena, or keeps it in the pool. */
void req_free(struct req_pool *pool, struct http_req *req);
/* Frees what the pool keeps; from then on it keeps nothing. */
void req_pool_close(struct req_pool *pool);

/* Like http_req_alloc, but not zeroed. */
void *req_memory(struct http_req *req, size_t size);

/* Before a connection's head is read: keeps libmicrohttpd from parsing its cookies. */
void req_hide_cookies(struct MHD_Connection *connection);
/* Before a connection's head is read: makes req_read_head refuse it with 400. */
void req_mark_invalid(struct MHD_Connection *connection);
/* Reads the head, once, before anything is asked of the request. Returns the status to refuse it with, or
 * 0; writes how its body is framed. */
unsigned req_read_head(struct http_req *req, struct http_framing *ret_framing);

#endif
