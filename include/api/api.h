/* SPDX-License-Identifier: MIT */
/*
 * api: the HTTP side of one worker: routes, authentication, rate limit, answers. Opened, fed with channel
 * messages and closed by its worker, on the worker's loop; what the handlers share is
 * src/api/api_internal.h.
 */
#ifndef TIKETI_API_H
#define TIKETI_API_H

#include "auth/token.h"
#include "base/config.h"
#include "net/db.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/catalog.h"
#include "queue/queue.h"
#include "selling/seat_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct api;

/* Shared by the workers of the process; written by main's thread, read by all. */
struct api_health {
    _Atomic bool ready; /* false while starting and draining */
    _Atomic bool draining;
};

/* All pointers are borrowed and must outlive the api. */
struct api_opts {
    struct loop *loop;
    const struct config *config;
    struct redis *redis;
    struct queue *queue;
    struct db *db;
    struct catalog *catalog;
    struct seat_maps *seat_maps;
    struct token_keys *keys;
    const struct api_health *health;
    uint16_t port;
    unsigned connection_limit;
};

/* Registers the route table; once per process, before threads start. ops_only: only the probes, /metrics and
 * /openapi.json, for a process without the api role. */
void api_register_routes(bool ops_only);
/* For `tiketi routes`: one line per registered API route: method, path, who may use it (`none`, `buyer`, or
 * the roles). Pages and their files are left out. */
void api_print_routes(FILE *out);

/* Listens on opts->port and serves. Copies the opts. ST_INVALID, ST_CONFLICT, ST_UNAVAILABLE as httpd_open, or
 * ST_INVALID for a bad TRUSTED_PROXIES; the reason is logged. */
MUST_CHECK enum status api_open(const struct api_opts *opts, struct api **ret_api);
/* A message of QUEUE_CHANNEL. Borrowed. */
void api_on_message(struct api *api, const struct queue_message *message);
/* The answer to a heartbeat: where this buyer stands according to Redis. Borrowed. */
void api_on_heartbeat(struct api *api, const char *event, const char *buyer,
                      const struct queue_place *place);
/* Stops listening; requests on open connections are still answered. */
void api_quiesce(struct api *api);
unsigned api_busy(const struct api *api); /* requests not yet answered */
/* Answers 503 to the waiting requests and frees the api; then `cb` runs (may be NULL). */
void api_close(struct api *api, loop_cb cb, void *arg);

#endif
