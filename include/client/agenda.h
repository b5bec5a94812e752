/* SPDX-License-Identifier: MIT */
/*
 * agenda: one timer for many objects: a binary heap of deadlines and one loop timer, instead of ten thousand loop
 * timers.
 */
#ifndef TIKETI_AGENDA_H
#define TIKETI_AGENDA_H

#include "net/loop.h"

#include <stdint.h>

struct agenda;

/* Embedded in the object that waits. A zeroed item is not on the agenda. */
struct agenda_item {
    uint64_t at_ms; /* of loop_now_ms */
    uint32_t slot;  /* position in the heap, from 1; 0: not on the agenda */
};

/* The item's deadline has passed. It is no longer on the agenda; the callback may set it again. */
typedef void (*agenda_cb)(void *arg, struct agenda_item *due);

/* New. `max`: the number of items that there can be at once; one more is a bug (assert). */
struct agenda *agenda_new(struct loop *loop, uint32_t max, agenda_cb cb, void *arg);
void agenda_free(struct agenda *agenda); /* NULL is fine */
/* Sets the item's deadline, or moves it: the callback runs once, in `delay_ms` or later, never from inside this call.
 * The item is borrowed until then, or until agenda_drop. */
void agenda_set(struct agenda *agenda, struct agenda_item *due, uint64_t delay_ms);
/* Takes the item off; nothing happens if it is not on the agenda. */
void agenda_drop(struct agenda *agenda, struct agenda_item *due);

#endif
