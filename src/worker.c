/* SPDX-License-Identifier: MIT */
/*
 * worker: one thread, one loop, one role.
 *
 * Why one role per thread: a fan-out to sockets must never delay a join. The parts are built on the worker's own
 * thread, from the bottom folder up, and closed in reverse: close_next closes the topmost part that is left, and is
 * called again when that part is closed. Drain: drain_begin stops new connections and spreads the closing of sockets;
 * drain_poll waits until requests and sockets are gone, or for three quarters of the time; then close_next takes the
 * parts down.
 * Called by: main. Owns: the loop and everything on it. Threads share only the read-only config, the health flags
 * and the atomic counters; worker_drain reaches the loop through loop_post.
 * Backends gone: a worker runs on and answers 503. After three quarters of the drain time it waits for no backend.
 */
#include "worker.h"

#include "auth/token.h"
#include "base/log.h"
#include "base/memory.h"
#include "gateway/gateway.h"
#include "net/db.h"
#include "net/loop.h"
#include "net/redis.h"
#include "processor/processor.h"
#include "queue/catalog.h"
#include "queue/queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_POLL_MS       20
#define DRAIN_SPREAD_MAX_MS 5000 /* sockets are closed within this time, or less */

struct worker {
    struct worker_opts opts;
    char name[16];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t built;
    bool is_built; /* build has ended, with build_status; under mutex */
    enum status build_status;

    struct loop *loop;
    struct redis *redis;
    struct redis_sub *sub;
    struct db *db, *replica; /* replica: NULL if there is none */
    struct seat_maps *seat_maps;
    struct queue *queue;
    struct catalog *catalog;
    struct token_keys *keys;
    struct api *api;
    struct gateway *gateway;
    struct processor *processor;

    struct loop_timer *drain_timer;
    uint64_t drain_ms;
    uint64_t drain_deadline_ms;
    bool closing; /* close_next has begun */
    bool backends_stopped;
};

/* ---- callbacks of the backends, passed on to the role ---- */

static void on_redis_state(void *arg, bool up)
{
    struct worker *worker = arg;
    if (worker->gateway)
        gateway_on_redis(worker->gateway, up);
    if (worker->processor)
        processor_on_redis(worker->processor, up);
}

static void on_message(void *arg, const char *data, size_t len)
{
    struct worker *worker = arg;
    struct queue_message message;
    if (queue_message_read(data, len, &message) != ST_OK) {
        log_warn("channel message malformed", LOG_TEXT("channel", QUEUE_CHANNEL),
                 LOG_NUM("bytes", len));
        return;
    }
    if (worker->api)
        api_on_message(worker->api, &message);
    if (worker->gateway)
        gateway_on_message(worker->gateway, &message);
    if (worker->processor)
        processor_on_message(worker->processor, &message);
}

static void on_subscribed(void *arg, bool up)
{
    struct worker *worker = arg;
    if (up && worker->gateway)
        gateway_on_subscribed(worker->gateway);
}

static void on_heartbeat(void *arg, const char *event, const char *buyer,
                         const struct queue_place *place)
{
    struct worker *worker = arg;
    if (worker->api)
        api_on_heartbeat(worker->api, event, buyer, place);
    if (worker->gateway)
        gateway_on_heartbeat(worker->gateway, event, buyer, place);
}

static void on_refresh(void *arg, const char *event)
{
    struct worker *worker = arg;
    if (worker->gateway)
        gateway_on_refresh(worker->gateway, event);
}

/* ---- build ---- */

static enum status open_database(const struct db_opts *opts, const char *setting, struct db **ret)
{
    const enum status st = db_open(opts, ret);
    if (st == ST_INVALID)
        log_error("setting cannot be used", LOG_TEXT("name", setting),
                  LOG_TEXT("expected", "a libpq URI or keyword string"));
    return st;
}

static enum status open_backends(struct worker *worker)
{
    const struct config *config = worker->opts.config;
    struct redis_opts redis = {.loop = worker->loop,
                               .url = config->redis_url,
                               .timeout_ms = config->redis_timeout_ms,
                               .on_state = on_redis_state,
                               .arg = worker};
    redis.scripts = queue_scripts(&redis.script_count);
    enum status st = redis_open(&redis, &worker->redis);
    if (st != ST_OK) {
        log_error("setting cannot be used", LOG_TEXT("name", "REDIS_URL"),
                  LOG_TEXT("expected", "redis://host:port or unix:///path"));
        return st;
    }
    st = redis_sub_open(&(struct redis_sub_opts){.loop = worker->loop,
                                                 .url = config->redis_url,
                                                 .channel = QUEUE_CHANNEL,
                                                 .timeout_ms = config->redis_timeout_ms,
                                                 .on_message = on_message,
                                                 .on_state = on_subscribed,
                                                 .arg = worker},
                        &worker->sub);
    if (st != ST_OK)
        return st;
    struct db_opts db = {.loop = worker->loop,
                         .url = config->database_url,
                         .pool_min = worker->opts.db_pool_min,
                         .pool_max = worker->opts.db_pool_max,
                         .timeout_ms = config->db_timeout_ms,
                         .queue_max = 4096,
                         .application_name = worker->name};
    st = open_database(&db, "DATABASE_URL", &worker->db);
    if (st != ST_OK || !config->database_replica_url || worker->opts.role == ROLE_PROCESSOR)
        return st;
    db.url = config->database_replica_url;
    db.pool_min = db.pool_max = 1; /* enough: it reads at most one seat map per second and event */
    return open_database(&db, "DATABASE_REPLICA_URL", &worker->replica);
}

static enum status open_role(struct worker *worker)
{
    const struct worker_opts *opts = &worker->opts;
    const struct config *config = opts->config;
    if (opts->role == ROLE_API)
        return api_open(&(struct api_opts){.loop = worker->loop,
                                           .config = config,
                                           .redis = worker->redis,
                                           .queue = worker->queue,
                                           .db = worker->db,
                                           .catalog = worker->catalog,
                                           .seat_maps = worker->seat_maps,
                                           .keys = worker->keys,
                                           .health = opts->health,
                                           .port = (uint16_t)config->http_port,
                                           .connection_limit = opts->connection_limit},
                        &worker->api);
    if (opts->role == ROLE_GATEWAY)
        return gateway_open(&(struct gateway_opts){.loop = worker->loop,
                                                   .config = config,
                                                   .queue = worker->queue,
                                                   .catalog = worker->catalog,
                                                   .seat_maps = worker->seat_maps,
                                                   .keys = worker->keys,
                                                   .port = (uint16_t)config->ws_port,
                                                   .connection_limit = opts->connection_limit},
                            &worker->gateway);
    worker->processor = processor_new(&(struct processor_opts){
        .loop = worker->loop, .config = config, .queue = worker->queue, .db = worker->db});
    return ST_OK;
}

static enum status build(struct worker *worker)
{
    const struct config *config = worker->opts.config;
    char error[160] = "";
    worker->loop = loop_new();
    enum status st = token_keys_new(config, &worker->keys, error, sizeof(error));
    if (st != ST_OK) {
        log_error("signing keys cannot be used", LOG_TEXT("detail", error));
        return st;
    }
    st = open_backends(worker);
    if (st != ST_OK)
        return st;
    worker->queue = queue_new(worker->loop, worker->redis, config);
    queue_on_heartbeat(worker->queue, on_heartbeat, worker);
    worker->catalog = catalog_new(&(struct catalog_opts){.loop = worker->loop,
                                                         .queue = worker->queue,
                                                         .db = worker->db,
                                                         .on_refresh = on_refresh,
                                                         .arg = worker});
    worker->seat_maps = seat_maps_new(&(struct seat_maps_opts){.loop = worker->loop,
                                                               .queue = worker->queue,
                                                               .db = worker->db,
                                                               .replica = worker->replica});
    return open_role(worker);
}

/* ---- closing ---- */

/* Ends the backends' operations and makes them refuse new ones, while they still exist. So no callback can reach the
 * api while it closes, and a request on a kept-alive connection is answered with 503. */
static void stop_backends(struct worker *worker)
{
    if (worker->backends_stopped)
        return;
    worker->backends_stopped = true;
    if (worker->catalog)
        catalog_stop(worker->catalog);
    if (worker->replica)
        db_stop(worker->replica);
    if (worker->db)
        db_stop(worker->db);
    if (worker->queue)
        queue_stop(worker->queue);
    if (worker->redis)
        redis_stop(worker->redis);
}

/* Closes the topmost part that is left, and is that part's close callback. The pointer to the part is cleared first,
 * so that no callback of a backend reaches it any more. */
static void close_next(void *arg)
{
    struct worker *worker = arg;
    struct gateway *gateway = worker->gateway;
    struct processor *processor = worker->processor;
    struct api *api = worker->api;
    struct redis_sub *sub = worker->sub;
    struct db *replica = worker->replica, *db = worker->db;
    struct redis *redis = worker->redis;
    worker->closing = true;
    if (gateway) {
        worker->gateway = NULL;
        gateway_close(gateway, close_next, worker);
        return;
    }
    if (processor) { /* before stop_backends, since it releases its leases in Redis */
        worker->processor = NULL;
        processor_close(processor, close_next, worker);
        return;
    }
    stop_backends(worker);
    if (api) {
        worker->api = NULL;
        api_close(api, close_next, worker);
        return;
    }
    if (sub) {
        worker->sub = NULL;
        redis_sub_close(sub, close_next, worker);
        return;
    }
    if (replica) {
        worker->replica = NULL;
        db_close(replica, close_next, worker);
        return;
    }
    if (db) {
        worker->db = NULL;
        db_close(db, close_next, worker);
        return;
    }
    if (redis) {
        worker->redis = NULL;
        redis_close(redis, close_next, worker);
        return;
    }
    seat_maps_free(worker->seat_maps);
    catalog_free(worker->catalog);
    queue_free(worker->queue);
    token_keys_free(worker->keys);
    loop_timer_close(worker->drain_timer);
    loop_stop(worker->loop);
}

/* ---- drain ---- */

/* Runs every DRAIN_POLL_MS until the requests are answered and the sockets closed, then begins to close the parts.
 * That may wait for a backend, since the processor releases its leases. After the deadline nothing waits for a
 * backend. */
static void drain_poll(void *arg)
{
    struct worker *worker = arg;
    const bool late = loop_now_ms(worker->loop) >= worker->drain_deadline_ms;
    const bool busy = (worker->api && api_busy(worker->api) > 0) ||
                      (worker->gateway && gateway_connections(worker->gateway) > 0);
    if (late)
        stop_backends(worker);
    else
        loop_timer_set(worker->drain_timer, DRAIN_POLL_MS);
    if (!worker->closing && (late || !busy))
        close_next(worker);
}

static void drain_begin(void *arg)
{
    struct worker *worker = arg;
    if (worker->drain_timer)
        return;
    /* The last quarter of the time is for closing the parts. */
    const uint64_t grace_ms = worker->drain_ms * 3 / 4;
    worker->drain_deadline_ms = loop_now_ms(worker->loop) + grace_ms;
    worker->drain_timer = loop_timer_new(worker->loop, drain_poll, worker);
    if (worker->api)
        api_quiesce(worker->api);
    if (worker->gateway)
        gateway_drain(worker->gateway,
                      grace_ms / 2 < DRAIN_SPREAD_MAX_MS ? grace_ms / 2 : DRAIN_SPREAD_MAX_MS);
    loop_timer_set(worker->drain_timer, DRAIN_POLL_MS);
}

/* ---- the thread ---- */

static void *run(void *arg)
{
    struct worker *worker = arg;
    log_thread_name(worker->name);
    const enum status st = build(worker);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->build_status = st;
    worker->is_built = true;
    (void)pthread_cond_signal(&worker->built);
    (void)pthread_mutex_unlock(&worker->mutex);
    if (st != ST_OK)
        close_next(worker);
    loop_run(worker->loop);
    loop_free(worker->loop);
    return NULL;
}

static void free_worker(struct worker *worker)
{
    (void)pthread_mutex_destroy(&worker->mutex);
    (void)pthread_cond_destroy(&worker->built);
    free(worker);
}

enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->opts = *opts;
    (void)snprintf(worker->name, sizeof(worker->name), "%s", opts->name);
    (void)pthread_mutex_init(&worker->mutex, NULL);
    (void)pthread_cond_init(&worker->built, NULL);
    if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
        free_worker(worker);
        return ST_FULL;
    }
    (void)pthread_mutex_lock(&worker->mutex);
    while (!worker->is_built)
        (void)pthread_cond_wait(&worker->built, &worker->mutex);
    (void)pthread_mutex_unlock(&worker->mutex);
    if (worker->build_status != ST_OK) {
        const enum status st = worker->build_status;
        worker_join(worker);
        return st;
    }
    *ret_worker = worker;
    return ST_OK;
}

void worker_drain(struct worker *worker, uint64_t drain_ms)
{
    worker->drain_ms = drain_ms; /* loop_post's lock makes it visible to the loop's thread */
    loop_post(worker->loop, drain_begin, worker);
}

void worker_join(struct worker *worker)
{
    (void)pthread_join(worker->thread, NULL);
    free_worker(worker);
}
