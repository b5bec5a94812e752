/* SPDX-License-Identifier: MIT */
/* utf8: which byte sequences are valid UTF-8. Pure. */
#ifndef TIKETI_UTF8_H
#define TIKETI_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the valid UTF-8 sequence that starts at `text`, which has `len` bytes: 1 to 4, or 0 when there
 * is none. Refused as the Unicode Standard asks (table 3-7): overlong forms, surrogates, values over
 * U+10FFFF, truncated sequences. */
size_t utf8_len(const char *text, size_t len);

/* Is all of it UTF-8? An empty text is. */
bool utf8_is_valid(const char *text, size_t len);

#endif
