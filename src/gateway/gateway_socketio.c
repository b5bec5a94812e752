/* SPDX-License-Identifier: MIT */
/*
 * gateway_socketio: sockets whose client speaks Socket.IO 5 over Engine.IO 4, the framing of tiketi's predecessor.
 *
 *   handshake -> 0{…} -> 40{"token"} within 5 s -> 40{"sid"} · 44{"message"}
 *             -> 42["join-queue", {…}] and so on, 42<n> is answered with 43<n>[]
 *   pings are text packets: ws sends "2", the client answers "3", which is what a pong is on a raw socket
 *
 * Why this way: only the framing is another. Who a buyer is, what they are told, the limits, and what a slow reader costs
 * are those of a raw socket; a message to many is framed once (gateway_push). An id of a session is never kept: no session
 * outlives its connection, and whoever comes back proves their place as ever. Only the namespace / exists.
 * Called by: gateway.c. Owns nothing. Invariants: no message goes to a client that has not connected to the namespace; a
 * packet that a client of this protocol does not send closes the connection; each packet costs a token.
 */
#include "gateway/gateway_internal.h"
#include "gateway/socketio_packet.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PING_TIMEOUT_MS 20000 /* beyond the interval between two pings, the client waits so long */
#define SID_SIZE        33
#define CLOSE_NORMAL    1000
#define CLOSE_PROTOCOL  1002
#define CLOSE_TRY_AGAIN 1013

/* ---- packets of our own ---- */

static void send_packet(struct subscriber *subscriber, const struct buf *packet)
{
    const enum status st =
        packet->failed ? ST_TOO_LARGE : ws_send(subscriber->conn, buf_str(packet), packet->len);
    if (st != ST_OK) /* ws closes the socket of a slow reader, and on_close follows */
        log_debug("socket.io packet not sent", LOG_TEXT("status", status_name(st)));
}

void gateway_open_engine(struct gateway *gateway, struct subscriber *subscriber)
{
    char sid[SID_SIZE];
    struct buf *packet = &gateway->text;
    subscriber->framing = FRAMING_ENGINE;
    token_random_hex(sid);
    buf_reset(packet);
    buf_printf(packet,
               "0{\"sid\":\"%s\",\"upgrades\":[],\"pingInterval\":%" PRId64
               ",\"pingTimeout\":%d,\"maxPayload\":%d}",
               sid, gateway->opts.config->ws_ping_ms, PING_TIMEOUT_MS, WS_MESSAGE_MAX);
    send_packet(subscriber, packet);
}

/* 44: the client is not connected to the namespace. `code` and `message` are static. */
static void send_refusal(struct gateway *gateway, struct subscriber *subscriber,
                         const struct socketio_packet *connect, const char *code,
                         const char *message)
{
    struct buf *packet = &gateway->text;
    buf_reset(packet);
    buf_add_str(packet, "44");
    if (connect->space_len > 1) {
        buf_add(packet, connect->space, connect->space_len);
        buf_add_char(packet, ',');
    }
    buf_add_str(packet, "{\"message\":");
    buf_add_json_str(packet, message, strlen(message));
    buf_printf(packet, ",\"data\":{\"code\":\"%s\"}}", code);
    send_packet(subscriber, packet);
}

void subscriber_disconnect(struct subscriber *subscriber)
{
    if (subscriber->framing == FRAMING_SOCKETIO && subscriber->state != SUBSCRIBER_DETACHED &&
        ws_send(subscriber->conn, "41", 2) != ST_OK)
        log_debug("socket.io disconnect not sent");
}

/* ---- rooms ---- */

void subscriber_send_room(struct subscriber *subscriber)
{
    const struct audience *audience = subscriber->audience;
    struct buf *text = &audience->gateway->text;
    if (!(subscriber->flags & FLAG_ROOM_DUE) || !audience->known)
        return;
    subscriber_unflag(subscriber, FLAG_ROOM_DUE);
    const uint64_t people = audience->queue_size + audience->active;
    buf_reset(text);
    buf_printf(
        text,
        "{\"event\":\"room-info\",\"payload\":{\"eventId\":\"%s\",\"userCount\":%" PRIu64 "}}",
        audience->id, people > audience->subscriber_count ? people : audience->subscriber_count);
    subscriber_send(subscriber, text);
}

static void on_join_event(struct gateway *gateway, struct subscriber *subscriber,
                          const struct json *payload)
{
    const char *id = gateway_read_event_id(gateway, subscriber, payload);
    if (!id || !subscriber_look_on(gateway, subscriber, id))
        return;
    subscriber->flags |= FLAG_ROOM_DUE;
    subscriber_send_room(subscriber);
}

/* The socket of a buyer who has a place, or watches seats, stays: they have not left the queue. */
static void on_leave_event(struct gateway *gateway, struct subscriber *subscriber,
                           const struct json *payload)
{
    const char *id = gateway_read_event_id(gateway, subscriber, payload);
    if (!id || !subscriber->audience || strcmp(subscriber->audience->id, id) != 0)
        return;
    subscriber->flags |= FLAG_ROOM_DUE;
    subscriber_send_room(subscriber);
    subscriber_unflag(subscriber, FLAG_ROOM_DUE);
    if (subscriber->state == SUBSCRIBER_IDLE && !(subscriber->flags & FLAG_WATCHES_SEATS))
        subscriber_unassign(gateway, subscriber);
}

/* What the predecessor's clients send besides: its seats are chosen by HTTP here, and watch-seats tells their changes. */
static void on_ignored(struct gateway *gateway, struct subscriber *subscriber,
                       const struct json *payload)
{
    (void)gateway;
    (void)subscriber;
    (void)payload;
}

static const struct {
    const char *event;
    void (*handle)(struct gateway *gateway, struct subscriber *subscriber,
                   const struct json *payload);
} client_messages[] = {
    {"join-event", on_join_event},          {"leave-event", on_leave_event},
    {"join-seat-selection", on_ignored},    {"leave-seat-selection", on_ignored},
    {"seat-selection-changed", on_ignored},
};

/* ---- packets of a client ---- */

static void on_wrong(struct gateway *gateway, struct subscriber *subscriber)
{
    subscriber_close(gateway, subscriber, CLOSE_PROTOCOL, "not a packet that a client may send");
}

/* Reads auth.token. NULL: the payload of CONNECT is wrong, or the token no text. *ret_auth keeps it. */
static const char *read_token(const struct socketio_packet *packet, struct json **ret_auth)
{
    *ret_auth = NULL;
    if (packet->data_len == 0)
        return "";
    *ret_auth = json_parse(packet->data, packet->data_len, WS_MESSAGE_MAX, NULL);
    return *ret_auth && json_is_object(*ret_auth) ? gateway_optional_text(*ret_auth, "token")
                                                  : NULL;
}

static void connected(struct gateway *gateway, struct subscriber *subscriber, const char *buyer,
                      bool guest)
{
    char sid[SID_SIZE];
    subscriber_detach(gateway, subscriber);
    subscriber_set_buyer(subscriber, buyer);
    subscriber->flags = guest ? FLAG_GUEST : 0;
    subscriber->framing = FRAMING_SOCKETIO;
    subscriber_unassign(gateway, subscriber);
    token_random_hex(sid);
    buf_reset(&gateway->text);
    buf_printf(&gateway->text, "40{\"sid\":\"%s\"}", sid);
    send_packet(subscriber, &gateway->text);
}

static void on_connect(struct gateway *gateway, struct subscriber *subscriber,
                       const struct socketio_packet *packet)
{
    char buyer[BUYER_ID_MAX + 1];
    const char *refusal = NULL;
    struct json *auth = NULL;
    bool guest = false;
    if (packet->space_len != 1) {
        send_refusal(gateway, subscriber, packet, "invalid", "Invalid namespace");
        subscriber_count_strike(gateway, subscriber, "namespaces");
        return;
    }
    if (subscriber->framing == FRAMING_SOCKETIO) {
        on_wrong(gateway, subscriber);
        return;
    }
    const char *token = read_token(packet, &auth);
    const enum status st = gateway_identify(gateway, subscriber, token, buyer, &guest, &refusal);
    if (st == ST_OK) {
        connected(gateway, subscriber, buyer, guest);
    } else if (st == ST_BUSY) { /* refused, the client would not come back by itself */
        subscriber_close(gateway, subscriber, CLOSE_TRY_AGAIN, "keys");
    } else {
        send_refusal(gateway, subscriber, packet, "unauthorized",
                     token && !*token ? "Authentication required" : refusal);
        subscriber_count_strike(gateway, subscriber, "unauthorized");
    }
    json_free(auth);
}

/* The connection stays, and has 5 s to connect again: as nobody, since who it was has signed off. */
static void on_disconnect(struct gateway *gateway, struct subscriber *subscriber)
{
    subscriber_detach(gateway, subscriber);
    free(subscriber->buyer);
    subscriber->buyer = NULL;
    subscriber->flags = 0;
    subscriber->framing = FRAMING_ENGINE;
    subscriber_unassign(gateway, subscriber);
}

static void handle_event(struct gateway *gateway, struct subscriber *subscriber, const char *event,
                         const struct json *payload)
{
    const size_t count = sizeof(client_messages) / sizeof(client_messages[0]);
    size_t i = 0;
    while (i < count && strcmp(event, client_messages[i].event) != 0)
        i++;
    if (i < count && (!payload || json_is_object(payload) || json_is_null(payload)))
        client_messages[i].handle(gateway, subscriber, payload);
    else
        gateway_take_message(gateway, subscriber, event, payload);
}

static void on_event(struct gateway *gateway, struct subscriber *subscriber,
                     const struct socketio_packet *packet)
{
    struct json *message = json_parse(packet->data, packet->data_len, WS_MESSAGE_MAX, NULL);
    const char *event = json_str_value(json_array_at(message, 0));
    if (!event || packet->space_len != 1 || subscriber->framing != FRAMING_SOCKETIO) {
        json_free(message);
        on_wrong(gateway, subscriber);
        return;
    }
    handle_event(gateway, subscriber, event,
                 json_array_len(message) > 1 ? json_array_at(message, 1) : NULL);
    json_free(message);
    if (packet->ack_len == 0 || subscriber->state == SUBSCRIBER_DETACHED)
        return;
    buf_reset(&gateway->text);
    buf_add_str(&gateway->text, "43");
    buf_add(&gateway->text, packet->ack, packet->ack_len);
    buf_add_str(&gateway->text, "[]");
    send_packet(subscriber, &gateway->text);
}

void gateway_on_packet(struct gateway *gateway, struct subscriber *subscriber, const char *text,
                       size_t len)
{
    struct socketio_packet packet;
    if (!subscriber_may_send(gateway, subscriber))
        return;
    socketio_read(text, len, &packet);
    switch (packet.kind) {
    case SOCKETIO_PONG:
        subscriber_heartbeat(gateway, subscriber);
        break;
    case SOCKETIO_CONNECT:
        on_connect(gateway, subscriber, &packet);
        break;
    case SOCKETIO_EVENT:
        on_event(gateway, subscriber, &packet);
        break;
    case SOCKETIO_DISCONNECT:
        if (packet.space_len == 1 && subscriber->framing == FRAMING_SOCKETIO) {
            on_disconnect(gateway, subscriber);
            break;
        }
        on_wrong(gateway, subscriber);
        break;
    case SOCKETIO_CLOSE:
        subscriber_close(gateway, subscriber, CLOSE_NORMAL, "closed by the client");
        break;
    case SOCKETIO_WRONG:
        on_wrong(gateway, subscriber);
        break;
    }
}
