/* SPDX-License-Identifier: MIT */
/*
 * metrics: the counters, gauges and histograms of the process. Any thread may count. Each number is an atomic of its own,
 * so the numbers of one scrape are not a snapshot of a single moment. Answers to HTTP requests are counted by metrics_http;
 * what concerns one event is not kept here.
 */
#ifndef TIKETI_METRICS_H
#define TIKETI_METRICS_H

#include "base/metrics_text.h"

#include <stdint.h>

/* Counters. Names and help are in the table of metrics.c, one row each. */
enum metric {
    METRIC_JOINS,
    METRIC_PLACES_REFUSED, /* joins above placesPerNetwork */
    METRIC_SHED_NEWCOMERS, /* requests refused because others wait too long */
    METRIC_SHED_RETURNING,
    METRIC_ADMISSIONS_DIRECT,   /* the join admitted the buyer, who never waited */
    METRIC_ADMISSIONS_PROMOTED, /* a tick admitted the buyer from the head of the queue */
    METRIC_EVICTIONS,
    METRIC_TICKS,
    METRIC_OVER_ADMISSIONS,   /* the log says that more were inside than the threshold allowed */
    METRIC_LEASE_EXPIRED,     /* leases that this process lost: not renewed in time */
    METRIC_LEASE_TAKEN,       /* Redis says that another process has it, or nobody */
    METRIC_LEASE_REDIS,       /* Redis did not answer */
    METRIC_EVENTS_UNEXPORTED, /* events without series of their own: there are too many */
    METRIC_REDIS_TIMEOUTS,
    METRIC_REDIS_CONNECTION_ERRORS,
    METRIC_REDIS_READONLY_ERRORS,
    METRIC_REDIS_OOM_ERRORS,
    METRIC_REDIS_SCRIPT_ERRORS,
    METRIC_REDIS_OTHER_ERRORS,
    METRIC_REDIS_RECONNECTS,
    METRIC_DB_TIMEOUTS,
    METRIC_DB_CONNECTION_ERRORS,
    METRIC_DB_READONLY_ERRORS,
    METRIC_DB_CONFLICTS,
    METRIC_DB_LOCK_ERRORS,
    METRIC_DB_RESOURCE_ERRORS,
    METRIC_DB_SCHEMA_ERRORS,
    METRIC_DB_INTERNAL_ERRORS,
    METRIC_DB_OTHER_ERRORS,
    METRIC_DB_RECONNECTS,
    METRIC_WS_OPENED,
    METRIC_WS_REFUSED_LIMIT, /* handshakes refused, by reason */
    METRIC_WS_REFUSED_RATE,
    METRIC_WS_REFUSED_SOCKETS,
    METRIC_WS_REFUSED_DRAINING,
    METRIC_WS_REFUSED_ORIGIN,
    METRIC_WS_REFUSED_INVALID,
    METRIC_WS_REFUSED_TIMEOUT,
    METRIC_WS_CLOSED_CLIENT, /* connections closed, by reason */
    METRIC_WS_CLOSED_LOST,
    METRIC_WS_CLOSED_SILENT,
    METRIC_WS_CLOSED_SLOW,
    METRIC_WS_CLOSED_PROTOCOL,
    METRIC_WS_CLOSED_POLICY,
    METRIC_WS_CLOSED_UNAUTHORIZED,
    METRIC_WS_CLOSED_DRAIN,
    METRIC_WS_CLOSED_OTHER,
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
    METRIC_MAILS_SENT,
    METRIC_MAILS_FAILED, /* attempts */
    METRIC_MAILS_PARKED,
    METRIC_PUSHES_SENT,
    METRIC_PUSHES_FAILED,  /* attempts */
    METRIC_PUSHES_GONE,    /* the browser has ended its subscription */
    METRIC_PUSHES_EXPIRED, /* of no use any more before they could be sent */
    METRIC_HOOKS_SENT,
    METRIC_HOOKS_FAILED,      /* attempts */
    METRIC_SHOP_KEYS_FETCHED, /* documents of JWT_JWKS_URL */
    METRIC_SHOP_KEYS_FAILED,
    METRIC_OIDC_KEYS_FETCHED, /* those of the identity provider */
    METRIC_OIDC_KEYS_FAILED,
    METRIC_LOG_SUPPRESSED,  /* lines of a call site above its ten a second */
    METRIC_LOG_LOST,        /* lines that stderr did not take */
    METRIC_LOG_ACCESS_LOST, /* the same, of the access log */
    METRIC_COUNT
};

/* Gauges of the process: the last value set counts, or the sum of what was added. Names and help as for the counters. */
enum metric_gauge {
    GAUGE_NONE,
    GAUGE_REDIS_LINKS, /* connections to Redis that should be up; those that are */
    GAUGE_REDIS_LINKS_UP,
    GAUGE_DB_POOLS, /* pools that should have a connection; those that have one */
    GAUGE_DB_POOLS_UP,
    GAUGE_DB_POOL_MAX, /* of all pools of the process, as this and the following */
    GAUGE_DB_POOL_SIZE,
    GAUGE_DB_POOL_IN_USE,
    GAUGE_DB_POOL_WAITING, /* queries */
    GAUGE_WS_OPEN,
    GAUGE_WS_MAX,
    GAUGE_WS_SOCKETIO,   /* of GAUGE_WS_OPEN */
    GAUGE_CLOCK_SKEW,    /* seconds */
    GAUGE_REDIS_REPLICA, /* this and the following: 1 while a connection of the process finds it so */
    GAUGE_REDIS_CLUSTER,
    GAUGE_REDIS_PERMISSION,
    GAUGE_REDIS_WRITES_REFUSED,
    GAUGE_REDIS_MEMORY,
    GAUGE_REDIS_EVICTS,
    GAUGE_REDIS_UNSAVED,
    GAUGE_REDIS_REPLICAS, /* lost, or behind */
    GAUGE_OUTBOX_PENDING, /* mails; of the whole deployment, as this and the following */
    GAUGE_OUTBOX_PARKED,
    GAUGE_OUTBOX_AGE,    /* seconds, of the oldest pending one */
    GAUGE_HOOKS_FAILING, /* webhooks; of the whole deployment, as this and the following */
    GAUGE_HOOKS_PARKED,
    GAUGE_HOOKS_LATE, /* seconds since the one that fails longest began to */
    GAUGE_COUNT
};

enum metric_histogram {
    HISTOGRAM_TICK,
    HISTOGRAM_REDIS,
    HISTOGRAM_DB,
    HISTOGRAM_DB_WAIT,    /* for a connection */
    HISTOGRAM_JOIN_BATCH, /* unit: joins in one script call; the other histograms are in seconds */
    HISTOGRAM_COUNT
};

void metrics_add(enum metric metric, uint64_t n);
void metrics_set(enum metric_gauge gauge, double value);
/* Adds to a gauge that several threads share, such as the number of open sockets. */
void metrics_shift(enum metric_gauge gauge, int64_t by);
/* For a gauge that is 1 while any of several finds it so: what one of them finds now. *told: what it found before; false at
 * first. */
void metrics_flag(enum metric_gauge gauge, bool *told, bool now);
/* `value` in the histogram's unit. A negative value or NaN counts as 0. */
void metrics_observe(enum metric_histogram histogram, double value);

/* Appends all of them. */
void metrics_write(const struct metrics_text *text);

#endif
