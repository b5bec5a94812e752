/* SPDX-License-Identifier: MIT */
/*
 * ws_bye: the end of connections: for each its close frame, and a deadline for the other end's answer.
 *
 * Why this way: all linger as long, so a list in the order they began is one in the order of deadlines,
 * and one timer that looks now and then at its head serves a whole pod that says good-bye at once. Only
 * who is closing has one: an open connection pays a pointer. Called by: ws alone. Owns: the good-byes' list
 * and its timer. Invariants: the timer runs only while anybody lingers.
 */
#include "net/ws_bye.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define LINGER_MS 3000
#define SWEEP_MS  100

static void unlist(struct ws_byes *byes, struct ws_bye *bye)
{
    if (!bye->listed)
        return;
    bye->listed = false;
    *(bye->prev ? &bye->prev->next : &byes->head) = bye->next;
    *(bye->next ? &bye->next->prev : &byes->tail) = bye->prev;
}

static void list(struct ws_byes *byes, struct ws_bye *bye)
{
    bye->listed = true;
    bye->prev = byes->tail;
    *(byes->tail ? &byes->tail->next : &byes->head) = bye;
    byes->tail = bye;
    if (byes->sweeping)
        return;
    byes->sweeping = true;
    loop_timer_set(byes->sweep, SWEEP_MS);
}

static void on_sweep(void *arg)
{
    struct ws_byes *byes = arg;
    uint64_t now = loop_now_ms(byes->loop);
    struct ws_bye *bye;
    while ((bye = byes->head) && bye->deadline <= now) {
        unlist(byes, bye);
        byes->on_late(bye->conn);
    }
    byes->sweeping = byes->head != NULL;
    if (byes->sweeping)
        loop_timer_set(byes->sweep, SWEEP_MS);
}

struct ws_bye *ws_bye_new(struct ws_byes *byes, struct ws_conn *conn, uint16_t code,
                          const char *reason)
{
    struct ws_bye *bye = xcalloc(1, sizeof(*bye));
    size_t len = reason ? strnlen(reason, WS_BYE_REASON_MAX) : 0;
    bye->conn = conn;
    bye->deadline = loop_now_ms(byes->loop) + LINGER_MS;
    bye->frame[0] = 0x88; /* FIN, close */
    bye->frame[1] = (unsigned char)(2 + len);
    bye->frame[2] = (unsigned char)(code >> 8);
    bye->frame[3] = (unsigned char)(code & 0xff);
    if (len > 0)
        memcpy(bye->frame + 4, reason, len);
    bye->len = (unsigned char)(4 + len);
    list(byes, bye);
    return bye;
}

void ws_bye_free(struct ws_byes *byes, struct ws_bye *bye)
{
    if (bye)
        unlist(byes, bye);
    free(bye);
}

void ws_byes_init(struct ws_byes *byes, struct loop *loop, void (*on_late)(struct ws_conn *conn))
{
    *byes = (struct ws_byes){.loop = loop, .on_late = on_late};
    byes->sweep = loop_timer_new(loop, on_sweep, byes);
}

void ws_byes_clear(struct ws_byes *byes)
{
    loop_timer_close(byes->sweep);
    byes->sweep = NULL;
}
