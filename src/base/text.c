/* SPDX-License-Identifier: MIT */
/*
 * text: what people write, brought to one form; the only includer of libunistring.
 *
 * Why this way: a name can be written in many ways that look the same. A Mac decomposes what it types (NFD), a
 * spreadsheet leaves U+00A0 at the edges, a web page a zero-width space. If they were kept, one section would be two,
 * and its seats would be sold twice. So the form is made once, at the edge, and all else compares bytes.
 * Nothing is normalized below U+0300: such text is NFC already.
 * Called by: json (texts of bodies), seat_name, api_csv (cells). Pure.
 */
#include "base/text.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

enum glyph {
    GLYPH_SHOWN,
    GLYPH_BLANK,
    GLYPH_HIDDEN,   /* shows nothing, does nothing that a title needs */
    GLYPH_MARK,     /* U+200E and its like: shows nothing, but says which way a line runs */
    GLYPH_FORBIDDEN /* moves or hides what other people wrote around it */
};

static enum glyph glyph_of(ucs4_t c)
{
    if (c > 0x20 && c < 0x7f)
        return GLYPH_SHOWN;
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
        (c >= 0x2066 && c <= 0x2069) || uc_is_property_not_a_character(c))
        return GLYPH_FORBIDDEN;
    /* A Braille cell without dots and the fillers of Hangul syllables are blanks to the eye. */
    if (uc_is_property_white_space(c) || c == 0x2800 || c == 0x3164 || c == 0xffa0)
        return GLYPH_BLANK;
    if (c == 0xad || c == 0x180e || c == 0x200b || (c >= 0x2060 && c <= 0x2064) || c == 0xfeff)
        return GLYPH_HIDDEN;
    return c == 0x61c || c == 0x200e || c == 0x200f ? GLYPH_MARK : GLYPH_SHOWN;
}

/* Is a character left out that comes after `used` bytes, of which the last that is no blank ends at `trimmed`? */
static bool is_dropped(enum text_kind kind, enum glyph glyph, size_t used, size_t trimmed)
{
    if (glyph == GLYPH_BLANK)
        return used == 0 || (kind == TEXT_NAME && used > trimmed);
    if (kind == TEXT_NAME)
        return glyph == GLYPH_HIDDEN || glyph == GLYPH_MARK;
    return used == 0 && glyph == GLYPH_HIDDEN;
}

/* Copies `text` to `out` without what the kind drops. Sets *ret_len to 0 when nothing of it can be seen, and
 * *ret_highest to the highest character copied. False: it has a character that no text may have. */
static bool filter(enum text_kind kind, const uint8_t *text, size_t len, uint8_t *out,
                   size_t *ret_len, ucs4_t *ret_highest)
{
    size_t used = 0;    /* bytes in `out` */
    size_t trimmed = 0; /* bytes in `out` up to the last character that is no blank */
    bool seen = false;
    *ret_highest = 0;
    for (size_t i = 0; i < len;) {
        ucs4_t c;
        const int bytes = u8_mbtoucr(&c, text + i, len - i);
        const bool before_lf = len - i > 1 && memcmp(text + i, "\r\n", 2) == 0;
        const bool is_line_end = kind == TEXT_LINES && (text[i] == '\n' || before_lf);
        const enum glyph glyph = bytes <= 0    ? GLYPH_FORBIDDEN
                                 : is_line_end ? GLYPH_BLANK
                                               : glyph_of(c);
        if (glyph == GLYPH_FORBIDDEN)
            return false;
        const uint8_t *const from = text + i;
        i += (size_t)bytes;
        if (before_lf || is_dropped(kind, glyph, used, trimmed))
            continue;
        if (kind == TEXT_NAME && glyph == GLYPH_BLANK) {
            out[used++] = ' ';
            continue;
        }
        memcpy(out + used, from, (size_t)bytes);
        used += (size_t)bytes;
        if (glyph == GLYPH_SHOWN || glyph == GLYPH_MARK)
            trimmed = used;
        seen |= glyph == GLYPH_SHOWN && !uc_is_property_default_ignorable_code_point(c);
        *ret_highest = c > *ret_highest ? c : *ret_highest;
    }
    *ret_len = seen ? trimmed : 0;
    return true;
}

enum status text_clean(enum text_kind kind, const char *text, size_t len, size_t max, char *out)
{
    /* No character of NFC is composed of more than four. */
    uint8_t filtered[TEXT_BYTES(4 * TEXT_LIMIT)];
    uint8_t *composed = NULL;
    const uint8_t *clean = filtered;
    size_t used = 0;
    ucs4_t highest;
    assert(max <= TEXT_LIMIT);
    if (len > TEXT_BYTES(4 * max))
        return ST_TOO_LARGE;
    if (!filter(kind, (const uint8_t *)text, len, filtered, &used, &highest))
        return ST_INVALID;
    if (highest >= 0x300 && used > 0) {
        clean = composed = u8_normalize(UNINORM_NFC, filtered, used, NULL, &used);
        if (!composed)
            abort(); /* no memory is left; xcalloc aborts too */
    }
    const bool fits = u8_mbsnlen(clean, used) <= max;
    if (fits) {
        memcpy(out, clean, used);
        out[used] = '\0';
    }
    free(composed);
    return fits ? ST_OK : ST_TOO_LARGE;
}
