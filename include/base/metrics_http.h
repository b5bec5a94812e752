/* SPDX-License-Identifier: MIT */
/*
 * metrics_http: the answers to HTTP requests, counted by route and status, and the connections they come on. Any thread may
 * count. Every series is there from the start, at 0, so that the first error is a rise; but the durations of a route that
 * is not `timed` come with its first request, since each route has 19 series of them.
 */
#ifndef TIKETI_METRICS_HTTP_H
#define TIKETI_METRICS_HTTP_H

#include "base/metrics_text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Adds a route, or finds it, and returns its id for metrics_http. Call before any thread starts. `path` is the
 * route's template ("/api/seats/{eventId}"). Both texts are borrowed for the life of the process. `timed`: its durations
 * are there from the start. When the table is full, requests with the returned id are not counted. */
unsigned metrics_register_route(const char *method, const char *path, bool timed);
/* Counts one answered request: its status code, and the time in microseconds from the request's last byte to the
 * answer. */
void metrics_http(unsigned route, unsigned status, uint64_t duration_us);

/* The gauges of one worker. Each is written by that worker alone, so it needs no more than a store. */
struct metrics_http_meter {
    atomic_uint in_flight;   /* requests that have begun to arrive and are not wholly answered */
    atomic_uint connections; /* open, probes on a port of their own not included */
    atomic_uint connections_max; /* how many may be */
};
/* Returns one that nobody else has; borrowed for the life of the process. The 65th and all after it are the same. */
struct metrics_http_meter *metrics_http_meter_take(void);
/* Sets one of its gauges. */
static inline void metrics_http_meter_set(atomic_uint *gauge, unsigned value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

enum metrics_http_refusal {
    HTTP_REFUSED_LIMIT,   /* the limit of connections, which open files or a setting give */
    HTTP_REFUSED_ADDRESS, /* the share of one address */
    HTTP_REFUSED_MEMORY,  /* the limit of connections, which the memory gives */
    HTTP_REFUSALS
};
/* Counts a new connection that was answered 503, or let in to answer a probe alone. */
void metrics_http_refused(enum metrics_http_refusal reason);
/* Counts an idle connection that was closed to let another in. */
void metrics_http_shed(void);
/* An HTTP connection was ended because its client read the answer too slowly. */
void metrics_http_slow_reader(void);

/* Appends all of it. */
void metrics_http_write(const struct metrics_text *text);

#endif
