/* SPDX-License-Identifier: MIT */
/*
 * metrics: process-wide counters in relaxed atomics, written out in the Prometheus text format
 * (0.0.4). Per-event gauges are given by the api role at scrape time.
 */
#ifndef TIKETI_METRICS_H
#define TIKETI_METRICS_H

#include "base/buf.h"

#include <stdint.h>

/* One row per plain counter, gauge or histogram: see the table in metrics.c. */
enum metric {
    METRIC_JOINS,               /* tiketi_joins_total */
    METRIC_ADMISSIONS_DIRECT,   /* tiketi_admissions_total{kind="direct"} */
    METRIC_ADMISSIONS_PROMOTED, /* tiketi_admissions_total{kind="promoted"} */
    METRIC_EVICTIONS,           /* tiketi_evictions_total */
    METRIC_TICKS,               /* tiketi_ticks_total */
    METRIC_REDIS_ERRORS,        /* tiketi_redis_errors_total */
    METRIC_REDIS_RECONNECTS,
    METRIC_DB_ERRORS, /* tiketi_postgres_errors_total */
    METRIC_DB_RECONNECTS,
    METRIC_WS_OPENED, /* tiketi_websocket_opened_total */
    METRIC_WS_CLOSED,
    METRIC_WS_DROPPED,  /* slow readers */
    METRIC_WS_MESSAGES, /* pushed */
    METRIC_HOLDS,       /* reservations made */
    METRIC_AUTO_HOLDS,
    METRIC_SEAT_CONFLICTS,
    METRIC_SEAT_MAPS, /* built by PostgreSQL */
    METRIC_SALES,     /* reservations bought */
    METRIC_REFUNDS_DUE,
    METRIC_REFUNDS,
    METRIC_EVENT_LOOKUPS,  /* statements to PostgreSQL about ids that Redis does not have */
    METRIC_UNKNOWN_EVENTS, /* ids that were nobody's */
    METRIC_COUNT
};

enum metric_histogram {
    HISTOGRAM_TICK,       /* tiketi_tick_duration_seconds */
    HISTOGRAM_REDIS,      /* tiketi_redis_duration_seconds */
    HISTOGRAM_DB,         /* tiketi_postgres_duration_seconds */
    HISTOGRAM_JOIN_BATCH, /* tiketi_join_batch_size (no unit) */
    HISTOGRAM_COUNT
};

void metrics_add(enum metric metric, uint64_t n);
void metrics_observe(enum metric_histogram histogram, double value); /* seconds, or plain size */

/* HTTP: the api role registers its route table once, before any thread starts; `method` and
 * `path` (the route template) are static strings. Returns the id to count under. */
unsigned metrics_register_route(const char *method, const char *path);
void metrics_http(unsigned route, unsigned status, uint64_t duration_us);

/* Appends # HELP / # TYPE and all samples. */
void metrics_write(struct buf *out);

/* Helpers for gauges of the caller: header once, then samples with one escaped label. */
void metrics_write_header(struct buf *out, const char *name, const char *type, const char *help);
void metrics_write_sample(struct buf *out, const char *name, const char *label, const char *value,
                          double number);

#endif
