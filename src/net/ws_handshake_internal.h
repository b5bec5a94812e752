/* SPDX-License-Identifier: MIT */
/* ws_handshake_internal: checks the HTTP head of a WebSocket handshake. Only ws_accept uses it. Pure. */
#ifndef TIKETI_WS_HANDSHAKE_INTERNAL_H
#define TIKETI_WS_HANDSHAKE_INTERNAL_H

#include "net/ws_handshake.h"

#include <stddef.h>

#define WS_HEAD_MAX   8192 /* bytes of request line and headers */
#define WS_FIELDS_MAX 64

struct ws_field {
    const char *name, *value; /* NUL-terminated within `text` */
};

/* One head while it is checked. It has 17 KiB, so the caller reuses one for all. */
struct ws_head {
    char text[WS_HEAD_MAX + 1]; /* filled by the caller */
    struct ws_field fields[WS_FIELDS_MAX];
    size_t field_count;
    char joined[WS_HEAD_MAX + 1]; /* the joined values of headers that came more than once */
    size_t joined_len;
    const char *refusal; /* the response of the endpoint itself, if that refused; else NULL */
};

/* Returns the length of the head at the start of `data`, including the empty line at its end; 0: the head is not
 * complete yet. */
size_t ws_head_len(const char *data, size_t len);

/* Checks the whole head in text[0..len), replacing separators in it by NULs. Returns 0 for a good handshake: then the
 * texts of *ret_handshake point into `head`; `peer` is not set. Otherwise returns the HTTP status to refuse it with. */
unsigned ws_head_check(struct ws_head *head, size_t len, const struct ws_endpoint *endpoints,
                       size_t count, struct ws_handshake *ret_handshake);

#define WS_HEAD_OWN_MAX 512 /* bytes */
/* Writes a handshake for libwebsockets that says the same as the one that was checked. Returns its length in bytes. */
size_t ws_head_write(const struct ws_handshake *handshake, const struct ws_endpoint *endpoint,
                     char out[WS_HEAD_OWN_MAX]);

/* Returns the whole HTTP response that refuses a handshake with this status. Static. */
const char *ws_refusal(unsigned status);

#endif
