/* SPDX-License-Identifier: MIT */
/*
 * http_req: a request's memory, and what is read of it; shared by httpd.c and http_req.c alone.
 * What callers may ask of a request stands in httpd.h.
 */
#ifndef TIKETI_HTTP_REQ_INTERNAL_H
#define TIKETI_HTTP_REQ_INTERNAL_H

#include "net/httpd.h"

#include <microhttpd.h>

#include "net/http_text.h"

/* The library keeps in one piece: the head of the request, 64 bytes for each header and query
 * argument, and the head of the answer; if that last has no room, it closes the connection without a
 * word. So that is reckoned up before a request is let in. The piece is zeroed for each request, which
 * costs 50 ns for each KiB: it is just large enough for the head of 8 KiB that is promised. */
#define CONNECTION_MEMORY 12288

/* A header, of the request (in the connection's memory) or of the answer (in the request's). */
struct header {
    struct header *next;
    const char *name, *value;
    size_t name_len, value_len; /* of the answer's: not set */
};

struct chunk {
    struct chunk *next;
    _Alignas(16) char data[];
};

/* An answer in pieces. `asked`: the caller owes the next one. */
struct stream {
    http_more_cb more;
    void *arg;
    char *piece; /* what is to be sent, sent up to `at` */
    size_t len, at;
    enum http_piece kind; /* of the piece in hand: whether more come after it */
    bool begun, asked;
};

/* Requests kept for the next. */
struct req_store {
    struct http_req *free;
    unsigned count;
};

struct http_req {
    struct httpd *httpd;
    struct MHD_Connection *connection; /* NULL: the connection is gone, the reply is still owed */
    const char *method, *path;
    struct http_req *next, *prev; /* among the waiting; next: among the free */
    void *user;
    const char *peer;
    struct header *seen, **seen_tail;       /* of the request, in their order, but for */
    struct header *cookies, **cookies_tail; /* these, of which a proxy may have made several */
    struct header *headers, **headers_tail; /* of the answer */
    char *body;
    size_t body_len, body_cap;
    uint64_t body_seen; /* kept or not */
    uint64_t body_max;
    http_body_cb on_body; /* takes the body instead of its being kept */
    void *on_body_arg;
    struct stream stream;
    unsigned refusal;
    bool http11;
    bool poured;    /* on_head wanted the body: on_done is due */
    bool delivered; /* on_request has seen it */
    bool replied;   /* by the caller */
    bool queued;    /* the library has an answer */
    bool waiting;   /* for the caller's reply, suspended or held */
    bool suspended;
    uint64_t held_until_ms;
    void (*release)(void *owner); /* of an answer that is shared */
    void *owner;
    struct chunk *chunks;
    char *at, *end; /* the arena's free part */
};

/* New, of a connection whose head has been read; all else is zero. The store may have kept its memory. */
struct http_req *req_new(struct req_store *store, struct httpd *httpd,
                         struct MHD_Connection *connection);
/* With all that was allocated from it. */
void req_free(struct req_store *store, struct http_req *req);
void req_store_clear(struct req_store *store);

/* Not zeroed; lives as long as the request. */
void *req_memory(struct http_req *req, size_t size);

/* Before the connection's next head is read: the library is not to parse its cookies. */
void req_hide_cookies(struct MHD_Connection *connection);
/* Likewise: its head is then refused, with 400. */
void req_spoil(struct MHD_Connection *connection);
/* Reads the head, once, before anything is asked of it: the status to refuse it with by the head alone,
 * or 0; and what frames its body. */
unsigned req_read_head(struct http_req *req, struct http_framing *ret_framing);

#endif
