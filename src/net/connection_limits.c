/* SPDX-License-Identifier: MIT */
/*
 * connection_limits: how many HTTP connections and WebSockets each worker of a process may hold.
 *
 * Why this way: a limit that is too high costs every buyer their socket (the process is ended), one that is too low refuses
 * a few. So a connection is counted as one whose request is being answered: the library's block of 8 KiB, a request of
 * 4 KiB, our part of it, and in the kernel, which counts for the cgroup, the socket and what is in its buffers. Half of
 * the memory is left for everything else: maps, batches, the allocator's reserve. docs/operations.md, "Connections", has
 * the figures that were measured.
 * Called by: main, once at start. Owns nothing.
 */
#include "net/connection_limits.h"

#define FILES_RESERVED 512 /* backends, logs, libraries, connections that are being refused */
#define PROBES_MAX     256 /* connections of an HTTP worker that only answers probes */
#define HTTP_BYTES     (24 * 1024)
#define SOCKET_BYTES   (8 * 1024)

const char *connection_bound_name(enum connection_bound bound)
{
    static const char *const names[] = {"files", "memory", "setting"};
    return names[bound];
}

/* Lowers *limit to `most`, for the reason `bound`; never below 1. */
static void lower(unsigned *limit, enum connection_bound *by, uint64_t most,
                  enum connection_bound bound)
{
    if (most >= *limit)
        return;
    *limit = most > 0 ? (unsigned)most : 1;
    *by = bound;
}

struct connection_limits connection_limits_of(const struct connection_needs *needs)
{
    const unsigned files = needs->open_files;
    const unsigned usable = files > 2 * FILES_RESERVED ? files - FILES_RESERVED : files / 2;
    struct connection_limits limits = {.http_by = BOUND_FILES, .sockets_by = BOUND_FILES};
    unsigned sharers = needs->http_workers + needs->gateways;
    if (needs->probes_only) {
        limits.http = usable > 2 * PROBES_MAX ? PROBES_MAX : usable / 2;
        limits.http_by = usable > 2 * PROBES_MAX ? BOUND_SETTING : BOUND_FILES;
        sharers = needs->gateways;
        if (sharers > 0)
            limits.sockets = (usable - limits.http) / sharers;
    } else {
        limits.http = usable / sharers;
        limits.sockets = needs->gateways > 0 ? usable / sharers : 0;
    }
    const uint64_t share = sharers > 0 ? needs->memory_bytes / 2 / sharers : 0;
    if (!needs->probes_only && needs->http_max > 0)
        lower(&limits.http, &limits.http_by, (uint64_t)needs->http_max / needs->http_workers,
              BOUND_SETTING);
    else if (!needs->probes_only && share > 0)
        lower(&limits.http, &limits.http_by, share / HTTP_BYTES, BOUND_MEMORY);
    if (limits.sockets > 0 && share > 0)
        lower(&limits.sockets, &limits.sockets_by, share / SOCKET_BYTES, BOUND_MEMORY);
    return limits;
}
