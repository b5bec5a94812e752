/* SPDX-License-Identifier: MIT */
/*
 * httpd_intake: what a connection sends, on its way to libmicrohttpd: judged byte by byte, kept by us, and passed on as
 * the little that the library needs to know. docs/decisions/0056 says why.
 *
 *   socket -> recv (ours) -> http_head -> a request (http_req), taken by the library's first call for it
 *                                      -> "POST / HTTP/1.1, Host: x, Transfer-Encoding: chunked" and a body
 *
 * All calls are for the loop's own thread.
 */
#ifndef TIKETI_HTTPD_INTAKE_H
#define TIKETI_HTTPD_INTAKE_H

#include "net/http_req_internal.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct intake;

struct intake_list {
    struct intake *first, *last;
};

/* The connections of one httpd. Zeroed before use, but for the times. */
struct intake_lists {
    struct intake_list under_way; /* a head or body is, the oldest first */
    struct intake_list idle;      /* nothing is, the longest first */
    struct intake_list
        answering; /* a complete request is; by when the client's reading is looked at */
    unsigned shed_ms, release_ms; /* as in httpd_opts */
    struct intake *keeps;         /* the first of `idle` that keeps its memory; NULL: none */
    /* How long the request that was read at `aged_ms` had waited for that, the longest of AGE_HOLD_MS; and when one was last
     * looked at. */
    uint64_t age_ms, aged_ms, looked_ms;
    uint64_t worst_age_ms; /* the longest of this second: httpd begins it anew */
};

struct intake_opts {
    struct httpd *httpd; /* for req_new */
    struct loop *loop;
    struct intake_lists *lists;
    int fd;
    unsigned slow_ms; /* as in httpd_opts */
    const char *peer; /* the numeric address, copied */
    void *share;      /* of its address, for intake_share */
    bool reserve;     /* accepted over the limit, to answer probes alone: */
    bool (*is_probe)(const char *path);
};

/* Returns new; from now on, what is received on `fd` in this thread passes through it. */
struct intake *intake_open(const struct intake_opts *opts);
/* Before the descriptor is closed. True: the socket should stay open for a moment, since a request was refused, a part of
 * the answer is on its way, or the client has sent more than was read: what it still sends would reset the connection. */
bool intake_close(struct intake *intake);
void *intake_share(const struct intake *intake);
bool intake_is_reserve(const struct intake *intake);
/* The one of this descriptor, or NULL. */
struct intake *intake_of(int fd);

/* The next request that was passed on to the library: new; its refusal is set when its head was refused. NULL when there
 * is none: a byte reached the library some other way. */
struct http_req *intake_take(struct intake *intake, struct MHD_Connection *connection);
/* The request that was taken is completed; the answer to a refused one ends the connection. */
void intake_completed(struct intake *intake, bool refused);
/* Why the body of the last request was cut short (400: not exactly the chunked coding, 408: too slow); 0: it was not. */
unsigned intake_body_refusal(const struct intake *intake);
/* How long requests wait, at present, in the kernel's queues before they are read; 0: not at all, or none was read. */
uint64_t intake_age_ms(const struct intake_lists *lists, uint64_t now_ms);

#endif
