/* SPDX-License-Identifier: MIT */
/*
 * worker: one thread, one loop, one role.
 *
 * Why one role per thread: a fan-out to sockets must never delay a join. The parts are built on the worker's own
 * thread, from the bottom folder up, and closed in reverse: close_next closes the topmost part that is left, and is
 * called again when that part is closed. Drain: drain_begin stops new connections and spreads the closing of sockets;
 * drain_poll waits until requests and sockets are gone, or for three quarters of the time; then close_next takes the
 * parts down.
 * Called by: main. Owns: the loop and everything on it. Threads share only the read-only config, the health flags,
 * the limits of one address and the atomic counters; worker_drain reaches the loop through loop_post.
 * Backends gone: a worker runs on and answers 503. After three quarters of the drain time it waits for no backend.
 */
#include "worker.h"

#include "auth/jwks.h"
#include "auth/token.h"
#include "base/log.h"
#include "base/memory.h"
#include "gateway/gateway.h"
#include "net/db.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/redis.h"
#include "processor/courier.h"
#include "processor/mailer.h"
#include "processor/processor.h"
#include "processor/pusher.h"
#include "queue/catalog.h"
#include "queue/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BACKENDS_MS         5000 /* a worker serves by then, with 503s, if its backends are not reached */
#define BACKENDS_POLL_MS    5
#define UNUSABLE_POLL_MS    100
#define POD_NAME_MAX        44   /* PostgreSQL cuts an application_name after 63 bytes */
#define LINGER_MS           1000 /* kept connections of clients have so long for one more request */
#define DRAIN_POLL_MS       20
#define DRAIN_SPREAD_MAX_MS 5000 /* the longest time over which the closing of sockets is spread */

struct worker {
    struct worker_opts opts;     /* with the config of the start, which parts borrow from */
    const struct config *config; /* the one in force; the loop's thread alone uses it */
    char name[16];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t built;
    bool is_built; /* build() has returned build_status; protected by the mutex */
    enum status build_status;
    atomic_bool owes_answer; /* to worker_ask */

    struct loop *loop;
    struct redis *redis;
    struct redis_sub *sub;
    struct redis_probe probe;
    char channel[QUEUE_CHANNEL_SIZE];
    struct db *db, *replica; /* replica: NULL if there is none */
    struct seat_maps *seat_maps;
    struct stock_cache *stock;
    struct queue *queue;
    struct catalog *catalog;
    struct token_keys *keys;
    struct http_client *http; /* for jwks */
    struct jwks *jwks;        /* of JWT_JWKS_URL; NULL: this worker reads no tokens */
    struct api *api;
    struct gateway *gateway;
    struct processor *processor;
    struct mailer *mailer;   /* of a processor */
    struct pusher *pusher;   /* likewise */
    struct courier *courier; /* likewise */

    struct loop_timer *serve_timer; /* until the worker serves, and has reached its backends */
    uint64_t serve_by_ms;
    bool serves;
    bool subscribed; /* to the channel */
    struct loop_timer *drain_timer;
    uint64_t drain_ms;
    uint64_t drain_deadline_ms, linger_until_ms;
    bool closing; /* close_next has begun to close the parts */
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
        log_warn("channel message malformed", LOG_TEXT("channel", worker->channel),
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
    worker->subscribed = up;
    if (up && worker->gateway)
        gateway_on_subscribed(worker->gateway);
}

static void on_heartbeat(void *arg, const char *event, const char *buyer,
                         const struct queue_place *place, const struct queue_numbers *numbers)
{
    struct worker *worker = arg;
    if (worker->api)
        api_on_heartbeat(worker->api, event, buyer, place);
    if (worker->gateway)
        gateway_on_heartbeat(worker->gateway, event, buyer, place, numbers);
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
        log_error("setting cannot be used", LOG_TEXT("setting", setting),
                  LOG_TEXT("expected", "a libpq URI or keyword string without a service"));
    return st;
}

/* "tiketi <pod> <worker>", as pg_stat_activity shows it. The end of a pod's name tells it from others. */
static void application_name(const struct worker *worker, char *out, size_t size)
{
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    const size_t len = strlen(host);
    (void)snprintf(out, size, "tiketi %s %s", len > POD_NAME_MAX ? host + len - POD_NAME_MAX : host,
                   worker->name);
}

static enum status open_backends(struct worker *worker)
{
    const struct config *config = worker->opts.config;
    struct redis_opts redis = {.loop = worker->loop,
                               .server = redis_server_of(config, worker->name),
                               .timeout_ms = config->redis_timeout_ms,
                               .on_state = on_redis_state,
                               .arg = worker};
    redis.scripts = queue_scripts(&redis.script_count);
    queue_channel_write(worker->channel, config);
    worker->probe = (struct redis_probe){
        .script = queue_probe_script(),
        .argv = {config->redis_prefix ? config->redis_prefix : "", worker->channel}};
    redis.probe = &worker->probe;
    enum status st = redis_open(&redis, &worker->redis);
    if (st != ST_OK) {
        char problem[REDIS_PROBLEM_MAX] = "";
        (void)redis_server_check(&redis.server, problem, sizeof(problem));
        log_error("setting cannot be used", LOG_TEXT("problem", problem));
        return st;
    }
    st = redis_sub_open(&(struct redis_sub_opts){.loop = worker->loop,
                                                 .server = redis.server,
                                                 .redis = worker->redis,
                                                 .channel = worker->channel,
                                                 .timeout_ms = config->redis_timeout_ms,
                                                 .on_message = on_message,
                                                 .on_state = on_subscribed,
                                                 .arg = worker},
                        &worker->sub);
    if (st != ST_OK)
        return st;
    char application[sizeof("tiketi  ") + 256 + sizeof(worker->name)];
    application_name(worker, application, sizeof(application));
    struct db_opts db = {.loop = worker->loop,
                         .url = config->database_url,
                         .pool_min = worker->opts.db_pool_min,
                         .pool_max = worker->opts.db_pool_max,
                         .timeout_ms = config->db_timeout_ms,
                         .queue_max = 4096,
                         .application_name = application,
                         .schema = worker->opts.schema,
                         .may_open = worker->opts.db_may_open};
    st = open_database(&db, "DATABASE_URL", &worker->db);
    if (st != ST_OK || !config->database_replica_url || worker->opts.role == ROLE_PROCESSOR)
        return st;
    db.url = config->database_replica_url;
    db.may_open = 0;
    db.pool_min = db.pool_max =
        1; /* one connection is enough to read at most one seat map per second and event */
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
                                           .stock = worker->stock,
                                           .keys = worker->keys,
                                           .jwks = worker->jwks,
                                           .health = opts->health,
                                           .client_limit = opts->client_limit,
                                           .port = (uint16_t)config->http_port,
                                           .deferred = (config->roles & ROLE_API) != 0,
                                           .metrics_port = (uint16_t)config->metrics_port,
                                           .connection_limit = opts->connection_limit,
                                           .limited_by_memory = opts->limited_by_memory},
                        &worker->api);
    if (opts->role == ROLE_GATEWAY)
        return gateway_open(&(struct gateway_opts){.loop = worker->loop,
                                                   .config = config,
                                                   .queue = worker->queue,
                                                   .catalog = worker->catalog,
                                                   .seat_maps = worker->seat_maps,
                                                   .keys = worker->keys,
                                                   .jwks = worker->jwks,
                                                   .client_limit = opts->client_limit,
                                                   .port = (uint16_t)config->ws_port,
                                                   .connection_limit = opts->connection_limit},
                            &worker->gateway);
    struct shop_health *shop = NULL;
    enum status st = config->health_url ? shop_health_new(worker->loop, config, &shop) : ST_OK;
    if (st != ST_OK)
        return st;
    worker->processor = processor_new(&(struct processor_opts){.loop = worker->loop,
                                                               .config = config,
                                                               .queue = worker->queue,
                                                               .db = worker->db,
                                                               .shop = shop});
    st = mailer_new(&(struct mailer_opts){.loop = worker->loop, .config = config, .db = worker->db},
                    &worker->mailer);
    if (st == ST_OK)
        st = pusher_new(
            &(struct pusher_opts){.loop = worker->loop, .config = config, .db = worker->db},
            &worker->pusher);
    if (st == ST_OK)
        st = courier_new(
            &(struct courier_opts){.loop = worker->loop, .config = config, .db = worker->db},
            &worker->courier);
    return st;
}

static void on_jwks(void *arg, struct jws_ring *ring)
{
    struct worker *worker = arg;
    token_keys_fetched(worker->keys, ring);
}

/* False: it is another address than before, whose keys are no longer ours. */
static bool point_jwks(struct worker *worker, const char *url)
{
    return worker->jwks &&
           jwks_set_url(worker->jwks, url, url && strncasecmp(url, "http://", 7) == 0);
}

/* Fetches the shop's keys, where tokens are read. */
static enum status open_jwks(struct worker *worker)
{
    const struct config *config = worker->opts.config;
    if (worker->opts.role == ROLE_PROCESSOR || (config->roles & worker->opts.role) == 0)
        return ST_OK;
    const enum status st =
        http_client_new(&(struct http_client_opts){.loop = worker->loop,
                                                   .at_once = 1,
                                                   .queue_max = 1,
                                                   .allow = config->outbound_allow,
                                                   .ca_file = config->outbound_ca_file},
                        &worker->http);
    if (st != ST_OK)
        return st;
    worker->jwks = jwks_new(&(struct jwks_opts){.loop = worker->loop,
                                                .http = worker->http,
                                                .name = "JWT_JWKS_URL",
                                                .fetched = METRIC_SHOP_KEYS_FETCHED,
                                                .failed = METRIC_SHOP_KEYS_FAILED,
                                                .refreshes = true,
                                                .on_keys = on_jwks,
                                                .arg = worker});
    (void)point_jwks(worker, config->jwt_jwks_url);
    return ST_OK;
}

static enum status build(struct worker *worker)
{
    const struct config *config = worker->opts.config;
    char error[160] = "";
    worker->loop = loop_new();
    enum status st = token_keys_new(config, &worker->keys, error, sizeof(error));
    if (st != ST_OK) {
        log_error("signing keys cannot be used", LOG_TEXT("error", error));
        return st;
    }
    st = open_backends(worker);
    if (st == ST_OK)
        st = open_jwks(worker);
    if (st != ST_OK)
        return st;
    worker->queue = queue_new(worker->loop, worker->redis, config);
    queue_set_sub(worker->queue, worker->sub);
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
    worker->stock = stock_cache_new(worker->loop, worker->seat_maps);
    return open_role(worker);
}

/* ---- serving ---- */

/* The pod is ready when each worker serves and has reached both backends: the line comes once, later than readiness if
 * they are down at first. */
static void say_when_ready(struct worker *worker)
{
    if (!redis_whole(worker->redis) || !db_up(worker->db))
        loop_timer_set(worker->serve_timer, UNUSABLE_POLL_MS);
    else if (--worker->opts.health->unreached == 0)
        log_info("ready", LOG_NUM("httpPort", worker->opts.config->http_port),
                 LOG_NUM("wsPort", worker->opts.config->ws_port));
}

/* Begins to serve as soon as the backends are reached: before, every request would be answered with 503, while another
 * pod could have answered it. A database that must not be used (its schema is another release's) is waited for without
 * end, since `tiketi migrate` may come: a rollout stops at such a pod, and db logs the reason every half a minute. A
 * process without the api role has nothing but probes on its HTTP port: that is open. */
static void serve_when_answering(void *arg)
{
    struct worker *worker = arg;
    const bool redis = redis_whole(worker->redis), db = db_up(worker->db);
    const bool late = loop_now_ms(worker->loop) >= worker->serve_by_ms;
    const bool has_keys = !worker->jwks || jwks_is_settled(worker->jwks);
    const bool unusable = db_state(worker->db).fault > DB_FAULT_REACH;
    enum status st = ST_OK;
    if (worker->serves) {
        say_when_ready(worker);
        return;
    }
    if (unusable || (!late && !(redis && db && worker->subscribed && has_keys))) {
        loop_timer_set(worker->serve_timer, unusable ? UNUSABLE_POLL_MS : BACKENDS_POLL_MS);
        return;
    }
    if (!redis || !db)
        log_warn("serving before the backends are reached",
                 LOG_TEXT("redis", redis ? "up" : "down"),
                 LOG_TEXT("postgres", db ? "up" : "down"));
    if (worker->api && (worker->opts.config->roles & ROLE_API) != 0)
        st = api_listen(worker->api);
    else if (worker->gateway)
        st = gateway_listen(worker->gateway);
    /* A worker that cannot listen leaves the process unready, so that the orchestrator starts it again. */
    if (st != ST_OK)
        return;
    worker->serves = true;
    --worker->opts.health->starting;
    say_when_ready(worker);
}

static void serve_begin(struct worker *worker)
{
    worker->serve_timer = loop_timer_new(worker->loop, serve_when_answering, worker);
    worker->serve_by_ms = loop_now_ms(worker->loop) + BACKENDS_MS;
    loop_timer_set(worker->serve_timer, 0);
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
    jwks_stop(worker->jwks);
    http_client_close(worker->http);
    worker->http = NULL;
}

/* Closes the topmost part that is left, and is that part's close callback. The pointer to the part is cleared first,
 * so that no callback of a backend reaches it any more. */
static void close_next(void *arg)
{
    struct worker *worker = arg;
    struct gateway *gateway = worker->gateway;
    struct processor *processor = worker->processor;
    struct mailer *mailer = worker->mailer;
    struct pusher *pusher = worker->pusher;
    struct courier *courier = worker->courier;
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
    if (mailer) { /* before stop_backends, since it records what the mail server answers */
        worker->mailer = NULL;
        mailer_close(mailer, close_next, worker);
        return;
    }
    if (pusher) { /* the same */
        worker->pusher = NULL;
        pusher_close(pusher, close_next, worker);
        return;
    }
    if (courier) { /* the same */
        worker->courier = NULL;
        courier_close(courier, close_next, worker);
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
        if (worker->queue)
            queue_set_sub(worker->queue, NULL);
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
    stock_cache_free(worker->stock);
    catalog_free(worker->catalog);
    queue_free(worker->queue);
    jwks_free(worker->jwks);
    token_keys_free(worker->keys);
    loop_timer_close(worker->serve_timer);
    loop_timer_close(worker->drain_timer);
    loop_stop(worker->loop);
}

/* ---- reload ---- */

struct reconfiguration {
    struct worker *worker;
    const struct config *config;
    struct token_keys *keys;
};

/* Keys first: an api that is told of a config finds its keys in force. */
static void reconfigure(void *arg)
{
    struct reconfiguration *step = arg;
    struct worker *worker = step->worker;
    const struct config *before = worker->config;
    token_keys_replace(worker->keys, step->keys, point_jwks(worker, step->config->jwt_jwks_url));
    worker->config = step->config;
    if (worker->api)
        api_reconfigure(worker->api, worker->config);
    if (worker->gateway)
        gateway_reconfigure(worker->gateway, worker->config);
    if (worker->pusher)
        pusher_reconfigure(worker->pusher, worker->config);
    config_free(before);
    free(step);
}

void worker_reconfigure(struct worker *worker, const struct config *config, struct token_keys *keys)
{
    struct reconfiguration *step = xcalloc(1, sizeof(*step));
    *step = (struct reconfiguration){.worker = worker, .config = config_ref(config), .keys = keys};
    loop_post(worker->loop, reconfigure, step);
}

/* ---- whether it turns ---- */

static void answer(void *arg)
{
    struct worker *worker = arg;
    atomic_store(&worker->owes_answer, false);
}

bool worker_ask(struct worker *worker)
{
    if (atomic_exchange(&worker->owes_answer, true))
        return false;
    loop_post(worker->loop, answer, worker);
    return true;
}

const char *worker_name(const struct worker *worker)
{
    return worker->name;
}

/* ---- drain ---- */

/* Runs every DRAIN_POLL_MS until the requests are answered and the sockets closed, then begins to close the parts.
 * That may wait for a backend, since the processor releases its leases. After the deadline nothing waits for a
 * backend. */
static void drain_poll(void *arg)
{
    struct worker *worker = arg;
    const bool late = loop_now_ms(worker->loop) >= worker->drain_deadline_ms;
    /* A client may be sending on a kept connection: the answer asks it to close. */
    const bool lingers = worker->api && api_connections(worker->api) > 0 &&
                         loop_now_ms(worker->loop) < worker->linger_until_ms;
    const bool busy = lingers || (worker->api && api_busy(worker->api) > 0) ||
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
    const uint64_t now = loop_now_ms(worker->loop);
    worker->drain_deadline_ms = now + grace_ms;
    worker->linger_until_ms = now + (grace_ms / 2 < LINGER_MS ? grace_ms / 2 : LINGER_MS);
    loop_timer_close(worker->serve_timer);
    worker->serve_timer = NULL;
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
    loop_name(worker->loop, worker->name);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->build_status = st;
    worker->is_built = true;
    (void)pthread_cond_signal(&worker->built);
    (void)pthread_mutex_unlock(&worker->mutex);
    if (st == ST_OK)
        serve_begin(worker);
    else
        close_next(worker);
    loop_run(worker->loop);
    loop_free(worker->loop);
    return NULL;
}

static void free_worker(struct worker *worker)
{
    (void)pthread_mutex_destroy(&worker->mutex);
    (void)pthread_cond_destroy(&worker->built);
    config_free(worker->config);
    free(worker);
}

enum status worker_start(const struct worker_opts *opts, struct worker **ret_worker)
{
    struct worker *worker = xcalloc(1, sizeof(*worker));
    worker->opts = *opts;
    worker->config = config_ref(opts->config);
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
