/* SPDX-License-Identifier: MIT */
/*
 * csv: a push parser for RFC 4180.
 *
 * Why this way: a file arrives in pieces that end anywhere, so one state and the row so far are all that is kept
 * between two bytes. Strict: input that two programs could read differently is refused, not guessed.
 * Called by: api_csv. Pure.
 *
 * State    input           next state
 * START    quote           QUOTED
 * START    comma, LF       START (an empty cell)
 * START    other           PLAIN
 * PLAIN    comma, LF       START
 * PLAIN    quote           refused
 * QUOTED   quote           QUOTE
 * QUOTED   other           QUOTED
 * QUOTE    quote           QUOTED (the two stand for one quote)
 * QUOTE    comma, LF       START
 * QUOTE    other           refused
 * START, PLAIN, QUOTE: CR  CR
 * CR       LF              START
 * CR       other           refused
 */
#include "base/csv.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum state {
    STATE_START,  /* at the start of a cell */
    STATE_PLAIN,  /* in a cell without quotes */
    STATE_QUOTED, /* in a quoted cell */
    STATE_QUOTE,  /* after a quote in a quoted cell: its end, or the first of two */
    STATE_CR,     /* after a CR outside quotes */
    STATE_ENDED   /* refused, or stopped by on_row */
};

static const char byte_order_mark[] = "\xef\xbb\xbf";

struct csv {
    csv_row_cb on_row;
    void *arg;
    enum state state;
    struct csv_error error;
    size_t mark;            /* bytes of the byte order mark read so far; 3: the text has begun */
    uint64_t line;          /* the line of the next byte; the first is 1 */
    uint64_t row_line;      /* where the row began */
    uint64_t cell_line;     /* where the cell began */
    bool any;               /* the current row has at least one complete cell */
    size_t cells, cell_len; /* complete cells of the row; bytes of the current cell */
    struct csv_cell row[CSV_CELLS_MAX];
    char text[CSV_CELLS_MAX][CSV_CELL_MAX + 1];
};

struct csv *csv_new(csv_row_cb on_row, void *arg)
{
    struct csv *csv = xcalloc(1, sizeof(*csv));
    csv->on_row = on_row;
    csv->arg = arg;
    csv->line = csv->row_line = csv->cell_line = 1;
    return csv;
}

void csv_free(struct csv *csv)
{
    free(csv);
}

const struct csv_error *csv_error(const struct csv *csv)
{
    return &csv->error;
}

static void refuse(struct csv *csv, uint64_t line, const char *detail)
{
    csv->error = (struct csv_error){.line = line, .column = csv->cells, .detail = detail};
    csv->state = STATE_ENDED;
}

static void cell_add(struct csv *csv, char c)
{
    if (csv->cells == CSV_CELLS_MAX)
        refuse(csv, csv->line, "There are too many columns: at most 16.");
    else if (c == '\0')
        refuse(csv, csv->line, "A NUL byte is not allowed.");
    else if (csv->cell_len == CSV_CELL_MAX)
        refuse(csv, csv->line, "A cell is too long: at most 512 bytes.");
    else
        csv->text[csv->cells][csv->cell_len++] = c;
}

static void cell_end(struct csv *csv)
{
    if (csv->cells == CSV_CELLS_MAX) {
        refuse(csv, csv->line, "There are too many columns: at most 16.");
        return;
    }
    char *text = csv->text[csv->cells];
    if (!utf8_is_valid(text, csv->cell_len)) {
        refuse(csv, csv->cell_line, "The text is not UTF-8.");
        return;
    }
    text[csv->cell_len] = '\0';
    csv->row[csv->cells++] = (struct csv_cell){.text = text, .len = csv->cell_len};
    csv->cell_len = 0;
    csv->cell_line = csv->line;
    csv->any = true;
    csv->state = STATE_START;
}

/* Call this after csv->line has counted the line end, if there was one. */
static void row_end(struct csv *csv)
{
    cell_end(csv);
    if (csv->state == STATE_ENDED)
        return;
    const size_t cells = csv->cells;
    csv->cells = 0;
    csv->any = false;
    if (!csv->on_row(csv->arg, csv->row_line, csv->row, cells))
        csv->state = STATE_ENDED;
    csv->row_line = csv->cell_line = csv->line;
}

static void step(struct csv *csv, char c)
{
    if (csv->state == STATE_QUOTED) {
        if (c == '\n')
            csv->line++;
        if (c == '"')
            csv->state = STATE_QUOTE;
        else
            cell_add(csv, c);
    } else if (csv->state == STATE_QUOTE && c == '"') {
        csv->state = STATE_QUOTED;
        cell_add(csv, c);
    } else if (csv->state == STATE_CR && c != '\n') {
        refuse(csv, csv->line, "A line must end with CRLF or LF.");
    } else if (c == ',') {
        cell_end(csv);
    } else if (c == '\n') {
        csv->line++;
        row_end(csv);
    } else if (c == '\r') {
        csv->state = STATE_CR;
    } else if (csv->state == STATE_QUOTE) {
        refuse(csv, csv->line,
               "A closing quote must be followed by a comma or by the end of the line.");
    } else if (c != '"') {
        csv->state = STATE_PLAIN;
        cell_add(csv, c);
    } else if (csv->state == STATE_PLAIN) {
        refuse(csv, csv->line, "A quote is allowed only in a cell that begins with one.");
    } else {
        csv->state = STATE_QUOTED;
    }
}

/* Reads the first bytes of the file. A byte order mark is skipped; bytes that only begin like one are text. */
static void step_first(struct csv *csv, char c)
{
    if (c == byte_order_mark[csv->mark]) {
        csv->mark++;
        return;
    }
    const size_t seen = csv->mark;
    csv->mark = sizeof(byte_order_mark) - 1;
    for (size_t i = 0; i < seen; i++)
        step(csv, byte_order_mark[i]);
    step(csv, c);
}

enum status csv_feed(struct csv *csv, const char *data, size_t len)
{
    for (size_t i = 0; i < len && csv->state != STATE_ENDED; i++) {
        if (csv->mark < sizeof(byte_order_mark) - 1)
            step_first(csv, data[i]);
        else
            step(csv, data[i]);
    }
    return csv->state == STATE_ENDED ? ST_INVALID : ST_OK;
}

enum status csv_end(struct csv *csv)
{
    if (csv->state != STATE_ENDED && csv->mark > 0 && csv->mark < sizeof(byte_order_mark) - 1)
        refuse(csv, csv->line, "The text is not UTF-8.");
    else if (csv->state == STATE_QUOTED)
        refuse(csv, csv->cell_line, "A quote is not closed.");
    else if (csv->state == STATE_CR)
        refuse(csv, csv->line, "A line must end with CRLF or LF.");
    else if (csv->state != STATE_ENDED && (csv->any || csv->state != STATE_START))
        row_end(csv);
    return csv->error.line > 0 || csv->state == STATE_ENDED ? ST_INVALID : ST_OK;
}
