/* SPDX-License-Identifier: MIT */
/*
 * socketio_packet: reads and writes packets of Socket.IO 5 in those of Engine.IO 4.
 *
 * Why this way: the framing is a digit or two before JSON, so a packet is read without a copy, and a message is framed
 * by moving its payload. Everything that a client of ours never sends is one kind, which closes the connection, as the
 * protocol's own server does: binary packets, acknowledgements (none is ever asked for), pings of the client, upgrades.
 * Called by: gateway_socketio, gateway_push. Pure: owns nothing, keeps nothing.
 */
#include "gateway/socketio_packet.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* ---- packets of a client ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the namespace from the front of [at, end): it begins with '/', and a comma ends it. Returns what is behind;
 * NULL: it is too long. */
static const char *take_space(const char *at, const char *end, struct socketio_packet *packet)
{
    packet->space = "/";
    packet->space_len = 1;
    if (at == end || *at != '/')
        return at;
    const char *comma = memchr(at, ',', (size_t)(end - at));
    packet->space = at;
    packet->space_len = (size_t)((comma ? comma : end) - at);
    if (packet->space_len > SOCKETIO_NAMESPACE_MAX)
        return NULL;
    return comma ? comma + 1 : end;
}

/* Reads what follows the type of a Socket.IO packet. False: it is wrong. */
static bool read_rest(const char *at, const char *end, struct socketio_packet *packet)
{
    at = take_space(at, end, packet);
    if (!at)
        return false;
    packet->ack = at;
    while (at < end && is_digit(*at))
        at++;
    packet->ack_len = (size_t)(at - packet->ack);
    packet->data = at;
    packet->data_len = (size_t)(end - at);
    if (packet->kind == SOCKETIO_EVENT)
        return packet->ack_len <= SOCKETIO_ACK_MAX && packet->data_len > 0 && *at == '[';
    if (packet->ack_len > 0)
        return false;
    return packet->kind == SOCKETIO_CONNECT ? packet->data_len == 0 || *at == '{'
                                            : packet->data_len == 0;
}

void socketio_read(const char *text, size_t len, struct socketio_packet *ret_packet)
{
    static const enum socketio_kind kinds[] = {SOCKETIO_CONNECT, SOCKETIO_DISCONNECT,
                                               SOCKETIO_EVENT};
    struct socketio_packet packet = {.kind = SOCKETIO_WRONG};
    if (len == 1 && *text == '1')
        packet.kind = SOCKETIO_CLOSE;
    else if (len == 1 && *text == '3')
        packet.kind = SOCKETIO_PONG;
    else if (len >= 2 && text[0] == '4' && text[1] >= '0' && text[1] <= '2')
        packet.kind = kinds[text[1] - '0'];
    if (packet.kind >= SOCKETIO_CONNECT && !read_rest(text + 2, text + len, &packet))
        packet.kind = SOCKETIO_WRONG;
    *ret_packet = packet;
}

/* ---- the handshake ---- */

/* Is the first parameter of that name exactly `value`? ret_present: there is one. */
static bool query_is(const char *query, const char *name, const char *value, bool *ret_present)
{
    const size_t name_len = strlen(name);
    *ret_present = false;
    for (const char *at = query; *at;) {
        const size_t len = strcspn(at, "&");
        if (len > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=') {
            *ret_present = true;
            return len - name_len - 1 == strlen(value) &&
                   strncmp(at + name_len + 1, value, strlen(value)) == 0;
        }
        at += len + (at[len] == '&');
    }
    return false;
}

#define REFUSAL(code, text)                                                                        \
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nCache-Control: no-store\r\n"                 \
    "Content-Type: application/json\r\n\r\n"                                                       \
    "{\"code\":" #code ",\"message\":\"" text "\"}\n"

const char *socketio_refuse(const char *method, const char *query)
{
    bool present;
    if (!query_is(query, "transport", "websocket", &present))
        return REFUSAL(0, "Transport unknown");
    (void)query_is(query, "sid", "", &present);
    if (present) /* no session outlives its connection, so there is none to upgrade */
        return REFUSAL(1, "Session ID unknown");
    if (strcmp(method, "GET") != 0)
        return REFUSAL(2, "Bad handshake method");
    if (!query_is(query, "EIO", "4", &present))
        return REFUSAL(5, "Unsupported protocol version");
    return NULL;
}

/* ---- our messages ---- */

size_t socketio_frame(const char *text, size_t len, char *out)
{
    static const char head[] = "{\"event\":\"", middle[] = "\",\"payload\":";
    static const char start[] = {'4', '2', '[', '"'}, between[] = {'"', ','};
    const size_t head_len = sizeof(head) - 1, middle_len = sizeof(middle) - 1;
    const char *name = text + head_len;
    const char *end = memchr(name, '"', len - head_len); /* names need no escapes */
    assert(memcmp(text, head, head_len) == 0 && end && memcmp(end, middle, middle_len) == 0);
    const char *payload = end + middle_len;
    const size_t name_len = (size_t)(end - name),
                 payload_len = (size_t)(text + len - payload) - 1; /* without the last brace */
    char *at = out;
    memcpy(at, start, sizeof(start));
    at += sizeof(start);
    memcpy(at, name, name_len);
    at += name_len;
    memcpy(at, between, sizeof(between));
    at += sizeof(between);
    memcpy(at, payload, payload_len);
    at += payload_len;
    *at++ = ']';
    return (size_t)(at - out);
}
