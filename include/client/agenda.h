/* SPDX-License-Identifier: MIT */
/*
 * agenda: who is due when: one binary heap and one loop timer for many objects, instead of ten
 * thousand timers.
 */
#ifndef TIKETI_AGENDA_H
#define TIKETI_AGENDA_H

#include "net/loop.h"

#include <stdint.h>

struct agenda;

/* Embedded in its owner; zeroed means not on the agenda. */
struct agenda_item {
    uint64_t at_ms; /* of loop_now_ms */
    uint32_t slot;  /* 1-based place in the heap; 0: not on the agenda */
};

typedef void (*agenda_cb)(void *arg, struct agenda_item *due);

/* `max`: how many items there can be at once. */
struct agenda *agenda_new(struct loop *loop, uint32_t max, agenda_cb cb, void *arg);
void agenda_free(struct agenda *agenda); /* NULL is fine */
/* Puts the item on the agenda, or moves it; cb(arg, due) runs once, when the time has come. */
void agenda_set(struct agenda *agenda, struct agenda_item *due, uint64_t delay_ms);
void agenda_drop(struct agenda *agenda, struct agenda_item *due);

#endif
