/* SPDX-License-Identifier: MIT */
/*
 * gateway: the sockets of one worker.
 *
 *   handshake (origin, guest cookie) -> first message within 5 s -> audience -> pushes -> close
 *   channel message -> audience of its event -> the subscribers it concerns
 *
 * Why this way: the gateway asks nobody and is asked by nobody: what it knows comes from the channel
 * (a hint, so quick), the rank index (once a second) and `seen` answers (the truth). So any pod can
 * hold any buyer's socket, whichever pod's processor lets him in.
 * Called by: worker. Owns: the ws server, audiences, subscribers, one timer, one idle handle.
 * Invariants: a socket that does not say in 5 s what it wants is closed; more than 10 messages a
 * second, or ten pieces of nonsense, end it. With Redis gone sockets stay and are told nothing; when
 * it is back everyone resumes in bounded batches.
 */
#include "gateway/gateway_internal.h"

#include "auth/identity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "net/http_text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_MESSAGE_MS    5000
#define MESSAGE_COST_MS     100  /* ten a second … */
#define MESSAGE_BURST_MS    2000 /* … twenty at once */
#define STRIKES_MAX         10
#define PING_MIN_MS         500
#define HEARTBEATS_MIN      2           /* in the time after which a buyer counts as silent */
#define PUSH_MAX            (64 * 1024) /* one message to a socket */
#define CHANNEL_PAYLOAD_MAX (8 << 20)   /* 500 admissions with their reservations */

/* Close codes of RFC 6455. */
enum { CLOSE_AWAY = 1001, CLOSE_POLICY = 1008 };

uint32_t gateway_random(struct gateway *gateway)
{
    uint32_t x = gateway->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return gateway->random = x; /* spreads timers; nothing secret */
}

/* ---- handshake ---- */

static void take_guest(struct subscriber *subscriber, const char *cookies)
{
    char id[GUEST_ID_LEN + 1];
    int64_t day;
    size_t len;
    const char *value = cookies ? http_cookie_find(cookies, IDENTITY_GUEST_COOKIE, &len) : NULL;
    if (!value || !token_read_guest(value, len, id, &day))
        return;
    subscriber_set_buyer(subscriber, id);
    subscriber->flags |= FLAG_GUEST;
}

static bool on_open(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake)
{
    struct gateway *gateway = arg;
    if (gateway->draining ||
        !identity_origin_allowed(gateway->opts.config->allowed_origins,
                                 *handshake->origin ? handshake->origin : NULL, handshake->host))
        return false;
    struct subscriber *subscriber = ws_conn_user(conn);
    subscriber->conn = conn;
    take_guest(subscriber, handshake->cookie);
    subscriber_unassign(gateway, subscriber);
    return true;
}

static void on_close(void *arg, struct ws_conn *conn)
{
    struct subscriber *subscriber = ws_conn_user(conn);
    subscriber_detach(arg, subscriber);
    free(subscriber->buyer);
    subscriber->buyer = NULL;
}

void subscriber_close(struct gateway *gateway, struct subscriber *subscriber, uint16_t code,
                      const char *reason)
{
    struct ws_conn *conn = subscriber->conn;
    subscriber_detach(gateway, subscriber);
    ws_conn_close(conn, code, reason);
}

/* ---- messages of a client ---- */

static void on_heartbeat(struct gateway *gateway, struct subscriber *subscriber,
                         const struct json *payload)
{
    (void)payload;
    if (subscriber->state != SUBSCRIBER_WAITING)
        subscriber->heartbeat_ms = 0; /* it is also a question: is he still inside? */
    subscriber_heartbeat(gateway, subscriber);
    subscriber_send_ack(gateway, subscriber);
}

static const struct {
    const char *event;
    void (*handle)(struct gateway *gateway, struct subscriber *subscriber,
                   const struct json *payload);
} client_messages[] = {
    {"heartbeat", on_heartbeat},
    {"join-queue", gateway_join_queue},
    {"leave-queue", gateway_leave_queue},
    {"watch-seats", gateway_watch_seats},
};

void subscriber_strike(struct gateway *gateway, struct subscriber *subscriber, const char *code,
                       const char *message)
{
    subscriber_send_error(gateway, subscriber, code, message);
    if (++subscriber->strikes >= STRIKES_MAX)
        subscriber_close(gateway, subscriber, CLOSE_POLICY, code);
}

/* The bucket as one number: the time at which it will be full again. */
static bool within_rate(struct gateway *gateway, struct subscriber *subscriber)
{
    uint32_t now = gateway_now(gateway);
    if ((int32_t)(subscriber->allowance_ms - now) < 0 || !subscriber->allowance_ms)
        subscriber->allowance_ms = now;
    if (subscriber->allowance_ms - now + MESSAGE_COST_MS > MESSAGE_BURST_MS)
        return false;
    subscriber->allowance_ms += MESSAGE_COST_MS;
    return true;
}

static void dispatch(struct gateway *gateway, struct subscriber *subscriber,
                     const struct json *message)
{
    const char *event = json_str(message, "event");
    const struct json *payload = json_get(message, "payload");
    if (!event || (payload && !json_is_object(payload) && !json_is_null(payload))) {
        subscriber_strike(gateway, subscriber, "invalid",
                          "A message is {\"event\": text, \"payload\": object}.");
        return;
    }
    for (size_t i = 0; i < sizeof(client_messages) / sizeof(client_messages[0]); i++) {
        if (strcmp(event, client_messages[i].event) == 0) {
            client_messages[i].handle(gateway, subscriber, payload);
            return;
        }
    }
    subscriber_strike(gateway, subscriber, "unknown-message", "There is no such message.");
}

static void on_message(void *arg, struct ws_conn *conn, const char *text, size_t len)
{
    struct gateway *gateway = arg;
    struct subscriber *subscriber = ws_conn_user(conn);
    struct json_error error = {{0}, {0}};
    if (subscriber->state == SUBSCRIBER_DETACHED)
        return;
    if (!within_rate(gateway, subscriber)) {
        subscriber_strike(gateway, subscriber, "too-many-messages",
                          "At most 10 messages a second.");
        return;
    }
    struct json *message = json_parse(text, len, WS_MESSAGE_MAX, &error);
    if (message && json_is_object(message))
        dispatch(gateway, subscriber, message);
    else
        subscriber_strike(gateway, subscriber, "invalid",
                          error.detail[0] ? error.detail : "Not a JSON object.");
    json_free(message);
}

static void on_pong(void *arg, struct ws_conn *conn)
{
    subscriber_heartbeat(arg, ws_conn_user(conn));
}

/* ---- messages of the channel ---- */

static void admit_one(struct gateway *gateway, struct audience *audience, const struct json *item)
{
    const char *buyer = json_str(item, "buyer");
    const char *place = json_str(item, "place");
    const struct json *reservation = json_get(item, "reservation");
    if (!buyer || !place || !audience_first(audience, buyer))
        return;
    struct admission admission = {.place = strtoull(place, NULL, 10),
                                  .epoch = (uint64_t)json_int(item, "epoch", 0),
                                  .since_ms = json_int(item, "since", 0)};
    if (reservation && json_is_object(reservation)) {
        buf_reset(&gateway->extra);
        json_write(reservation, &gateway->extra);
        if (!gateway->extra.failed) {
            admission.reservation = buf_str(&gateway->extra);
            admission.reservation_len = gateway->extra.len;
        }
    }
    audience_admit(audience, buyer, &admission);
}

static void on_admitted(struct gateway *gateway, struct audience *audience,
                        const struct json *payload)
{
    const struct json *buyers = json_get(payload, "buyers");
    for (size_t i = 0; buyers && i < json_array_len(buyers); i++)
        admit_one(gateway, audience, json_array_at(buyers, i));
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

static void on_text(struct gateway *gateway, struct audience *audience, const struct json *payload)
{
    const char *text = json_str(payload, "text");
    (void)gateway;
    if (text)
        audience_send_message(audience, text);
}

/* `handle` NULL: a hint that Redis has something new; the catalog reads it now instead of in a second. */
static const struct {
    const char *kind;
    void (*handle)(struct gateway *gateway, struct audience *audience, const struct json *payload);
} channel_messages[] = {
    {"admitted", on_admitted}, {"queue-updated", NULL}, {"event-status-changed", on_status_changed},
    {"config-changed", NULL},  {"queue-cleared", NULL}, {"message", on_text},
};

/* Of the messages of all events most concern no socket here: they are dropped unparsed. */
void gateway_on_message(struct gateway *gateway, const struct queue_message *message)
{
    const size_t count = sizeof(channel_messages) / sizeof(channel_messages[0]);
    struct audience *audience = audience_find(gateway, message->event);
    size_t i = 0;
    if (!audience) {
        /* An event that was unknown a moment ago may exist now. */
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
    struct json_error error = {{0}, {0}};
    struct json *payload = json_parse(message->payload, message->len, CHANNEL_PAYLOAD_MAX, &error);
    if (payload)
        channel_messages[i].handle(gateway, audience, payload);
    else
        log_warn("channel message malformed", LOG_TEXT("event", message->event),
                 LOG_TEXT("kind", message->kind), LOG_TEXT("detail", error.detail));
    json_free(payload);
}

/* ---- what else comes from Redis ---- */

static void resume_all(struct gateway *gateway)
{
    if (!++gateway->generation)
        gateway->generation = 1; /* 0 means: never */
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        audience->resuming = false;
        audience->resume_at = NULL;
        audience->resume_ms = 0;
        audience->load_ms = 0;
    }
}

void gateway_on_subscribed(struct gateway *gateway)
{
    resume_all(gateway);
}

void gateway_on_redis(struct gateway *gateway, bool up)
{
    if (up && !gateway->redis_up)
        resume_all(gateway);
    gateway->redis_up = up;
}

void gateway_on_refresh(struct gateway *gateway, const char *event)
{
    struct audience *audience = audience_find(gateway, event);
    if (audience)
        audience_refresh(audience);
}

/* ---- the tick ---- */

static void close_late(struct gateway *gateway)
{
    uint32_t now = gateway_now(gateway);
    while (gateway->unassigned && now - gateway->unassigned->sent_ms >= FIRST_MESSAGE_MS)
        subscriber_close(gateway, gateway->unassigned, CLOSE_POLICY, "join-queue expected");
}

static void drain_some(struct gateway *gateway)
{
    for (unsigned i = 0; gateway->draining && i < gateway->drain_step; i++) {
        const struct audience *audience = gateway->audiences;
        while (audience && !audience->subscribers)
            audience = audience->next; /* that one only waits for its event to load */
        struct subscriber *subscriber = audience ? audience->subscribers : gateway->unassigned;
        if (!subscriber)
            return;
        subscriber_send_draining(gateway, subscriber);
        subscriber_close(gateway, subscriber, CLOSE_AWAY, "draining");
    }
}

/* A waiting buyer without a heartbeat for silentMs is parked at the head, one inside without one for
 * idleTimeoutMs is evicted: pings come at least HEARTBEATS_MIN times in the shortest of these, whatever
 * WS_PING_MS is. Where every second pong of a waiting buyer is enough, the others are not told to Redis: with
 * a long queue heartbeats are most of what it is asked. */
static void plan_heartbeats(struct gateway *gateway)
{
    int64_t ping_ms = gateway->opts.config->ws_ping_ms;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        const struct event *event = catalog_event(gateway->opts.catalog, audience->id);
        audience->silent_ms = event ? event->silent_ms : gateway->opts.config->queue_silent_ms;
        const int64_t idle_ms = event ? event->idle_timeout_ms : audience->silent_ms;
        const int64_t shortest_ms = idle_ms < audience->silent_ms ? idle_ms : audience->silent_ms;
        if (shortest_ms / HEARTBEATS_MIN < ping_ms)
            ping_ms = shortest_ms / HEARTBEATS_MIN;
    }
    if (ping_ms < PING_MIN_MS)
        ping_ms = PING_MIN_MS;
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next)
        audience->heartbeat_rest_ms = (uint32_t)(2 * ping_ms <= audience->silent_ms / HEARTBEATS_MIN
                                                     ? 2 * ping_ms - ping_ms / 10
                                                     : ping_ms / 2);
    ws_set_ping(gateway->ws, (uint64_t)ping_ms);
}

/* Keeps the catalog's entries in use, and begins what was put off. */
static void every_second(struct gateway *gateway)
{
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        audience->asked = 0;
        if (audience->known && !catalog_event(gateway->opts.catalog, audience->id)) {
            audience->known = false; /* dropped there: load it again */
            audience->load_ms = 0;
        }
    }
    plan_heartbeats(gateway);
}

static void on_tick(void *arg)
{
    struct gateway *gateway = arg;
    uint64_t now = loop_now_ms(gateway->opts.loop);
    loop_timer_set(gateway->tick, GATEWAY_TICK_MS);
    close_late(gateway);
    drain_some(gateway);
    if (now - gateway->second_ms >= 1000) {
        gateway->second_ms = now;
        every_second(gateway);
    }
    for (struct audience *audience = gateway->audiences; audience; audience = audience->next) {
        /* Else nothing is told, and what there is to tell must not pile up. */
        if (gateway->redis_up)
            audience_look_at_seats(audience);
        audience_start_fanout(audience);
    }
    gateway_resume_some(gateway);
}

/* ---- life ---- */

static void gateway_free(struct gateway *gateway)
{
    assert(!gateway->audiences && !gateway->unassigned);
    table_clear(&gateway->audience_table);
    buf_clear(&gateway->text);
    buf_clear(&gateway->token);
    buf_clear(&gateway->extra);
    buf_clear(&gateway->numbers);
    free(gateway);
}

void gateway_call_ended(struct gateway *gateway)
{
    if (!--gateway->calls && gateway->closed)
        gateway_free(gateway);
}

enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway)
{
    struct gateway *gateway = xcalloc(1, sizeof(*gateway));
    gateway->opts = *opts;
    gateway->redis_up = true; /* until told otherwise: a question that fails is asked again */
    gateway->generation = 1;
    gateway->random = (uint32_t)clock_mono_ns() | 1;
    table_init(&gateway->audience_table);
    buf_init(&gateway->text, PUSH_MAX);
    buf_init(&gateway->token, PUSH_MAX);
    buf_init(&gateway->extra, PUSH_MAX);
    buf_init(&gateway->numbers, PUSH_MAX);
    enum status st = ws_open(&(struct ws_opts){.loop = opts->loop,
                                               .host = opts->config->http_host,
                                               .port = opts->port,
                                               .path = "/ws",
                                               .subprotocol = "tiketi.v1",
                                               .connection_limit = opts->connection_limit,
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

unsigned gateway_connections(const struct gateway *gateway)
{
    return ws_connections(gateway->ws);
}

void gateway_drain(struct gateway *gateway, uint64_t spread_ms)
{
    uint64_t ticks = spread_ms / GATEWAY_TICK_MS;
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
    gateway->idling = true; /* no fan-out begins any more */
    ws_close(gateway->ws, on_ws_closed, gateway);
}
