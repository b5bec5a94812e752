/* SPDX-License-Identifier: MIT */
/* ws_handshake: the headers of a WebSocket handshake, which on_open of ws.h receives. */
#ifndef TIKETI_WS_HANDSHAKE_H
#define TIKETI_WS_HANDSHAKE_H

/* All texts are borrowed: valid until the callback returns. A header that is absent is "". Several headers of
 * one name are joined. */
struct ws_handshake {
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
