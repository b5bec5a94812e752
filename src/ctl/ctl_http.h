/* SPDX-License-Identifier: MIT */
/* ctl_http: one request to the service, and what its answer means for the exit code. It blocks. */
#ifndef TIKETI_CTL_HTTP_H
#define TIKETI_CTL_HTTP_H

#include "base/buf.h"
#include "ctl/ctl_run.h"

#define CTL_ETAG_SIZE 64

struct ctl_request {
    const char *method;
    const char *event; /* the path is /api/admin/events/{event}{rest}; NULL: it is `rest` */
    const char *rest;
    const struct json *body; /* NULL: none */
    const char *text;        /* another body, with its type; NULL: none */
    size_t text_len;
    const char *type;
    long seconds;         /* how long to wait for the answer; 0: 30 */
    const char *if_match; /* "" or NULL: none */
    bool quiet;           /* tells nothing: the caller does */
};

struct ctl_answer {
    unsigned code;            /* HTTP; 0: there was none */
    struct buf text;          /* the body */
    struct json *json;        /* the body, if it is JSON; NULL: it is not */
    char etag[CTL_ETAG_SIZE]; /* "" if there was none */
    char error[256];          /* why there is no answer */
};

/* Sends the request and waits for the answer, 30 s at most, or request->seconds. What is refused is told on stderr (with --json the problem
 * goes to stdout), and so are the warnings of an answer. CTL_OK: *answer has a 2xx. The caller clears *answer in
 * every case. */
enum ctl_exit ctl_http(const struct ctl_run *run, const struct ctl_request *request,
                       struct ctl_answer *answer);
/* Tells it for a request that was `quiet`. */
void ctl_http_tell(const struct ctl_run *run, const struct ctl_answer *answer, enum ctl_exit exit);
void ctl_answer_clear(struct ctl_answer *answer);

/* Appends a part of an address, with everything but letters, digits and -._~ as %XX. */
void ctl_http_escape(const char *text, struct buf *out);

#endif
