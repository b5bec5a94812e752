/* SPDX-License-Identifier: MIT */
/*
 * seat_rows: a map of a hall in its short form, in which each run of neighbouring seats is one entry:
 *
 *   {"version":7,"layout":0,"currency":"EUR","rows":[["Floor","1",1,9900,"1001","aahs"]]}
 *
 * section, row, number of the first seat, price of each, id of the first seat, and the first letter of each seat's
 * status. Numbers and ids rise by one within a run. Pure. It reads only the text that the SQL function seat_map_text
 * writes, not JSON in general.
 */
#ifndef TIKETI_SEAT_ROWS_H
#define TIKETI_SEAT_ROWS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Appends the short form of a map of `len` bytes. False, with `out` as it was, when the text is not such a map, or its
 * seats have different currencies. */
bool seat_rows_write(const char *map, size_t len, struct buf *out);

#endif
