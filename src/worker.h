/* SPDX-License-Identifier: MIT */
/* worker: one thread with one loop and one role. Its parts are built, run, drained, and closed in reverse order. */
#ifndef TIKETI_WORKER_H
#define TIKETI_WORKER_H

#include "api/api.h"
#include "base/config.h"
#include "base/status.h"

struct db_schema;
struct token_keys;
struct worker;

struct worker_opts {
    const char *name; /* "api-0"; copied; at most 15 bytes */
    enum role role;
    const struct config *config;       /* borrowed */
    struct api_health *health;         /* borrowed */
    struct client_limit *client_limit; /* borrowed; of the process */
    unsigned connection_limit;         /* connections or sockets of clients at a time */
    bool limited_by_memory;            /* why the limit is what it is */
    int db_pool_min, db_pool_max;      /* connections to PostgreSQL */
    int64_t db_may_open;               /* by all workers of the process together */
    const struct db_schema *schema;    /* borrowed */
};

/* Starts the thread and waits until everything is built. Borrows what the opts point to until worker_join. ST_OK:
 * *ret_worker is new. It listens as soon as its backends are reached, or after five seconds, and then counts itself out of
 * health->starting; never while PostgreSQL answers and must not be used (db_fault). ST_INVALID: a setting cannot be used. ST_FULL: no thread could be started. Else the
 * status of the part that could not be opened. The log says more about each but ST_FULL. */
MUST_CHECK enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker);
/* Callable from any thread; returns at once. Soon the worker uses `config`, of config_adopt, instead of the one before, and
 * `keys`, which are of that config. It counts itself as a user of the config, and takes the keys. Not after worker_drain. */
void worker_reconfigure(struct worker *worker, const struct config *config,
                        struct token_keys *keys);
/* Does its loop turn? Callable from one thread, until worker_join. True: it has turned since it was asked last, and is asked
 * again. False: it still owes the answer. */
bool worker_ask(struct worker *worker);
const char *worker_name(const struct worker *worker); /* borrowed, until worker_join */
/* Callable from any thread; returns at once. The worker accepts no new connections, tells its sockets to connect
 * elsewhere, answers the requests it has, and ends within drain_ms: what is not finished after three quarters of it
 * is cut off. */
void worker_drain(struct worker *worker, uint64_t drain_ms);
/* Waits for the thread to end and frees the worker. */
void worker_join(struct worker *worker);

#endif
