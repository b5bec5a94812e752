/* SPDX-License-Identifier: MIT */
/*
 * ws_closing: the closing handshakes: the close frame of each closing connection, and the deadline for the peer's
 * close frame.
 *
 * Why this way: every peer has the same time to answer. So the list, to which each closing connection is appended,
 * is sorted by deadline, and one timer that checks its head every SWEEP_MS is enough, even when a pod closes all
 * its connections at once. Only a closing connection has a struct ws_closing; an open one has a NULL pointer.
 * Called by: ws alone. Owns: the list and its timer. Invariant: the timer runs only while the list has
 * entries.
 */
#include "net/ws_closing.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define LINGER_MS 3000 /* the time that a peer has to answer the close frame */
#define SWEEP_MS  100

static void unlist(struct ws_closing_list *closings, struct ws_closing *closing)
{
    if (!closing->listed)
        return;
    closing->listed = false;
    *(closing->prev ? &closing->prev->next : &closings->head) = closing->next;
    *(closing->next ? &closing->next->prev : &closings->tail) = closing->prev;
}

static void on_sweep(void *arg)
{
    struct ws_closing_list *closings = arg;
    const uint64_t now = loop_now_ms(closings->loop);
    struct ws_closing *closing;
    while ((closing = closings->head) && closing->deadline <= now) {
        unlist(closings, closing);
        closings->on_timeout(closing->conn);
    }
    closings->sweeping = closings->head != NULL;
    if (closings->sweeping)
        loop_timer_set(closings->sweep, SWEEP_MS);
}

struct ws_closing *ws_closing_new(struct ws_closing_list *closings, struct ws_conn *conn,
                                  uint16_t code, const char *reason)
{
    struct ws_closing *closing = xcalloc(1, sizeof(*closing));
    const size_t len = reason ? strnlen(reason, WS_CLOSING_REASON_MAX) : 0;
    closing->conn = conn;
    closing->deadline = loop_now_ms(closings->loop) + LINGER_MS;
    closing->frame[0] = 0x88; /* the first byte of a close frame: FIN and opcode 8 */
    closing->frame[1] = (unsigned char)(2 + len);
    closing->frame[2] = (unsigned char)(code >> 8);
    closing->frame[3] = (unsigned char)(code & 0xff);
    if (len > 0)
        memcpy(closing->frame + 4, reason, len);
    closing->len = (unsigned char)(4 + len);

    closing->listed = true;
    closing->prev = closings->tail;
    *(closings->tail ? &closings->tail->next : &closings->head) = closing;
    closings->tail = closing;
    if (!closings->sweeping) {
        closings->sweeping = true;
        loop_timer_set(closings->sweep, SWEEP_MS);
    }
    return closing;
}

void ws_closing_free(struct ws_closing_list *closings, struct ws_closing *closing)
{
    if (closing)
        unlist(closings, closing);
    free(closing);
}

void ws_closing_list_init(struct ws_closing_list *closings, struct loop *loop,
                          void (*on_timeout)(struct ws_conn *conn))
{
    *closings = (struct ws_closing_list){.loop = loop, .on_timeout = on_timeout};
    closings->sweep = loop_timer_new(loop, on_sweep, closings);
}

void ws_closing_list_clear(struct ws_closing_list *closings)
{
    loop_timer_close(closings->sweep);
    closings->sweep = NULL;
}
