/* SPDX-License-Identifier: MIT */
/* ws_handshake_internal: checks the HTTP head of a WebSocket handshake; for ws_accept. Pure. */
#ifndef TIKETI_WS_HANDSHAKE_INTERNAL_H
#define TIKETI_WS_HANDSHAKE_INTERNAL_H

#include "net/ws_handshake.h"

#include <stddef.h>

#define WS_HEAD_MAX   8192 /* bytes of request line and headers */
#define WS_FIELDS_MAX 64

struct ws_field {
    const char *name, *value; /* NUL-terminated within `text` */
};

/* One head being checked; 17 KiB, meant to be reused. */
struct ws_head {
    char text[WS_HEAD_MAX + 1]; /* filled by the caller */
    struct ws_field fields[WS_FIELDS_MAX];
    size_t field_count;
    char joined[WS_HEAD_MAX + 1]; /* values of headers that came more than once */
    size_t joined_len;
};

/* The length of the head at the start of `data`, its empty line included; 0: not complete yet. */
size_t ws_head_len(const char *data, size_t len);

/* Checks text[0..len), one whole head, cutting it up in place. 0: a good handshake; *ret_handshake
 * (without `peer`) points into `head`. Else the HTTP status to refuse it with. */
unsigned ws_head_check(struct ws_head *head, size_t len, const char *path, const char *subprotocol,
                       struct ws_handshake *ret_handshake);

/* The whole HTTP response that refuses a handshake with this status; static. */
const char *ws_refusal(unsigned status);

#endif
