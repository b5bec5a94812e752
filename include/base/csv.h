/* SPDX-License-Identifier: MIT */
/*
 * csv: a push parser for RFC 4180, and for what spreadsheets write in its place. Lines end with CRLF or LF; the last
 * one may have no end. Cells may be quoted, with "" for a quote, and may then contain separators and line ends. The
 * first comma, semicolon or tab outside quotes is the separator of the file; a first line "sep=;" only says so. The
 * text is UTF-8, with or without a byte order mark, or UTF-16 with one. The parser refuses, and names the line:
 * another encoding, a NUL, a misplaced quote, a CR without LF, a cell or a row over its limit. It keeps one row in
 * memory, whatever the size of the file.
 */
#ifndef TIKETI_CSV_H
#define TIKETI_CSV_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_CELLS_MAX 24  /* of a row */
#define CSV_CELL_MAX  512 /* bytes of a cell, without its quotes */

struct csv_cell {
    const char *text; /* NUL-terminated; valid UTF-8 without NUL */
    size_t len;
};

/* One row, which began in line `line` (the first is 1). An empty line is a row of one empty cell. The cells are
 * borrowed until the callback returns. Return false to stop. */
typedef bool (*csv_row_cb)(void *arg, uint64_t line, const struct csv_cell *cells, size_t count);

struct csv_error {
    uint64_t line;      /* 0: no error */
    size_t column;      /* of the cell; the first is 0 */
    const char *detail; /* a sentence for the user; static */
    const char *reason; /* its stable name; static */
};

struct csv;

/* New. on_row runs inside csv_feed and csv_end. */
struct csv *csv_new(csv_row_cb on_row, void *arg);
void csv_free(struct csv *csv); /* NULL is fine; not from on_row */
/* The next piece of the file, of any size. ST_INVALID when the file is refused (csv_error says why) or on_row
 * returned false; every later call then returns ST_INVALID too. */
MUST_CHECK enum status csv_feed(struct csv *csv, const char *data, size_t len);
/* Call at the end of the file: passes the last row to on_row if no line end followed it. Statuses as for
 * csv_feed. */
MUST_CHECK enum status csv_end(struct csv *csv);
/* The separator of the file: a comma, semicolon or tab; '\0': none was read yet. */
char csv_separator(const struct csv *csv);
/* Why the file is refused; borrowed until csv_free. */
const struct csv_error *csv_error(const struct csv *csv);

#endif
