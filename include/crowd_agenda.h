/* SPDX-License-Identifier: MIT */
/*
 * crowd_agenda: who is due when: one binary heap and one loop timer for all buyers, instead of ten
 * thousand timers.
 */
#ifndef TIKETI_CROWD_AGENDA_H
#define TIKETI_CROWD_AGENDA_H

#include "loop.h"

#include <stdint.h>

struct crowd_agenda;

/* Embedded in its owner; zeroed means not on the agenda. */
struct crowd_due {
    uint64_t at_ms; /* of loop_now_ms */
    uint32_t slot;  /* 1-based place in the heap; 0: not on the agenda */
};

typedef void (*crowd_due_cb)(void *arg, struct crowd_due *due);

/* `max`: how many items there can be at once. */
struct crowd_agenda *crowd_agenda_new(struct loop *loop, uint32_t max, crowd_due_cb cb, void *arg);
void crowd_agenda_free(struct crowd_agenda *agenda); /* NULL is fine */
/* Puts the item on the agenda, or moves it; cb(arg, due) runs once, when the time has come. */
void crowd_agenda_set(struct crowd_agenda *agenda, struct crowd_due *due, uint64_t delay_ms);
void crowd_agenda_drop(struct crowd_agenda *agenda, struct crowd_due *due);

#endif
