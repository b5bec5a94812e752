/* SPDX-License-Identifier: MIT */
/*
 * agenda: one timer for many objects.
 *
 * Why this way: a virtual buyer waits for one thing at a time (think time, a retry, a deadline), so one small item per
 * buyer is enough. Items with the same deadline run in any order.
 * Called by: crowd_buyer, crowd, provider_calls. Owns: the heap of borrowed items, and the timer. Invariant:
 * heap[i]->slot == i + 1.
 */
#include "client/agenda.h"

#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>

struct agenda {
    struct loop *loop;
    struct loop_timer *timer;
    uint64_t armed_ms; /* when the timer fires; UINT64_MAX: not armed */
    agenda_cb cb;
    void *arg;
    uint32_t count, max;
    struct agenda_item **heap;
};

static void heap_place(struct agenda *agenda, uint32_t i, struct agenda_item *due)
{
    agenda->heap[i] = due;
    due->slot = i + 1;
}

static void heap_up(struct agenda *agenda, uint32_t i)
{
    struct agenda_item *due = agenda->heap[i];
    while (i > 0 && agenda->heap[(i - 1) / 2]->at_ms > due->at_ms) {
        heap_place(agenda, i, agenda->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(agenda, i, due);
}

static void heap_down(struct agenda *agenda, uint32_t i)
{
    struct agenda_item *due = agenda->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= agenda->count)
            break;
        if (child + 1 < agenda->count &&
            agenda->heap[child + 1]->at_ms < agenda->heap[child]->at_ms)
            child++;
        if (agenda->heap[child]->at_ms >= due->at_ms)
            break;
        heap_place(agenda, i, agenda->heap[child]);
        i = child;
    }
    heap_place(agenda, i, due);
}

static void agenda_arm(struct agenda *agenda)
{
    if (agenda->count == 0 || agenda->heap[0]->at_ms >= agenda->armed_ms)
        return;
    const uint64_t now = loop_now_ms(agenda->loop);
    agenda->armed_ms = agenda->heap[0]->at_ms;
    loop_timer_set(agenda->timer, agenda->armed_ms > now ? agenda->armed_ms - now : 0);
}

/* An item that is set by a callback runs in the next turn of the loop at the earliest. */
static void agenda_fire(void *arg)
{
    struct agenda *agenda = arg;
    const uint64_t now = loop_now_ms(agenda->loop);
    agenda->armed_ms = 0; /* so that agenda_set in a callback does not arm the timer */
    for (uint32_t budget = agenda->count; budget > 0 && agenda->count > 0; budget--) {
        struct agenda_item *due = agenda->heap[0];
        if (due->at_ms > now)
            break;
        agenda_drop(agenda, due);
        agenda->cb(agenda->arg, due);
    }
    agenda->armed_ms = UINT64_MAX;
    agenda_arm(agenda);
}

struct agenda *agenda_new(struct loop *loop, uint32_t max, agenda_cb cb, void *arg)
{
    struct agenda *agenda = xcalloc(1, sizeof(*agenda));
    agenda->loop = loop;
    agenda->cb = cb;
    agenda->arg = arg;
    agenda->max = max;
    agenda->armed_ms = UINT64_MAX;
    agenda->heap = xcalloc(max, sizeof(struct agenda_item *));
    agenda->timer = loop_timer_new(loop, agenda_fire, agenda);
    return agenda;
}

void agenda_free(struct agenda *agenda)
{
    if (!agenda)
        return;
    loop_timer_close(agenda->timer);
    free(agenda->heap);
    free(agenda);
}

void agenda_set(struct agenda *agenda, struct agenda_item *due, uint64_t delay_ms)
{
    agenda_drop(agenda, due);
    assert(agenda->count < agenda->max);
    due->at_ms = loop_now_ms(agenda->loop) + delay_ms;
    agenda->heap[agenda->count] = due;
    heap_up(agenda, agenda->count++);
    agenda_arm(agenda);
}

void agenda_drop(struct agenda *agenda, struct agenda_item *due)
{
    if (due->slot == 0)
        return;
    const uint32_t i = due->slot - 1;
    struct agenda_item *last = agenda->heap[--agenda->count];
    due->slot = 0;
    if (last == due)
        return;
    heap_place(agenda, i, last);
    heap_up(agenda, i);
    heap_down(agenda, last->slot - 1);
}
