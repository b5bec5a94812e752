/* SPDX-License-Identifier: MIT */
/*
 * seat_delta: which seats two maps of one hall differ in. Pure: it reads ids and statuses out of the
 * text that SQL function seat_map_text wrote, and that text alone.
 */
#ifndef TIKETI_SEAT_DELTA_H
#define TIKETI_SEAT_DELTA_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What of a map a comparison needs: 9 bytes a seat. */
struct seat_list {
    size_t count;
    uint64_t *ids;
    char *statuses; /* their first letters */
};

/* Reads a map; false (and an empty list) when it is not one. */
bool seat_list_read(struct seat_list *list, const char *map, size_t len);
void seat_list_clear(struct seat_list *list);

/* Appends `[{"id":"…","status":"…"},…]`, the seats whose status is another in `now`. False, and `out` as
 * it was, when the halls are not the same or more than `most` differ. */
bool seat_list_diff(const struct seat_list *was, const struct seat_list *now, size_t most,
                    struct buf *out);

#endif
