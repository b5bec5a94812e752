/* SPDX-License-Identifier: MIT */
/*
 * csv: RFC 4180 as it arrives: a push parser. Lines end with CRLF or LF, the last one with or without;
 * cells may be quoted, with "" for a quote, and commas and line ends inside; a byte order mark in
 * front is passed over. Refused, with the line: what is no UTF-8, a NUL, a quote where none may be, a
 * CR alone, a cell or a row that is too large. Keeps one row, however long the file.
 */
#ifndef TIKETI_CSV_H
#define TIKETI_CSV_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_CELLS_MAX 16  /* of a row */
#define CSV_CELL_MAX  512 /* bytes of a cell, unquoted */

struct csv_cell {
    const char *text; /* NUL-terminated; valid UTF-8 without NUL */
    size_t len;
};

/* One row; `line` is where it began, from 1. An empty line is a row of one empty cell. All is borrowed.
 * False: no more rows are wanted. */
typedef bool (*csv_row_cb)(void *arg, uint64_t line, const struct csv_cell *cells, size_t count);

struct csv_error {
    uint64_t line;      /* 0: none */
    size_t column;      /* from 0 */
    const char *detail; /* static */
};

struct csv;

struct csv *csv_new(csv_row_cb on_row, void *arg);
void csv_free(struct csv *csv); /* NULL is fine; not from on_row */
/* ST_INVALID: the file is refused, see csv_error, or on_row wanted no more; so is everything after. */
MUST_CHECK enum status csv_feed(struct csv *csv, const char *data, size_t len);
/* Nothing comes any more: the last row, if it has no line end. */
MUST_CHECK enum status csv_end(struct csv *csv);
const struct csv_error *csv_error(const struct csv *csv);

#endif
