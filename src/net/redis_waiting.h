/* SPDX-License-Identifier: MIT */
/*
 * redis_waiting: the commands that wait until a node of a cluster can take them, in a line for each slot: the oldest
 * first, whenever it came. Used by redis_cluster alone. Pure.
 */
#ifndef TIKETI_REDIS_WAITING_H
#define TIKETI_REDIS_WAITING_H

#include "net/redis_node.h"
#include "net/redis_slots.h"

struct redis_line;

/* Zeroed: nothing waits. Whoever adds commands takes them all: then it has no memory left. */
struct redis_waiting {
    struct redis_line *line[REDIS_SLOT_COUNT]; /* NULL: none waits */
    struct redis_line *head, *tail;            /* of all lines, in the order of their turns */
    size_t line_count;
    size_t count; /* commands in all lines */
};

/* Takes the command into the line of its slot, after those that were started before it. */
void redis_waiting_add(struct redis_waiting *waiting, struct redis_op *op);
/* The oldest of this slot, which stays; NULL: none waits. */
struct redis_op *redis_waiting_first(const struct redis_waiting *waiting, unsigned slot);
/* The oldest of this slot, which is the caller's; NULL: none waits. */
struct redis_op *redis_waiting_take(struct redis_waiting *waiting, unsigned slot);
/* Names each line in turn, by its slot: that of the next one, which is then the last. False: there are none. */
bool redis_waiting_turn(struct redis_waiting *waiting, unsigned *ret_slot);

#endif
