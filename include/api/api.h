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
#include "net/client_limit.h"
#include "net/db.h"
#include "net/loop.h"
#include "net/redis.h"
#include "queue/catalog.h"
#include "queue/queue.h"
#include "selling/seat_map.h"
#include "selling/stock_cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct api;

/* Shared by the workers of the process; written by main's thread, read by all. */
struct api_health {
    _Atomic unsigned starting;  /* workers that do not serve yet */
    _Atomic unsigned unreached; /* workers that have not reached both of their backends yet */
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
    struct stock_cache *stock;
    struct token_keys *keys;
    struct jwks *jwks; /* of JWT_JWKS_URL; NULL: in a process without the api role */
    const struct api_health *health;
    struct client_limit *client_limit; /* of the process; set again by serve */
    uint16_t port;
    bool deferred;         /* connections to `port` are refused until api_listen */
    uint16_t metrics_port; /* answers probes and /metrics from the start; 0: none */
    unsigned connection_limit;
    bool limited_by_memory; /* why the limit is what it is */
};

/* Registers the route table; once per process, before threads start. ops_only: only the probes, /metrics and
 * /openapi.json, /asyncapi.json, for a process without the api role. */
void api_register_routes(bool ops_only);
/* For `tiketi routes`: one line per registered API route: method, path, who may use it (`none`, `buyer`, or
 * the roles). Pages and their files are left out. */
void api_print_routes(FILE *out);

/* Listens on opts->port and serves. Copies the opts. ST_INVALID, ST_CONFLICT, ST_UNAVAILABLE as httpd_open, or
 * ST_INVALID for a setting that cannot be used; the reason is logged. */
MUST_CHECK enum status api_open(const struct api_opts *opts, struct api **ret_api);
/* For a deferred api: begins to listen on opts->port. ST_UNAVAILABLE: it failed, and was logged. */
MUST_CHECK enum status api_listen(struct api *api);
/* Another config, of config_adopt, is in force: origins and keys. Borrows it until the next one or api_close; the
 * keys of api_opts were changed already. */
void api_reconfigure(struct api *api, const struct config *config);
/* A message of the channel between pods. Borrowed. */
void api_on_message(struct api *api, const struct queue_message *message);
/* The answer to a heartbeat: where this buyer stands according to Redis. Borrowed. */
void api_on_heartbeat(struct api *api, const char *event, const char *buyer,
                      const struct queue_place *place);
/* Stops listening; requests on open connections are still answered. */
void api_quiesce(struct api *api);
unsigned api_busy(const struct api *api);        /* requests not yet answered */
unsigned api_connections(const struct api *api); /* open connections to opts->port */
/* Answers 503 to the waiting requests and frees the api; then `cb` runs (may be NULL). */
void api_close(struct api *api, loop_cb cb, void *arg);

#endif
