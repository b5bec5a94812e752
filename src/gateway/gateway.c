/* SPDX-License-Identifier: MIT */
/*
 * gateway: the sockets of one worker.
 *
 *   handshake (origin, guest cookie) -> first message within 5 s -> room -> pushes -> close
 *   channel message -> room of its event -> the visitors it concerns
 *
 * Why this way: the gateway asks nobody and is asked by nobody: what it knows comes from the channel
 * (a hint, so quick), the rank index (once a second) and `seen` answers (the truth). So any pod can
 * hold any buyer's socket, whichever pod's processor lets him in.
 * Called by: worker. Owns: the ws server, rooms, visitors, one timer, one idle handle.
 * Invariants: a socket that does not say in 5 s what it wants is closed; more than 10 messages a
 * second, or ten pieces of nonsense, end it. With Redis gone sockets stay and are told nothing; when
 * it is back everyone resumes in bounded batches.
 */
#include "gateway/gateway_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/client_ip.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_MESSAGE_MS 5000
#define MESSAGE_COST_MS  100  /* ten a second … */
#define MESSAGE_BURST_MS 2000 /* … twenty at once */
#define STRIKES_MAX      10
#define PING_MIN_MS      500
#define SIGNS_LEAST      2           /* in the time after which a buyer counts as silent */
#define PUSH_MAX         (64 * 1024) /* one message to a socket */
#define CHANNEL_MAX      (8 << 20)   /* one message of the channel: 500 entries with reservations */
#define GUEST_COOKIE     "tiketi_guest="

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

static bool origin_allowed(const struct config *config, const char *origin, const char *host)
{
    if (!*origin)
        return true;
    if (config->allowed_origins)
        return client_ip_origin_listed(config->allowed_origins, origin);
    const char *named = strstr(origin, "://");
    if (!named)
        return false; /* "null": a sandboxed page */
    return client_ip_same_host(named + 3, host);
}

static void take_guest(struct visitor *visitor, const char *cookie)
{
    for (const char *at = cookie; at && *at; at = strchr(at, ';')) {
        char id[GUEST_ID_LEN + 1];
        int64_t day;
        at += strspn(at, "; ");
        if (strncmp(at, GUEST_COOKIE, strlen(GUEST_COOKIE)) != 0)
            continue;
        const char *value = at + strlen(GUEST_COOKIE);
        if (!token_read_guest(value, strcspn(value, "; "), id, &day))
            continue;
        visitor_set_buyer(visitor, id);
        visitor->flags |= FLAG_GUEST;
        return;
    }
}

static bool on_open(void *arg, struct ws_conn *conn, const struct ws_handshake *handshake)
{
    struct gateway *gateway = arg;
    if (gateway->draining ||
        !origin_allowed(gateway->opts.config, handshake->origin, handshake->host))
        return false;
    struct visitor *visitor = ws_conn_user(conn);
    visitor->conn = conn;
    take_guest(visitor, handshake->cookie);
    visitor_to_fresh(gateway, visitor);
    return true;
}

static void on_close(void *arg, struct ws_conn *conn)
{
    struct visitor *visitor = ws_conn_user(conn);
    visitor_detach(arg, visitor);
    free(visitor->buyer);
    visitor->buyer = NULL;
}

void visitor_close(struct gateway *gateway, struct visitor *visitor, uint16_t code,
                   const char *reason)
{
    struct ws_conn *conn = visitor->conn;
    visitor_detach(gateway, visitor);
    ws_conn_close(conn, code, reason);
}

/* ---- messages of a client ---- */

static void on_heartbeat(struct gateway *gateway, struct visitor *visitor,
                         const struct json *payload)
{
    (void)payload;
    if (visitor->state != VISITOR_WAITING)
        visitor->sign_ms = 0; /* it is also a question: is he still inside? */
    visitor_alive(gateway, visitor);
    visitor_ack(gateway, visitor);
}

static const struct {
    const char *event;
    void (*handle)(struct gateway *gateway, struct visitor *visitor, const struct json *payload);
} client_messages[] = {
    {"heartbeat", on_heartbeat},
    {"join-queue", gateway_join_queue},
    {"leave-queue", gateway_leave_queue},
    {"watch-seats", gateway_watch_seats},
};

void visitor_strike(struct gateway *gateway, struct visitor *visitor, const char *code,
                    const char *message)
{
    visitor_error(gateway, visitor, code, message);
    if (++visitor->strikes >= STRIKES_MAX)
        visitor_close(gateway, visitor, CLOSE_POLICY, code);
}

/* The bucket as one number: the time at which it will be full again. */
static bool within_rate(struct gateway *gateway, struct visitor *visitor)
{
    uint32_t now = gateway_now(gateway);
    if ((int32_t)(visitor->allowance_ms - now) < 0 || !visitor->allowance_ms)
        visitor->allowance_ms = now;
    if (visitor->allowance_ms - now + MESSAGE_COST_MS > MESSAGE_BURST_MS)
        return false;
    visitor->allowance_ms += MESSAGE_COST_MS;
    return true;
}

static void dispatch(struct gateway *gateway, struct visitor *visitor, const struct json *message)
{
    const char *event = json_str(message, "event");
    const struct json *payload = json_get(message, "payload");
    if (!event || (payload && !json_is_object(payload) && !json_is_null(payload))) {
        visitor_strike(gateway, visitor, "invalid",
                       "A message is {\"event\": text, \"payload\": object}.");
        return;
    }
    for (size_t i = 0; i < sizeof(client_messages) / sizeof(client_messages[0]); i++) {
        if (strcmp(event, client_messages[i].event) == 0) {
            client_messages[i].handle(gateway, visitor, payload);
            return;
        }
    }
    visitor_strike(gateway, visitor, "unknown-message", "There is no such message.");
}

static void on_message(void *arg, struct ws_conn *conn, const char *text, size_t len)
{
    struct gateway *gateway = arg;
    struct visitor *visitor = ws_conn_user(conn);
    struct json_error error = {{0}, {0}};
    if (visitor->state == VISITOR_NOWHERE)
        return;
    if (!within_rate(gateway, visitor)) {
        visitor_strike(gateway, visitor, "too-many-messages", "At most 10 messages a second.");
        return;
    }
    struct json *message = json_parse(text, len, WS_MESSAGE_MAX, &error);
    if (message && json_is_object(message))
        dispatch(gateway, visitor, message);
    else
        visitor_strike(gateway, visitor, "invalid",
                       error.detail[0] ? error.detail : "Not a JSON object.");
    json_free(message);
}

static void on_pong(void *arg, struct ws_conn *conn)
{
    visitor_alive(arg, ws_conn_user(conn));
}

/* ---- messages of the channel ---- */

static void admit_one(struct gateway *gateway, struct room *room, const struct json *item)
{
    const char *buyer = json_str(item, "buyer");
    const char *place = json_str(item, "place");
    const struct json *reservation = json_get(item, "reservation");
    if (!buyer || !place || !room_first(room, buyer))
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
    room_admit(room, buyer, &admission);
}

static void on_admitted(struct gateway *gateway, struct room *room, const struct json *payload)
{
    const struct json *buyers = json_get(payload, "buyers");
    for (size_t i = 0; buyers && i < json_array_len(buyers); i++)
        admit_one(gateway, room, json_array_at(buyers, i));
}

static void on_status_changed(struct gateway *gateway, struct room *room,
                              const struct json *payload)
{
    enum event_status status;
    const char *name = json_str(payload, "status");
    catalog_hint(gateway->opts.catalog, room->id);
    if (name && event_status_parse(name, &status) == ST_OK)
        room_status_news(room, status, json_int(payload, "version", 0), 0);
}

static void on_text(struct gateway *gateway, struct room *room, const struct json *payload)
{
    const char *text = json_str(payload, "text");
    (void)gateway;
    if (text)
        room_message_news(room, text);
}

/* The truth is in Redis: look now instead of in a second. */
static void on_hint(struct gateway *gateway, struct room *room, const struct json *payload)
{
    (void)payload;
    catalog_hint(gateway->opts.catalog, room->id);
}

static const struct {
    const char *event;
    void (*handle)(struct gateway *gateway, struct room *room, const struct json *payload);
} channel_messages[] = {
    {"admitted", on_admitted},
    {"queue-updated", on_hint},
    {"event-status-changed", on_status_changed},
    {"config-changed", on_hint},
    {"queue-cleared", on_hint},
    {"message", on_text},
};

void gateway_on_message(struct gateway *gateway, const char *data, size_t len)
{
    struct json_error error = {{0}, {0}};
    struct json *message = json_parse(data, len, CHANNEL_MAX, &error);
    const char *event = message ? json_str(message, "event") : NULL;
    const struct json *payload = message ? json_get(message, "payload") : NULL;
    const char *id = payload ? json_str(payload, "eventId") : NULL;
    struct room *room = event && id ? room_find(gateway, id) : NULL;
    if (!event || !id)
        log_warn("a message of the channel makes no sense", LOG_NUM("bytes", len),
                 LOG_TEXT("detail", error.detail));
    if (event && id && !room && strcmp(event, "config-changed") == 0)
        catalog_hint(gateway->opts.catalog,
                     id); /* asked for in vain a moment ago, it may be there now */
    for (size_t i = 0; room && i < sizeof(channel_messages) / sizeof(channel_messages[0]); i++) {
        if (strcmp(event, channel_messages[i].event) == 0) {
            channel_messages[i].handle(gateway, room, payload);
            break;
        }
    }
    json_free(message);
}

/* ---- what else comes from Redis ---- */

static void look_again(struct gateway *gateway)
{
    if (!++gateway->generation)
        gateway->generation = 1; /* 0 means: never */
    for (struct room *room = gateway->rooms; room; room = room->next) {
        room->resuming = false;
        room->resume_at = NULL;
        room->resume_ms = 0;
        room->load_ms = 0;
    }
}

void gateway_on_subscribed(struct gateway *gateway)
{
    look_again(gateway);
}

void gateway_on_redis(struct gateway *gateway, bool up)
{
    if (up && !gateway->redis_up)
        look_again(gateway);
    gateway->redis_up = up;
}

void gateway_on_refresh(struct gateway *gateway, const char *event)
{
    struct room *room = room_find(gateway, event);
    if (room)
        room_refresh(room);
}

/* ---- the pulse ---- */

static void close_silent(struct gateway *gateway)
{
    uint32_t now = gateway_now(gateway);
    while (gateway->fresh && now - gateway->fresh->at_ms >= FIRST_MESSAGE_MS)
        visitor_close(gateway, gateway->fresh, CLOSE_POLICY, "join-queue expected");
}

static void drain_some(struct gateway *gateway)
{
    for (unsigned i = 0; gateway->draining && i < gateway->drain_step; i++) {
        const struct room *room = gateway->rooms;
        while (room && !room->visitors)
            room = room->next; /* that one only waits for its event to load */
        struct visitor *visitor = room ? room->visitors : gateway->fresh;
        if (!visitor)
            return;
        visitor_goodbye(gateway, visitor);
        visitor_close(gateway, visitor, CLOSE_AWAY, "draining");
    }
}

/* Keeps the catalog's entries in use, and begins what was put off. */
static void every_second(struct gateway *gateway)
{
    for (struct room *room = gateway->rooms; room; room = room->next) {
        room->asked = 0;
        if (room->known && !catalog_event(gateway->opts.catalog, room->id)) {
            room->known = false; /* dropped there: load it again */
            room->load_ms = 0;
        }
    }
}

static void on_pulse(void *arg)
{
    struct gateway *gateway = arg;
    uint64_t now = loop_now_ms(gateway->opts.loop);
    loop_timer_set(gateway->pulse, GATEWAY_PULSE_MS);
    close_silent(gateway);
    drain_some(gateway);
    if (now - gateway->second_ms >= 1000) {
        gateway->second_ms = now;
        every_second(gateway);
    }
    for (struct room *room = gateway->rooms; room; room = room->next) {
        /* Else nothing is told, and what there is to tell must not pile up. */
        if (gateway->redis_up)
            room_seats_look(room);
        room_walk(room);
    }
    gateway_resume_some(gateway);
}

/* ---- life ---- */

static void gateway_free(struct gateway *gateway)
{
    assert(!gateway->rooms && !gateway->fresh);
    table_clear(&gateway->room_table);
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

/* Who is silent for QUEUE_SILENT_MS is parked at the head, who is idle inside is put out: pings are so close
 * together that neither comes to one whose socket lives. Where that leaves room, of who waits every second
 * pong is told: with a long queue those signs are most of what Redis is asked for. */
static uint64_t plan_signs(struct gateway *gateway)
{
    const struct config *config = gateway->opts.config;
    const int64_t rare_ms = config->queue_silent_ms / SIGNS_LEAST;
    int64_t ping_ms = config->ws_ping_ms;
    if (rare_ms < ping_ms)
        ping_ms = rare_ms;
    if (config->queue_idle_timeout_ms / SIGNS_LEAST < ping_ms)
        ping_ms = config->queue_idle_timeout_ms / SIGNS_LEAST;
    if (ping_ms < PING_MIN_MS)
        ping_ms = PING_MIN_MS;
    gateway->sign_rest_ms =
        (uint32_t)(2 * ping_ms <= rare_ms ? 2 * ping_ms - ping_ms / 10 : ping_ms / 2);
    return (uint64_t)ping_ms;
}

enum status gateway_open(const struct gateway_opts *opts, struct gateway **ret_gateway)
{
    struct gateway *gateway = xcalloc(1, sizeof(*gateway));
    gateway->opts = *opts;
    gateway->redis_up = true; /* until told otherwise: a question that fails is asked again */
    gateway->generation = 1;
    gateway->random = (uint32_t)clock_mono_ns() | 1;
    table_init(&gateway->room_table);
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
                                               .ping_ms = plan_signs(gateway),
                                               .conn_user_size = sizeof(struct visitor),
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
    gateway->idle = loop_idle_new(opts->loop, gateway_step, gateway);
    gateway->pulse = loop_timer_new(opts->loop, on_pulse, gateway);
    loop_timer_set(gateway->pulse, GATEWAY_PULSE_MS);
    *ret_gateway = gateway;
    return ST_OK;
}

unsigned gateway_connections(const struct gateway *gateway)
{
    return ws_connections(gateway->ws);
}

void gateway_drain(struct gateway *gateway, uint64_t spread_ms)
{
    uint64_t pulses = spread_ms / GATEWAY_PULSE_MS;
    ws_quiesce(gateway->ws);
    gateway->draining = true;
    gateway->drain_step = ws_connections(gateway->ws) / (unsigned)(pulses ? pulses : 1) + 1;
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
    loop_timer_close(gateway->pulse);
    loop_idle_close(gateway->idle);
    gateway->idle = NULL;
    gateway->idling = true; /* no walk begins any more */
    ws_close(gateway->ws, on_ws_closed, gateway);
}
