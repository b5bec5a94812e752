/* SPDX-License-Identifier: MIT */
/*
 * gateway: the WebSockets of one worker.
 *
 *   handshake (origin, guest cookie) -> first message within 5 s -> audience -> messages -> close
 *   channel message -> audience of its event -> the subscribers it concerns
 *
 * Why this way: the gateway learns everything from Redis: from channel messages (quick, but only hints), the rank
 * index (once a second) and the answers of scripts (the truth). So a buyer's socket may be on any pod, whichever
 * pod's processor admits the buyer.
 * Called by: worker. Owns: the ws server, audiences, subscribers, one timer, one idle handle.
 * Invariants: a socket without a valid join-queue or watch-seats within 5 s is closed; so is one with ten
 * invalid messages, those over 10 a second included.
 * Redis gone: sockets stay open and nothing is sent. When it is back the gateway asks it for every place, in bounded
 * batches.
 */
#include "gateway/gateway_internal.h"
#include "gateway/socketio_packet.h"

#include "auth/cookie_jar.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/shared_clock.h"
#include "net/client_ip.h"
#include "net/forwarded.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_MESSAGE_MS    5000
#define STRIKES_MAX         10
#define PING_MIN_MS         500
#define HEARTBEATS_MIN      2    /* least number of pings before a buyer counts as silent */
#define HEARTBEAT_BATCH_MS  1000 /* the longest that a heartbeat waits for its batch (queue.h) */
#define CHANNEL_PAYLOAD_MAX (8 << 20) /* bytes: 500 admissions with their reservations */

/* Close codes of RFC 6455. */
enum { CLOSE_AWAY = 1001, CLOSE_POLICY = 1008, CLOSE_UNAUTHORIZED = 4401, CLOSE_BANNED = 4403 };

/* ---- sockets ---- */

/* The host that the page's browser asked for: as a trusted proxy says, else Host. *text keeps it. */
static const char *host_of(const struct gateway *gateway, const struct ws_handshake *handshake,
                           char *text, size_t size)
{
    const struct forwarded headers = {.host = handshake->forwarded_host,
                                      .forwarded = handshake->forwarded};
    const char *host;
    size_t len;
    if (!forwarded_host(&headers, &host, &len) || len >= size ||
        !client_ip_trusted(client_limit_ip(gateway->opts.client_limit), handshake->peer))
        return handshake->host;
    memcpy(text, host, len);
    text[len] = '\0';
    return text;
}

static bool on_open(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake)
{
    struct gateway *gateway = arg;
    struct subscriber *subscriber = ws_conn_user(conn);
    const char *origin = *handshake->origin ? handshake->origin : NULL;
    const struct config *config = gateway->opts.config;
    char buyer[BUYER_ID_MAX + 1];
    int64_t day;
    char host[256];
    if (gateway->draining ||
        !identity_origin_allowed(gateway->opts.config->allowed_origins, origin,
                                 host_of(gateway, handshake, host, sizeof(host))))
        return false;
    subscriber->conn = conn;
    const struct cookie_jar jar = cookie_jar_of(handshake->cookie, false, NULL);
    if (config->oidc_issuer && config->oidc_buyers &&
        cookie_jar_signed_in(&jar, gateway->opts.keys, shared_clock_ms(), buyer)) {
        subscriber_set_buyer(subscriber, buyer);
    } else if (cookie_jar_guest(&jar, gateway->opts.keys, buyer, &day) ||
               cookie_jar_passed_guest(&jar, gateway->opts.keys, "", shared_clock_ms(), buyer)) {
        subscriber_set_buyer(subscriber, buyer);
        subscriber->flags |= FLAG_GUEST;
    }
    if (handshake->endpoint == ENDPOINT_SOCKETIO) {
        gateway_open_engine(gateway, subscriber);
        metrics_shift(GAUGE_WS_SOCKETIO, 1);
    }
    subscriber_unassign(gateway, subscriber);
    return true;
}

static void on_close(void *arg, struct ws_conn *conn)
{
    struct subscriber *subscriber = ws_conn_user(conn);
    subscriber_detach(arg, subscriber);
    free(subscriber->buyer);
    free(subscriber->return_url);
    subscriber->buyer = subscriber->return_url = NULL;
    if (subscriber->framing != FRAMING_RAW)
        metrics_shift(GAUGE_WS_SOCKETIO, -1);
}

void subscriber_close(struct gateway *gateway, struct subscriber *subscriber, uint16_t code,
                      const char *reason)
{
    struct ws_conn *conn = subscriber->conn;
    if (code == CLOSE_POLICY || code == CLOSE_UNAUTHORIZED || code == CLOSE_BANNED)
        subscriber_disconnect(subscriber);
    subscriber_detach(gateway, subscriber);
    ws_conn_close(conn, code, reason);
}

void subscriber_strike(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                       const char *message)
{
    subscriber_send_error(gateway, subscriber, code, message);
    subscriber_count_strike(gateway, subscriber, code);
}

void subscriber_count_strike(struct gateway *gateway, struct subscriber *subscriber,
                             const char *reason)
{
    if (++subscriber->strikes >= STRIKES_MAX)
        subscriber_close(gateway, subscriber, CLOSE_POLICY, reason);
}

/* ---- messages of a client ---- */

static void on_message(void *arg, struct ws_conn *conn, const char *text, size_t len)
{
    struct subscriber *subscriber = ws_conn_user(conn);
    if (subscriber->state == SUBSCRIBER_DETACHED)
        return;
    if (subscriber->framing == FRAMING_RAW)
        gateway_on_text(arg, subscriber, text, len);
    else
        gateway_on_packet(arg, subscriber, text, len);
}

static void on_pong(void *arg, struct ws_conn *conn)
{
    subscriber_heartbeat(arg, ws_conn_user(conn));
}

/* ---- messages of the channel ---- */

static void on_admitted(struct gateway *gateway, struct audience *audience,
                        const struct json *payload)
{
    const struct json *buyers = json_get(payload, "buyers");
    for (size_t i = 0; buyers && i < json_array_len(buyers); i++) {
        const struct json *item = json_array_at(buyers, i);
        const struct json *reservation = json_get(item, "reservation");
        const char *buyer = json_str(item, "buyer");
        const char *place = json_str(item, "place");
        if (!buyer || !place || !audience_first_of_buyer(audience, buyer))
            continue;
        struct admission admission = {.place = strtoull(place, NULL, 10),
                                      .epoch = (uint64_t)json_int(item, "epoch", 0),
                                      .since_ms = json_int(item, "since", 0),
                                      .claimed = json_bool(item, "claimed", false)};
        if (reservation && json_is_object(reservation)) {
            admission.reserved = true;
            buf_reset(&gateway->extra);
            json_write(reservation, &gateway->extra);
            if (!gateway->extra.failed) {
                admission.reservation = buf_str(&gateway->extra);
                admission.reservation_len = gateway->extra.len;
            }
        }
        audience_admit(audience, buyer, &admission);
    }
}

static void on_status_changed(struct gateway *gateway, struct audience *audience,
                              const struct json *payload)
{
    enum event_status status;
    const char *name = json_str(payload, "status");
    catalog_hint(gateway->opts.catalog, audience->id);
    if (name && event_status_parse(name, &status) == ST_OK)
        audience_set_status(audience, status, json_int(payload, "version", 0), 0);
}

static void on_organizer_message(struct gateway *gateway, struct audience *audience,
                                 const struct json *payload)
{
    const char *text = json_str(payload, "text");
    (void)gateway;
    if (text)
        audience_send_message(audience, text, json_get(payload, "texts"));
}

/* `handle` NULL: only a hint that Redis has something new, which the catalog then reads at once instead of within a
 * second. */
static void on_banned(struct gateway *gateway, struct audience *audience,
                      const struct json *payload)
{
    const char *buyer = json_str(payload, "buyer");
    (void)gateway;
    if (buyer)
        audience_shut_out(audience, buyer);
}

static const struct {
    const char *kind;
    void (*handle)(struct gateway *gateway, struct audience *audience, const struct json *payload);
} channel_messages[] = {
    {"admitted", on_admitted}, {"queue-updated", NULL}, {"event-status-changed", on_status_changed},
    {"config-changed", NULL},  {"queue-cleared", NULL}, {"message", on_organizer_message},
    {"banned", on_banned},
};

void gateway_on_message(struct gateway *gateway, const struct queue_message *message)
{
    const size_t count = sizeof(channel_messages) / sizeof(channel_messages[0]);
    struct audience *audience = audience_find(gateway, message->event);
    size_t i = 0;
    if (!audience) { /* most messages: every worker receives those of all events */
        /* The event may be new: the catalog must forget that it is unknown. */
        if (strcmp(message->kind, "config-changed") == 0)
            catalog_hint(gateway->opts.catalog, message->event);
        metrics_add(METRIC_MESSAGES_SKIPPED, 1);
        return;
    }
    while (i < count && strcmp(message->kind, channel_messages[i].kind) != 0)
        i++;
    if (i == count)
        return;
    if (!channel_messages[i].handle) {
        catalog_hint(gateway->opts.catalog, audience->id);
        return;
    }
    struct json_error error = {0};
    struct json *payload = json_parse(message->payload, message->len, CHANNEL_PAYLOAD_MAX, &error);
    if (payload)
        channel_messages[i].handle(gateway, audience, payload);
    else
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", message->kind), LOG_TEXT("error", error.detail));
    json_free(payload);
}

/* ---- other news from Redis ---- */

/* Messages or writes may have been lost: Redis has to be asked again for every event and place. */
static void new_generation(struct gateway *gateway)
{
    if (!++gateway->generation)
        gateway->generation = 1; /* 0 stands for a place that is not known */
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        audience->resuming = false;
        audience->resume_at = NULL;
        audience->resume_ms = 0;
        audience->load_ms = 0;
    }
}

void gateway_on_subscribed(struct gateway *gateway)
{
    new_generation(gateway);
}

void gateway_on_redis(struct gateway *gateway, bool up)
{
    if (up && !gateway->redis_up)
        new_generation(gateway);
    gateway->redis_up = up;
}

void gateway_on_refresh(struct gateway *gateway, const char *event)
{
    struct audience *audience = audience_find(gateway, event);
    if (audience)
        audience_refresh(audience);
}

/* ---- the tick ---- */

/* Closes the next drain_step sockets. */
static void drain_some(struct gateway *gateway)
{
    for (unsigned i = 0; i < gateway->drain_step; i++) {
        const struct audience *audience = gateway->audiences;
        while (audience && !audience->subscribers)
            audience = audience->next; /* has no sockets left: it only waits for catalog_load */
        struct subscriber *subscriber = audience                   ? audience->subscribers
                                        : gateway->connected.first ? gateway->connected.first
                                                                   : gateway->unassigned.first;
        if (!subscriber)
            return;
        subscriber_send_draining(gateway, subscriber);
        subscriber_close(gateway, subscriber, CLOSE_AWAY, "draining");
    }
}

/* The event's silentMs; the default of the process while the event is not loaded. */
static int64_t silent_ms_of(const struct audience *audience, const struct event *event)
{
    return event ? event->silent_ms : audience->gateway->opts.config->queue_silent_ms;
}

/* Sets how often heartbeats of this audience's waiting buyers are passed to Redis. */
static void audience_plan_heartbeats(struct audience *audience)
{
    const struct gateway *gateway = audience->gateway;
    const int64_t silent_ms =
        silent_ms_of(audience, catalog_event(gateway->opts.catalog, audience->id));
    const int64_t ping_ms = gateway->ping_ms;
    /* A little less than two pings, so that jitter does not make it three. */
    audience->heartbeat_rest_ms =
        (uint32_t)(2 * ping_ms <= silent_ms / HEARTBEATS_MIN ? 2 * ping_ms - ping_ms / 10
                                                             : ping_ms / 2);
}

/* A waiting buyer without a heartbeat for silentMs is parked, and a buyer inside without one for idleTimeoutMs is
 * evicted. So there are at least HEARTBEATS_MIN pings in the shortest of these times of all events here, less the time that
 * the last heartbeat waits for its batch, whatever WS_PING_MS says. Where every second pong of a waiting buyer is enough, the
 * others are not passed on: with a long queue, heartbeats are most of the work of Redis. */
void gateway_plan_heartbeats(struct gateway *gateway)
{
    int64_t ping_ms = gateway->opts.config->ws_ping_ms;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
        const int64_t silent_ms = silent_ms_of(audience, event);
        const int64_t idle_ms = event ? event->idle_timeout_ms : silent_ms;
        const int64_t shortest_ms = idle_ms < silent_ms ? idle_ms : silent_ms;
        if ((shortest_ms - HEARTBEAT_BATCH_MS) / HEARTBEATS_MIN < ping_ms)
            ping_ms = (shortest_ms - HEARTBEAT_BATCH_MS) / HEARTBEATS_MIN;
    }
    gateway->ping_ms = ping_ms < PING_MIN_MS ? PING_MIN_MS : ping_ms;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next)
        audience_plan_heartbeats(audience);
    ws_set_ping(gateway->ws, (uint64_t)gateway->ping_ms);
}

static void on_tick(void *arg)
{
    struct gateway *gateway = arg;
    const uint64_t now = loop_now_ms(gateway->opts.loop);
    loop_timer_set(gateway->tick, GATEWAY_TICK_MS);
    const struct subscriber *oldest;
    while ((oldest = gateway->unassigned.first) &&
           (uint32_t)now - oldest->sent_ms >= FIRST_MESSAGE_MS)
        subscriber_close(gateway, gateway->unassigned.first, CLOSE_POLICY, "join-queue expected");
    if (gateway->draining)
        drain_some(gateway);
    if (now - gateway->second_ms >= 1000) {
        gateway->second_ms = now;
        for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
            audience->asked = 0;
            /* catalog_event also keeps the catalog from forgetting an event with an audience. */
            if (audience->known && !catalog_event(gateway->opts.catalog, audience->id)) {
                audience->known = false;
                audience->load_ms = 0;
            }
        }
        gateway_plan_heartbeats(gateway);
    }
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        /* Without Redis no fan-out begins, so seats-changed messages would pile up. */
        if (gateway->redis_up)
            audience_look_at_seats(audience);
        audience_start_fanout(audience);
    }
    gateway_resume_some(gateway);
}

/* ---- life ---- */

static void gateway_free(struct gateway *gateway)
{
    assert(!gateway->audiences && !gateway->unassigned.first && !gateway->connected.first);
    table_clear(&gateway->audience_table);
    buf_clear(&gateway->text);
    buf_clear(&gateway->token);
    buf_clear(&gateway->extra);
    buf_clear(&gateway->numbers);
    buf_clear(&gateway->numbers_framed);
    free(gateway);
}

void gateway_call_ended(struct gateway *gateway)
{
    if (!--gateway->calls && gateway->closed)
        gateway_free(gateway);
}

void gateway_reconfigure(struct gateway *gateway, const struct config *config)
{
    gateway->opts.config = config;
}

/* The paths that the gateway answers, below PATH_PREFIX. */
static void set_endpoints(struct gateway *gateway)
{
    struct ws_endpoint *endpoints = gateway->endpoints;
    const char *prefix = config_prefix(gateway->opts.config);
    endpoints[ENDPOINT_RAW] = (struct ws_endpoint){.path = "/ws", .subprotocol = "tiketi.v1"};
    endpoints[ENDPOINT_SOCKETIO] =
        (struct ws_endpoint){.path = "/socket.io/", .ping = "2", .refuse = socketio_refuse};
    for (int i = 0; i < ENDPOINTS; i++) {
        (void)snprintf(gateway->paths[i], sizeof(gateway->paths[i]), "%s%s", prefix,
                       endpoints[i].path);
        endpoints[i].path = gateway->paths[i];
    }
}

enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway)
{
    struct gateway *gateway = xcalloc(1, sizeof(*gateway));
    gateway->opts = *opts;
    gateway->redis_up =
        true; /* until gateway_on_redis says otherwise: a call that fails is repeated anyway */
    gateway->generation = 1;
    gateway->ping_ms = opts->config->ws_ping_ms;
    gateway->random = (uint32_t)clock_mono_ns() | 1;
    table_init(&gateway->audience_table);
    buf_init(&gateway->text, WS_SEND_QUEUE_MAX);
    buf_init(&gateway->token, WS_SEND_QUEUE_MAX);
    buf_init(&gateway->extra, WS_SEND_QUEUE_MAX);
    buf_init(&gateway->numbers, WS_SEND_QUEUE_MAX);
    buf_init(&gateway->numbers_framed, WS_SEND_QUEUE_MAX);
    set_endpoints(gateway);
    const enum status st = ws_open(&(struct ws_opts){.loop = opts->loop,
                                                     .host = opts->config->http_host,
                                                     .port = opts->port,
                                                     .deferred = true,
                                                     .endpoints = gateway->endpoints,
                                                     .endpoint_count = ENDPOINTS,
                                                     .connection_limit = opts->connection_limit,
                                                     .limit = opts->client_limit,
                                                     .ping_ms = (uint64_t)opts->config->ws_ping_ms,
                                                     .conn_user_size = sizeof(struct subscriber),
                                                     .on_open = on_open,
                                                     .on_message = on_message,
                                                     .on_pong = on_pong,
                                                     .on_close = on_close,
                                                     .arg = gateway},
                                   &gateway->ws);
    if (st != ST_OK) {
        gateway_free(gateway);
        return st;
    }
    gateway->idle = loop_idle_new(opts->loop, gateway_fanout_step, gateway);
    gateway->tick = loop_timer_new(opts->loop, on_tick, gateway);
    loop_timer_set(gateway->tick, GATEWAY_TICK_MS);
    *ret_gateway = gateway;
    return ST_OK;
}

enum status gateway_listen(struct gateway *gateway)
{
    return ws_listen_now(gateway->ws);
}

unsigned gateway_connections(const struct gateway *gateway)
{
    return ws_connections(gateway->ws);
}

void gateway_drain(struct gateway *gateway, uint64_t spread_ms)
{
    const uint64_t ticks = spread_ms / GATEWAY_TICK_MS;
    ws_quiesce(gateway->ws);
    gateway->draining = true;
    gateway->drain_step = ws_connections(gateway->ws) / (unsigned)(ticks ? ticks : 1) + 1;
}

static void on_ws_closed(void *arg)
{
    struct gateway *gateway = arg;
    loop_cb cb = gateway->close_cb;
    void *cb_arg = gateway->close_arg;
    gateway->closed = true;
    if (!gateway->calls)
        gateway_free(gateway);
    if (cb)
        cb(cb_arg);
}

void gateway_close(struct gateway *gateway, loop_cb cb, void *arg)
{
    gateway->close_cb = cb;
    gateway->close_arg = arg;
    gateway->draining = true;
    gateway->drain_step = 0;
    loop_timer_close(gateway->tick);
    loop_idle_close(gateway->idle);
    gateway->idle = NULL;
    gateway->idling = true; /* so that audience_start_fanout does not start the closed handle */
    ws_close(gateway->ws, on_ws_closed, gateway);
}
