/* SPDX-License-Identifier: MIT */
/* httpd_intake_internal: what a connection's intake keeps, for the files that are intake: httpd_intake.c reads, and
 * httpd_pace.c ends what is too slow. */
#ifndef TIKETI_HTTPD_INTAKE_INTERNAL_H
#define TIKETI_HTTPD_INTAKE_INTERNAL_H

#include "net/httpd_intake.h"

#include <netinet/in.h>

#include "net/http_head.h"

enum phase { PHASE_HEAD, PHASE_LENGTH, PHASE_CHUNKED };

/* A head of which more must come. */
struct partial {
    struct http_head head;
    size_t len, cap;
    char text[];
};

struct intake {
    struct intake_opts opts;
    char peer[INET6_ADDRSTRLEN]; /* opts.peer */
    struct intake *next, *prev;  /* in `in` */
    struct intake_list *in;      /* one of opts.lists; NULL: none */
    uint64_t since_ms;           /* the head, the body, the answer or the idleness began */
    uint64_t looked_ms; /* when the client's reading was last looked at, or the request was taken */
    uint64_t acked;     /* bytes that the client had read by then; 0: not known */
    char *memory;       /* the library's block, if it can be given back; else NULL */
    enum phase phase;
    uint64_t left, body; /* bytes of the body: to come (PHASE_LENGTH), received */
    struct http_chunks chunks;
    struct partial *partial;
    struct http_req *ready; /* was passed on, not taken yet */
    char *queue;            /* the heads after it: each a length in two bytes, then the text */
    size_t queue_at, queue_len;
    struct http_req *last; /* after those: refused */
    char *out;             /* what the library had no room for */
    size_t out_at, out_len;
    unsigned overdue; /* the status to refuse with what is under way */
    unsigned body_refusal;
    bool chunked_out; /* the body is passed on in chunks */
    bool busy;        /* a request was taken and is not completed */
    bool ended;       /* nothing more is read */
    bool refused;     /* a request was, and its answer ends the connection */
    bool at_end;      /* the client sends no more: the socket has said so */
    bool was_read;    /* the library has read once */
    bool shed;        /* its place was given to another */
};

/* Puts the connection at the end of `list`, where it is not there yet; what its time is counted from begins anew. */
void intake_list_add(struct intake *intake, struct intake_list *list);
/* Out of the list that it is in; nothing when it is in none. */
void intake_list_remove(struct intake *intake);

#endif
