/* SPDX-License-Identifier: MIT */
/* utf8: which byte sequences are valid UTF-8. Pure. Called by: buf, log, csv, ws. */
#include "base/utf8.h"

#include <stdint.h>

/* Which second bytes may follow which first bytes (the Unicode Standard, table 3-7). */
static const struct row {
    uint8_t first, last, second_min, second_max;
    size_t len;
} rows[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

size_t utf8_len(const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    const struct row *row = rows;
    const struct row *const end = rows + sizeof(rows) / sizeof(rows[0]);
    while (row < end && (s[0] < row->first || s[0] > row->last))
        row++;
    if (row == end || len < row->len || s[1] < row->second_min || s[1] > row->second_max)
        return 0;
    for (size_t i = 2; i < row->len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    return row->len;
}

size_t utf8_write(uint32_t c, char out[4])
{
    const size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[len] | c);
    return len;
}

bool utf8_is_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        const size_t sequence = utf8_len(text + i, len - i);
        if (sequence == 0)
            return false;
        i += sequence;
    }
    return true;
}
