/* SPDX-License-Identifier: MIT */
/* ws_handshake: the paths that a server of ws.h serves, and the headers of a handshake, which its on_open receives. */
#ifndef TIKETI_WS_HANDSHAKE_H
#define TIKETI_WS_HANDSHAKE_H

/* One path of a server. Everything is borrowed for the life of the server. */
struct ws_endpoint {
    const char *path;        /* "/ws" */
    const char *subprotocol; /* "tiketi.v1"; NULL: none is needed, and none is answered */
    const char *
        ping; /* the text message that a peer is pinged with, of up to 125 bytes; NULL: a ping frame */
    /* Judges a request for the path before anything else is. Returns NULL, or the whole HTTP response that refuses it
     * (static), which then counts as 400. NULL: there is nothing to judge. */
    const char *(*refuse)(const char *method, const char *query);
};

/* All texts are borrowed: valid until the callback returns. A header that is absent is "". Several headers of
 * one name are joined. */
struct ws_handshake {
    unsigned endpoint; /* the index of the path that was asked for */
    const char *origin;
    const char *host;
    const char *cookie;         /* the Cookie header, not parsed */
    const char *peer;           /* numeric address of the peer */
    const char *forwarded_for;  /* X-Forwarded-For */
    const char *forwarded_host; /* X-Forwarded-Host */
    const char *forwarded;      /* Forwarded (RFC 7239) */
    const char *key;            /* Sec-WebSocket-Key */
};

#endif
