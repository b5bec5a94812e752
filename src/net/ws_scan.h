/* SPDX-License-Identifier: MIT */
/*
 * ws_scan: checks the frames that a client sends (RFC 6455, section 5) as their bytes arrive. It reads heads, and the
 * code of a close frame; payloads pass by. Pure.
 */
#ifndef TIKETI_WS_SCAN_H
#define TIKETI_WS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_SCAN_HEAD_MAX 14 /* bytes: two, eight of the length, four of the mask */

/* What a connection has sent so far. Zeroed at its start; private to ws_scan. */
struct ws_scan {
    uint32_t left;    /* bytes of payload to come, once its length has arrived */
    uint8_t head_len; /* bytes of the head that have arrived */
    uint8_t code_len; /* bytes of the close frame's code that have arrived */
    bool in_message;  /* a fragment came, and the message's end did not */
    bool closed;      /* a whole close frame came: nothing may follow */
    unsigned char head[WS_SCAN_HEAD_MAX], code[2];
};

enum ws_scan_event {
    WS_SCAN_MORE, /* all bytes were read, and no frame ended on the last one */
    WS_SCAN_FRAME, /* a whole message in one frame, or its last fragment, or a close frame, has ended */
    WS_SCAN_EXTRA, /* a frame that is no whole message has ended: ping, pong or a fragment */
    WS_SCAN_ERROR, /* the next byte makes the stream wrong */
};

struct ws_scan_result {
    enum ws_scan_event event;
    uint16_t code; /* of WS_SCAN_ERROR: the close code, 1002, or 1009 for a payload above `most` */
    const char *reason; /* of WS_SCAN_ERROR; static */
};

/* Reads up to the end of the next frame. Returns how many bytes of `data` are good. `most`: bytes of one payload.
 * After WS_SCAN_ERROR nothing that follows has a meaning. */
size_t ws_scan(struct ws_scan *scan, const unsigned char *data, size_t len, size_t most,
               struct ws_scan_result *ret_result);

#endif
