/* SPDX-License-Identifier: MIT */
/* csv: a file gives the same rows and the same error in one piece as byte by byte; and its rows, written again with
 * quotes, read back as the same cells. */
#include "base/buf.h"
#include "base/csv.h"

#include <stdlib.h>
#include <string.h>

#define SEEN_MAX (8 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool on_row(void *arg, uint64_t line, const struct csv_cell *cells, size_t count)
{
    struct buf *out = arg;
    check(line > 0 && count > 0 && count <= CSV_CELLS_MAX);
    for (size_t i = 0; i < count; i++) {
        check(cells[i].len <= CSV_CELL_MAX && strlen(cells[i].text) == cells[i].len);
        buf_add_str(out, i > 0 ? ",\"" : "\"");
        for (const char *at = cells[i].text; *at != '\0'; at++) {
            if (*at == '"')
                buf_add_char(out, '"');
            buf_add_char(out, *at);
        }
        buf_add_char(out, '"');
    }
    buf_add_str(out, "\r\n");
    return true;
}

static struct csv_error read_all(const char *data, size_t size, size_t step, struct buf *out)
{
    struct csv *csv = csv_new(on_row, out);
    enum status st = ST_OK;
    for (size_t at = 0; at < size && st == ST_OK; at += step)
        st = csv_feed(csv, data + at, size - at < step ? size - at : step);
    if (csv_end(csv) != ST_OK)
        st = ST_INVALID;
    const struct csv_error error = *csv_error(csv);
    check((st == ST_OK) == (error.line == 0));
    csv_free(csv);
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, bytes, again;
    buf_init(&whole, SEEN_MAX);
    buf_init(&bytes, SEEN_MAX);
    buf_init(&again, SEEN_MAX);
    const struct csv_error one = read_all((const char *)data, size, size + 1, &whole);
    const struct csv_error two = read_all((const char *)data, size, 1, &bytes);
    check(one.line == two.line && one.column == two.column && one.detail == two.detail);
    check(strcmp(buf_str(&whole), buf_str(&bytes)) == 0);
    const struct csv_error none = read_all(buf_str(&whole), whole.len, 7, &again);
    check(none.line == 0 && strcmp(buf_str(&whole), buf_str(&again)) == 0);
    buf_clear(&whole);
    buf_clear(&bytes);
    buf_clear(&again);
    return 0;
}
