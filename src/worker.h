/* SPDX-License-Identifier: MIT */
/* worker: one thread with one loop and one role. Its parts are built, run, drained, and closed in reverse order. */
#ifndef TIKETI_WORKER_H
#define TIKETI_WORKER_H

#include "api/api.h"
#include "base/config.h"
#include "base/status.h"

struct worker;

struct worker_opts {
    const char *name; /* "api-0"; copied; at most 15 bytes */
    enum role role;
    const struct config *config;     /* borrowed */
    const struct api_health *health; /* borrowed */
    unsigned connection_limit;       /* connections or sockets of clients at a time */
    int db_pool_min, db_pool_max;    /* connections to PostgreSQL */
};

/* Starts the thread and waits until everything is built. Borrows what the opts point to until worker_join. ST_OK:
 * *ret_worker is new and listens. ST_INVALID: a setting cannot be used. ST_FULL: no thread could be started. Else the
 * status of the part that could not be opened. The log says more about each but ST_FULL. */
MUST_CHECK enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker);
/* Callable from any thread; returns at once. The worker accepts no new connections, tells its sockets to connect
 * elsewhere, answers the requests it has, and ends within drain_ms: what is not finished after three quarters of it
 * is cut off. */
void worker_drain(struct worker *worker, uint64_t drain_ms);
/* Waits for the thread to end and frees the worker. */
void worker_join(struct worker *worker);

#endif
