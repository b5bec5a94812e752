/* SPDX-License-Identifier: MIT */
/* ws_handshake: the headers of a WebSocket handshake, as on_open of ws.h receives them. */
#ifndef TIKETI_WS_HANDSHAKE_H
#define TIKETI_WS_HANDSHAKE_H

/* All texts are borrowed: valid until the callback returns. "" when absent. Cookie and X-Forwarded-For
 * headers that came several times are joined. */
struct ws_handshake {
    const char *origin;
    const char *host;
    const char *cookie;        /* the Cookie header, not parsed */
    const char *peer;          /* numeric address of the peer */
    const char *forwarded_for; /* X-Forwarded-For */
};

#endif
