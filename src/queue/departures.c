/* SPDX-License-Identifier: MIT */
/*
 * departures: the ends of visits and offers that a forecast has planned, the earliest first (a binary heap).
 *
 * Called by: forecast. Pure. Owns nothing: the heap is the caller's.
 */
#include "queue/departures.h"

#include "base/memory.h"

#include <stdbool.h>

static bool earlier(const struct departure *a, const struct departure *b)
{
    return a->at < b->at || (a->at == b->at && a->buyer < b->buyer);
}

void departures_push(struct departures *departures, struct departure departure)
{
    if (departures->count == departures->size) {
        departures->size = departures->size ? 2 * departures->size : 256;
        departures->heap = xrealloc(departures->heap, departures->size * sizeof(*departures->heap));
    }
    size_t at = departures->count++;
    for (; at > 0 && earlier(&departure, &departures->heap[(at - 1) / 2]); at = (at - 1) / 2)
        departures->heap[at] = departures->heap[(at - 1) / 2];
    departures->heap[at] = departure;
}

struct departure departures_pop(struct departures *departures)
{
    const struct departure first = departures->heap[0],
                           last = departures->heap[--departures->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < departures->count; at = child) {
        if (child + 1 < departures->count &&
            earlier(&departures->heap[child + 1], &departures->heap[child]))
            child++;
        if (!earlier(&departures->heap[child], &last))
            break;
        departures->heap[at] = departures->heap[child];
    }
    departures->heap[at] = last;
    return first;
}
