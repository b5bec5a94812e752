/* SPDX-License-Identifier: MIT */
/* socketio_packet: every part of a packet lies within it, in its order and its bounds, and the parts say all of it; a handshake
 * is right or has an answer of 400; framing a message keeps its payload. */
#include "fuzz.h"

#include "gateway/socketio_packet.h"

static void check_packet(const char *text, size_t size)
{
    struct socketio_packet packet;
    socketio_read(text, size, &packet);
    check(packet.kind <= SOCKETIO_EVENT);
    if (packet.kind == SOCKETIO_WRONG)
        return;
    if (packet.kind < SOCKETIO_CONNECT) {
        check(size == 1 && packet.data_len == 0 && packet.ack_len == 0);
        return;
    }
    const bool named = packet.space_len > 1 || packet.space == text + 2;
    check(size >= 2 && packet.space_len >= 1 && packet.space_len <= SOCKETIO_NAMESPACE_MAX);
    check(packet.space[0] == '/' && !memchr(packet.space, ',', packet.space_len));
    check(!named || packet.space == text + 2);
    check(packet.ack_len <= SOCKETIO_ACK_MAX && packet.data + packet.data_len == text + size);
    check(packet.ack + packet.ack_len == packet.data);
    for (size_t i = 0; i < packet.ack_len; i++)
        check(packet.ack[i] >= '0' && packet.ack[i] <= '9');
    const size_t behind = (size_t)(packet.ack - text);
    check(behind == 2 + (named ? packet.space_len : 0) ||
          (named && behind == 3 + packet.space_len && text[behind - 1] == ','));
    check(packet.kind != SOCKETIO_EVENT || (packet.data_len > 0 && packet.data[0] == '['));
    check(packet.kind == SOCKETIO_EVENT || packet.ack_len == 0);
}

static void check_frame(const char *text, size_t size)
{
    static const char head[] = "{\"event\":\"x\",\"payload\":";
    const size_t len = sizeof(head) - 1 + size + 1;
    char *message = malloc(len), *out = malloc(len);
    check(message && out);
    memcpy(message, head, sizeof(head) - 1);
    if (size > 0)
        memcpy(message + sizeof(head) - 1, text, size);
    message[len - 1] = '}';
    const size_t out_len = socketio_frame(message, len, out);
    check(out_len == size + 8 && memcmp(out, "42[\"x\",", 7) == 0 && out[out_len - 1] == ']');
    check(size == 0 || memcmp(out + 7, text, size) == 0);
    free(message);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* of exactly this size, so that a read behind it is noticed */
    check(copy);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    check_frame(copy, size);
    const char *refusal = socketio_refuse("GET", copy);
    check(!refusal || strncmp(refusal, "HTTP/1.1 400 ", 13) == 0);
    char *exact = size > 0 ? malloc(size) : copy;
    check(exact);
    if (size > 0)
        memcpy(exact, data, size);
    check_packet(exact, size);
    if (exact != copy)
        free(exact);
    free(copy);
    return 0;
}
