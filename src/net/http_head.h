/* SPDX-License-Identifier: MIT */
/*
 * http_head: the head of a request, read strictly from the bytes that a client sends, and the framing of a body in
 * chunks. Pure: no allocation, no library.
 */
#ifndef TIKETI_HTTP_HEAD_H
#define TIKETI_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX   16384 /* bytes of a head, the empty line included */
#define HTTP_TARGET_MAX 8192  /* bytes of a request target */
#define HTTP_FIELDS_MAX 128   /* header lines */

/* A place in the text of the head. */
struct http_span {
    uint16_t at, len;
};

struct http_field {
    struct http_span name, value; /* the value without blanks around it; may be empty */
};

/* Zeroed before the first http_head_read, except the fields: http_head_init does it. The spans are valid once the part
 * that they are in was read. */
struct http_head {
    uint16_t at; /* bytes of complete lines; the length of the whole head once it is complete */
    uint16_t scanned; /* the line that begins at `at` has no end before this */
    uint8_t blank;    /* empty lines before the request line */
    bool has_line;
    struct http_span method, target;
    struct http_span
        authority;          /* of a target in absolute form (http://authority/path); else len 0 */
    struct http_span path;  /* len 0: "/" (an absolute form that names the host alone) */
    struct http_span query; /* without the '?' */
    bool http11;
    bool chunked;    /* the body is in chunks */
    bool has_length; /* its length is known: */
    uint64_t length;
    bool expects;           /* Expect: 100-continue: the client waits before it sends the body */
    bool close, keep_alive; /* what Connection asks for */
    uint8_t hosts, authorizations, origins, types; /* headers that may come once */
    uint16_t field_count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

#define HTTP_HEAD_COMPLETE 200

void http_head_init(struct http_head *head);

/* Reads on: text[0..len) is everything received of this head so far, and what was received before may not have changed.
 * Returns 0: more is needed. HTTP_HEAD_COMPLETE: the head ends at head->at, what follows is the body or the
 * next request. Anything else is the status to refuse the request with: 400 (not exactly HTTP, or a proxy might
 * read it differently), 414, 431, 505; whether a method and a path were read is then seen at their lengths. */
unsigned http_head_read(struct http_head *head, const char *text, size_t len);

/* A body in chunks. Zeroed before the first http_chunks_read. */
struct http_chunks {
    uint8_t state;
    uint8_t digits;    /* of the size */
    uint16_t overhead; /* bytes of the line or trailer that is being read */
    uint64_t left;     /* bytes of the chunk that have not come */
};

enum http_chunks_step {
    HTTP_CHUNKS_MORE, /* everything was read, the body goes on */
    HTTP_CHUNKS_DATA, /* a part of the body */
    HTTP_CHUNKS_END,  /* the body is complete */
    HTTP_CHUNKS_BAD   /* not exactly the chunked coding */
};

/* Reads text[*at..len) up to the next part of the body, which is then *ret_data, inside `text`. Moves *at. Trailers
 * are checked like headers and dropped. */
enum http_chunks_step http_chunks_read(struct http_chunks *chunks, const char *text, size_t len,
                                       size_t *at, const char **ret_data, size_t *ret_len);

#endif
