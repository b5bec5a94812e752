/* SPDX-License-Identifier: MIT */
/*
 * redis_waiting: the commands that wait until a node of a cluster can take them.
 *
 * Why this way: the commands of one event must keep their order, and those of another event must not wait for them. So
 * there is a line for each slot. A command may come to its line late, sent back by a node, when newer ones stand there
 * already: it goes before them, by the time at which it was started.
 * Called by: redis_cluster. Owns: the commands in the lines.
 */
#include "net/redis_waiting.h"

#include "base/memory.h"

#include <stdlib.h>

struct redis_line {
    struct redis_line *next, *before; /* in the order of turns */
    unsigned slot;
    struct redis_op *first, *last;
};

/* Puts a line at the end of the turns. */
static void line_append(struct redis_waiting *waiting, struct redis_line *line)
{
    line->next = NULL;
    line->before = waiting->tail;
    if (waiting->tail)
        waiting->tail->next = line;
    else
        waiting->head = line;
    waiting->tail = line;
}

static void line_unlink(struct redis_waiting *waiting, const struct redis_line *line)
{
    if (line->before)
        line->before->next = line->next;
    else
        waiting->head = line->next;
    if (line->next)
        line->next->before = line->before;
    else
        waiting->tail = line->before;
}

static struct redis_line *line_of(struct redis_waiting *waiting, unsigned slot)
{
    struct redis_line *line = waiting->line[slot];
    if (line)
        return line;
    line = xcalloc(1, sizeof(*line));
    line->slot = slot;
    waiting->line[slot] = line;
    waiting->line_count++;
    line_append(waiting, line);
    return line;
}

void redis_waiting_add(struct redis_waiting *waiting, struct redis_op *op)
{
    struct redis_line *line = line_of(waiting, (unsigned)op->slot);
    struct redis_op **at = &line->first;
    if (line->last && line->last->start_ns <= op->start_ns)
        at = &line->last->next; /* as nearly always */
    while (*at && (*at)->start_ns <= op->start_ns)
        at = &(*at)->next;
    op->next = *at;
    *at = op;
    if (!op->next)
        line->last = op;
    waiting->count++;
}

struct redis_op *redis_waiting_first(const struct redis_waiting *waiting, unsigned slot)
{
    return waiting->line[slot] ? waiting->line[slot]->first : NULL;
}

struct redis_op *redis_waiting_take(struct redis_waiting *waiting, unsigned slot)
{
    struct redis_line *line = waiting->line[slot];
    if (!line)
        return NULL;
    struct redis_op *op = line->first;
    line->first = op->next;
    op->next = NULL;
    waiting->count--;
    if (line->first)
        return op;
    waiting->line[slot] = NULL;
    waiting->line_count--;
    line_unlink(waiting, line);
    free(line);
    return op;
}

bool redis_waiting_turn(struct redis_waiting *waiting, unsigned *ret_slot)
{
    struct redis_line *line = waiting->head;
    if (!line)
        return false;
    line_unlink(waiting, line);
    line_append(waiting, line);
    *ret_slot = line->slot;
    return true;
}
