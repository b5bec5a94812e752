/* SPDX-License-Identifier: MIT */
/* ws_handshake: judges the HTTP head of a WebSocket handshake. Pure. */
#ifndef TIKETI_WS_HANDSHAKE_H
#define TIKETI_WS_HANDSHAKE_H

#include "net/ws.h"

#define WS_HEAD_MAX   8192 /* bytes of request line and headers */
#define WS_FIELDS_MAX 64

struct ws_field {
    const char *name, *value; /* NUL-terminated within `text` */
};

/* One head being judged; 17 KiB, meant to be used again and again. */
struct ws_head {
    char text[WS_HEAD_MAX + 1]; /* filled by the caller */
    struct ws_field fields[WS_FIELDS_MAX];
    size_t field_count;
    char joined[WS_HEAD_MAX + 1]; /* values of headers that came more than once */
    size_t joined_len;
};

/* The length of the head at the start of data, its empty line included; 0: not complete yet. */
size_t ws_head_len(const char *data, size_t len);

/* Judges text[0..len), one whole head, which is cut up in place. 0: a good handshake, and
 * *ret_handshake (without `peer`) points into `head`; else the HTTP status to refuse it with. */
unsigned ws_head_judge(struct ws_head *head, size_t len, const char *path, const char *subprotocol,
                       struct ws_handshake *ret_handshake);

/* The whole answer that refuses a handshake with this status; static. */
const char *ws_refusal(unsigned status);

#endif
