/* SPDX-License-Identifier: MIT */
/*
 * http_req_internal: the fields of a request, and the functions with which httpd.c makes, fills and frees one. The
 * functions for handlers are in http_req.h.
 */
#ifndef TIKETI_HTTP_REQ_INTERNAL_H
#define TIKETI_HTTP_REQ_INTERNAL_H

#include "net/http_req.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "net/http_head.h"

/* libmicrohttpd keeps in one block per connection what it reads and the head of the response; half of it is for
 * reading. It sees only heads of a hundred bytes (httpd_intake), so the other half is there for ours. The block
 * is zeroed for each request, at 50 ns per KiB. */
#define CONNECTION_MEMORY 8192

struct httpd;
struct intake;

/* A header of the response. */
struct header {
    struct header *next;
    const char *name, *value;
};

struct arena_block {
    struct arena_block *next;
    _Alignas(16) char data[];
};

/* A response in pieces. */
struct stream {
    http_more_cb more;
    void *arg;
    char *piece; /* the current piece; its first `at` bytes were sent */
    size_t len, at;
    enum http_piece kind; /* of the current piece */
    bool begun;
    bool asked; /* `more` has run, and the caller has not passed the piece yet */
};

struct http_req {
    struct httpd *httpd;
    struct MHD_Connection
        *connection;       /* NULL: the connection was lost before the handler replied */
    struct intake *intake; /* of the connection; valid as long as that */
    const char *method, *path;
    const char *query; /* of the target, not decoded; "" when there is none */
    const char *text;  /* the head: each name and value in it is NUL-terminated */
    const struct http_field *fields;
    unsigned field_count;
    const char
        *authority;  /* of a target in absolute form: it stands for Host. NULL: no such target */
    uint64_t length; /* of the body; 0 when it has none or is chunked */
    bool chunked, expects;
    struct http_req *next, *prev; /* in httpd's waiting list */
    void *user;
    const char *peer;                       /* of the connection, or a copy; NULL: unknown */
    struct header *headers, **headers_tail; /* of the response */
    char *body;
    size_t body_len, body_cap;
    uint64_t
        body_seen; /* bytes of the body received so far, also those that were streamed or dropped */
    uint64_t body_max;
    http_body_cb on_body; /* takes the body when it is streamed */
    void *on_body_arg;
    struct stream stream;
    unsigned refusal;
    bool entered, outside; /* see http_req_enter */
    bool streamed;         /* the body is passed to on_body; on_done will run */
    bool delivered;        /* on_request has run */
    bool replied;          /* the handler has replied */
    bool queued;           /* libmicrohttpd has the response */
    bool waiting;          /* it waits for the handler's reply: polled or suspended (httpd.c) */
    bool suspended;
    uint64_t polled_until_ms;
    void (*release)(void *owner); /* releases the body of http_reply_shared; or NULL */
    void *owner;
    struct arena_block *blocks;
    char *at, *end; /* the free part of the arena */
};

/* Returns new, without a head; fields not mentioned are zero. `connection` may be set later. */
struct http_req *req_new(struct httpd *httpd, struct MHD_Connection *connection);
/* Frees the request and its arena. */
void req_free(struct http_req *req);

/* Like http_req_alloc, but the memory is not zeroed. */
void *req_memory(struct http_req *req, size_t size);

/* The numeric text of an address, in out[INET6_ADDRSTRLEN], or "". An IPv4 address in IPv6 is one of IPv4. */
const char *req_address(const struct sockaddr *addr, char *out);

/* Copies text[0..head->at), a head that was read, or what is known of one that is refused, into the request: its method
 * and path (GET and * when they are not known) and its headers. A head that is refused with 400 has none, since it
 * is not known what they are. */
void req_set_head(struct http_req *req, const struct http_head *head, const char *text,
                  unsigned refusal);

#endif
