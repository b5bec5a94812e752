/* SPDX-License-Identifier: MIT */
/*
 * connection_limits: how many HTTP connections and WebSockets each worker of a process may hold, so that one too many gets
 * our 503 before accept fails, or the kernel ends the process for its memory.
 */
#ifndef TIKETI_CONNECTION_LIMITS_H
#define TIKETI_CONNECTION_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum connection_bound {
    BOUND_FILES,  /* open files */
    BOUND_MEMORY, /* memory_limit */
    BOUND_SETTING /* HTTP_CONNECTIONS_MAX; or it is for probes alone */
};
/* "files", "memory", "setting". Static. */
const char *connection_bound_name(enum connection_bound bound);

struct connection_needs {
    unsigned open_files;   /* that the process may have */
    uint64_t memory_bytes; /* that it may use; 0: not known */
    bool probes_only;      /* its one HTTP worker answers probes, and nothing else */
    unsigned http_workers, gateways;
    int64_t http_max; /* for the whole process; 0: what files and memory allow */
};

struct connection_limits {
    unsigned http, sockets; /* of each such worker; at least 1, or 0 without one */
    enum connection_bound http_by, sockets_by;
};

struct connection_limits connection_limits_of(const struct connection_needs *needs);

#endif
