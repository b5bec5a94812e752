/* SPDX-License-Identifier: MIT */
/* utf8: which byte sequences are valid UTF-8. Pure. */
#ifndef TIKETI_UTF8_H
#define TIKETI_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the valid UTF-8 sequence that starts at `text`, which has `len` bytes: 1 to 4, or 0 when there
 * is none. Refused as the Unicode Standard asks (table 3-7): overlong forms, surrogates, values over
 * U+10FFFF, truncated sequences. */
size_t utf8_len(const char *text, size_t len);

/* Writes the character `c`, a code point that is no surrogate, to `out`; returns how many bytes it has. */
size_t utf8_write(uint32_t c, char out[4]);

/* Is the whole text valid UTF-8? True for an empty text. */
bool utf8_is_valid(const char *text, size_t len);

#endif
