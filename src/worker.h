/* SPDX-License-Identifier: MIT */
/*
 * worker: one thread with one loop and the roles it was given: build, run, drain, free in reverse.
 */
#ifndef TIKETI_WORKER_H
#define TIKETI_WORKER_H

#include "api/api.h"
#include "base/config.h"
#include "base/status.h"

struct worker;

struct worker_opts {
    const char *name; /* "api-0"; copied */
    enum role role;
    const struct config *config;
    const struct api_health *health;
    unsigned connection_limit;
    int db_pool_min, db_pool_max;
};

/* Builds everything and starts the thread; listening when it returns ST_OK. */
MUST_CHECK enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker);
/* Any thread: drain (no new work, sockets told, requests finished by deadline), then end. */
void worker_drain(struct worker *worker, uint64_t drain_ms);
/* Waits for the thread, frees. */
void worker_join(struct worker *worker);

#endif
