/* SPDX-License-Identifier: MIT */
/* ws_bye: the good-byes of ws: close frames, and how long the other ends are waited for. */
#ifndef TIKETI_WS_CLOSING_H
#define TIKETI_WS_CLOSING_H

#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

#define WS_CLOSING_REASON_MAX 123 /* bytes; a longer reason is cut */

struct ws_conn;

/* The end of one connection. `sent` is the connection's to set; the rest is read only. */
struct ws_closing {
    struct ws_closing *next, *prev;
    struct ws_conn *conn; /* borrowed */
    uint64_t deadline; /* loop_now_ms; all linger as long: the list is in the order of deadlines */
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

/* on_timeout: the other end has not answered in time; once for each good-bye at most, from the loop. */
void ws_closing_list_init(struct ws_closing_list *closings, struct loop *loop,
                          void (*on_timeout)(struct ws_conn *conn));
void ws_closing_list_clear(struct ws_closing_list *closings); /* when the last good-bye is freed */

/* Returns new; `reason` may be NULL and is copied. The waiting begins now. */
struct ws_closing *ws_closing_new(struct ws_closing_list *closings, struct ws_conn *conn,
                                  uint16_t code, const char *reason);
void ws_closing_free(struct ws_closing_list *closings,
                     struct ws_closing *closing); /* NULL: nothing */

#endif
