/* SPDX-License-Identifier: MIT */
/* worker: one thread with one loop and one role: it is built, runs, drains and is taken down in reverse. */
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
    unsigned connection_limit;       /* connections of clients */
    int db_pool_min, db_pool_max;    /* connections to PostgreSQL */
};

/* Starts the thread and waits until everything is built. ST_OK: *ret_worker is new and listens. ST_INVALID: a setting
 * cannot be used, and the log says which. */
MUST_CHECK enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker);
/* From any thread: accepts no new work, tells the sockets, finishes requests, then ends. What is not finished after
 * three quarters of the time is ended. */
void worker_drain(struct worker *worker, uint64_t drain_ms);
/* Waits for the thread to end and frees the worker. */
void worker_join(struct worker *worker);

#endif
