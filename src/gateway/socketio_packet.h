/* SPDX-License-Identifier: MIT */
/*
 * socketio_packet: the framing of Socket.IO 5 over Engine.IO 4, over WebSocket alone: packets of a client, the query of its
 * handshake, and our messages in that framing. Pure; owns nothing.
 */
#ifndef TIKETI_SOCKETIO_PACKET_H
#define TIKETI_SOCKETIO_PACKET_H

#include <stddef.h>

#define SOCKETIO_NAMESPACE_MAX 64 /* bytes */
#define SOCKETIO_ACK_MAX       15 /* digits: 2^53 is the largest number that a client counts to */

enum socketio_kind {
    SOCKETIO_WRONG, /* no packet, or one that a client never sends: the connection is closed */
    SOCKETIO_CLOSE,
    SOCKETIO_PONG,
    SOCKETIO_CONNECT,
    SOCKETIO_DISCONNECT,
    SOCKETIO_EVENT
};

/* Texts are borrowed from the packet, and not terminated. */
struct socketio_packet {
    enum socketio_kind kind;
    const char *space; /* the namespace; "/" when the packet names none */
    size_t space_len;
    const char *ack;  /* digits; the client wants an acknowledgement of that number */
    size_t ack_len;   /* 0: it wants none */
    const char *data; /* JSON, not parsed */
    size_t data_len;  /* 0: none */
};

/* Reads a text message of a client. */
void socketio_read(const char *text, size_t len, struct socketio_packet *ret_packet);

/* The `refuse` of struct ws_endpoint: NULL for the handshake of a new WebSocket connection of Engine.IO 4; otherwise the
 * response, with Engine.IO's own error. */
const char *socketio_refuse(const char *method, const char *query);

/* Writes a message {"event":NAME,"payload":VALUE} of ours as 42[NAME,VALUE] into out, of `len` bytes: that is never longer.
 * Returns its length. */
size_t socketio_frame(const char *text, size_t len, char *out);

#endif
