/* SPDX-License-Identifier: MIT */
/*
 * httpd_pace: clients who are too slow, and connections that are idle.
 *
 *   under_way   a head or body came for too long             -> refused with 408, or 503 in the reserve
 *   answering   an answer is read too slowly                 -> reset
 *   idle        for a moment, or the longest of a full pod   -> its memory is given back, or its place to another
 *
 * Each list has the longest first, so a sweep looks at few.
 * An idle connection keeps the library's block (CONNECTION_MEMORY), two thirds of what it costs. The library has zeroed it,
 * and does not look at it before the next read, so its pages are given back to the kernel, which gives zeroes again.
 * Called by: httpd, once a second and for new connections; httpd_intake for the lists. Owns nothing.
 */
#include "net/httpd_pace.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include "base/metrics_http.h"
#include "net/httpd_intake_internal.h"
#include "net/loop.h"
#include "net/tcp_progress.h"

#define LEAST_RATE 500  /* bytes a second, of a body or an answer, beyond opts.slow_ms */
#define RESERVE_MS 2000 /* for the head on a reserved connection */

#define RELEASES 1024 /* a sweep, since each is a system call */
#define LOOKS    1024 /* likewise */

/* ---- the lists ---- */

void intake_list_remove(struct intake *intake)
{
    struct intake_list *list = intake->in;
    if (!list)
        return;
    if (intake->opts.lists->keeps == intake)
        intake->opts.lists->keeps = intake->next;
    *(intake->prev ? &intake->prev->next : &list->first) = intake->next;
    *(intake->next ? &intake->next->prev : &list->last) = intake->prev;
    intake->in = NULL;
}

void intake_list_add(struct intake *intake, struct intake_list *list)
{
    intake->since_ms = loop_now_ms(intake->opts.loop);
    if (intake->in == list)
        return;
    intake_list_remove(intake);
    intake->in = list;
    intake->next = NULL;
    intake->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = intake;
    list->last = intake;
}

/* ---- slow clients ---- */

/* Makes the library read: it gets the refusal. */
static void refuse_overdue(struct intake *intake, unsigned status)
{
    intake->overdue = status;
    intake_list_remove(intake);
    (void)shutdown(intake->opts.fd, SHUT_RD);
}

static bool is_overdue(const struct intake *intake, uint64_t now_ms)
{
    const uint64_t took = now_ms - intake->since_ms;
    if (intake->ready || intake->queue || intake->out)
        return false; /* not the client's fault: the library has not read it */
    if (intake->phase != PHASE_HEAD)
        return took > intake->opts.slow_ms + intake->body * 1000 / LEAST_RATE;
    return !intake->busy && took > (intake->opts.reserve ? RESERVE_MS : intake->opts.slow_ms);
}

/* Has the client read less of its answer than it must, since it was last looked at? Nothing is held against it while the
 * answer, or the next piece of it, is not there yet. */
static bool reads_too_slowly(struct intake *intake, uint64_t now_ms)
{
    const uint64_t took = now_ms - intake->looked_ms, before = intake->acked;
    uint64_t acked = 0;
    if (took < intake->opts.slow_ms)
        return false;
    if (tcp_unread(intake->opts.fd) > 0 && !tcp_acknowledged(intake->opts.fd, &acked))
        acked = 0;
    intake->looked_ms = now_ms;
    intake->acked = acked;
    return before > 0 && acked > 0 && acked - before < took * LEAST_RATE / 1000;
}

/* By a reset, so that the kernel does not keep what cannot be sent until it gives up. */
static void end_slow_reader(struct intake *intake)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    metrics_http_slow_reader();
    (void)setsockopt(intake->opts.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void)shutdown(intake->opts.fd, SHUT_RDWR);
}

/* Ends connections whose clients do not read. The library notices that nothing can be sent. */
static bool end_slow_readers(struct intake_lists *lists, uint64_t now_ms)
{
    bool any = false;
    for (int i = 0; i < LOOKS; i++) {
        struct intake *intake = lists->answering.first;
        if (!intake || now_ms - intake->looked_ms < intake->opts.slow_ms)
            break;
        const bool ends = reads_too_slowly(intake, now_ms);
        intake_list_remove(intake);
        if (ends)
            end_slow_reader(intake);
        else
            intake_list_add(intake, &lists->answering);
        any |= ends;
    }
    return any;
}

/* Gives the pages of connections that have long been idle back to the kernel. */
static void release_idle(struct intake_lists *lists, uint64_t now_ms)
{
    struct intake *intake = lists->keeps;
    for (int i = 0; i < RELEASES && intake && now_ms - intake->since_ms >= lists->release_ms; i++) {
        if (intake->memory)
            (void)madvise(intake->memory, CONNECTION_MEMORY, MADV_DONTNEED);
        intake = intake->next;
    }
    lists->keeps = intake;
}

bool intake_sweep(struct intake_lists *lists, uint64_t now_ms)
{
    bool any = false;
    struct intake *next;
    for (struct intake *intake = lists->under_way.first; intake; intake = next) {
        next = intake->next;
        if (is_overdue(intake, now_ms)) {
            refuse_overdue(intake, 408);
            any = true;
        } else if (intake->busy && intake->phase == PHASE_HEAD &&
                   reads_too_slowly(intake, now_ms)) { /* it has sent a part of its next request */
            intake_list_remove(intake);
            end_slow_reader(intake);
            any = true;
        }
    }
    any |= end_slow_readers(lists, now_ms);
    release_idle(lists, now_ms);
    return any;
}

bool intake_push_out(struct intake_lists *lists)
{
    for (struct intake *intake = lists->under_way.first; intake; intake = intake->next)
        if (intake->opts.reserve && !intake->ready && !intake->busy) {
            refuse_overdue(intake, 503);
            return true;
        }
    return false;
}

struct intake *intake_longest_idle(const struct intake_lists *lists, uint64_t now_ms)
{
    struct intake *intake = lists->idle.first;
    return intake && now_ms - intake->since_ms >= lists->shed_ms ? intake : NULL;
}

void intake_shed(struct intake *intake)
{
    intake->shed = true;
    intake_list_remove(intake);
    (void)shutdown(intake->opts.fd, SHUT_RD);
}

bool intake_is_shed(const struct intake *intake)
{
    return intake->shed;
}
