/* SPDX-License-Identifier: MIT */
/*
 * http_client: outgoing connections: HTTP requests, and connections to mail servers, by libcurl on one loop. It limits how
 * many there are at a time, how large answers get and how long they take, and it reaches public addresses only: the check
 * is made of the address that is connected to, after its name was looked up. Redirects are not followed, and no proxy is
 * used. All calls are for the loop's own thread.
 */
#ifndef TIKETI_HTTP_CLIENT_H
#define TIKETI_HTTP_CLIENT_H

#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_client;

struct http_client_opts {
    struct loop *loop;
    unsigned at_once;   /* requests and dials under way */
    unsigned queue_max; /* those that wait for their turn */
    /* Private addresses that may be reached all the same: comma-separated addresses or CIDRs; NULL: none. */
    const char *allow;
    const char *ca_file; /* PEM; copied; NULL: the system's authorities */
};
/* Returns new. ST_INVALID: `allow` is malformed. ST_FULL: libcurl cannot be used. */
MUST_CHECK enum status http_client_new(const struct http_client_opts *opts,
                                       struct http_client **ret);
/* Ends what is under way: callbacks get ST_UNAVAILABLE before this returns. Lines must have been closed. NULL is fine. */
void http_client_close(struct http_client *client);

/* ---- HTTP ---- */

struct http_client_request {
    const char *url;            /* https://…, or http://… with `plain` */
    bool plain;                 /* http:// is allowed */
    const char *method;         /* NULL: GET, or POST with a body */
    const char *const *headers; /* "Name: value"; NULL ends the list, or: none */
    const void *body;           /* NULL: none */
    size_t body_len;
    size_t answer_max;  /* bytes of the answer's body */
    int64_t timeout_ms; /* of everything, waiting for its turn included */
};
/* Borrowed until the callback returns. */
struct http_client_answer {
    unsigned code; /* the HTTP status, also with ST_TOO_LARGE; 0: there was no answer */
    const char *body;
    size_t len;
    const char *error;     /* for logs; "": none */
    int64_t retry_after_s; /* of the header Retry-After; 0: none */
    int64_t
        max_age_s; /* of the header Cache-Control; 0: it must not be kept; -1: it does not say */
};
/* ST_OK: there is an answer, whatever its code. ST_DENIED: the address is private. ST_TIMEOUT. ST_TOO_LARGE: the answer
 * is larger than answer_max. ST_INVALID: the URL cannot be used. ST_UNAVAILABLE: no connection, or it broke. */
typedef void (*http_client_cb)(void *arg, enum status status,
                               const struct http_client_answer *answer);
/* Copies the request. ST_OK: cb runs exactly once, later. ST_FULL: queue_max wait already. */
MUST_CHECK enum status http_client_start(struct http_client *client,
                                         const struct http_client_request *request,
                                         http_client_cb cb, void *arg);

/* ---- lines: connections over which the caller speaks a protocol of its own ---- */

struct http_client_line;

struct http_client_dial {
    const char *url; /* smtp://[user:password@]host[:port] or smtps://… */
    bool
        tls; /* TLS and a valid certificate are required; false: STARTTLS is used where it is offered */
    int64_t timeout_ms;
};
/* ST_OK: *line is open: greeted, encrypted and logged in; the caller closes it. `error` is for logs. */
typedef void (*http_client_dial_cb)(void *arg, enum status status, struct http_client_line *line,
                                    const char *error);
/* As http_client_start. */
MUST_CHECK enum status http_client_dial(struct http_client *client,
                                        const struct http_client_dial *dial, http_client_dial_cb cb,
                                        void *arg);
int http_client_line_fd(const struct http_client_line *line); /* to be watched by the caller */
/* Sends or receives what is possible now; *ret_len: how much. ST_BUSY: nothing, wait for the fd. ST_UNAVAILABLE: the
 * connection has ended. */
MUST_CHECK enum status http_client_line_send(struct http_client_line *line, const void *data,
                                             size_t len, size_t *ret_len);
MUST_CHECK enum status http_client_line_recv(struct http_client_line *line, void *data, size_t size,
                                             size_t *ret_len);
/* Closes at once. The caller has closed its watch. NULL is fine. */
void http_client_line_close(struct http_client_line *line);

#endif
