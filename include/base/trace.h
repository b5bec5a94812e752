/* SPDX-License-Identifier: MIT */
/*
 * trace: what names the request that a thread is working for: its id, and its place in a distributed trace (W3C Trace
 * Context 1). Log lines, queries of PostgreSQL and outgoing requests take it from here, so nobody passes it along.
 */
#ifndef TIKETI_TRACE_H
#define TIKETI_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_REQUEST_ID_MAX 128
#define TRACE_PARENT_SIZE    56 /* of the header traceparent, with its NUL */

struct trace {
    char request_id[TRACE_REQUEST_ID_MAX + 1]; /* "": none */
    char trace_id[33];                         /* 32 hex digits; "": the caller is not traced */
    char span_id[17];                          /* of our part of it; set where trace_id is */
    char flags[3];                             /* two hex digits, as the caller sent them */
};

/* May a caller name a request so? 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-'. NULL: no. */
bool trace_request_id_valid(const char *text);
/* Writes an id of `prefix` (at most 16 bytes) and the number. */
void trace_request_id_write(struct trace *trace, const char *prefix, uint64_t number);

/* Reads a caller's traceparent, and gives the trace a span id of its own. False: the header is not valid (or NULL), and the
 * trace is unchanged. A version above 00 is read as 00, as the specification has it. */
bool trace_parent_read(struct trace *trace, const char *header);
/* Writes the traceparent for what is called on behalf of the request. False: it is not traced, and `out` is unchanged. */
bool trace_parent_write(const struct trace *trace, char out[TRACE_PARENT_SIZE]);

/* From now on the calling thread works for this request; NULL: for none. Borrowed until the next call. */
void trace_enter(const struct trace *trace);
/* The last one entered; NULL: none. Copy what is needed later. */
const struct trace *trace_current(void);

#endif
