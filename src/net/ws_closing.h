/* SPDX-License-Identifier: MIT */
/* ws_closing: the closing handshake of ws: close frames, and how long the peer's answer is awaited. */
#ifndef TIKETI_WS_CLOSING_H
#define TIKETI_WS_CLOSING_H

#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define WS_CLOSING_REASON_MAX 123 /* bytes; a longer reason is cut */

struct ws_conn;

/* The closing of one connection. `sent` is the connection's to set; the rest is read-only. */
struct ws_closing {
    struct ws_closing *next, *prev;
    struct ws_conn *conn; /* borrowed */
    uint64_t deadline;    /* loop_now_ms; all wait equally long, so the list is sorted by it */
    bool listed, sent;
    unsigned char len, frame[4 + WS_CLOSING_REASON_MAX]; /* the whole close frame */
};

struct ws_closing_list {
    struct loop *loop;
    struct loop_timer *sweep;
    bool sweeping;
    struct ws_closing *head, *tail;
    void (*on_timeout)(struct ws_conn *conn);
};

/* on_timeout: the peer has not answered in time; from the loop, at most once for each closing. */
void ws_closing_list_init(struct ws_closing_list *closings, struct loop *loop,
                          void (*on_timeout)(struct ws_conn *conn));
/* After the last closing was freed. */
void ws_closing_list_clear(struct ws_closing_list *closings);

/* Returns new; its time begins now. `reason` may be NULL and is copied. */
struct ws_closing *ws_closing_new(struct ws_closing_list *closings, struct ws_conn *conn,
                                  uint16_t code, const char *reason);
void ws_closing_free(struct ws_closing_list *closings,
                     struct ws_closing *closing); /* NULL is fine */

#endif
