/* SPDX-License-Identifier: MIT */
/*
 * sizing: the arithmetic of docs/capacity.md.
 *
 * Why this way: each figure stands in one table with the row of docs/performance.md it comes from, so that a test compares
 * the two (test/integration/plan.test.mjs), and a reader can put their own in their place.
 * Called by: tiketi plan. Owns nothing.
 */
#include "queue/sizing.h"

#include <math.h>
#include <stddef.h>

#define POSITION_S    15   /* a waiting buyer is told a position so often */
#define SETTLE_S      45   /* sockets are opened over this time after the arrival */
#define LOG_ENTRIES   3    /* of one admission: offered, claimed, its end */
#define FILES_KEPT    512  /* a process keeps so many files for other things */
#define BACKLOG       4096 /* of one listening socket; a worker has eight */
#define LISTENERS     8
#define ASSETS        3  /* files that a new visitor asks for */
#define DB_RESERVED   3  /* superuser_reserved_connections */
#define DB_OTHERS     20 /* backups, monitoring, people */
#define REDIS_LEAST_B (256LL << 20)

static const struct sizing_source sources[SIZING_FIGURES] = {
    [SIZING_REDIS_JOIN_US] = {"Redis' CPU of a join", 4.5, "µs", "Redis CPU per join, 4 pods",
                              NULL},
    [SIZING_REDIS_ADMISSION_US] = {"Redis' CPU of an admission", 11, "µs",
                                   "Redis CPU per admission", NULL},
    [SIZING_REDIS_BUYER_B] = {"Redis' memory of a waiting buyer", 300, "B",
                              "Redis memory per waiting buyer", NULL},
    [SIZING_REDIS_WAIT_PERCENT] = {"Redis' CPU for a million who wait", 2, "% of a core",
                                   "Redis CPU while a queue waits", NULL},
    [SIZING_API_JOIN_US] = {"an api pod's CPU of a join", 13, "µs",
                            "CPU per join, guest, 1000 connections", NULL},
    [SIZING_API_ASSET_US] = {"an api pod's CPU of a small file", 7.5, "µs", "CPU per GET /", NULL},
    [SIZING_API_HOLD_US] = {"an api pod's CPU of a hold", 115, "µs", "CPU per hold, 64 clients",
                            NULL},
    [SIZING_SOCKET_NEW_US] = {"a gateway's CPU of a new socket", 47, "µs", "CPU per new socket",
                              NULL},
    [SIZING_SOCKET_PUSH_US] = {"a gateway's CPU of a position", 8.5, "µs",
                               "CPU per pushed position", NULL},
    [SIZING_HOLDS_PER_S] = {"holds a second of one PostgreSQL", 1250, "/s",
                            "seat holds a second, 64 clients", NULL},
    [SIZING_API_PAGE_US] = {"an api pod's CPU of the waiting page", 45, "µs", NULL,
                            "operations.md, \"The pages\""},
    [SIZING_PAGE_B] = {"the waiting page", 12700, "B", NULL, "operations.md, \"The pages\""},
    [SIZING_ASSETS_B] = {"its scripts and styles", 10240, "B", NULL,
                         "operations.md, \"The pages\""},
    [SIZING_PUSH_B] = {"a position on a socket", 670, "B", NULL,
                       "performance.md, \"CPU per pushed position\""},
    [SIZING_LOG_B] = {"an entry of the log in Redis", 110, "B", NULL,
                      "operations.md, \"Redis' memory\""},
    [SIZING_SALE_B] = {"the copy of a sale in Redis", 1200, "B", NULL, "backup.md"},
    [SIZING_HTTP_CONNECTION_B] = {"an HTTP connection, as a pod reckons", 24576, "B", NULL,
                                  "operations.md, \"Connections\""},
    [SIZING_SOCKET_B] = {"a socket, as a pod reckons", 8192, "B", NULL,
                         "operations.md, \"Connections\""},
};

const struct sizing_source *sizing_source(enum sizing_figure figure)
{
    return &sources[figure];
}

const char *sizing_limit_name(enum sizing_limit limit)
{
    static const char *const names[] = {[SIZING_BY_TWO] = "two, so that one may fail",
                                        [SIZING_BY_CPU] = "CPU at the peak",
                                        [SIZING_BY_MEMORY] = "memory",
                                        [SIZING_BY_FILES] = "open files"};
    return names[limit];
}

static double figure(enum sizing_figure name)
{
    return sources[name].value;
}

static int64_t ceil_div(double a, double b)
{
    return (int64_t)ceil(a / b);
}

/* Pods for so many cores at the peak, and so many connections of which one pod takes `memory` or `files` at most: one more
 * than hold them, so that one may fail. */
static int64_t pods(const struct sizing_input *in, double cores, double connections, double memory,
                    double files, enum sizing_limit *ret_by)
{
    const struct {
        int64_t count;
        enum sizing_limit by;
    } wants[] = {{2, SIZING_BY_TWO},
                 {ceil_div(cores, in->load * (double)in->pod_cores), SIZING_BY_CPU},
                 {ceil_div(connections, memory) + 1, SIZING_BY_MEMORY},
                 {ceil_div(connections, files) + 1, SIZING_BY_FILES}};
    int64_t most = 0;
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        if (wants[i].count > most) {
            most = wants[i].count;
            *ret_by = wants[i].by;
        }
    }
    return most;
}

static void size_redis(const struct sizing_input *in, struct sizing *out)
{
    out->redis_arrival_s = (double)in->buyers * figure(SIZING_REDIS_JOIN_US) / 1e6;
    out->redis_arrival_cores = out->arrivals_per_s * figure(SIZING_REDIS_JOIN_US) / 1e6;
    out->redis_wait_cores = (double)out->waiting / 1e6 * figure(SIZING_REDIS_WAIT_PERCENT) / 100 +
                            out->admissions_per_s * figure(SIZING_REDIS_ADMISSION_US) / 1e6;
    out->redis_data_b = (int64_t)((double)in->buyers * (figure(SIZING_REDIS_BUYER_B) +
                                                        LOG_ENTRIES * figure(SIZING_LOG_B)) +
                                  (double)in->seats * figure(SIZING_SALE_B));
    out->redis_maxmemory_b = out->redis_data_b * 3 / 2;
    if (out->redis_maxmemory_b < REDIS_LEAST_B)
        out->redis_maxmemory_b = REDIS_LEAST_B;
    out->redis_machine_b = 2 * out->redis_maxmemory_b; /* the copy while the file is rewritten */
}

static void size_pods(const struct sizing_input *in, struct sizing *out)
{
    const double half = (double)in->pod_memory_b / 2;
    const double files = (double)(in->pod_files - FILES_KEPT);
    const double per_buyer = figure(SIZING_API_PAGE_US) + ASSETS * figure(SIZING_API_ASSET_US) +
                             figure(SIZING_API_JOIN_US);
    const double connections = in->direct ? (double)in->buyers : 0;
    out->api_cores =
        (out->arrivals_per_s * per_buyer + out->holds_per_s * figure(SIZING_API_HOLD_US)) / 1e6;
    out->api_pods = pods(in, out->api_cores, connections,
                         floor(half / figure(SIZING_HTTP_CONNECTION_B)), files, &out->api_by);
    const double sockets = (double)out->sockets;
    out->gateway_cores =
        sockets *
        (figure(SIZING_SOCKET_NEW_US) / SETTLE_S + figure(SIZING_SOCKET_PUSH_US) / POSITION_S) /
        1e6;
    out->gateway_pods = pods(in, out->gateway_cores, sockets, floor(half / figure(SIZING_SOCKET_B)),
                             files, &out->gateway_by);
    out->processor_pods = 2;
    /* When a pod fails, the others have its share. */
    out->connections_per_api = ceil_div(connections, (double)(out->api_pods - 1));
    out->sockets_per_gateway = ceil_div(sockets, (double)(out->gateway_pods - 1));
    out->api_files = out->connections_per_api + FILES_KEPT;
    out->gateway_files = out->sockets_per_gateway + FILES_KEPT;
    /* What a pod gets within 100 ms, in the queues of its listening sockets. */
    const double burst = in->direct ? out->arrivals_per_s / 10 / (double)out->api_pods : 0;
    out->somaxconn = ceil_div(burst, LISTENERS * (double)in->pod_cores);
    if (out->somaxconn < BACKLOG)
        out->somaxconn = BACKLOG;
}

enum status sizing_compute(const struct sizing_input *in, struct sizing *ret)
{
    if (in->buyers < 1 || in->arrive_ms < 1 || in->visit_ms < 1 || in->pod_cores < 1 ||
        in->pod_memory_b < (1 << 20) || in->pod_files <= FILES_KEPT || in->api_pool < 1 ||
        in->gateway_pool < 1 || in->threshold < 0 || in->seats < 0 || !(in->load > 0) ||
        in->load > 1 || !(in->sockets >= 0) || in->sockets > 1)
        return ST_INVALID;
    struct sizing out = {0};
    out.arrivals_per_s = (double)in->buyers * 1000 / (double)in->arrive_ms;
    out.admissions_per_s = (double)in->threshold * 1000 / (double)in->visit_ms;
    out.waiting = in->buyers > in->threshold ? in->buyers - in->threshold : 0;
    out.sockets = (int64_t)ceil((double)out.waiting * in->sockets);
    /* The first to enter hold at once, then as many as are admitted. */
    const double first = (double)(in->buyers < in->threshold ? in->buyers : in->threshold);
    out.holds_per_s =
        in->seats == 0 ? 0 : fmax(out.admissions_per_s, first * 1000 / (double)in->arrive_ms);
    out.holds_most_per_s = figure(SIZING_HOLDS_PER_S);
    size_redis(in, &out);
    size_pods(in, &out);
    /* A rollout adds a pod of each kind. */
    out.db_connections = (out.api_pods + 1) * in->api_pool +
                         (out.gateway_pods + 1 + out.processor_pods + 1) * in->gateway_pool;
    out.max_connections = out.db_connections + DB_RESERVED + DB_OTHERS;
    out.arrival_bits_per_s =
        out.arrivals_per_s * (figure(SIZING_PAGE_B) + figure(SIZING_ASSETS_B)) * 8;
    out.wait_bits_per_s = (double)out.sockets * figure(SIZING_PUSH_B) * 8 / POSITION_S;
    *ret = out;
    return ST_OK;
}
