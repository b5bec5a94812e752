/* SPDX-License-Identifier: MIT */
/* ws_closing: the closing handshakes of ws: close frames, and the deadlines for the peers' close frames. */
#ifndef TIKETI_WS_CLOSING_H
#define TIKETI_WS_CLOSING_H

#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define WS_CLOSING_REASON_MAX 123 /* bytes; a longer reason is cut */

struct ws_conn;

/* The closing handshake of one connection. ws sets `sent`; all other fields are read-only outside ws_closing. */
struct ws_closing {
    struct ws_closing *next, *prev;
    struct ws_conn *conn; /* borrowed */
    uint64_t deadline;    /* a time of loop_now_ms */
    bool listed;          /* it is in the list: its deadline has not passed */
    bool sent;            /* the close frame was sent */
    unsigned char len, frame[4 + WS_CLOSING_REASON_MAX]; /* the whole close frame */
};

struct ws_closing_list {
    struct loop *loop;
    struct loop_timer *sweep;
    bool sweeping;
    struct ws_closing *head, *tail;
    void (*on_timeout)(struct ws_conn *conn);
};

/* on_timeout runs, from the loop, when a peer has not answered in time; at most once for each closing. */
void ws_closing_list_init(struct ws_closing_list *closings, struct loop *loop,
                          void (*on_timeout)(struct ws_conn *conn));
/* Closes the timer. Every closing must have been freed before. */
void ws_closing_list_clear(struct ws_closing_list *closings);

/* Returns new: the close frame, not sent yet, and a deadline that counts from now. `reason` may be NULL and is copied. */
struct ws_closing *ws_closing_new(struct ws_closing_list *closings, struct ws_conn *conn,
                                  uint16_t code, const char *reason);
void ws_closing_free(struct ws_closing_list *closings,
                     struct ws_closing *closing); /* NULL is fine */

#endif
