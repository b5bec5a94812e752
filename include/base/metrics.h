/* SPDX-License-Identifier: MIT */
/*
 * metrics: the counters and histograms of the process, written in the Prometheus text format (0.0.4).
 * Any thread may count. Each number is an atomic of its own, so the numbers of one scrape are not a
 * snapshot of a single moment. Gauges per event are not kept here: api_ops computes them at scrape time.
 */
#ifndef TIKETI_METRICS_H
#define TIKETI_METRICS_H

#include "base/buf.h"

#include <stdint.h>

/* Counters. Names and help are in the table of metrics.c, one row each. */
enum metric {
    METRIC_JOINS,
    METRIC_ADMISSIONS_DIRECT,   /* the join admitted the buyer, who never waited */
    METRIC_ADMISSIONS_PROMOTED, /* a tick admitted the buyer from the head of the queue */
    METRIC_EVICTIONS,
    METRIC_TICKS,
    METRIC_REDIS_ERRORS,
    METRIC_REDIS_RECONNECTS,
    METRIC_DB_ERRORS,
    METRIC_DB_RECONNECTS,
    METRIC_WS_OPENED,
    METRIC_WS_CLOSED,
    METRIC_WS_DROPPED, /* connections that the gateway closed because the reader was too slow */
    METRIC_WS_MESSAGES,
    METRIC_MESSAGES_SKIPPED, /* messages of the Redis channel that gateway workers skipped */
    METRIC_HOLDS,            /* reservations made by buyers */
    METRIC_AUTO_HOLDS,       /* reservations made on admission */
    METRIC_SEAT_CONFLICTS,
    METRIC_SEAT_MAPS, /* built by PostgreSQL */
    METRIC_PURCHASES, /* reservations paid for */
    METRIC_REFUNDS_DUE,
    METRIC_REFUNDS,
    METRIC_EVENT_LOOKUPS,  /* queries to PostgreSQL for event ids that Redis does not know */
    METRIC_UNKNOWN_EVENTS, /* event ids that PostgreSQL does not know either */
    METRIC_COUNT
};

enum metric_histogram {
    HISTOGRAM_TICK,
    HISTOGRAM_REDIS,
    HISTOGRAM_DB,
    HISTOGRAM_JOIN_BATCH, /* unit: joins in one script call; the other histograms are in seconds */
    HISTOGRAM_COUNT
};

void metrics_add(enum metric metric, uint64_t n);
/* `value` in the histogram's unit. A negative value or NaN counts as 0. */
void metrics_observe(enum metric_histogram histogram, double value);

/* Adds a route, or finds it, and returns its id for metrics_http. Call before any thread starts. `path` is the
 * route's template ("/api/seats/{eventId}"). Both texts are borrowed for the life of the process. When the
 * table is full, requests with the returned id are not counted. */
unsigned metrics_register_route(const char *method, const char *path);
/* Counts one answered request: its status code, and the time in microseconds from the request's last byte to the
 * answer. */
void metrics_http(unsigned route, unsigned status, uint64_t duration_us);

/* Appends all counters and histograms to `out`. */
void metrics_write(struct buf *out);

/* For gauges that the caller computes: write the header once, then one sample for each value of the label. The
 * value is escaped. */
void metrics_write_header(struct buf *out, const char *name, const char *type, const char *help);
void metrics_write_sample(struct buf *out, const char *name, const char *label, const char *value,
                          double number);

#endif
