/* SPDX-License-Identifier: MIT */
/*
 * sizing: what a sale needs: pods, Redis, PostgreSQL, sockets, files, bandwidth. Pure arithmetic from figures that were
 * measured (docs/performance.md); asks nobody, and allocates nothing.
 */
#ifndef TIKETI_SIZING_H
#define TIKETI_SIZING_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A measured figure, rounded up; `row` is its row of docs/performance.md, or NULL, and then `source` says where it is from. */
enum sizing_figure {
    SIZING_REDIS_JOIN_US,
    SIZING_REDIS_ADMISSION_US,
    SIZING_REDIS_BUYER_B,
    SIZING_REDIS_WAIT_PERCENT, /* of a core, with a million waiting */
    SIZING_API_JOIN_US,
    SIZING_API_ASSET_US,
    SIZING_API_HOLD_US,
    SIZING_SOCKET_NEW_US,
    SIZING_SOCKET_PUSH_US,
    SIZING_HOLDS_PER_S, /* rounded down */
    SIZING_API_PAGE_US,
    SIZING_PAGE_B,
    SIZING_ASSETS_B,
    SIZING_PUSH_B,
    SIZING_LOG_B,
    SIZING_SALE_B,
    SIZING_HTTP_CONNECTION_B, /* what a pod reckons with, not what one costs */
    SIZING_SOCKET_B,          /* likewise */
    SIZING_FIGURES
};
struct sizing_source {
    const char *name; /* "CPU of a join in an api pod" */
    double value;
    const char *unit;
    const char *row;
    const char *source;
};
/* Static. */
const struct sizing_source *sizing_source(enum sizing_figure figure);

struct sizing_input {
    int64_t buyers;
    int64_t arrive_ms; /* all come within it, evenly */
    int64_t threshold; /* inside at once */
    int64_t visit_ms;  /* mean time inside */
    int64_t seats;     /* 0: a pure waiting room */
    double sockets;    /* share of those who wait that have a socket; others poll */
    double load;       /* share of a core that may be used at the peak */
    int64_t pod_cores;
    int64_t pod_memory_b;
    int64_t pod_files;    /* open files that a process may have */
    int64_t api_pool;     /* DB_POOL_MAX of an api pod */
    int64_t gateway_pool; /* of a gateway and of a processor */
    bool
        direct; /* each buyer has a connection of their own to a pod; else a proxy shares its own */
};

/* Why there are so many pods. */
enum sizing_limit { SIZING_BY_TWO, SIZING_BY_CPU, SIZING_BY_MEMORY, SIZING_BY_FILES };
const char *sizing_limit_name(enum sizing_limit limit); /* static, for people */

struct sizing {
    double arrivals_per_s, admissions_per_s;
    int64_t waiting, sockets;
    /* Redis */
    double redis_arrival_cores, redis_wait_cores; /* it has one core */
    double redis_arrival_s;                       /* how long its core is busy with the arrival */
    int64_t redis_data_b, redis_maxmemory_b, redis_machine_b;
    /* pods */
    double api_cores, gateway_cores; /* at the peak */
    int64_t api_pods, gateway_pods, processor_pods;
    enum sizing_limit api_by, gateway_by;
    int64_t connections_per_api, sockets_per_gateway;
    int64_t api_files, gateway_files;
    int64_t somaxconn; /* net.core.somaxconn */
    /* PostgreSQL */
    double holds_per_s, holds_most_per_s; /* wanted; measured on one machine with two cores */
    int64_t db_connections, max_connections;
    /* the network */
    double arrival_bits_per_s, wait_bits_per_s;
};

/* ST_INVALID: a number is out of its range (buyers, times, cores, memory, files from 1; shares above 0 to 1; pools from 1;
 * threshold and seats from 0), and *ret is unchanged. */
MUST_CHECK enum status sizing_compute(const struct sizing_input *in, struct sizing *ret);

#endif
