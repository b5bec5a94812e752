/* SPDX-License-Identifier: MIT */
/*
 * seat_delta: finds the seats whose status differs between two maps of one hall. Pure. It reads only the
 * text that the SQL function seat_map_text writes, not JSON in general.
 */
#ifndef TIKETI_SEAT_DELTA_H
#define TIKETI_SEAT_DELTA_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The ids and statuses of a map, in the map's order: 9 bytes a seat. */
struct seat_list {
    uint64_t layout; /* maps of different ones differ in more than statuses */
    size_t count;
    uint64_t *ids;
    char *statuses; /* the first letter of each: 'a'vailable, 'h'eld, 's'old or 'b'locked */
};

/* Fills `list` from a map of `len` bytes; the caller clears it. False, with an empty list, when the text is
 * not such a map. */
bool seat_list_read(struct seat_list *list, const char *map, size_t len);
void seat_list_clear(struct seat_list *list);

/* Appends `[{"id":"…","status":"…"},…]`, the seats whose status in `after` differs from that in `before`.
 * False, with `out` as it was: the lists have different seats or layouts, or more than `most` seats changed. */
bool seat_list_diff(const struct seat_list *before, const struct seat_list *after, size_t most,
                    struct buf *out);

#endif
