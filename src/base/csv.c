/* SPDX-License-Identifier: MIT */
/*
 * csv: a push parser for RFC 4180, and for what spreadsheets write in its place.
 *
 * Why this way: a file arrives in pieces that end anywhere, so one state and the row so far are all that is kept
 * between two bytes. Strict: input that two programs could read differently is refused, not guessed. What Excel writes
 * is not guessed either: its UTF-16 has a byte order mark, and the names in a header have no separator in them.
 * Called by: api_csv. Pure.
 *
 * State    input           next state
 * START    quote           QUOTED
 * START    separator, LF   START (an empty cell)
 * START    other           PLAIN
 * PLAIN    separator, LF   START
 * PLAIN    quote           refused
 * QUOTED   quote           QUOTE
 * QUOTED   other           QUOTED
 * QUOTE    quote           QUOTED (the two stand for one quote)
 * QUOTE    separator, LF   START
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

enum encoding {
    ENCODING_UNKNOWN, /* the byte order mark is not complete yet */
    ENCODING_UTF8,
    ENCODING_UTF16LE,
    ENCODING_UTF16BE
};

static const struct {
    const char *bytes;
    size_t len;
    enum encoding encoding;
} marks[] = {
    {"\xef\xbb\xbf", 3, ENCODING_UTF8},
    {"\xff\xfe", 2, ENCODING_UTF16LE},
    {"\xfe\xff", 2, ENCODING_UTF16BE},
};

#define NOT_UTF8  "The text is not UTF-8: save the file as \"CSV UTF-8\"."
#define NOT_UTF16 "The text is not valid UTF-16: save the file as \"CSV UTF-8\"."
#define BAD_END   "A line must end with CRLF or LF: save the file as \"CSV UTF-8\"."

struct csv {
    csv_row_cb on_row;
    void *arg;
    enum state state;
    struct csv_error error;
    enum encoding encoding;
    char separator; /* '\0': none was read yet */
    uint8_t head
        [3]; /* bytes that are not read as text yet: of the byte order mark, or of a UTF-16 unit */
    size_t head_len;
    uint32_t high;          /* the first half of a surrogate pair; 0: none */
    uint64_t line;          /* the line of the next byte; the first is 1 */
    uint64_t row_line;      /* where the row began */
    uint64_t cell_line;     /* where the cell began */
    bool any;               /* the current row has at least one complete cell */
    bool quoted;            /* one of its cells is quoted */
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

char csv_separator(const struct csv *csv)
{
    return csv->separator;
}

static void refuse(struct csv *csv, uint64_t line, const char *reason, const char *detail)
{
    csv->error =
        (struct csv_error){.line = line, .column = csv->cells, .detail = detail, .reason = reason};
    csv->state = STATE_ENDED;
}

static void cell_add(struct csv *csv, char c)
{
    if (csv->cells == CSV_CELLS_MAX)
        refuse(csv, csv->line, "columns-too-many", "There are too many columns: at most 24.");
    else if (c == '\0')
        refuse(csv, csv->line, "csv-encoding",
               "A NUL byte is not allowed: save the file as \"CSV UTF-8\".");
    else if (csv->cell_len == CSV_CELL_MAX)
        refuse(csv, csv->line, "cell-too-long", "A cell is too long: at most 512 bytes.");
    else
        csv->text[csv->cells][csv->cell_len++] = c;
}

static void cell_end(struct csv *csv)
{
    if (csv->cells == CSV_CELLS_MAX) {
        refuse(csv, csv->line, "columns-too-many", "There are too many columns: at most 24.");
        return;
    }
    char *text = csv->text[csv->cells];
    if (!utf8_is_valid(text, csv->cell_len)) {
        refuse(csv, csv->cell_line, "csv-encoding", NOT_UTF8);
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
    const bool is_sep = !csv->quoted && csv->row_line == 1 && cells == 2 &&
                        strcmp(csv->text[0], "sep=") == 0 && csv->text[1][0] == '\0';
    csv->cells = 0;
    csv->any = csv->quoted = false;
    if (!is_sep && !csv->on_row(csv->arg, csv->row_line, csv->row, cells))
        csv->state = STATE_ENDED;
    csv->row_line = csv->cell_line = csv->line;
}

/* In a file whose separator is not known yet, the first character that can be one is it. */
static bool is_separator(struct csv *csv, char c)
{
    if (csv->separator == '\0' && (c == ',' || c == ';' || c == '\t'))
        csv->separator = c;
    return c == csv->separator && c != '\0';
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
        refuse(csv, csv->line, "csv-line-end", BAD_END);
    } else if (is_separator(csv, c)) {
        cell_end(csv);
    } else if (c == '\n') {
        csv->line++;
        row_end(csv);
    } else if (c == '\r') {
        csv->state = STATE_CR;
    } else if (csv->state == STATE_QUOTE) {
        refuse(csv, csv->line, "csv-quote",
               "A closing quote must be followed by a separator or by the end of the line.");
    } else if (c != '"') {
        csv->state = STATE_PLAIN;
        cell_add(csv, c);
    } else if (csv->state == STATE_PLAIN) {
        refuse(csv, csv->line, "csv-quote",
               "A quote is allowed only in a cell that begins with one.");
    } else {
        csv->state = STATE_QUOTED;
        csv->quoted = true;
    }
}

/* Reads a unit of UTF-16 when its second byte has come, and a surrogate pair when its second unit has. */
static void step_utf16(struct csv *csv, uint8_t byte)
{
    csv->head[csv->head_len++] = byte;
    if (csv->head_len < 2)
        return;
    const bool little = csv->encoding == ENCODING_UTF16LE;
    const uint32_t unit = (uint32_t)csv->head[little] << 8 | csv->head[!little];
    const bool is_low = unit >= 0xdc00 && unit <= 0xdfff;
    const uint32_t high = csv->high;
    csv->head_len = 0;
    csv->high = 0;
    if (is_low != (high != 0)) {
        refuse(csv, csv->line, "csv-encoding", NOT_UTF16);
    } else if (unit >= 0xd800 && unit <= 0xdbff) {
        csv->high = unit;
    } else {
        char utf8[4];
        const size_t len =
            utf8_write(is_low ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : unit, utf8);
        for (size_t i = 0; i < len && csv->state != STATE_ENDED; i++)
            step(csv, utf8[i]);
    }
}

/* Reads the first bytes of the file. A byte order mark is skipped; bytes that only begin like one are text. */
static void step_first(struct csv *csv, uint8_t byte)
{
    bool begins = false;
    csv->head[csv->head_len++] = byte;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (memcmp(csv->head, marks[i].bytes, csv->head_len) != 0)
            continue;
        begins = true;
        if (csv->head_len == marks[i].len) {
            csv->encoding = marks[i].encoding;
            csv->head_len = 0;
            return;
        }
    }
    if (begins)
        return;
    const size_t len = csv->head_len;
    csv->encoding = ENCODING_UTF8;
    csv->head_len = 0;
    for (size_t i = 0; i < len && csv->state != STATE_ENDED; i++)
        step(csv, (char)csv->head[i]);
}

enum status csv_feed(struct csv *csv, const char *data, size_t len)
{
    for (size_t i = 0; i < len && csv->state != STATE_ENDED; i++) {
        if (csv->encoding == ENCODING_UTF8)
            step(csv, data[i]);
        else if (csv->encoding == ENCODING_UNKNOWN)
            step_first(csv, (uint8_t)data[i]);
        else
            step_utf16(csv, (uint8_t)data[i]);
    }
    return csv->state == STATE_ENDED ? ST_INVALID : ST_OK;
}

enum status csv_end(struct csv *csv)
{
    if (csv->state != STATE_ENDED && csv->encoding == ENCODING_UNKNOWN && csv->head_len > 0)
        refuse(csv, csv->line, "csv-encoding", NOT_UTF8);
    else if (csv->state != STATE_ENDED && (csv->head_len > 0 || csv->high != 0))
        refuse(csv, csv->line, "csv-encoding", NOT_UTF16);
    else if (csv->state == STATE_QUOTED)
        refuse(csv, csv->cell_line, "csv-quote", "A quote is not closed.");
    else if (csv->state == STATE_CR)
        refuse(csv, csv->line, "csv-line-end", BAD_END);
    else if (csv->state != STATE_ENDED && (csv->any || csv->state != STATE_START))
        row_end(csv);
    return csv->error.line > 0 || csv->state == STATE_ENDED ? ST_INVALID : ST_OK;
}
